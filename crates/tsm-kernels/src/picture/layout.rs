//! Where the samples of a stream's pictures lie in their memory: a [`Picture`] without the memory.
//!
//! ```text
//!  one piece of memory   ─► y y y y ┊ y y y y ┊ u v u v ┊ …          PictureLayout: made once a stream
//!                           └ offset_bytes 0    └ u: offset 8, v: offset 9, step 2
//!  with the memory of one frame ─► Picture                            once a frame
//! ```
//!
//! For those who plan before a frame is there, or whose frames lie where the CPU does not read them: on a GPU.

use super::{
    Component, Matrix, Picture, PictureError, Pixels, Range, Samples, Subsampling, sample_bytes, span_bytes,
};

/// Where one component lies in a picture's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// Bytes from the start of the memory to the first sample.
    pub offset_bytes: usize,
    /// Bytes from one row to the next.
    pub row_stride_bytes: usize,
    /// Bytes from one sample to the next.
    pub sample_step_bytes: usize,
}

/// The components of a picture and what they mean: [`Pixels`] without the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Luma and two colour differences.
    Yuv {
        /// Luma, blue difference, red difference.
        planes: [Plane; 3],
        /// How the differences are spread over the pixels.
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
        plane: Plane,
        /// Which codes are black and white.
        range: Range,
        /// How a sample is stored.
        samples: Samples,
    },
    /// Red, green and blue, 8 bits each, full range.
    Rgb {
        /// Red, green, blue, one sample a pixel.
        planes: [Plane; 3],
    },
}

/// Size and memory layout of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLayout {
    width_px: usize,
    height_px: usize,
    colours: Colours,
    needed_bytes: usize,
}

impl PictureLayout {
    /// Pictures of this size that lie as `colours` says.
    ///
    /// # Errors
    /// [`PictureError`] if a side is 0, or a sample size or subsampling is not known.
    pub fn new(width_px: usize, height_px: usize, colours: Colours) -> Result<Self, PictureError> {
        if width_px == 0 || height_px == 0 {
            return Err(PictureError::Empty { width_px, height_px });
        }
        let sides = [width_px, height_px];
        let needed_bytes = match colours {
            Colours::Yuv { planes: [y, u, v], subsampling, samples, .. } => {
                let bytes = sample_bytes(samples)?;
                let chroma: [usize; 2] = subsampling.chroma_size(width_px, height_px)?.into();
                y.end(sides, bytes).max(u.end(chroma, bytes)).max(v.end(chroma, bytes))
            }
            Colours::Grey { plane, samples, .. } => plane.end(sides, sample_bytes(samples)?),
            Colours::Rgb { planes } => {
                planes.map(|plane| plane.end(sides, 1)).into_iter().fold(0, usize::max)
            }
        };
        Ok(Self { width_px, height_px, colours, needed_bytes })
    }

    /// NV12 without gaps: luma, then U and V in turn.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if a side is 0.
    pub fn nv12(
        width_px: usize,
        height_px: usize,
        matrix: Matrix,
        range: Range,
    ) -> Result<Self, PictureError> {
        let (chroma_at, chroma_width) = (width_px.saturating_mul(height_px), width_px.div_ceil(2));
        let chroma =
            |offset_bytes| Plane { offset_bytes, row_stride_bytes: 2 * chroma_width, sample_step_bytes: 2 };
        let planes = [Plane::packed(0, width_px), chroma(chroma_at), chroma(chroma_at.saturating_add(1))];
        Self::new(width_px, height_px, Colours::yuv420(planes, matrix, range))
    }

    /// I420 without gaps: luma, then U, then V.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if a side is 0.
    pub fn i420(
        width_px: usize,
        height_px: usize,
        matrix: Matrix,
        range: Range,
    ) -> Result<Self, PictureError> {
        let (u_at, chroma_width) = (width_px.saturating_mul(height_px), width_px.div_ceil(2));
        let v_at = u_at.saturating_add(chroma_width.saturating_mul(height_px.div_ceil(2)));
        let planes = [
            Plane::packed(0, width_px),
            Plane::packed(u_at, chroma_width),
            Plane::packed(v_at, chroma_width),
        ];
        Self::new(width_px, height_px, Colours::yuv420(planes, matrix, range))
    }

