//! What the samples of a frame mean: size, component layout, colour, shape and orientation.
//!
//! Says nothing about where the samples lie in memory; that is [`crate::ComponentView`], frame by frame.

/// Describes the pictures of a stream until the next change of caps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFormat {
    /// Width of the stored picture, before [`FrameFormat::orientation`] is applied.
    pub width_px: u32,
    /// Height of the stored picture, before [`FrameFormat::orientation`] is applied.
    pub height_px: u32,
    /// Meaning of the components.
    pub pixels: PixelLayout,
    /// Shape of one pixel, width to height; (1, 1) is square.
    pub pixel_aspect: (u32, u32),
    /// How the stored picture must be turned to stand upright.
    pub orientation: Orientation,
    /// Frames a second as numerator and denominator, where the stream says so.
    pub nominal_rate: Option<(u32, u32)>,
}

/// How many components a picture has and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelLayout {
    /// Components 0, 1, 2 are Y, Cb, Cr.
    Yuv {
        /// The chroma components have `ceil(width >> this)` columns.
        horizontal_log2: u8,
        /// The chroma components have `ceil(height >> this)` rows.
        vertical_log2: u8,
        /// Which RGB primaries mix makes Y.
        matrix: ColourMatrix,
        /// Which codes are black and white.
        range: ColourRange,
        /// Significant bits of a sample: 8 (one byte) or 10 (two bytes, little endian).
        bits: u8,
        /// Bits below the significant ones in a two-byte sample (P010: 6).
        shift: u8,
    },
    /// Component 0 is luminance.
    Grey {
        /// Which codes are black and white.
        range: ColourRange,
        /// Significant bits of a sample.
        bits: u8,
        /// Bits below the significant ones.
        shift: u8,
    },
    /// Components 0, 1, 2 are red, green, blue; 8 bits each, full range.
    Rgb,
}

/// The mix of red, green and blue that makes luma (ITU-T H.273, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourMatrix {
    /// Kr 0.299, Kb 0.114; also everything that does not describe its colour.
    Bt601,
    /// Kr 0.2126, Kb 0.0722.
    Bt709,
    /// Kr 0.2627, Kb 0.0593, non-constant luminance.
    Bt2020,
}

/// The codes of black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourRange {
    /// Luma 16 to 235, chroma 16 to 240 (at 8 bits).
    Limited,
    /// 0 to 255 (at 8 bits).
    Full,
}

/// The turn that makes the stored picture upright (`GStreamer`'s `image-orientation` tag; names are clockwise turns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orientation {
    /// As it is.
    #[default]
    Upright,
    /// A quarter turn clockwise.
    Rotate90,
    /// Half a turn.
    Rotate180,
    /// A quarter turn counter-clockwise.
    Rotate270,
    /// Mirrored left to right.
    Flip,
    /// Mirrored left to right, then a quarter turn clockwise.
    FlipRotate90,
    /// Mirrored left to right, then half a turn.
    FlipRotate180,
    /// Mirrored left to right, then a quarter turn counter-clockwise.
    FlipRotate270,
}

impl Orientation {
    /// Reads the value of the tag `image-orientation`; unknown values are upright.
    pub(crate) fn from_tag(value: &str) -> Self {
        match value {
            "rotate-90" => Self::Rotate90,
            "rotate-180" => Self::Rotate180,
            "rotate-270" => Self::Rotate270,
            "flip-rotate-0" => Self::Flip,
            "flip-rotate-90" => Self::FlipRotate90,
            "flip-rotate-180" => Self::FlipRotate180,
            "flip-rotate-270" => Self::FlipRotate270,
            _ => Self::Upright,
        }
    }

    /// Whether turning swaps width and height.
    pub fn swaps_axes(self) -> bool {
        matches!(self, Self::Rotate90 | Self::Rotate270 | Self::FlipRotate90 | Self::FlipRotate270)
    }
}
