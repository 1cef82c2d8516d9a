//! Pictures to network input as an operation on tensors: the bytes lie on the device, and so does what becomes of them.
//!
//! ```text
//! picture, u8 [bytes] or [n, bytes] ─┬─ on the CPU: colour ─ resize and crop ─ normalise (a thread a picture) ─┐
//!                                    └─ on a GPU: two kernels (on_gpu/pixels.rs)                               ├─► [3, h, w]
//! PreprocessPlan: layout, sizes, weights, once a stream ───────────────────────────────────────────────────────┘   [n, 3, h, w]
//! ```
//!
//! Both ways give the same bits. A GPU takes pictures of 8 bits whose chroma needs no interpolation (RGB, NV12 and I420
//! of an even height); a plan for others is refused there.

use candle_core::{CpuStorage, CustomOp2, DType, Device, Error, Layout, Result, Shape, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::values_as;
use crate::colour::{RgbRows, RowScratch};
use crate::normalise::planar_from_rgb;
use crate::picture::{PictureError, PictureLayout};
use crate::resize::{CropRect, ResizePlan};

/// What pictures become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreprocessSpec {
    /// Columns after scaling, before the crop.
    pub scaled_width: usize,
    /// Rows after scaling.
    pub scaled_height: usize,
    /// What is cut out of the scaled picture.
    pub crop: CropRect,
    /// Subtracted from red, green and blue, which lie in 0..=1.
    pub mean: [f32; 3],
    /// What they are divided by then.
    pub std: [f32; 3],
    /// What the input consists of: f32, f16 or bf16, rounded from f32.
    pub dtype: DType,
}

/// How pictures of one layout are prepared on one device.
#[derive(Debug)]
pub struct PreprocessPlan {
    layout: PictureLayout,
    spec: PreprocessSpec,
    resize: ResizePlan,
    /// What a GPU's kernels look up; on the CPU nothing.
    words: Tensor,
    #[cfg(feature = "cuda")]
    kernels: Option<crate::cuda::preprocess::PicturePlan>,
}

impl PreprocessPlan {
    /// Plans for pictures of `layout` that lie on `device`.
    ///
    /// # Errors
    /// If the crop does not lie in the scaled picture, a side is over 65535, the data type is no float of 16 or 32
    /// bits, or the device has no kernel for such pictures.
    pub fn new(layout: PictureLayout, spec: PreprocessSpec, device: &Device) -> Result<Self> {
        let PreprocessSpec { scaled_width, scaled_height, crop, dtype, .. } = spec;
        if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
            bail!("preprocess: input can be f32, f16 or bf16, not {dtype:?}")
        }
        let resize =
            ResizePlan::new(layout.width_px(), layout.height_px(), scaled_width, scaled_height, crop)
                .map_err(Error::wrap)?;
        #[cfg(feature = "cuda")]
        if device.is_cuda() {
            let plan = kernels(&layout, &spec).map_err(Error::wrap)?;
            let words = Tensor::from_slice(plan.words(), plan.words().len(), device)?;
            return Ok(Self { layout, spec, resize, words, kernels: Some(plan) });
        }
        if !device.is_cpu() {
            bail!("preprocess: pictures are prepared on the CPU or by CUDA, not on {device:?}")
        }
        Ok(Self {
            layout,
            spec,
            resize,
            words: Tensor::zeros(1, DType::U32, device)?,
            #[cfg(feature = "cuda")]
            kernels: None,
        })
    }

    /// How the pictures lie in memory.
    pub fn layout(&self) -> &PictureLayout {
        &self.layout
    }

    /// Values of one input.
    fn input_len(&self) -> usize {
        3 * self.spec.crop.height * self.spec.crop.width
    }

    /// Pictures in a tensor of bytes, bytes of each, and the shape of what becomes of them.
    fn sizes(&self, pictures: &[usize]) -> Result<([usize; 2], Shape)> {
        let CropRect { height, width, .. } = self.spec.crop;
        match *pictures {
            [bytes] => Ok(([1, bytes], (3, height, width).into())),
            [n, bytes] => Ok(([n, bytes], (n, 3, height, width).into())),
            _ => bail!("preprocess: pictures are [bytes] or [n, bytes], not {pictures:?}"),
        }
    }

    /// Prepares pictures of `picture_bytes` bytes each.
    fn on_cpu(&self, pictures: &[u8], picture_bytes: usize) -> Result<Vec<f32>> {
        let mut inputs = vec![0.0; pictures.len() / picture_bytes * self.input_len()];
        pictures
            .par_chunks_exact(picture_bytes)
            .zip(inputs.par_chunks_exact_mut(self.input_len()))
            .try_for_each(|(picture, input)| self.one_on_cpu(picture, input))
            .map_err(Error::wrap)?;
        Ok(inputs)
    }

    fn one_on_cpu(&self, bytes: &[u8], input: &mut [f32]) -> std::result::Result<(), PictureError> {
        let picture = self.layout.picture(bytes)?;
        // A stream that counts its allocations keeps these: here a call may take memory, as every operation does.
        let (mut resize, mut scratch, mut rgb) =
            (self.resize.clone(), RowScratch::new(), vec![0; input.len()]);
        let columns = resize.source_columns();
        let mut rows = RgbRows::new(&picture, &mut scratch);
        resize.run_rows(|row, out| rows.row(row, columns.clone(), out), &mut rgb);
        planar_from_rgb(&rgb, self.spec.mean, self.spec.std, input);
        Ok(())
    }
}