    /// `[height, width, 3]`: red, green and blue in turn, without gaps.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if a side is 0.
    pub fn rgb(width_px: usize, height_px: usize) -> Result<Self, PictureError> {
        let planes = [0, 1, 2].map(|offset_bytes| Plane {
            offset_bytes,
            row_stride_bytes: width_px.saturating_mul(3),
            sample_step_bytes: 3,
        });
        Self::new(width_px, height_px, Colours::Rgb { planes })
    }

    /// Columns, at least 1.
    pub fn width_px(&self) -> usize {
        self.width_px
    }

    /// Rows, at least 1.
    pub fn height_px(&self) -> usize {
        self.height_px
    }

    /// Where the components lie.
    pub fn colours(&self) -> &Colours {
        &self.colours
    }

    /// Bytes up to the end of the last sample; `usize::MAX` beyond the address space.
    pub fn needed_bytes(&self) -> usize {
        self.needed_bytes
    }

    /// The picture in `memory`.
    ///
    /// # Errors
    /// [`PictureError::TooShort`] if the memory ends before its last sample.
    pub fn picture<'a>(&self, memory: &'a [u8]) -> Result<Picture<'a>, PictureError> {
        let component = |plane: Plane| {
            let data = memory.get(plane.offset_bytes..).unwrap_or_default();
            Component::new(data, plane.row_stride_bytes, plane.sample_step_bytes)
        };
        let pixels = match self.colours {
            Colours::Yuv { planes, subsampling, matrix, range, samples } => {
                let [y, u, v] = planes.map(component);
                Pixels::Yuv { y, u, v, subsampling, matrix, range, samples }
            }
            Colours::Grey { plane, range, samples } => Pixels::Grey { y: component(plane), range, samples },
            Colours::Rgb { planes } => {
                let [r, g, b] = planes.map(component);
                Pixels::Rgb { r, g, b }
            }
        };
        Picture::new(self.width_px, self.height_px, pixels)
    }
}

impl Colours {
    fn yuv420(planes: [Plane; 3], matrix: Matrix, range: Range) -> Self {
        Self::Yuv { planes, subsampling: Subsampling::YUV420, matrix, range, samples: Samples::Eight }
    }
}

impl Plane {
    /// Samples of a byte, without gaps.
    fn packed(offset_bytes: usize, row_stride_bytes: usize) -> Self {
        Self { offset_bytes, row_stride_bytes, sample_step_bytes: 1 }
    }

    /// Where the last of its samples ends.
    fn end(&self, sides: [usize; 2], sample_bytes: usize) -> usize {
        let strides = [self.row_stride_bytes, self.sample_step_bytes];
        self.offset_bytes.saturating_add(span_bytes(strides, sides, sample_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_need_what_their_formats_take() {
        for (width, height, yuv, rgb) in [(4, 2, 12, 24), (5, 3, 15 + 2 * 6, 45), (1, 1, 3, 3)] {
            let (matrix, range) = (Matrix::Bt601, Range::Limited);
            assert_eq!(PictureLayout::nv12(width, height, matrix, range).unwrap().needed_bytes(), yuv);
            assert_eq!(PictureLayout::i420(width, height, matrix, range).unwrap().needed_bytes(), yuv);
            assert_eq!(PictureLayout::rgb(width, height).unwrap().needed_bytes(), rgb);
        }
    }

    #[test]
    fn what_is_needed_is_enough_and_a_byte_less_is_not() {
        let layouts = [
            PictureLayout::nv12(5, 4, Matrix::Bt709, Range::Full).unwrap(),
            PictureLayout::i420(5, 3, Matrix::Bt709, Range::Full).unwrap(),
            PictureLayout::rgb(5, 3).unwrap(),
        ];
        for layout in layouts {
            let memory = vec![0; layout.needed_bytes()];
            assert!(layout.picture(&memory).is_ok(), "{layout:?}");
            assert!(layout.picture(&memory[1..]).is_err(), "{layout:?}");
            assert!(layout.picture(&[]).is_err(), "{layout:?}");
        }
    }

    #[test]
    fn sizes_beyond_the_address_space_need_more_than_there_is() {
        assert!(matches!(PictureLayout::rgb(0, 3), Err(PictureError::Empty { .. })));
        let layout = PictureLayout::i420(usize::MAX, 2, Matrix::Bt601, Range::Full).unwrap();
        assert_eq!(layout.needed_bytes(), usize::MAX);
    }
}
