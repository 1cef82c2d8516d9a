//! The temporal shift of a step: the fold that the last frame left comes in, this frame's is left for the next.
//!
//! ```text
//! cache  [n, fold, h, w] ─────────┐ first channels
//! x      [n, c, h, w] ──┬─ rest ──┴─► shifted [n, c, h, w]
//!                       └─ first channels ──► new cache [n, fold, h, w]
//! ```
//!
//! Source: TSM (arXiv 1811.08383), section 4.2. Both outputs come from one pass over `x`.

use std::cell::Cell;

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Storage, Tensor, WithDType, bail};
use half::{bf16, f16};

use super::values_as;

/// Puts `cache` `[n, fold, h, w]` into the first channels of `x` `[n, c, h, w]`; gives that and the channels that were
/// there, the next frame's cache.
///
/// By a kernel of ours in f32, f16 and bf16, on the CPU and on a GPU; else, and where a gradient is wanted, by candle's
/// operations. Both results are new tensors, with memories of their own; where `fold` is 0 nothing moves, and they are
/// `x` and `cache`.
///
/// # Errors
/// If the shapes do not fit each other, or the devices or data types differ.
pub fn shift_and_cache(x: &Tensor, cache: &Tensor) -> Result<(Tensor, Tensor)> {
    let (n, channels, height, width) = x.dims4()?;
    let (_, fold, _, _) = cache.dims4()?;
    if cache.dims() != [n, fold, height, width] || fold > channels || cache.dtype() != x.dtype() {
        bail!(
            "shift_and_cache: x is {:?} of {:?}, so cache must be [{n}, up to {channels}, {height}, {width}] of it, but it is {:?} of {:?}",
            x.dims(),
            x.dtype(),
            cache.dims(),
            cache.dtype()
        )
    }
    if fold == 0 {
        return Ok((x.clone(), cache.clone()));
    }
    if x.track_op()
        || cache.track_op()
        || !has_kernel(x)
        || !(x.device().is_cpu() || super::fits_kernel_index(x.elem_count()))
    {
        let shifted = Tensor::cat(&[cache, &x.narrow(1, fold, channels - fold)?], 1)?;
        return Ok((shifted, x.narrow(1, 0, fold)?.force_contiguous()?));
    }
    let op = ShiftAndCache { dims: [n, channels, height * width], fold, next: Cell::new(None) };
    let shifted = x.contiguous()?.apply_op2_no_bwd(&cache.contiguous()?, &op)?;
    let Some(next) = op.next.take() else { bail!("shift_and_cache: the device left no cache") };
    Ok((shifted, Tensor::from_storage(next, cache.shape(), BackpropOp::none(), false)))
}

fn has_kernel(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16)
        && (x.device().is_cpu() || cfg!(feature = "cuda") && x.device().is_cuda())
}

struct ShiftAndCache {
    /// Pictures, channels, pixels.
    dims: [usize; 3],
    fold: usize,
    /// The second output: an operation of candle's gives only one.
    next: Cell<Option<Storage>>,
}

