//! Carries out a [`Cut`] on a stored frame: planes to RGB to the picture the network sees, PIL's filter throughout.
//!
//! ```text
//! upright  planes ─ rows of the cut's source as RGB ─ scale, crop ─┬─────────────────────► out [h, w, 3]
//! turned   planes ─ all rows as RGB ─ turn ─ scale, crop ──────────┘─ second stage, if any ─┘
//! ```
//!
//! For the centre crop it gives to the bit what [`tsm_live::Preprocessor`] gives. A [`Cut`] counts in square pixels;
//! where the stored ones are not, its source rectangle is stretched accordingly.

use std::sync::Arc;

use tsm_ingest::FrameFormat;
use tsm_kernels::colour::{RgbRows, RowScratch};
use tsm_kernels::orientation::{Orientation, turn_rgb};
use tsm_kernels::picture::{Picture, PictureError};
use tsm_kernels::resize::{CropRect, ResizeError, ResizePlan};
use tsm_live::UprightShape;

use crate::crop::{Cut, Stage};
use crate::decode::StoredFrame;

/// Why a frame cannot be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// Its planes are shorter than its format says.
    #[error("a frame cannot be read: {0}")]
    Picture(#[from] PictureError),
    /// Its size cannot be scaled.
    #[error("a frame cannot be scaled: {0}")]
    Resize(#[from] ResizeError),
}

/// Cuts frames; keeps plans and buffers while format and cut stay.
#[derive(Debug, Default)]
pub struct Cutter {
    scratch: RowScratch,
    plan: Option<Plan>,
    stored_rgb: Vec<u8>,
    upright_rgb: Vec<u8>,
    between_rgb: Vec<u8>,
}

#[derive(Debug)]
struct Plan {
    format: Arc<FrameFormat>,
    cut: Cut,
    shape: UprightShape,
    first: StagePlan,
    then: Option<StagePlan>,
}

/// A stage with its weights; `source` in the pixels of the picture it works on.
#[derive(Debug)]
struct StagePlan {
    source: CropRect,
    resize: ResizePlan,
}

impl Cutter {
    /// One without plans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes what `cut` says of `frame` to `out` `[height, width, 3]`.
    ///
    /// # Errors
    /// [`CutError`] if the frame contradicts its format or the cut does not fit it.
    ///
    /// # Panics
    /// If `out` does not hold the outcome.
    pub fn run(&mut self, frame: &StoredFrame, cut: &Cut, out: &mut [u8]) -> Result<(), CutError> {
        let picture = frame.picture()?;
        let plan = match self.plan.take() {
            Some(plan) if plan.cut == *cut && plan.is_for(frame.format()) => plan,
            _ => Plan::new(frame.format(), cut)?,
        };
        let plan = self.plan.insert(plan);
        let first_out = if plan.then.is_none() {
            &mut *out
        } else {
            let crop = cut.first.crop;
            self.between_rgb.resize(crop.width * crop.height * 3, 0);
            &mut self.between_rgb
        };
        let mut rows = RgbRows::new(&picture, &mut self.scratch);
        if plan.shape.orientation == Orientation::Upright {
            plan.first.run(|row, columns, rgb| rows.row(row, columns, rgb), first_out);
        } else {
            turned(&mut rows, &picture, plan.shape.orientation, &mut self.stored_rgb, &mut self.upright_rgb);
            plan.first.run_rgb(&self.upright_rgb, plan.shape.width, first_out);
        }
        if let Some(then) = &mut plan.then {
            then.run_rgb(&self.between_rgb, cut.first.crop.width, out);
        }
        Ok(())
    }
}

impl Plan {
    fn new(format: &Arc<FrameFormat>, cut: &Cut) -> Result<Self, CutError> {
        let shape = UprightShape::of(format);
        let source = stored_rect(cut.first.source, &shape);
        let first = StagePlan::new(&cut.first, source)?;
        let then = cut.then.as_ref().map(|stage| StagePlan::new(stage, stage.source)).transpose()?;
        Ok(Self { format: Arc::clone(format), cut: *cut, shape, first, then })
    }

    fn is_for(&self, format: &Arc<FrameFormat>) -> bool {
        Arc::ptr_eq(&self.format, format) || self.format == *format
    }
}

impl StagePlan {
    fn new(stage: &Stage, source: CropRect) -> Result<Self, ResizeError> {
        let (width, height) = (stage.scaled_width_px, stage.scaled_height_px);
        let resize = ResizePlan::new(source.width, source.height, width, height, stage.crop)?;
        Ok(Self { source, resize })
    }

    /// `fill_row(row, columns, rgb)` gives rows of the picture that `source` lies in.
    fn run(&mut self, mut fill_row: impl FnMut(usize, std::ops::Range<usize>, &mut [u8]), out: &mut [u8]) {
        let CropRect { x, y, .. } = self.source;
        let columns = self.resize.source_columns();
        let columns = columns.start + x..columns.end + x;
        self.resize.run_rows(|row, rgb| fill_row(row + y, columns.clone(), rgb), out);
    }

    fn run_rgb(&mut self, picture_rgb: &[u8], width: usize, out: &mut [u8]) {
        let fill = |row: usize, columns: std::ops::Range<usize>, rgb: &mut [u8]| {
            rgb.copy_from_slice(&picture_rgb[(row * width + columns.start) * 3..][..columns.len() * 3]);
        };
        self.run(fill, out);
    }
}

/// The whole picture, upright.
fn turned(
    rows: &mut RgbRows<'_>,
    picture: &Picture<'_>,
    orientation: Orientation,
    stored_rgb: &mut Vec<u8>,
    upright_rgb: &mut Vec<u8>,
) {
    let (width, height) = (picture.width_px(), picture.height_px());
    stored_rgb.resize(width * height * 3, 0);
    upright_rgb.resize(width * height * 3, 0);
    for (row, rgb) in stored_rgb.chunks_exact_mut(width * 3).enumerate() {
        rows.row(row, 0..width, rgb);
    }
    turn_rgb(stored_rgb, width, height, orientation, upright_rgb);
}

/// A rectangle of the picture with square pixels in the picture as it is stored.
fn stored_rect(shown: CropRect, shape: &UprightShape) -> CropRect {
    let (x, width) = stored_span(shown.x, shown.width, shape.shown_width, shape.width);
    let (y, height) = stored_span(shown.y, shown.height, shape.shown_height, shape.height);
    CropRect { x, y, width, height }
}

fn stored_span(first: usize, len: usize, shown: usize, stored: usize) -> (usize, usize) {
    if shown == stored {
        return (first, len);
    }
    let at = |px: usize| (px * stored + shown / 2) / shown;
    let start = at(first).min(stored - 1);
    (start, at(first + len).clamp(start + 1, stored) - start)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use tsm_ingest::{Orientation as Turn, PixelLayout};
    use tsm_live::Preprocessor;
    use tsm_model::InputSpec;
    use tsm_model::preprocess::AspectRule;

    use super::*;
    use crate::crop::{EvalCrops, TrainCrop};
    use crate::dataset::Clip;
    use crate::decode::{Keep, decode};
    use crate::draws::Draws;
    use crate::shared_data::{own_clip, shared};

    fn rgb_frame(width_px: u32, height_px: u32, rgb: &[u8]) -> StoredFrame {
        shaped(width_px, height_px, rgb, (1, 1), Turn::Upright)
    }

    fn shaped(
        width_px: u32,
        height_px: u32,
        rgb: &[u8],
        pixel_aspect: (u32, u32),
        orientation: Turn,
    ) -> StoredFrame {
        let pixels = PixelLayout::Rgb;
        let format =
            FrameFormat { width_px, height_px, pixels, pixel_aspect, orientation, nominal_rate: None };
        StoredFrame::of_rgb(Arc::new(format), rgb.to_vec())
    }

    #[test]
    fn crops_of_evaluation_are_the_references_to_the_bit() {
        let Some(path) = shared("golden/preprocess.safetensors") else { return };
        let bytes = std::fs::read(path).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let forced = InputSpec { aspect: AspectRule::FourByThree, ..InputSpec::default() };
        let mut cutter = Cutter::new();
        let sizes =
            [(320, 240), (588, 331), (240, 320), (256, 256), (341, 256), (457, 123), (177, 100), (480, 270)];
        for (width, height) in sizes {
            let name = |what: &str| format!("{width}x{height}.{what}");
            let frame = rgb_frame(width, height, golden.tensor(&name("input_u8")).unwrap().data());
            let (w, h) = (width as usize, height as usize);
            for (what, spec) in [("mit_val_u8", &InputSpec::default()), ("paddle_v151_u8", &forced)] {
                let mut out = vec![0; 224 * 224 * 3];
                cutter.run(&frame, &EvalCrops::Centre.views(spec, w, h)[0].cut, &mut out).unwrap();
                assert!(out == golden.tensor(&name(what)).unwrap().data(), "{what} {width}x{height}");
            }
        }
        let frame = rgb_frame(588, 331, golden.tensor("588x331.input_u8").unwrap().data());
        let views = EvalCrops::ThreeFullRes.views(&InputSpec::default(), 588, 331);
        let expected = golden.tensor("588x331.mit_3crop_fullres_u8").unwrap();
        for (view, expected) in views.iter().zip(expected.data().chunks_exact(256 * 256 * 3)) {
            let mut out = vec![0; 256 * 256 * 3];
            cutter.run(&frame, &view.cut, &mut out).unwrap();
            assert!(out == expected, "{view:?}");
        }
    }

    #[test]
    fn the_centre_crop_is_what_live_recognition_sees() {
        let clip = decode(&Clip::new(own_clip("pose-squats.mp4"), 0), Keep::Only(&[0, 20])).unwrap();
        for size in [160, 224] {
            let spec = InputSpec::with_size(size);
            let mut live = Preprocessor::new(spec.clone());
            let mut cutter = Cutter::new();
            for frame in [clip.frame(0).unwrap(), clip.frame(20).unwrap()] {
                let shape = UprightShape::of(frame.format());
                let cut = TrainCrop::Centre.cut(
                    &spec,
                    shape.shown_width,
                    shape.shown_height,
                    &mut Draws::for_clip(0, 0, 0),
                );
                let mut rgb = vec![0; size * size * 3];
                cutter.run(frame, &cut, &mut rgb).unwrap();
                let (mut ours, mut theirs) = (vec![0.0; rgb.len()], vec![1.0; rgb.len()]);
                tsm_kernels::normalise::planar_from_rgb(&rgb, spec.mean, spec.std, &mut ours);
                live.run_picture(frame.format(), &frame.picture().unwrap(), &mut theirs).unwrap();
                assert!(ours == theirs, "{size}");
            }
        }
    }

    #[test]
    fn turned_and_wide_pixels_are_cut_as_people_see_them() {
        // A gradient from left to right, as shown: 0 to 190 over 20 columns.
        let level = |x: u32| u8::try_from(x * 10).unwrap();
        let plain: Vec<u8> = (0..10).flat_map(|_| (0..20).flat_map(|x| [level(x); 3])).collect();
        let wide: Vec<u8> = (0..10).flat_map(|_| (0..10).flat_map(|x| [level(2 * x); 3])).collect();
        // Stored as it lies after a quarter turn to the left: Rotate90 brings it back.
        let turned: Vec<u8> = (0..20).rev().flat_map(|x| vec![level(x); 30]).collect();
        let cut = Cut {
            first: Stage {
                source: CropRect { x: 4, y: 2, width: 8, height: 8 },
                scaled_width_px: 4,
                scaled_height_px: 4,
                crop: CropRect { x: 0, y: 0, width: 4, height: 4 },
            },
            then: None,
        };
        let row = |frame: StoredFrame| {
            let mut out = vec![0; 4 * 4 * 3];
            Cutter::new().run(&frame, &cut, &mut out).unwrap();
            out[..12].iter().step_by(3).copied().collect::<Vec<_>>()
        };
        let upright = row(rgb_frame(20, 10, &plain));
        assert!(upright.is_sorted() && upright[0] >= 40 && upright[3] <= 110, "{upright:?}");
        assert_eq!(row(shaped(10, 20, &turned, (1, 1), Turn::Rotate90)), upright);
        let wide = row(shaped(10, 10, &wide, (2, 1), Turn::Upright));
        assert!(wide.iter().zip(&upright).all(|(a, b)| a.abs_diff(*b) <= 12), "{wide:?} {upright:?}");
    }

    #[test]
    fn a_second_stage_works_on_the_outcome_of_the_first() {
        let rgb: Vec<u8> = (0..=250).cycle().step_by(7).take(64 * 48 * 3).collect();
        let frame = rgb_frame(64, 48, &rgb);
        let spec = InputSpec { size_px: 32, short_side_px: 36, ..InputSpec::default() };
        let cut = TrainCrop::PaddleV151.cut(&spec, 64, 48, &mut Draws::for_clip(5, 0, 0));
        let mut out = vec![0; 32 * 32 * 3];
        Cutter::new().run(&frame, &cut, &mut out).unwrap();
        let (first, then) = (Cut { then: None, ..cut }, Cut { first: cut.then.unwrap(), then: None });
        let crop = first.first.crop;
        let mut between = vec![0; crop.width * crop.height * 3];
        Cutter::new().run(&frame, &first, &mut between).unwrap();
        let side = |px: usize| u32::try_from(px).unwrap();
        let mut expected = vec![0; out.len()];
        let between = rgb_frame(side(crop.width), side(crop.height), &between);
        Cutter::new().run(&between, &then, &mut expected).unwrap();
        assert!(out == expected);
    }
}
