//! Pictures on a GPU to network input, by the kernels of `cuda/picture.cuh`: two launches, with a strip between them.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr, ValidAsZeroBits};
use candle_core::{CudaStorage, DType, Error, Layout, Result, bail};
use half::{bf16, f16};

use super::{launch_on, values};
use crate::cuda::preprocess::{PictureMemory, PicturePlan};

/// Prepares `pictures` pictures of `picture_bytes` bytes each into `len` values of `dtype`.
pub(in super::super) fn preprocess(
    plan: &PicturePlan,
    [pictures, picture_bytes]: [usize; 2],
    from: [&CudaStorage; 2],
    layouts: [&Layout; 2],
    len: usize,
    dtype: DType,
) -> Result<CudaStorage> {
    let sizes = [pictures, picture_bytes, len];
    match dtype {
        DType::F32 => run_as::<f32>(plan, sizes, from, layouts),
        DType::F16 => run_as::<f16>(plan, sizes, from, layouts),
        DType::BF16 => run_as::<bf16>(plan, sizes, from, layouts),
        other => bail!("no CUDA kernel makes input of {other:?}"),
    }
}

fn run_as<T: CudaDType + DeviceRepr + ValidAsZeroBits>(
    plan: &PicturePlan,
    [pictures, picture_bytes, len]: [usize; 3],
    from: [&CudaStorage; 2],
    layouts: [&Layout; 2],
) -> Result<CudaStorage> {
    let device = from[0].device().clone();
    let stream = device.cuda_stream();
    let mut y = device.alloc_zeros::<T>(len)?;
    if len > 0 {
        let (bytes, words) = (values::<u8>(from[0], layouts[0])?, values::<u32>(from[1], layouts[1])?);
        let mut narrow = device.alloc_zeros::<u32>(plan.narrow_words(pictures))?;
        // The guards order these launches with others that use the same memory on other streams.
        let (bytes, _bytes_used) = bytes.device_ptr(&stream);
        let (words, _words_used) = words.device_ptr(&stream);
        let (narrow, _narrow_used) = narrow.device_ptr_mut(&stream);
        let (to, _y_used) = y.device_ptr_mut(&stream);
        let memory = PictureMemory { bytes, words, narrow, y: to };
        for data in plan.launches(pictures, picture_bytes, memory).map_err(Error::wrap)? {
            launch_on(&device, &data)?;
        }
    }
    Ok(CudaStorage::wrap_cuda_slice(y, device))
}