impl CustomOp2 for ShiftAndCache {
    fn name(&self) -> &'static str {
        "shift_and_cache"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cache: &CpuStorage,
        cache_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let layouts = [x_layout, cache_layout];
        let [shifted, next] = match x {
            CpuStorage::F32(_) => self.on_cpu::<f32>([x, cache], layouts)?,
            CpuStorage::F16(_) => self.on_cpu::<f16>([x, cache], layouts)?,
            CpuStorage::BF16(_) => self.on_cpu::<bf16>([x, cache], layouts)?,
            _ => bail!("shift_and_cache takes floats of 16 and 32 bits"),
        };
        self.next.set(Some(Storage::Cpu(next)));
        Ok((shifted, x_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        x_layout: &Layout,
        cache: &candle_core::CudaStorage,
        cache_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (from, layouts) = ([x, cache], [x_layout, cache_layout]);
        let [shifted, next] = super::on_gpu::shift_and_cache(self.dims, self.fold, from, layouts)?;
        self.next.set(Some(Storage::Cuda(next)));
        Ok((shifted, x_layout.shape().clone()))
    }
}

impl ShiftAndCache {
    fn on_cpu<T: WithDType>(
        &self,
        [x, cache]: [&CpuStorage; 2],
        layouts: [&Layout; 2],
    ) -> Result<[CpuStorage; 2]> {
        let (x, cache) = (values_as::<T>(x, layouts[0])?, values_as::<T>(cache, layouts[1])?);
        let [_, channels, plane] = self.dims;
        let (picture, moved) = (channels * plane, self.fold * plane);
        let (mut shifted, mut next) = (Vec::with_capacity(x.len()), Vec::with_capacity(cache.len()));
        // A picture without channels or pixels moves nothing.
        for (index, x) in x.chunks_exact(picture.max(1)).enumerate() {
            let (first, rest) = x.split_at(moved);
            shifted.extend_from_slice(&cache[index * moved..][..moved]);
            shifted.extend_from_slice(rest);
            next.extend_from_slice(first);
        }
        Ok([shifted, next].map(T::to_cpu_storage_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use proptest::prelude::*;

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn random(shape: [usize; 4], dtype: DType) -> Tensor {
        Tensor::randn(0f32, 1.0, &shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }

    /// Candle's way: what is tracked takes it.
    fn candles(x: &Tensor, cache: &Tensor) -> (Tensor, Tensor) {
        shift_and_cache(&Var::from_tensor(x).unwrap(), cache).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn the_kernel_gives_what_candle_gives(
            n in 0usize..4, c in 1usize..9, fold in 0usize..9, h in 1usize..6, w in 1usize..6,
            dtype in prop::sample::select(vec![DType::F32, DType::F16, DType::BF16]),
        ) {
            let fold = fold % (c + 1);
            let (x, cache) = (random([n, c, h, w], dtype), random([n, fold, h, w], dtype));
            let ((shifted, next), candle) = (shift_and_cache(&x, &cache).unwrap(), candles(&x, &cache));
            prop_assert_eq!((shifted.dims(), next.dims()), (candle.0.dims(), candle.1.dims()));
            prop_assert_eq!((shifted.dtype(), next.dtype()), (dtype, dtype));
            prop_assert_eq!([numbers(&shifted), numbers(&next)], [numbers(&candle.0), numbers(&candle.1)]);
        }
    }

    #[test]
    fn frames_hand_their_fold_on() {
        let frame = |value: f32| Tensor::full(value, (1, 3, 1, 2), &Device::Cpu).unwrap();
        let mut cache = Tensor::zeros((1, 1, 1, 2), DType::F32, &Device::Cpu).unwrap();
        for (value, before) in [(1.0, 0.0), (2.0, 1.0), (3.0, 2.0)] {
            let (shifted, next) = shift_and_cache(&frame(value), &cache).unwrap();
            assert_eq!(numbers(&shifted), [before, before, value, value, value, value]);
            cache = next;
        }
    }

    #[test]
    fn views_are_taken_for_what_they_show_and_left_alone() {
        let x = random([2, 5, 4, 6], DType::F32).transpose(2, 3).unwrap().narrow(2, 1, 3).unwrap();
        let cache = random([2, 4, 3, 4], DType::F32).narrow(1, 1, 2).unwrap();
        let before = numbers(&x);
        let (shifted, next) = shift_and_cache(&x, &cache).unwrap();
        let (candle_shifted, candle_next) = candles(&x, &cache);
        assert_eq!(numbers(&shifted), numbers(&candle_shifted));
        assert_eq!(numbers(&next), numbers(&candle_next));
        assert_eq!(numbers(&x), before);
    }

    #[test]
    fn a_gradient_goes_through_both() {
        let (x, cache) = (random([1, 3, 2, 2], DType::F32), random([1, 1, 2, 2], DType::F32));
        let x = Var::from_tensor(&x).unwrap();
        let (shifted, next) = shift_and_cache(&x, &cache).unwrap();
        let loss = (shifted.sum_all().unwrap() + next.sum_all().unwrap()).unwrap();
        assert_eq!(numbers(loss.backward().unwrap().get(&x).unwrap()), [1.0; 12]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_both() {
        let x = random([2, 3, 4, 4], DType::F32);
        for cache in [
            random([1, 1, 4, 4], DType::F32),
            random([2, 4, 4, 4], DType::F32),
            random([2, 1, 4, 4], DType::F16),
        ] {
            let error = shift_and_cache(&x, &cache).unwrap_err().to_string();
            assert!(
                error.contains("[2, 3, 4, 4]") && error.contains(&format!("{:?}", cache.dims())),
                "{error}"
            );
        }
    }
}
