//! From a decoded frame to the network's input.
//!
//! ```text
//! upright  frame ─ rows as RGB ─┬─ resize and crop, row by row ─ RGB crop ─┬─ normalise ─► [3, h, w]
//! turned   frame ─ whole as RGB ─ turn ─┘                                  └─────────────► [h, w, 3], for a device that
//! ```                                                                                       normalises by itself
//!
//! Resize and crop follow the model's [`InputSpec`] on the picture as people see it: upright, with
//! square pixels. Plans and buffers are kept until the stream's format changes.

use std::sync::Arc;

use tsm_ingest::{ColourMatrix, ColourRange, Frame, FrameFormat, Orientation, PixelLayout};
use tsm_kernels::colour::{RgbRows, RowScratch};
use tsm_kernels::normalise::planar_from_rgb;
use tsm_kernels::orientation::{self, turn_rgb};
use tsm_kernels::picture::{Component, Matrix, Picture, PictureError, Pixels, Range, Samples, Subsampling};
use tsm_kernels::resize::{CropRect, ResizeError, ResizePlan};
use tsm_model::{FrameMut, InputSpec};

/// Why a frame cannot become input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The frame's planes are shorter than its format says.
    #[error("a frame cannot be read: {0}")]
    Picture(#[from] PictureError),
    /// Its size cannot be scaled.
    #[error("a frame cannot be scaled: {0}")]
    Resize(#[from] ResizeError),
}

/// Prepares the frames of one stream.
#[derive(Debug)]
pub struct Preprocessor {
    spec: InputSpec,
    plan: Option<Plan>,
    scratch: RowScratch,
    /// Between resize and normalisation; empty where the device normalises.
    crop_rgb: Vec<u8>,
}

/// What is fixed while the format stays.
#[derive(Debug)]
struct Plan {
    format: Arc<FrameFormat>,
    resize: ResizePlan,
    turn: Option<Turn>,
}

/// Buffers of a stream whose pictures do not stand upright.
#[derive(Debug)]
struct Turn {
    orientation: orientation::Orientation,
    stored_rgb: Vec<u8>,
    upright_rgb: Vec<u8>,
}

impl Preprocessor {
    /// A preprocessor for a model's input.
    pub fn new(spec: InputSpec) -> Self {
        Self { spec, plan: None, scratch: RowScratch::new(), crop_rgb: Vec::new() }
    }

    /// Writes the input for `frame`.
    ///
    /// # Errors
    /// [`PreprocessError`] if the frame contradicts its own format or has no usable size.
    pub fn run(&mut self, frame: &Frame, input: FrameMut<'_>) -> Result<(), PreprocessError> {
        let picture = picture_of(frame.format(), |index| component_of(frame, index))?;
        match input {
            FrameMut::Normalised(input) => self.run_picture(frame.format(), &picture, input),
            FrameMut::Rgb(rgb) => self.crop(frame.format(), &picture, rgb),
        }
    }

    /// Writes the input `[3, size, size]`, normalised, for a picture kept elsewhere, described by `format`: the way of
    /// a clip's frames in training.
    ///
    /// # Errors
    /// [`PreprocessError`] if the picture has no usable size.
    pub fn run_picture(
        &mut self,
        format: &Arc<FrameFormat>,
        picture: &Picture<'_>,
        input: &mut [f32],
    ) -> Result<(), PreprocessError> {
        let mut crop_rgb = std::mem::take(&mut self.crop_rgb);
        crop_rgb.resize(3 * self.spec.pixels(), 0);
        let outcome = self.crop(format, picture, &mut crop_rgb);
        self.crop_rgb = crop_rgb;
        outcome?;
        planar_from_rgb(&self.crop_rgb, self.spec.mean, self.spec.std, input);
        Ok(())
    }

    /// Writes what the network sees of a picture, `[size, size, 3]`.
    fn crop(
        &mut self,
        format: &Arc<FrameFormat>,
        picture: &Picture<'_>,
        crop_rgb: &mut [u8],
    ) -> Result<(), PreprocessError> {
        if self.plan.as_ref().is_none_or(|plan| !Arc::ptr_eq(&plan.format, format) && plan.format != *format)
        {
            self.plan = Some(Plan::new(format, &self.spec)?);
        }
        let Some(plan) = &mut self.plan else { return Ok(()) };
        let mut rows = RgbRows::new(picture, &mut self.scratch);
        match &mut plan.turn {
            None => {
                let columns = plan.resize.source_columns();
                plan.resize.run_rows(|row, rgb| rows.row(row, columns.clone(), rgb), crop_rgb);
            }
            Some(turn) => {
                let upright = turn.upright(&mut rows, picture);
                plan.resize.run(upright.rows(&plan.resize.source_rows()), crop_rgb);
            }
        }
        Ok(())
    }
}

impl Plan {
    fn new(format: &Arc<FrameFormat>, spec: &InputSpec) -> Result<Self, PreprocessError> {
        let UprightShape { orientation, width, height, shown_width, shown_height } = UprightShape::of(format);
        let geometry = spec.geometry(shown_width, shown_height);
        let crop = CropRect {
            x: geometry.crop_x_px,
            y: geometry.crop_y_px,
            width: spec.size_px,
            height: spec.size_px,
        };
        let resize =
            ResizePlan::new(width, height, geometry.scaled_width_px, geometry.scaled_height_px, crop)?;
        let is_upright = orientation == orientation::Orientation::Upright;
        let bytes = width * height * 3;
        let turn = (!is_upright).then(|| Turn {
            orientation,
            stored_rgb: vec![0; bytes],
            upright_rgb: vec![0; bytes],
        });
        Ok(Self { format: Arc::clone(format), resize, turn })
    }
}

/// An upright RGB picture.
struct Upright<'a> {
    rgb: &'a [u8],
    row_bytes: usize,
}

