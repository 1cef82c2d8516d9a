//! One clip of `tsm prepare`: read to its end, its frames written if wanted.
//!
//! ```text
//! frame ─ upright, scaled ─ RGB ─ JPEG ─► .CLIP.part/img_00001.jpg … ─ moved when whole ─► CLIP/
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tsm_ingest::Flow;
use tsm_live::UprightShape;
use tsm_model::InputSpec;

use super::FrameOptions;
use crate::crop::{CropRect, Cut, Stage};
use crate::cutter::Cutter;
use crate::dataset::Clip;
use crate::decode::frame_folder::PTS_FILE;
use crate::decode::{DecodeError, StoredFrame, visit};

/// Why a clip is not in the lists, or none is.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The clip is at fault.
    Decode(DecodeError),
    /// One of its frames makes no picture: too long a side, for instance.
    Picture { clip: PathBuf, frame: usize, reason: String },
    /// The disk is.
    Write { path: PathBuf, source: io::Error },
}

/// Why a frame is not written.
#[derive(Debug)]
enum FrameError {
    Picture(String),
    Write(io::Error),
}

impl FrameError {
    fn picture(error: impl std::error::Error) -> Self {
        Self::Picture(error.to_string())
    }
}

/// Reads `clip`; with `frames`, into `folder`. The clip as it is to stand in a list.
pub(super) fn read(clip: &Clip, folder: &Path, frames: Option<FrameOptions>) -> Result<Clip, ReadError> {
    let Some(options) = frames else {
        let count = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&count);
        let visited = visit(clip, move |_frame, _pts| {
            seen.fetch_add(1, Ordering::Relaxed);
            Flow::Continue
        });
        visited.map_err(ReadError::Decode)?;
        return Ok(Clip { frames: Some(count.load(Ordering::Relaxed)), ..clip.clone() });
    };
    let failed = |path: &Path, source| ReadError::Write { path: path.to_owned(), source };
    let part = part_of(folder);
    // What an interrupted run left.
    let _absent = std::fs::remove_dir_all(&part);
    std::fs::create_dir_all(&part).map_err(|error| failed(&part, error))?;
    let writer = Arc::new(Mutex::new(FrameWriter::new(part.clone(), options)));
    let visited = visit(clip, {
        let writer = Arc::clone(&writer);
        move |frame, pts| writer.lock().unwrap_or_else(PoisonError::into_inner).frame(&frame.stored(), pts)
    });
    let written = finish(&writer, &clip.path, &part, visited);
    if written.is_err() {
        let _kept = std::fs::remove_dir_all(&part);
    }
    let count = written?;
    let _absent = std::fs::remove_dir_all(folder);
    std::fs::rename(&part, folder).map_err(|error| failed(folder, error))?;
    Ok(Clip { path: folder.to_owned(), frames: Some(count), span: None, ..clip.clone() })
}

/// The hidden folder beside `folder` that it is made in; of a name that leaves no room for more, its digest.
fn part_of(folder: &Path) -> PathBuf {
    /// File systems allow 255, `.` and `.part` included.
    const LONGEST_BYTES: usize = 249;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if name.len() <= LONGEST_BYTES {
        return folder.with_file_name(format!(".{name}.part"));
    }
    // The same in every run, so that what an interrupted one left is found.
    folder.with_file_name(format!(".{:08x}.part", crc32c::crc32c(name.as_bytes())))
}

/// How many frames were written, once their times are too.
fn finish(
    writer: &Mutex<FrameWriter>,
    clip: &Path,
    part: &Path,
    visited: Result<(), DecodeError>,
) -> Result<u32, ReadError> {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    match writer.failed.take() {
        Some((path, FrameError::Write(source))) => return Err(ReadError::Write { path, source }),
        Some((_, FrameError::Picture(reason))) => {
            return Err(ReadError::Picture { clip: clip.to_owned(), frame: writer.pts.len(), reason });
        }
        None => {}
    }
    visited.map_err(ReadError::Decode)?;
    let times: Vec<String> = writer.pts.iter().map(|pts| pts.as_micros().to_string()).collect();
    let path = part.join(PTS_FILE);
    std::fs::write(&path, times.join("\n")).map_err(|source| ReadError::Write { path, source })?;
    Ok(u32::try_from(writer.pts.len()).unwrap_or(u32::MAX))
}

/// Writes frames as they come.
#[derive(Debug)]
struct FrameWriter {
    folder: PathBuf,
    options: FrameOptions,
    cutter: Cutter,
    rgb: Vec<u8>,
    pts: Vec<Duration>,
    failed: Option<(PathBuf, FrameError)>,
}

impl FrameWriter {
    fn new(folder: PathBuf, options: FrameOptions) -> Self {
        Self { folder, options, cutter: Cutter::new(), rgb: Vec::new(), pts: Vec::new(), failed: None }
    }

    fn frame(&mut self, frame: &StoredFrame, pts: Duration) -> Flow {
        self.pts.push(pts);
        let path = self.folder.join(format!("img_{:05}.jpg", self.pts.len()));
        match self.write(frame, &path) {
            Ok(()) => Flow::Continue,
            Err(error) => {
                self.failed = Some((path, error));
                Flow::Stop
            }
        }
    }

    fn write(&mut self, frame: &StoredFrame, path: &Path) -> Result<(), FrameError> {
        let cut = scaled(frame, self.options.short_side_px);
        let CropRect { width, height, .. } = cut.first.crop;
        self.rgb.resize(width * height * 3, 0);
        self.cutter.run(frame, &cut, &mut self.rgb).map_err(FrameError::picture)?;
        let side = |px: usize| {
            u16::try_from(px)
                .map_err(|_long| FrameError::Picture(format!("a JPEG has no side of {px} pixels")))
        };
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, self.options.quality.clamp(1, 100));
        encoder.set_sampling_factor(SamplingFactor::F_1_1);
        encoder
            .encode(&self.rgb, side(width)?, side(height)?, ColorType::Rgb)
            .map_err(FrameError::picture)?;
        std::fs::write(path, jpeg).map_err(FrameError::Write)
    }
}

/// The whole frame with its short side scaled down to `short_side_px`.
fn scaled(frame: &StoredFrame, short_side_px: usize) -> Cut {
    let UprightShape { shown_width, shown_height, .. } = UprightShape::of(frame.format());
    let short = short_side_px.clamp(1, shown_width.min(shown_height));
    let spec = InputSpec { size_px: short, short_side_px: short, ..InputSpec::default() };
    let geometry = spec.geometry(shown_width, shown_height);
    let (width, height) = (geometry.scaled_width_px, geometry.scaled_height_px);
    let whole = |width, height| CropRect { x: 0, y: 0, width, height };
    let first = Stage {
        source: whole(shown_width, shown_height),
        scaled_width_px: width,
        scaled_height_px: height,
        crop: whole(width, height),
    };
    Cut { first, then: None }
}
