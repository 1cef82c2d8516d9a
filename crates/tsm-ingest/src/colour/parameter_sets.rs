//! Reads the colour description out of H.264 and H.265 sequence parameter sets, and of MPEG-2's display extension.
//!
//! `GStreamer`'s parsers pass on a full colour description, but drop the full-range flag of a stream that carries
//! nothing else, which is what many cameras and `ffmpeg -pix_fmt yuvj420p` write (ITU-T H.264 and H.265, annex E).
//! Hostile input ends in `None`: every read is bounded by the bytes there are.

use gstreamer as gst;

use super::SaidColour;
use crate::frame_format::{ColourMatrix, ColourRange};

mod bits;
mod h264;
mod h265;
mod mpeg2;

/// How far into a key picture parameter sets are looked for; they precede the picture itself.
const SEARCHED_BYTES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    H264,
    H265,
    Mpeg2,
}

/// What the parameter sets in the caps' `codec_data`, or else at the head of `buffer`, say.
pub(crate) fn in_band(caps: &gst::CapsRef, buffer: &gst::BufferRef) -> Option<SaidColour> {
    let structure = caps.structure(0)?;
    let codec = match structure.name().as_str() {
        "video/x-h264" => Codec::H264,
        "video/x-h265" => Codec::H265,
        "video/mpeg" if structure.get::<i32>("mpegversion") == Ok(2) => Codec::Mpeg2,
        _ => return None,
    };
    if let Ok(data) = structure.get::<gst::Buffer>("codec_data") {
        let map = data.map_readable().ok()?;
        if codec == Codec::Mpeg2 {
            return start_code_units(&map).find_map(|unit| colour_of(codec, unit));
        }
        // The set is stored whole inside avcC/hvcC, behind a two-byte length; its type byte finds it.
        return length_prefixed(&map, 2).find_map(|unit| colour_of(codec, unit));
    }
    let map = buffer.map_readable().ok()?;
    let head = &map[..map.len().min(SEARCHED_BYTES)];
    let has_start_codes = structure.get::<&str>("stream-format").is_ok_and(|f| f == "byte-stream");
    if codec == Codec::Mpeg2 || has_start_codes {
        return start_code_units(head).find_map(|unit| colour_of(codec, unit));
    }
    length_prefixed(head, 4).find_map(|unit| colour_of(codec, unit))
}

fn colour_of(codec: Codec, unit: &[u8]) -> Option<SaidColour> {
    let colour = match codec {
        Codec::H264 => h264::colour(unit),
        Codec::H265 => h265::colour(unit),
        Codec::Mpeg2 => mpeg2::colour(unit),
    }?;
    Some(SaidColour::Compressed { matrix: colour.matrix, range: colour.range })
}

/// Colour as the video usability information gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct VuiColour {
    matrix: Option<ColourMatrix>,
    range: Option<ColourRange>,
}

impl VuiColour {
    /// Reads `video_signal_type` at its place in the VUI, from its first flag on (the same in both standards).
    fn read(bits: &mut bits::Bits<'_>) -> Option<Self> {
        const EXTENDED_SAR: u32 = 255;
        if bits.flag()? && bits.take(8)? == EXTENDED_SAR {
            bits.take(32)?;
        }
        if bits.flag()? {
            bits.flag()?; // overscan_appropriate
        }
        if !bits.flag()? {
            return Some(Self { matrix: None, range: None });
        }
        bits.take(3)?; // video_format
        let range = if bits.flag()? { ColourRange::Full } else { ColourRange::Limited };
        let mut matrix = None;
        if bits.flag()? {
            bits.take(16)?; // primaries, transfer
            matrix = self::matrix(bits.take(8)?);
        }
        Some(Self { matrix, range: Some(range) })
    }
}

/// The matrix of this number, the same in all three standards (ITU-T H.273, table 4).
fn matrix(number: u32) -> Option<ColourMatrix> {
    match number {
        1 | 7 => Some(ColourMatrix::Bt709),
        4..=6 => Some(ColourMatrix::Bt601),
        9 | 10 => Some(ColourMatrix::Bt2020),
        _ => None,
    }
}

/// Every slice of `data` that a big-endian length of `width` bytes precedes, at any offset: parameter sets sit behind
/// headers of varying size, and a wrong candidate fails to parse as one.
fn length_prefixed(data: &[u8], width: usize) -> impl Iterator<Item = &[u8]> {
    (0..data.len().saturating_sub(width)).filter_map(move |at| {
        let length = data[at..at + width].iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
        if length < 4 { None } else { data.get(at + width..at + width + length) }
    })
}

/// The units between `00 00 01` start codes (annex B).
fn start_code_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> =
        data.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    let ends: Vec<usize> = starts.iter().skip(1).map(|s| s - 3).chain([data.len()]).collect();
    starts.into_iter().zip(ends).map(move |(start, end)| &data[start..end])
}