impl Upright<'_> {
    fn rows(&self, rows: &std::ops::Range<usize>) -> &[u8] {
        &self.rgb[rows.start * self.row_bytes..rows.end * self.row_bytes]
    }
}

impl Turn {
    /// Turns the whole picture before it is scaled: the resize rule works on the upright one, and its two
    /// passes do not change places without changing bits.
    fn upright(&mut self, rows: &mut RgbRows<'_>, picture: &Picture<'_>) -> Upright<'_> {
        let (width, height) = (picture.width_px(), picture.height_px());
        for (row, rgb) in self.stored_rgb.chunks_exact_mut(width * 3).enumerate() {
            rows.row(row, 0..width, rgb);
        }
        turn_rgb(&self.stored_rgb, width, height, self.orientation, &mut self.upright_rgb);
        let (turned_width, _height) = self.orientation.turned_size(width, height);
        Upright { rgb: &self.upright_rgb, row_bytes: turned_width * 3 }
    }
}

/// Size and turn of a stream's pictures, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UprightShape {
    /// What makes the stored picture upright.
    pub orientation: orientation::Orientation,
    /// Columns of the upright picture as it is stored.
    pub width: usize,
    /// Rows of the upright picture as it is stored.
    pub height: usize,
    /// Columns of the upright picture with square pixels.
    pub shown_width: usize,
    /// Rows of the upright picture with square pixels.
    pub shown_height: usize,
}

impl UprightShape {
    /// The shape of the pictures that `format` describes.
    pub fn of(format: &FrameFormat) -> Self {
        let orientation = kernel_orientation(format.orientation);
        let rows = pixels(format.height_px);
        let (width, height) = orientation.turned_size(pixels(format.width_px), rows);
        let (shown_width, shown_height) = orientation.turned_size(square_pixel_width(format), rows);
        Self { orientation, width, height, shown_width, shown_height }
    }
}

fn component_of(frame: &Frame, index: usize) -> Component<'_> {
    let view = frame.component(index);
    Component::new(view.data, view.row_stride_bytes, view.sample_step_bytes)
}

/// The planes of a picture, by component, as the kernels see them.
///
/// # Errors
/// [`PictureError`] if a plane is shorter than `format` says.
pub fn picture_of<'a>(
    format: &FrameFormat,
    component: impl Fn(usize) -> Component<'a>,
) -> Result<Picture<'a>, PictureError> {
    let pixels_of_frame = match format.pixels {
        PixelLayout::Yuv { horizontal_log2, vertical_log2, matrix, range, bits, shift } => Pixels::Yuv {
            y: component(0),
            u: component(1),
            v: component(2),
            subsampling: Subsampling {
                horizontal_log2: horizontal_log2.into(),
                vertical_log2: vertical_log2.into(),
            },
            matrix: kernel_matrix(matrix),
            range: kernel_range(range),
            samples: samples(bits, shift),
        },
        PixelLayout::Grey { range, bits, shift } => {
            Pixels::Grey { y: component(0), range: kernel_range(range), samples: samples(bits, shift) }
        }
        PixelLayout::Rgb => Pixels::Rgb { r: component(0), g: component(1), b: component(2) },
    };
    Picture::new(pixels(format.width_px), pixels(format.height_px), pixels_of_frame)
}

