//! The shift of a step on a GPU: one launch with two outputs.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr, ValidAsZeroBits};
use candle_core::{CudaStorage, DType, Layout, Result, bail};
use half::{bf16, f16};

use super::{launch_on, values};
use crate::cuda::planar::{self, Stored};

/// `x [n, c, plane]` and the cache `[n, fold, plane]` to the shifted `x` and the new cache.
pub(in super::super) fn shift_and_cache(
    dims: [usize; 3],
    fold: usize,
    from: [&CudaStorage; 2],
    layouts: [&Layout; 2],
) -> Result<[CudaStorage; 2]> {
    match from[0].dtype() {
        DType::F32 => run_as::<f32>(dims, fold, from, layouts, Stored::F32),
        DType::F16 => run_as::<f16>(dims, fold, from, layouts, Stored::F16),
        DType::BF16 => run_as::<bf16>(dims, fold, from, layouts, Stored::Bf16),
        other => bail!("no CUDA kernel for {other:?}"),
    }
}

fn run_as<T: CudaDType + DeviceRepr + ValidAsZeroBits>(
    [pictures, channels, plane]: [usize; 3],
    fold: usize,
    from: [&CudaStorage; 2],
    layouts: [&Layout; 2],
    stored: Stored,
) -> Result<[CudaStorage; 2]> {
    let device = from[0].device().clone();
    let stream = device.cuda_stream();
    let mut shifted = device.alloc_zeros::<T>(pictures * channels * plane)?;
    let mut next = device.alloc_zeros::<T>(pictures * fold * plane)?;
    if pictures * channels * plane > 0 {
        let (x, cache) = (values::<T>(from[0], layouts[0])?, values::<T>(from[1], layouts[1])?);
        // The guards order this launch with others that use the same memory on other streams.
        let (x, _x_used) = x.device_ptr(&stream);
        let (cache, _cache_used) = cache.device_ptr(&stream);
        let (shifted, _shifted_used) = shifted.device_ptr_mut(&stream);
        let (next, _next_used) = next.device_ptr_mut(&stream);
        let dims = [pictures, channels, plane];
        launch_on(&device, &planar::shift(dims, fold, [x, cache], [shifted, next], stored))?;
    }
    Ok([shifted, next].map(|output| CudaStorage::wrap_cuda_slice(output, device.clone())))
}
