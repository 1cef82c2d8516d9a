//! A folder of JPEG frames (`img_00001.jpg`, …), as `tsm prepare` and the references' extractors write them.
//!
//! ```text
//! img_1.jpg, img_2.jpg, … img_10.jpg (in the order of their numbers) ─ zune-jpeg ─► RGB
//! pts_micros.txt (one time a line, ours) ─► PTS, without it 30 frames a second
//! ```
//!
//! Decoded without a `GStreamer` pipeline: one a picture would cost more than the picture.

use std::cmp::Ordering;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tsm_ingest::{Flow, FrameFormat, Orientation, PixelLayout};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{ASSUMED_STEP, ClipFrames, DecodeError, Keep, ShownFrame, StoredFrame};

/// The file with the frames' times, in microseconds, a line a frame.
pub(crate) const PTS_FILE: &str = "pts_micros.txt";

/// A picture with a longer side is refused before memory is taken for it: 192 MiB are the most one may need.
const MOST_SIDE_PX: usize = 8192;

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
    let pts = times(folder, images.len())?;
    let mut clip = ClipFrames::default();
    let mut most_bytes = if let Keep::AllWithin { most_bytes } = keep { Some(most_bytes) } else { None };
    let mut format: Option<Arc<FrameFormat>> = None;
    for (index, (image, pts)) in images.iter().zip(pts).enumerate() {
        let before = format.clone();
        let frame = match keep {
            Keep::AllWithin { .. } if most_bytes.is_some() => Some(decoded(image, &mut format)?),
            // Too many pixels to keep, but where their shape changes is to be known all the same.
            Keep::AllWithin { .. } => {
                shared(&mut format, described(image)?);
                None
            }
            Keep::Only(wanted) if wanted.binary_search(&index).is_ok() => Some(decoded(image, &mut format)?),
            Keep::Only(_) => {
                format = None;
                None
            }
        };
        if before.is_some() && format.is_some() && before != format {
            clip.shape_changes.push(index);
        }
        let bytes = frame.as_ref().map_or(0, StoredFrame::bytes);
        if most_bytes.is_some_and(|most| clip.bytes + bytes > most) {
            most_bytes = None;
            clip.forget_pixels();
            clip.push(pts, None);
        } else {
            clip.push(pts, frame);
        }
    }
    Ok(clip)
}

/// Hands every frame of a folder to `on_frame`.
pub(super) fn visit(
    folder: &Path,
    on_frame: &mut dyn FnMut(&ShownFrame<'_>, Duration) -> Flow,
) -> Result<(), DecodeError> {
    let images = images(folder)?;
    let mut format = None;
    for (image, pts) in images.iter().zip(times(folder, images.len())?) {
        if on_frame(&ShownFrame::Stored(&decoded(image, &mut format)?), pts) == Flow::Stop {
            break;
        }
    }
    Ok(())
}

/// A picture, as far as its size is that of a video.
fn options() -> DecoderOptions {
    DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(MOST_SIDE_PX)
        .set_max_height(MOST_SIDE_PX)
}

fn decoded(image: &Path, format: &mut Option<Arc<FrameFormat>>) -> Result<StoredFrame, DecodeError> {
    let bytes = std::fs::read(image).map_err(|error| image_error(image, &error))?;
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options());
    let rgb = decoder.decode().map_err(|error| image_error(image, &error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    if rgb.is_empty() || rgb.len() != width * height * 3 {
        return Err(image_error(image, &"no RGB picture in it"));
    }
    Ok(StoredFrame::of_rgb(shared(format, rgb_format(width, height)), rgb))
}

/// The format of a picture by its headers: nothing is decoded.
fn described(image: &Path) -> Result<FrameFormat, DecodeError> {
    let file = File::open(image).map_err(|error| image_error(image, &error))?;
    let mut decoder = JpegDecoder::new_with_options(BufReader::new(file), options());
    decoder.decode_headers().map_err(|error| image_error(image, &error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    Ok(rgb_format(width, height))
}

fn rgb_format(width: usize, height: usize) -> FrameFormat {
    let side = |px: usize| u32::try_from(px).unwrap_or(0);
    FrameFormat {
        width_px: side(width),
        height_px: side(height),
        pixels: PixelLayout::Rgb,
        pixel_aspect: (1, 1),
        orientation: Orientation::Upright,
        nominal_rate: None,
    }
}

/// The same `Arc` as long as the format stays the same.
fn shared(format: &mut Option<Arc<FrameFormat>>, described: FrameFormat) -> Arc<FrameFormat> {
    match format {
        Some(format) if **format == described => Arc::clone(format),
        _ => Arc::clone(format.insert(Arc::new(described))),
    }
}

/// The frames' times: from the file beside them, where there is none 30 a second.
///
/// # Errors
/// [`DecodeError::Image`] of a file that is not of these frames: a guess would be another clip.
fn times(folder: &Path, count: usize) -> Result<Vec<Duration>, DecodeError> {
    let path = folder.join(PTS_FILE);
    let written = match std::fs::read_to_string(&path) {
        Ok(written) => written,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let step = |pts: &Duration| Some(*pts + ASSUMED_STEP);
            return Ok(std::iter::successors(Some(Duration::ZERO), step).take(count).collect());
        }
        Err(error) => return Err(image_error(&path, &error)),
    };
    let mut times = Vec::with_capacity(count);
    for line in written.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let micros = line.parse().map_err(|_error| {
            image_error(&path, &format!("'{}' is no time in microseconds", line.escape_default()))
        })?;
        times.push(Duration::from_micros(micros));
    }
    if times.len() == count {
        return Ok(times);
    }
    Err(image_error(&path, &format!("has {} times for {count} pictures", times.len())))
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

    fn grey(path: &Path, width: u16, height: u16) {
        let pixels = vec![90; usize::from(width) * usize::from(height)];
        let encoder = jpeg_encoder::Encoder::new_file(path, 80).unwrap();
        encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Luma).unwrap();
    }

    #[test]
    fn a_picture_too_large_for_a_video_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for (width, height) in [(8193, 8), (8, 8193)] {
            grey(&folder.path().join("img_1.jpg"), width, height);
            let error =
                read(folder.path(), Keep::AllWithin { most_bytes: usize::MAX }).unwrap_err().to_string();
            assert!(error.contains("img_1.jpg: ") && error.contains("8193"), "{error}");
        }
    }

    #[test]
    fn shape_changes_are_found_with_and_without_room_for_the_pixels() {
        let folder = tempfile::tempdir().unwrap();
        for (index, (width, height)) in [(16, 8), (16, 8), (8, 16), (8, 16), (16, 8)].into_iter().enumerate()
        {
            grey(&folder.path().join(format!("img_{index}.jpg")), width, height);
        }
        let of = |most_bytes| read(folder.path(), Keep::AllWithin { most_bytes }).unwrap();
        for most_bytes in [usize::MAX, 2 * 16 * 8 * 3, 0] {
            let clip = of(most_bytes);
            assert_eq!(clip.shape_changes(), [2, 4], "{most_bytes} bytes");
            assert_eq!(clip.is_complete(), most_bytes == usize::MAX);
        }
        let some = read(folder.path(), Keep::Only(&[1, 4])).unwrap();
        assert!(some.shape_changes().is_empty() && some.frame(4).is_some());
    }
}
