//! The operations around the network on this device, to the bit: pictures become its input, and a step's fold moves.
//!
//! ```text
//! made-up bytes ─┬─ this device: preprocess ──────────────────────► [n, 3, h, w] ─┐
//!                └─ scalar functions on this CPU, a picture a time ► [3, h, w] … ─┴─ the same bits?
//! ```
//!
//! Both move or look values up and round whole numbers, so no device has an excuse for another bit.

use candle_core::{DType, Device, Error, Tensor};
use tsm_kernels::candle_ops::{PreprocessPlan, PreprocessSpec, preprocess, shift_and_cache};
use tsm_kernels::colour::{RgbRows, RowScratch};
use tsm_kernels::cpu_level::CpuLevel;
use tsm_kernels::normalise::planar_from_rgb;
use tsm_kernels::picture::{Matrix, PictureError, PictureLayout, Range};
use tsm_kernels::resize::{CropRect, ResizePlan};

use crate::error::SelftestError;
use crate::finding::{Compared, Finding};
use crate::made_up::{self, Numbers};
use crate::plan::DataType;

/// Pictures of a batch: the second shows that the first one's bytes end where they should.
const PICTURES: usize = 2;

/// Columns and rows of the pictures: the width odd, so that the last pair of columns is half a pair.
const SIDES: [usize; 2] = [639, 360];

/// What they are scaled to; the crop is a model's.
const SCALED: [usize; 2] = [454, 256];

/// The crop, beside the centre.
const CROP: CropRect = CropRect { x: 101, y: 16, width: 224, height: 224 };

/// Mean and deviation of `ImageNet`'s pictures.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// NV12, I420 and RGB become the input that the scalar functions make of them.
pub(crate) fn pictures_become_input(device: &Device, data_type: DataType) -> Result<Finding, SelftestError> {
    let [width, height] = SIDES;
    let layouts = [
        PictureLayout::nv12(width, height, Matrix::Bt709, Range::Limited),
        PictureLayout::i420(width, height, Matrix::Bt601, Range::Full),
        PictureLayout::rgb(width, height),
    ];
    let mut compared = Compared::default();
    for (seed, layout) in (81..).zip(layouts) {
        let layout = layout.map_err(Error::wrap)?;
        let bytes = made_up::bytes(seed, PICTURES * layout.needed_bytes());
        let mut expected = Vec::new();
        for picture in bytes.chunks_exact(layout.needed_bytes()) {
            expected.extend(scalar_input(&layout, picture).map_err(Error::wrap)?);
        }
        let spec = PreprocessSpec {
            scaled_width: SCALED[0],
            scaled_height: SCALED[1],
            crop: CROP,
            mean: MEAN,
            std: STD,
            dtype: data_type.dtype(),
        };
        let plan = PreprocessPlan::new(layout, spec, device)?;
        let pictures = Tensor::from_vec(bytes, (PICTURES, layout.needed_bytes()), device)?;
        compared.add(&rounded(&expected, data_type)?, &numbers(&preprocess(&pictures, &plan)?)?);
    }
    Ok(compared.finding("input of the scalar functions"))
}

/// Three frames hand their folds on as the definition of the shift has it.
pub(crate) fn folds_move(device: &Device, data_type: DataType) -> Result<Finding, SelftestError> {
    // No power of two anywhere, and more pixels than a block has threads.
    let [streams, channels, fold, height, width] = [3, 20, 5, 17, 23];
    let plane = height * width;
    let mut numbers_of_frames = Numbers::new(91);
    let mut expected_cache = vec![0.0; streams * fold * plane];
    let mut cache = Tensor::zeros((streams, fold, height, width), data_type.dtype(), device)?;
    let mut compared = Compared::default();
    for _frame in 0..3 {
        let frame = rounded(&numbers_of_frames.take(streams * channels * plane), data_type)?;
        let mut expected = frame.clone();
        let pictures = expected.chunks_exact_mut(channels * plane);
        for (shifted, cached) in pictures.zip(expected_cache.chunks_exact_mut(fold * plane)) {
            shifted[..fold * plane].swap_with_slice(cached);
        }
        let x = Tensor::from_vec(frame, (streams, channels, height, width), &Device::Cpu)?;
        let x = x.to_dtype(data_type.dtype())?.to_device(device)?;
        let (shifted, next) = shift_and_cache(&x, &cache)?;
        compared.add(&expected, &numbers(&shifted)?);
        compared.add(&expected_cache, &numbers(&next)?);
        cache = next;
    }
    Ok(compared.finding("channels as the shift is defined"))
}

/// The scalar meaning of preprocessing, in f32.
fn scalar_input(layout: &PictureLayout, bytes: &[u8]) -> Result<Vec<f32>, PictureError> {
    let picture = layout.picture(bytes)?;
    let mut resize = ResizePlan::new(SIDES[0], SIDES[1], SCALED[0], SCALED[1], CROP)
        .expect("the crop lies in the scaled picture");
    let (columns, mut scratch) = (resize.source_columns(), RowScratch::new());
    let mut rows = RgbRows::at(CpuLevel::Scalar, &picture, &mut scratch);
    let mut rgb = vec![0; 3 * CROP.height * CROP.width];
    resize.run_rows_at(CpuLevel::Scalar, |row, out| rows.row(row, columns.clone(), out), &mut rgb);
    let mut input = vec![0.0; rgb.len()];
    planar_from_rgb(&rgb, MEAN, STD, &mut input);
    Ok(input)
}

/// `values` as the data type holds them.
fn rounded(values: &[f32], data_type: DataType) -> Result<Vec<f32>, SelftestError> {
    numbers(&Tensor::from_slice(values, values.len(), &Device::Cpu)?.to_dtype(data_type.dtype())?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, SelftestError> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_hold_on_this_cpu() {
        for data_type in [DataType::F32, DataType::F16] {
            for finding in
                [pictures_become_input(&Device::Cpu, data_type), folds_move(&Device::Cpu, data_type)]
            {
                let finding = finding.unwrap();
                assert!(finding.holds, "{finding:?}");
            }
        }
    }
}