/// Width of the stored picture once its pixels are square.
fn square_pixel_width(format: &FrameFormat) -> usize {
    let (wide, high) = format.pixel_aspect;
    if wide == high || wide == 0 || high == 0 {
        return pixels(format.width_px);
    }
    let doubled = u64::from(format.width_px) * u64::from(wide) * 2 + u64::from(high);
    usize::try_from(doubled / (2 * u64::from(high))).unwrap_or(usize::MAX).max(1)
}

fn pixels(px: u32) -> usize {
    usize::try_from(px).expect("a usize has at least 32 bits where GStreamer runs")
}

fn samples(bits: u8, shift: u8) -> Samples {
    if bits <= 8 { Samples::Eight } else { Samples::Wide { bits: bits.into(), shift: shift.into() } }
}

fn kernel_matrix(matrix: ColourMatrix) -> Matrix {
    match matrix {
        ColourMatrix::Bt601 => Matrix::Bt601,
        ColourMatrix::Bt709 => Matrix::Bt709,
        ColourMatrix::Bt2020 => Matrix::Bt2020,
    }
}

fn kernel_range(range: ColourRange) -> Range {
    match range {
        ColourRange::Limited => Range::Limited,
        ColourRange::Full => Range::Full,
    }
}

fn kernel_orientation(orientation: Orientation) -> orientation::Orientation {
    use orientation::Orientation as Kernel;
    match orientation {
        Orientation::Upright => Kernel::Upright,
        Orientation::Rotate90 => Kernel::Rotate90,
        Orientation::Rotate180 => Kernel::Rotate180,
        Orientation::Rotate270 => Kernel::Rotate270,
        Orientation::Flip => Kernel::Flipped,
        Orientation::FlipRotate90 => Kernel::FlippedRotate90,
        Orientation::FlipRotate180 => Kernel::FlippedRotate180,
        Orientation::FlipRotate270 => Kernel::FlippedRotate270,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with no two alike pixels beside each other, stored turned by `orientation`.
    fn run(orientation: Orientation, normalised: &mut [f32], rgb: &mut [u8], spec: &InputSpec) {
        let (width, height) = (64_u32, 48_u32);
        let bytes: Vec<u8> = (0u8..=250).cycle().take(64 * 48 * 3).collect();
        let format = Arc::new(FrameFormat {
            width_px: width,
            height_px: height,
            pixels: PixelLayout::Rgb,
            orientation,
            pixel_aspect: (1, 1),
            nominal_rate: None,
        });
        let component = |index: usize| Component::new(&bytes[index..], 64 * 3, 3);
        let picture = picture_of(&format, component).unwrap();
        let mut preprocessor = Preprocessor::new(spec.clone());
        preprocessor.run_picture(&format, &picture, normalised).unwrap();
        preprocessor.crop(&format, &picture, rgb).unwrap();
    }

    #[test]
    fn bytes_are_what_normalised_frames_are_made_of() {
        let spec = InputSpec { mean: [0.1, 0.5, 0.9], std: [0.2, 0.3, 0.4], ..InputSpec::with_size(32) };
        let values = 3 * spec.pixels();
        for orientation in [Orientation::Upright, Orientation::Rotate90, Orientation::FlipRotate180] {
            let (mut normalised, mut rgb) = (vec![0.0; values], vec![0; values]);
            run(orientation, &mut normalised, &mut rgb, &spec);
            let mut expected = vec![0.0; values];
            planar_from_rgb(&rgb, spec.mean, spec.std, &mut expected);
            assert_eq!(normalised, expected, "{orientation:?}");
            assert!(rgb.iter().any(|byte| *byte != rgb[0]), "{orientation:?}");
        }
    }
}
