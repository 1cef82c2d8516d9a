//! A folder of JPEG frames (`img_00001.jpg`, …), as `tsm prepare` and the references' extractors write them.
//!
//! ```text
//! img_1.jpg, img_2.jpg, … img_10.jpg (in the order of their numbers) ─ zune-jpeg ─► RGB
//! pts_micros.txt (one time a line, ours) ─► PTS, else 30 frames a second
//! ```
//!
//! Decoded without a `GStreamer` pipeline: one a picture would cost more than the picture.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tsm_ingest::{Flow, FrameFormat, Orientation, PixelLayout};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{ASSUMED_STEP, ClipFrames, DecodeError, Keep, StoredFrame};

/// The file with the frames' times, in microseconds, a line a frame.
pub(crate) const PTS_FILE: &str = "pts_micros.txt";

/// The JPEG files of a folder, in natural order.
///
/// # Errors
/// [`DecodeError::NoImages`] if there are none, [`DecodeError::Image`] if the folder cannot be read.
pub fn images(folder: &Path) -> Result<Vec<PathBuf>, DecodeError> {
    let entries = std::fs::read_dir(folder).map_err(|error| image_error(folder, &error))?;
    let is_image = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        matches!(extension.as_str(), "jpg" | "jpeg") && !name.starts_with('.')
    };
    let mut images: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_image).collect();
    if images.is_empty() {
        return Err(DecodeError::NoImages { path: folder.to_owned() });
    }
    images.sort_by(|a, b| natural_order(&name_of(a), &name_of(b)));
    Ok(images)
}

/// Reads a folder of frames.
pub(super) fn read(folder: &Path, keep: Keep<'_>) -> Result<ClipFrames, DecodeError> {
    let images = images(folder)?;
    let pts = times(folder, images.len());
    let mut clip = ClipFrames::default();
    let mut most_bytes = if let Keep::AllWithin { most_bytes } = keep { Some(most_bytes) } else { None };
    let mut format: Option<Arc<FrameFormat>> = None;
    for (index, (image, pts)) in images.iter().zip(pts).enumerate() {
        let is_wanted = match keep {
            Keep::AllWithin { .. } => most_bytes.is_some(),
            Keep::Only(wanted) => wanted.binary_search(&index).is_ok(),
        };
        if !is_wanted {
            clip.push(pts, None);
            continue;
        }
        let frame = decoded(image, &mut format)?;
        if let Some(before) = index.checked_sub(1).and_then(|before| clip.frame(before))
            && before.format() != frame.format()
        {
            clip.shape_changes.push(index);
        }
        if most_bytes.is_some_and(|most| clip.bytes + frame.bytes() > most) {
            most_bytes = None;
            clip.forget_pixels();
            clip.push(pts, None);
        } else {
            clip.push(pts, Some(frame));
        }
    }
    Ok(clip)
}

/// Hands every frame of a folder to `on_frame`.
pub(super) fn visit(
    folder: &Path,
    on_frame: &mut dyn FnMut(&StoredFrame, Duration) -> Flow,
) -> Result<(), DecodeError> {
    let images = images(folder)?;
    let mut format = None;
    for (image, pts) in images.iter().zip(times(folder, images.len())) {
        if on_frame(&decoded(image, &mut format)?, pts) == Flow::Stop {
            break;
        }
    }
    Ok(())
}

fn decoded(image: &Path, format: &mut Option<Arc<FrameFormat>>) -> Result<StoredFrame, DecodeError> {
    let bytes = std::fs::read(image).map_err(|error| image_error(image, &error))?;
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
    let rgb = decoder.decode().map_err(|error| image_error(image, &error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let side = |px: usize| u32::try_from(px).unwrap_or(0);
    let described = FrameFormat {
        width_px: side(width),
        height_px: side(height),
        pixels: PixelLayout::Rgb,
        pixel_aspect: (1, 1),
        orientation: Orientation::Upright,
        nominal_rate: None,
    };
    if rgb.is_empty() || rgb.len() != width * height * 3 {
        return Err(image_error(image, &"no RGB picture in it"));
    }
    let format = match format {
        Some(format) if **format == described => Arc::clone(format),
        _ => Arc::clone(format.insert(Arc::new(described))),
    };
    Ok(StoredFrame::of_rgb(format, rgb))
}

/// The frames' times: from the file beside them where it fits, else at 30 frames a second.
fn times(folder: &Path, count: usize) -> Vec<Duration> {
    let written = std::fs::read_to_string(folder.join(PTS_FILE)).unwrap_or_default();
    let times: Option<Vec<_>> =
        written.lines().map(|line| line.trim().parse().ok().map(Duration::from_micros)).collect();
    let counted = || std::iter::successors(Some(Duration::ZERO), |pts| Some(*pts + ASSUMED_STEP)).take(count);
    times.filter(|times| times.len() == count).unwrap_or_else(|| counted().collect())
}

fn image_error(path: &Path, reason: &(impl ToString + ?Sized)) -> DecodeError {
    DecodeError::Image { path: path.to_owned(), reason: reason.to_string() }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Numbers by value, everything else by character: `img_2` before `img_10`.
pub(crate) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let (Some(&x), Some(&y)) = (a.peek(), b.peek()) else {
            return a.peek().is_some().cmp(&b.peek().is_some());
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, y) = (digits(&mut a), digits(&mut b));
            // Without leading zeros the longer number is the larger one.
            x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
        } else {
            a.next().cmp(&b.next())
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn digits(text: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut number = String::new();
    while let Some(digit) = text.next_if(char::is_ascii_digit) {
        if digit != '0' || !number.is_empty() {
            number.push(digit);
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_value() {
        let mut names = ["img_10.jpg", "img_9.jpg", "img_00011.jpg", "a.jpg", "img_1.jpg"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a.jpg", "img_1.jpg", "img_9.jpg", "img_10.jpg", "img_00011.jpg"]);
    }

    #[test]
    fn an_empty_folder_and_a_broken_image_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::AllWithin { most_bytes: usize::MAX };
        assert!(matches!(read(folder.path(), keep), Err(DecodeError::NoImages { .. })));
        std::fs::write(folder.path().join("img_00001.jpg"), b"no picture").unwrap();
        let error = read(folder.path(), keep).unwrap_err().to_string();
        assert!(error.contains("img_00001.jpg"), "{error}");
    }
}
