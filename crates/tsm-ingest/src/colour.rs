//! Which formats we read, and what their colour means.
//!
//! ```text
//!  compressed caps (container, parser) ─┐
//!  parameter sets (H.264, H.265 VUI)  ──┼─> SaidColour ─┐
//!                                       │               ├─> PixelLayout { matrix, range }
//!  caps of the decoded picture ─────────┴───────────────┘
//! ```
//!
//! Decoded caps alone do not do: `GStreamer` fills in BT.709 for every picture of 720 lines or more that says nothing,
//! where the rule here, as in ffmpeg, is BT.601 at every size. So the matrix counts only where the stream said it.
//! No pixels are touched here.

use gst_video::{VideoColorMatrix, VideoColorRange, VideoColorimetry, VideoFormat};
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::frame_format::{ColourMatrix, ColourRange, FrameFormat, Orientation, PixelLayout};

pub(crate) mod parameter_sets;

/// The formats read as they are; `videoconvert` passes them through and converts only the others. The order is the
/// order of preference where it converts.
const READABLE: [VideoFormat; 21] = [
    VideoFormat::I420,
    VideoFormat::Yv12,
    VideoFormat::Nv12,
    VideoFormat::Nv21,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Yuy2,
    VideoFormat::Uyvy,
    VideoFormat::Gray8,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::I42010le,
    VideoFormat::I42210le,
    VideoFormat::Y44410le,
    VideoFormat::P01010le,
];

/// What a stream says about its own colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SaidColour {
    /// There is no decoder: the caps of the picture are the source's own words.
    Raw,
    /// The compressed stream says this much.
    Compressed { matrix: Option<ColourMatrix>, range: Option<ColourRange> },
}

impl Default for SaidColour {
    fn default() -> Self {
        Self::Compressed { matrix: None, range: None }
    }
}

impl SaidColour {
    /// Reads `colorimetry` of compressed caps; JPEG is full-range BT.601 by its own standard (JFIF 1.02).
    pub(crate) fn of_compressed(caps: &gst::CapsRef) -> Self {
        let Some(structure) = caps.structure(0) else { return Self::default() };
        if matches!(structure.name().as_str(), "image/jpeg" | "video/x-jpeg") {
            return Self::Compressed { matrix: Some(ColourMatrix::Bt601), range: Some(ColourRange::Full) };
        }
        match said_colorimetry(structure) {
            Some(colorimetry) => Self::Compressed {
                matrix: matrix_of(colorimetry.matrix()),
                range: range_of(colorimetry.range()),
            },
            None => Self::default(),
        }
    }

    /// What is missing here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Compressed { matrix, range }, Self::Compressed { matrix: m, range: r }) => {
                Self::Compressed { matrix: matrix.or(m), range: range.or(r) }
            }
            (first, _) => first,
        }
    }
}

/// Whether pictures of these caps have no luma.
pub(crate) fn is_rgb(caps: &gst::CapsRef) -> bool {
    gst_video::VideoInfo::from_caps(caps).is_ok_and(|info| info.format_info().is_rgb())
}

/// The caps an appsink of ours offers.
pub(crate) fn readable_caps() -> gst::Caps {
    let formats = READABLE.map(VideoFormat::to_str);
    gst::Caps::builder("video/x-raw")
        .field("format", gst::List::new(formats.map(gst::glib::GStr::as_str)))
        .build()
}

/// The format of a decoded picture.
///
/// # Errors
/// One line, where the picture is of a format we do not read.
pub(crate) fn frame_format(
    info: &gst_video::VideoInfo,
    caps: &gst::CapsRef,
    said: SaidColour,
    orientation: Orientation,
) -> Result<FrameFormat, String> {
    if !READABLE.contains(&info.format()) {
        return Err(format!(
            "pixel format {} is not read; put videoconvert before the appsink",
            info.format()
        ));
    }
    let positive = |fraction: gst::Fraction| {
        Some((u32::try_from(fraction.numer()).ok()?, u32::try_from(fraction.denom()).ok()?))
    };
    Ok(FrameFormat {
        width_px: info.width(),
        height_px: info.height(),
        pixels: pixel_layout(info, caps, said),
        pixel_aspect: positive(info.par()).filter(|&(n, d)| n > 0 && d > 0).unwrap_or((1, 1)),
        orientation,
        nominal_rate: positive(info.fps()).filter(|&(n, d)| n > 0 && d > 0),
    })
}

fn pixel_layout(info: &gst_video::VideoInfo, caps: &gst::CapsRef, said: SaidColour) -> PixelLayout {
    let format = info.format_info();
    if format.is_rgb() {
        return PixelLayout::Rgb;
    }
    let small =
        |value: u32| u8::try_from(value).expect("bits and shifts of the formats we read are below 17");
    let (bits, shift) = (small(format.depth()[0]), small(format.shift()[0]));
    let (matrix, range) = meant_colour(caps, said);
    if format.is_gray() {
        return PixelLayout::Grey { range, bits, shift };
    }
    PixelLayout::Yuv {
        horizontal_log2: small(format.w_sub()[1]),
        vertical_log2: small(format.h_sub()[1]),
        matrix,
        range,
        bits,
        shift,
    }
}