/// Prepares `pictures`, bytes `[bytes]` or `[n, bytes]` on the plan's device;
/// gives `[3, h, w]` or `[n, 3, h, w]` there.
///
/// # Errors
/// If these are no bytes, fewer than the layout needs, or on another device.
pub fn preprocess(pictures: &Tensor, plan: &PreprocessPlan) -> Result<Tensor> {
    let ([_, bytes], _) = plan.sizes(pictures.dims())?;
    let needed = plan.layout.needed_bytes();
    if pictures.dtype() != DType::U8 || bytes < needed {
        bail!(
            "preprocess: pictures of {}x{} are u8 of {needed} bytes or more each, but these are {:?} of {:?}",
            plan.layout.width_px(),
            plan.layout.height_px(),
            pictures.dims(),
            pictures.dtype()
        )
    }
    pictures.contiguous()?.apply_op2_no_bwd(&plan.words, &Preprocess(plan))
}

/// A plan at work on pictures that are long enough, with its own words.
struct Preprocess<'a>(&'a PreprocessPlan);

impl CustomOp2 for Preprocess<'_> {
    fn name(&self) -> &'static str {
        "preprocess"
    }

    fn cpu_fwd(
        &self,
        pictures: &CpuStorage,
        layout: &Layout,
        _words: &CpuStorage,
        _words_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ([_, bytes], shape) = self.0.sizes(layout.dims())?;
        let inputs = self.0.on_cpu(values_as::<u8>(pictures, layout)?, bytes)?;
        let storage = match self.0.spec.dtype {
            DType::F16 => CpuStorage::F16(inputs.into_iter().map(f16::from_f32).collect()),
            DType::BF16 => CpuStorage::BF16(inputs.into_iter().map(bf16::from_f32).collect()),
            _ => CpuStorage::F32(inputs),
        };
        Ok((storage, shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        pictures: &candle_core::CudaStorage,
        layout: &Layout,
        words: &candle_core::CudaStorage,
        words_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let Some(plan) = &self.0.kernels else { bail!("preprocess: this plan is for the CPU") };
        let (sizes, shape) = self.0.sizes(layout.dims())?;
        let (from, layouts) = ([pictures, words], [layout, words_layout]);
        let len = shape.elem_count();
        Ok((super::on_gpu::preprocess(plan, sizes, from, layouts, len, self.0.spec.dtype)?, shape))
    }
}

/// The same for a GPU.
#[cfg(feature = "cuda")]
fn kernels(
    layout: &PictureLayout,
    spec: &PreprocessSpec,
) -> std::result::Result<crate::cuda::preprocess::PicturePlan, crate::cuda::preprocess::NotOnGpu> {
    use crate::cuda::preprocess::{PicturePlan, Value};
    let value = match spec.dtype {
        DType::F16 => Value::F16,
        DType::BF16 => Value::Bf16,
        _ => Value::F32,
    };
    let values = [0, 1, 2].map(|channel| crate::normalise::table(spec.mean[channel], spec.std[channel]));
    PicturePlan::new(layout, [spec.scaled_width, spec.scaled_height], spec.crop, &values, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{Matrix, Range};

    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];

    fn spec(dtype: DType) -> PreprocessSpec {
        let crop = CropRect { x: 2, y: 1, width: 5, height: 4 };
        PreprocessSpec { scaled_width: 9, scaled_height: 6, crop, mean: MEAN, std: STD, dtype }
    }

    fn plan(layout: PictureLayout, dtype: DType) -> PreprocessPlan {
        PreprocessPlan::new(layout, spec(dtype), &Device::Cpu).unwrap()
    }

    fn nv12() -> PictureLayout {
        PictureLayout::nv12(17, 12, Matrix::Bt709, Range::Limited).unwrap()
    }

    /// Bytes of every value, in no order that a stride could hide.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|at| u8::try_from((at * 151 + at / 7) % 256).unwrap()).collect()
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn it_is_the_functions_one_after_the_other() {
        let layout = nv12();
        let bytes = bytes(layout.needed_bytes());
        let picture = layout.picture(&bytes).unwrap();
        let mut rgb = vec![0; 17 * 12 * 3];
        crate::colour::rgb_from_picture(&picture, 0..12, &mut rgb);
        let mut resize = ResizePlan::new(17, 12, 9, 6, spec(DType::F32).crop).unwrap();
        let (mut crop, rows) = (vec![0; 5 * 4 * 3], resize.source_rows());
        resize.run(&rgb[rows.start * 17 * 3..rows.end * 17 * 3], &mut crop);
        let mut expected = vec![0.0; crop.len()];
        planar_from_rgb(&crop, MEAN, STD, &mut expected);
        let pictures = Tensor::new(bytes, &Device::Cpu).unwrap();
        let input = preprocess(&pictures, &plan(layout, DType::F32)).unwrap();
        assert_eq!((input.dims(), numbers(&input)), (&[3, 4, 5][..], expected.clone()));
        let halves = preprocess(&pictures, &plan(layout, DType::F16)).unwrap();
        assert_eq!(halves.dtype(), DType::F16);
        let rounded: Vec<f32> = expected.iter().map(|value| f16::from_f32(*value).to_f32()).collect();
        assert_eq!(numbers(&halves), rounded);
    }

    #[test]
    fn pictures_of_a_batch_are_the_pictures_alone_whatever_lies_behind_them() {
        let (plan, needed) = (plan(nv12(), DType::F32), nv12().needed_bytes());
        let batch = Tensor::from_vec(bytes(3 * (needed + 5)), (3, needed + 5), &Device::Cpu).unwrap();
        let inputs = preprocess(&batch, &plan).unwrap();
        assert_eq!(inputs.dims(), [3, 3, 4, 5]);
        for index in 0..3 {
            let alone = preprocess(&batch.get(index).unwrap(), &plan).unwrap();
            assert_eq!(numbers(&inputs.get(index).unwrap()), numbers(&alone));
        }
        assert_eq!(preprocess(&batch.narrow(0, 0, 0).unwrap(), &plan).unwrap().dims(), [0, 3, 4, 5]);
    }

    #[test]
    fn what_is_no_such_picture_is_refused() {
        let (plan, needed) = (plan(nv12(), DType::F32), nv12().needed_bytes());
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        assert!(preprocess(&zeros(&[needed], DType::U8), &plan).is_ok());
        for pictures in [
            zeros(&[needed - 1], DType::U8),
            zeros(&[needed], DType::F32),
            zeros(&[1, 1, needed], DType::U8),
            zeros(&[2, 0], DType::U8),
        ] {
            assert!(preprocess(&pictures, &plan).is_err(), "{pictures:?}");
        }
        assert!(PreprocessPlan::new(nv12(), spec(DType::U8), &Device::Cpu).is_err());
        let outside = PreprocessSpec { scaled_width: 6, ..spec(DType::F32) };
        assert!(PreprocessPlan::new(nv12(), outside, &Device::Cpu).is_err());
    }
}
