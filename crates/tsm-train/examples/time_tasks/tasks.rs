//! The tasks: clips that differ in the order of their pictures alone.
//!
//! ```text
//! slides    frames of a clip  [1] [2] … [8]      crop 1 ─ crop 2 ─ … ─ crop 8   class `left`
//!              a window slides over them   ─►    the same pictures backwards    class `right`
//! reversed  all frames of a clip of `sit`        as they are                     class `sit-forward`
//!                                                backwards                       class `sit-reversed`
//! ```
//!
//! `slides` has six classes in three pairs (`left`/`right`, `up`/`down`, `zoom_in`/`zoom_out`). The clips of a pair
//! hold the same pictures in the other order, so a network that does not look at time cannot pass half. `reversed` has
//! two classes an action, since a direction means something of an action alone: backwards, sitting down is getting up,
//! and both happen. Written are folders of JPEG frames with their times, and `groups.csv`: what was cut from one video
//! stays together.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tsm_live::UprightShape;
use tsm_train::crop::{CropRect, Cut, Stage};
use tsm_train::cutter::Cutter;
use tsm_train::dataset::{Clip, Dataset};
use tsm_train::decode::{ClipFrames, Keep, decode};

/// Frames of a sliding clip: what the reference's networks see at once.
const FRAMES: usize = 8;

/// Media time between them, as at 12 frames a second.
const STEP_MICROS: u128 = 83_333;

/// Side of a sliding picture, and the short side of a reversed one.
const SIDE_PX: usize = 128;

/// The two orders of each motion.
const PAIRS: [[&str; 2]; 3] = [["left", "right"], ["up", "down"], ["zoom_in", "zoom_out"]];

/// What can go wrong is told as it is.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Which data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// A window that slides or grows over real frames, and the same backwards.
    Slides,
    /// Whole clips forwards and backwards.
    Reversed,
}

/// Makes `task` of every clip of `dataset` and writes it to `output`.
///
/// # Errors
/// A clip that cannot be read, or a full disk.
pub(crate) fn write(task: Task, dataset: &Dataset, output: &Path) -> Outcome<()> {
    let mut out = Output { folder: output.to_owned(), groups: "path,group\n".to_owned() };
    for (index, clip) in dataset.clips.iter().enumerate() {
        let frames = decode(clip, Keep::AllWithin { most_bytes: 1 << 30 })?;
        match task {
            Task::Slides => slides(&frames, clip, index, &mut out)?,
            Task::Reversed => reversed(&frames, clip, &mut out)?,
        }
    }
    Ok(fs::write(out.folder.join("groups.csv"), out.groups)?)
}

/// Pictures of a clip with their times.
type Pictures = Vec<(u128, Vec<u8>)>;

/// The three motions over a clip, each in both orders.
fn slides(frames: &ClipFrames, clip: &Clip, index: usize, out: &mut Output) -> Outcome<()> {
    for (motion, pair) in PAIRS.iter().enumerate() {
        let count = frames.pts().len();
        let mut pictures = Pictures::new();
        for step in 0..FRAMES {
            // Every other clip plays backwards, so that time's own arrow tells nothing.
            let time = if index.is_multiple_of(2) { step } else { FRAMES - 1 - step };
            let at = time * (count - 1) / (FRAMES - 1);
            let shape = UprightShape::of(frames.frame(at).ok_or("a frame is gone")?.format());
            let window = window(motion, step, shape.shown_width, shape.shown_height);
            pictures.push((STEP_MICROS * step as u128, picture(frames, at, window, SIDE_PX, SIDE_PX)?));
        }
        out.write(pair[0], clip, &pictures)?;
        out.write(pair[1], clip, &backwards(&pictures))?;
    }
    Ok(())
}

/// The whole clip in both orders.
fn reversed(frames: &ClipFrames, clip: &Clip, out: &mut Output) -> Outcome<()> {
    let mut pictures = Pictures::new();
    for (at, pts) in frames.pts().iter().enumerate() {
        let shape = UprightShape::of(frames.frame(at).ok_or("a frame is gone")?.format());
        let (width, height) = (shape.shown_width, shape.shown_height);
        let short = width.min(height);
        let whole = CropRect { x: 0, y: 0, width, height };
        let jpeg = picture(frames, at, whole, width * SIDE_PX / short, height * SIDE_PX / short)?;
        pictures.push((pts.as_micros(), jpeg));
    }
    let folder = clip.path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    out.write(&format!("{folder}-forward"), clip, &pictures)?;
    out.write(&format!("{folder}-reversed"), clip, &backwards(&pictures))
}

/// The same pictures in the other order, at the same times.
fn backwards(pictures: &Pictures) -> Pictures {
    let times = pictures.iter().map(|(time, _)| *time);
    times.zip(pictures.iter().rev().map(|(_, jpeg)| jpeg.clone())).collect()
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

/// A part of a frame, scaled, as JPEG.
fn picture(
    frames: &ClipFrames,
    at: usize,
    source: CropRect,
    width_px: usize,
    height_px: usize,
) -> Outcome<Vec<u8>> {
    let frame = frames.frame(at).ok_or("a frame is gone")?;
    let whole = CropRect { x: 0, y: 0, width: width_px, height: height_px };
    let first = Stage { source, scaled_width_px: width_px, scaled_height_px: height_px, crop: whole };
    let mut rgb = vec![0; width_px * height_px * 3];
    Cutter::new().run(frame, &Cut { first, then: None }, &mut rgb)?;
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 92);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder.encode(&rgb, u16::try_from(width_px)?, u16::try_from(height_px)?, ColorType::Rgb)?;
    Ok(jpeg)
}

/// The folder that is written, and what its table of groups says so far.
struct Output {
    folder: PathBuf,
    groups: String,
}

impl Output {
    /// A folder of frames with their times.
    fn write(&mut self, class: &str, clip: &Clip, pictures: &Pictures) -> Outcome<()> {
        let name = clip.path.file_stem().unwrap_or_default().to_string_lossy();
        let place = self.folder.join(class).join(name.as_ref());
        fs::create_dir_all(&place)?;
        let mut times = String::new();
        for (index, (time, jpeg)) in pictures.iter().enumerate() {
            fs::write(place.join(format!("img_{:05}.jpg", index + 1)), jpeg)?;
            writeln!(times, "{time}")?;
        }
        writeln!(self.groups, "\"{class}/{name}\",\"{}\"", clip.group.replace('"', "\"\""))?;
        Ok(fs::write(place.join("pts_micros.txt"), times)?)
    }
}