/// Reads the caps' own text, not `VideoInfo`: that puts a guess in the place of every description without a matrix, and
/// with it the range is lost.
fn meant_colour(caps: &gst::CapsRef, said: SaidColour) -> (ColourMatrix, ColourRange) {
    let decoded = caps.structure(0).and_then(said_colorimetry);
    let decoded_matrix = decoded.and_then(|c| matrix_of(c.matrix()));
    let decoded_range = decoded.and_then(|c| range_of(c.range()));
    let (matrix, range) = match said {
        SaidColour::Raw => (decoded_matrix, decoded_range),
        // A decoder may know more from the bit stream than any parser reads (VP8, VP9, AV1, MPEG-4). It guesses neither
        // full range nor BT.2020, so its word for these is good.
        SaidColour::Compressed { matrix, range } => (
            matrix.or(decoded_matrix.filter(|&m| m == ColourMatrix::Bt2020)),
            range.or(decoded_range.filter(|&r| r == ColourRange::Full)),
        ),
    };
    (matrix.unwrap_or(ColourMatrix::Bt601), range.unwrap_or(ColourRange::Limited))
}

fn said_colorimetry(structure: &gst::StructureRef) -> Option<VideoColorimetry> {
    structure.get::<&str>("colorimetry").ok()?.parse().ok()
}

fn matrix_of(matrix: VideoColorMatrix) -> Option<ColourMatrix> {
    match matrix {
        VideoColorMatrix::Bt601 | VideoColorMatrix::Fcc => Some(ColourMatrix::Bt601),
        VideoColorMatrix::Bt709 | VideoColorMatrix::Smpte240m => Some(ColourMatrix::Bt709),
        VideoColorMatrix::Bt2020 => Some(ColourMatrix::Bt2020),
        _ => None,
    }
}

fn range_of(range: VideoColorRange) -> Option<ColourRange> {
    match range {
        VideoColorRange::Range0_255 => Some(ColourRange::Full),
        VideoColorRange::Range16_235 => Some(ColourRange::Limited),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(raw: &str, said: SaidColour) -> PixelLayout {
        crate::init().unwrap();
        let caps: gst::Caps = raw.parse().unwrap();
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        frame_format(&info, &caps, said, Orientation::Upright).unwrap().pixels
    }

    fn colour(raw: &str, said: SaidColour) -> (ColourMatrix, ColourRange) {
        match layout(raw, said) {
            PixelLayout::Yuv { matrix, range, .. } => (matrix, range),
            other => panic!("{other:?}"),
        }
    }

    fn said(compressed: &str) -> SaidColour {
        crate::init().unwrap();
        SaidColour::of_compressed(&compressed.parse::<gst::Caps>().unwrap())
    }

    const HD: &str = "video/x-raw,format=I420,width=1280,height=720,framerate=25/1";

    #[test]
    fn what_says_nothing_is_bt601_limited_at_every_size() {
        let guessed = format!("{HD},colorimetry=bt709");
        assert_eq!(colour(&guessed, said("video/x-h264")), (ColourMatrix::Bt601, ColourRange::Limited));
        assert_eq!(colour(HD, SaidColour::Raw), (ColourMatrix::Bt601, ColourRange::Limited));
    }

    #[test]
    fn what_the_stream_says_counts() {
        let said_709 = said("video/x-h264,colorimetry=bt709");
        assert_eq!(colour(HD, said_709), (ColourMatrix::Bt709, ColourRange::Limited));
        let raw_full = format!("{HD},colorimetry=(string)1:3:5:1");
        assert_eq!(colour(&raw_full, SaidColour::Raw), (ColourMatrix::Bt709, ColourRange::Full));
        assert_eq!(colour(HD, said("image/jpeg")), (ColourMatrix::Bt601, ColourRange::Full));
    }

    #[test]
    fn an_unknown_matrix_is_bt601_and_keeps_its_range() {
        let unknown = format!("{HD},colorimetry=(string)1:0:0:0");
        assert_eq!(colour(&unknown, said("video/x-h264")), (ColourMatrix::Bt601, ColourRange::Full));
    }

    #[test]
    fn ten_bit_samples_say_where_their_bits_are() {
        let p010 = layout("video/x-raw,format=P010_10LE,width=64,height=64", SaidColour::Raw);
        assert!(matches!(
            p010,
            PixelLayout::Yuv { bits: 10, shift: 6, horizontal_log2: 1, vertical_log2: 1, .. }
        ));
        let i422 = layout("video/x-raw,format=I422_10LE,width=64,height=64", SaidColour::Raw);
        assert!(matches!(
            i422,
            PixelLayout::Yuv { bits: 10, shift: 0, horizontal_log2: 1, vertical_log2: 0, .. }
        ));
    }
}
