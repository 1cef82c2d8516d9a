//! A decoded picture where it lies in memory: any 8-bit YUV or RGB layout, and YUV of 9 to 16 bits.
//!
//! ```text
//!  data ─► s . s . s . s . ┊pad┊      s: one sample of this component
//!          s . s . s . s . ┊pad┊      . . : sample_step_bytes   one row: row_stride_bytes
//! ```
//!
//! I420 is three components of step 1, NV12 has U and V at step 2 in the same memory, YUY2 has Y at step
//! 2 and U and V at step 4. [`Picture::new`] checks that every sample lies inside the data, so the code
//! that converts it never has to. Nothing is copied, and nothing is converted here.

mod layout;

use thiserror::Error;

pub use layout::{Colours, PictureLayout, Plane};

/// One component of a picture: every `sample_step_bytes` a sample, every `row_stride_bytes` a row.
#[derive(Clone, Copy, Debug)]
pub struct Component<'a> {
    /// The memory from the first sample of this component on.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub row_stride_bytes: usize,
    /// Bytes from one sample to the next.
    pub sample_step_bytes: usize,
}

/// How Y, U and V are made of R, G and B. Video that does not say is [`Matrix::Bt601`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601 (and 470BG, SMPTE 170M).
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
    /// FCC title 47 (1953).
    Fcc,
    /// SMPTE 240M.
    Smpte240m,
}

/// Which codes are black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// Black is 16 and white 235 (of 8 bits), chroma 16 to 240.
    Limited,
    /// Black is 0 and white 255 (of 8 bits).
    Full,
}

/// How many pixels share a chroma sample, as powers of two: 4:2:0 is 1 and 1, 4:2:2 is 1 and 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subsampling {
    /// Columns a chroma sample: 0 for one, 1 for two, 2 for four.
    pub horizontal_log2: u32,
    /// Rows a chroma sample, likewise.
    pub vertical_log2: u32,
}

/// How a sample is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Samples {
    /// One byte.
    Eight,
    /// A little-endian 16-bit word; `word >> shift` is a value of `bits` bits (P010: 10 and 6).
    Wide {
        /// Bits of a value, 9 to 16.
        bits: u32,
        /// Unused low bits of the word.
        shift: u32,
    },
}

/// The components of a picture and what they mean.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// Luma and two colour differences.
    Yuv {
        /// Luma, one sample a pixel.
        y: Component<'a>,
        /// Blue difference (Cb).
        u: Component<'a>,
        /// Red difference (Cr).
        v: Component<'a>,
        /// How `u` and `v` are spread over the pixels.
        subsampling: Subsampling,
        /// How the three were made.
        matrix: Matrix,
        /// Which codes are black and white.
        range: Range,
        /// How a sample is stored.
        samples: Samples,
    },
    /// Luma only.
    Grey {
        /// Luma, one sample a pixel.
        y: Component<'a>,
        /// Which codes are black and white.
        range: Range,
        /// How a sample is stored.
        samples: Samples,
    },
    /// Red, green and blue, 8 bits each, full range.
    Rgb {
        /// Red, one sample a pixel.
        r: Component<'a>,
        /// Green.
        g: Component<'a>,
        /// Blue.
        b: Component<'a>,
    },
}

/// Why a description is not a picture.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// A side is 0.
    #[error("a picture of {width_px}x{height_px} has no pixels")]
    Empty {
        /// Width given.
        width_px: usize,
        /// Height given.
        height_px: usize,
    },
    /// A component ends before its last sample.
    #[error(
        "component {component} needs {needed_bytes} bytes (row stride {row_stride_bytes}, sample step {sample_step_bytes}) but has {found_bytes}; check the strides of the frame"
    )]
    TooShort {
        /// `y`, `u`, `v`, `r`, `g` or `b`.
        component: &'static str,
        /// Bytes up to the end of the last sample.
        needed_bytes: usize,
        /// Bytes given.
        found_bytes: usize,
        /// Row stride given.
        row_stride_bytes: usize,
        /// Sample step given.
        sample_step_bytes: usize,
    },
    /// A sample cannot be stored like this.
    #[error(
        "samples of {bits} bits, {shift} bits up, do not fit a 16-bit word; wide samples have 9 to 16 bits"
    )]
    SampleSize {
        /// Bits of a value.
        bits: u32,
        /// Unused low bits.
        shift: u32,
    },
    /// Chroma spread over more than four pixels a side.
    #[error(
        "chroma subsampling by 2^{horizontal_log2} x 2^{vertical_log2} is not known; at most four pixels a side share a sample"
    )]
    Subsampling {
        /// Columns a sample, as a power of two.
        horizontal_log2: u32,
        /// Rows a sample, as a power of two.
        vertical_log2: u32,
    },
}

/// A picture whose samples all lie inside their memory.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    width_px: usize,
    height_px: usize,
    pixels: Pixels<'a>,
}

impl<'a> Picture<'a> {
    /// Checks that `pixels` hold a picture of this size.
    ///
    /// # Errors
    /// [`PictureError`] if a side is 0, a component is too short for its strides, or a sample size or
    /// subsampling is not known.
    pub fn new(width_px: usize, height_px: usize, pixels: Pixels<'a>) -> Result<Self, PictureError> {
        if width_px == 0 || height_px == 0 {
            return Err(PictureError::Empty { width_px, height_px });
        }
        match &pixels {
            Pixels::Yuv { y, u, v, subsampling, samples, .. } => {
                let bytes = sample_bytes(*samples)?;
                let (chroma_width, chroma_height) = subsampling.chroma_size(width_px, height_px)?;
                y.check("y", width_px, height_px, bytes)?;
                u.check("u", chroma_width, chroma_height, bytes)?;
                v.check("v", chroma_width, chroma_height, bytes)?;
            }
            Pixels::Grey { y, samples, .. } => {
                y.check("y", width_px, height_px, sample_bytes(*samples)?)?;
            }
            Pixels::Rgb { r, g, b } => {
                r.check("r", width_px, height_px, 1)?;
                g.check("g", width_px, height_px, 1)?;
                b.check("b", width_px, height_px, 1)?;
            }
        }
        Ok(Self { width_px, height_px, pixels })
    }

