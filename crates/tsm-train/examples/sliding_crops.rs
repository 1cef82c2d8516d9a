//! A data set that only time can tell apart: `cargo run --release -p tsm-train --example sliding_crops -- CLIPS_DIR OUT_DIR [CLIPS]`.
//!
//! ```text
//! frames of a clip  [1] [2] … [8]      crop 1 ─ crop 2 ─ … ─ crop 8   class `left`
//!    a window slides over them   ─►    the same pictures backwards    class `right`
//! ```
//!
//! Six classes in three pairs (`left`/`right`, `up`/`down`, `zoom_in`/`zoom_out`), written as folders of JPEG frames. The
//! clips of a pair hold the same pictures in the other order, so a network that does not look at time cannot pass half.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tsm_live::UprightShape;
use tsm_train::crop::{CropRect, Cut, Stage};
use tsm_train::cutter::Cutter;
use tsm_train::dataset;
use tsm_train::decode::{ClipFrames, Keep, decode};

/// Frames of a clip: what the reference's networks see at once.
const FRAMES: usize = 8;

/// Media time between them, as at 12 frames a second.
const STEP_MICROS: usize = 83_333;

/// Side of the pictures.
const SIDE_PX: usize = 128;

/// The two orders of each motion.
const PAIRS: [[&str; 2]; 3] = [["left", "right"], ["up", "down"], ["zoom_in", "zoom_out"]];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, output, rest @ ..] = &arguments[..] else {
        return Err("usage: sliding_crops CLIPS_DIR OUT_DIR [CLIPS]".into());
    };
    tsm_ingest::init()?;
    let clips = dataset::read(Path::new(folder), None)?.dataset.clips;
    let most = rest.first().map_or(Ok(usize::MAX), |text| text.parse())?;
    let step = clips.len().div_ceil(most.clamp(1, clips.len()));
    for (index, clip) in clips.iter().step_by(step).enumerate() {
        let frames = decode(clip, Keep::AllWithin { most_bytes: 1 << 30 })?;
        for (motion, pair) in PAIRS.iter().enumerate() {
            let pictures = slide(&frames, motion, index)?;
            for (order, class) in pair.iter().enumerate() {
                let place = Path::new(output).join(class).join(format!("source_{index}_0"));
                write(&place, &pictures, order == 1)?;
            }
        }
    }
    Ok(())
}

/// The pictures of a motion in its first order, as JPEG.
fn slide(frames: &ClipFrames, motion: usize, clip: usize) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let count = frames.pts().len();
    let mut cutter = Cutter::new();
    let mut pictures = Vec::with_capacity(FRAMES);
    for step in 0..FRAMES {
        // Every other clip plays backwards in time, so that time's own arrow tells nothing.
        let time = if clip.is_multiple_of(2) { step } else { FRAMES - 1 - step };
        let frame = frames.frame(time * (count - 1) / (FRAMES - 1)).ok_or("a frame is gone")?;
        let shape = UprightShape::of(frame.format());
        let crop = window(motion, step, shape.shown_width, shape.shown_height);
        let whole = CropRect { x: 0, y: 0, width: SIDE_PX, height: SIDE_PX };
        let first = Stage { source: crop, scaled_width_px: SIDE_PX, scaled_height_px: SIDE_PX, crop: whole };
        let mut rgb = vec![0; SIDE_PX * SIDE_PX * 3];
        cutter.run(frame, &Cut { first, then: None }, &mut rgb)?;
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, 92);
        encoder.set_sampling_factor(SamplingFactor::F_1_1);
        let side = u16::try_from(SIDE_PX)?;
        encoder.encode(&rgb, side, side, ColorType::Rgb)?;
        pictures.push(jpeg);
    }
    Ok(pictures)
}

/// The window at a step: three fifths of the short side, moved or grown over the rest.
fn window(motion: usize, step: usize, width: usize, height: usize) -> CropRect {
    let short = width.min(height);
    let room = short * 2 / 5;
    let moved = room * step / (FRAMES - 1);
    let small = short - room;
    let (dx, dy, side) = match motion {
        // The picture goes left where the window goes right.
        0 => (moved, room / 2, small),
        1 => (room / 2, moved, small),
        _ => (moved / 2, moved / 2, short - moved),
    };
    CropRect { x: (width - short) / 2 + dx, y: (height - short) / 2 + dy, width: side, height: side }
}

/// A folder of frames with their times.
fn write(place: &Path, pictures: &[Vec<u8>], backwards: bool) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(place)?;
    let mut times = String::new();
    for index in 0..pictures.len() {
        let picture = &pictures[if backwards { pictures.len() - 1 - index } else { index }];
        fs::write(place.join(format!("img_{:05}.jpg", index + 1)), picture)?;
        writeln!(times, "{}", index * STEP_MICROS)?;
    }
    Ok(fs::write(place.join("pts_micros.txt"), times)?)
}