    /// Columns, at least 1.
    pub fn width_px(&self) -> usize {
        self.width_px
    }

    /// Rows, at least 1.
    pub fn height_px(&self) -> usize {
        self.height_px
    }

    /// The components, each long enough for the size.
    pub fn pixels(&self) -> &Pixels<'a> {
        &self.pixels
    }
}

impl Subsampling {
    /// 4:2:0: two by two pixels share a chroma sample.
    pub const YUV420: Self = Self { horizontal_log2: 1, vertical_log2: 1 };
    /// 4:2:2: two columns share a chroma sample.
    pub const YUV422: Self = Self { horizontal_log2: 1, vertical_log2: 0 };
    /// 4:4:4: every pixel has its own.
    pub const YUV444: Self = Self { horizontal_log2: 0, vertical_log2: 0 };

    /// Columns and rows of the chroma of a picture of this size, rounded up.
    fn chroma_size(self, width_px: usize, height_px: usize) -> Result<(usize, usize), PictureError> {
        let Self { horizontal_log2, vertical_log2 } = self;
        if horizontal_log2 > 2 || vertical_log2 > 2 {
            return Err(PictureError::Subsampling { horizontal_log2, vertical_log2 });
        }
        Ok((width_px.div_ceil(1 << horizontal_log2), height_px.div_ceil(1 << vertical_log2)))
    }
}

impl<'a> Component<'a> {
    /// A component as it is in a picture: rows `row_stride_bytes` apart, samples `sample_step_bytes`.
    pub fn new(data: &'a [u8], row_stride_bytes: usize, sample_step_bytes: usize) -> Self {
        Self { data, row_stride_bytes, sample_step_bytes }
    }

    /// The memory from the sample at `(x, y)` on.
    pub(crate) fn from(&self, x: usize, y: usize) -> &'a [u8] {
        &self.data[y * self.row_stride_bytes + x * self.sample_step_bytes..]
    }

    fn check(
        &self,
        component: &'static str,
        width: usize,
        height: usize,
        sample_bytes: usize,
    ) -> Result<(), PictureError> {
        let needed_bytes =
            span_bytes([self.row_stride_bytes, self.sample_step_bytes], [width, height], sample_bytes);
        if needed_bytes <= self.data.len() {
            return Ok(());
        }
        Err(PictureError::TooShort {
            component,
            needed_bytes,
            found_bytes: self.data.len(),
            row_stride_bytes: self.row_stride_bytes,
            sample_step_bytes: self.sample_step_bytes,
        })
    }
}

/// Bytes up to the end of the last of `width` by `height` samples; `usize::MAX` beyond the address space.
fn span_bytes(
    [row_stride_bytes, sample_step_bytes]: [usize; 2],
    [width, height]: [usize; 2],
    sample_bytes: usize,
) -> usize {
    let rows = row_stride_bytes.saturating_mul(height - 1);
    let columns = sample_step_bytes.saturating_mul(width - 1);
    rows.saturating_add(columns).saturating_add(sample_bytes)
}

fn sample_bytes(samples: Samples) -> Result<usize, PictureError> {
    match samples {
        Samples::Eight => Ok(1),
        Samples::Wide { bits: 9..=16, shift } if shift <= 7 && samples.word_bits() <= 16 => Ok(2),
        Samples::Wide { bits, shift } => Err(PictureError::SampleSize { bits, shift }),
    }
}

impl Samples {
    fn word_bits(self) -> u32 {
        match self {
            Self::Eight => 8,
            Self::Wide { bits, shift } => bits + shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i420(data: &[u8], width: usize, height: usize, stride: usize) -> Result<Picture<'_>, PictureError> {
        let plane = Component::new(data, stride, 1);
        Picture::new(
            width,
            height,
            Pixels::Yuv {
                y: plane,
                u: plane,
                v: plane,
                subsampling: Subsampling::YUV420,
                matrix: Matrix::Bt601,
                range: Range::Limited,
                samples: Samples::Eight,
            },
        )
    }

    #[test]
    fn a_plane_may_end_right_after_its_last_sample() {
        assert!(i420(&[0; 8 * 2 + 5], 5, 3, 8).is_ok());
    }

    #[test]
    fn a_plane_one_byte_short_is_refused_by_name() {
        let error = i420(&[0; 8 * 2 + 4], 5, 3, 8).unwrap_err();
        assert!(matches!(error, PictureError::TooShort { component: "y", needed_bytes: 21, .. }), "{error}");
    }

    #[test]
    fn strides_beyond_the_address_space_are_refused() {
        assert!(i420(&[0; 64], 4, 4, usize::MAX / 2).is_err());
    }

    #[test]
    fn no_pixels_and_impossible_samples_are_refused() {
        assert!(matches!(i420(&[0; 4], 0, 3, 8), Err(PictureError::Empty { .. })));
        for (bits, shift) in [(8, 0), (10, 7), (17, 0), (16, 1), (9, u32::MAX)] {
            let y = Component::new(&[0; 4], 4, 2);
            let grey = Pixels::Grey { y, range: Range::Full, samples: Samples::Wide { bits, shift } };
            assert!(
                matches!(Picture::new(1, 1, grey), Err(PictureError::SampleSize { .. })),
                "{bits} {shift}"
            );
        }
    }
}
