//! The operations on tensors that lie on a GPU, in f32, f16 and bf16,
//! by the kernels of `cuda/planar.cuh` and `cuda/picture.cuh`.
//!
//! They run on candle's own stream, between candle's own operations. The depthwise convolution has a backward pass.

mod pixels;
mod shift;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaModule, CudaView, DevicePtr, DevicePtrMut, DeviceRepr, ValidAsZeroBits,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Error, Layout, Result, Shape, Tensor, bail};
use half::{bf16, f16};

use crate::bias_activation::Activation;
use crate::cuda::planar::{self, Addend, Pass, Stored};
use crate::cuda::{KernelArgs, Launch, kernels, launch};
use crate::depthwise::DepthwiseShape;

pub(super) use pixels::preprocess;
pub(super) use shift::shift_and_cache;

/// Whether these operations may take a tensor.
pub(super) fn takes(x: &Tensor) -> bool {
    x.device().is_cuda()
        && matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16)
        && super::fits_kernel_index(x.elem_count())
}

/// One pass of a depthwise convolution.
#[derive(Debug)]
pub(super) struct Depthwise {
    pub(super) shape: DepthwiseShape,
    pub(super) pass: Pass,
    pub(super) pictures: usize,
}

/// A sum with an activation behind it; no gradient.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) addend: Addend,
    pub(super) activation: Activation,
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("depthwise_conv2d on a GPU was given a tensor on the CPU")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (shape, n) = (self.shape, self.pictures);
        let DepthwiseShape { channels: c, kernel: k, height, width, .. } = shape;
        let output: Shape = match self.pass {
            Pass::Forward => (n, c, shape.out_height(), shape.out_width()).into(),
            Pass::Input => (n, c, height, width).into(),
            Pass::Filter => (c, 1, k, k).into(),
        };
        let make = |from, to, stored| planar::depthwise(&shape, self.pass, n, from, to, stored);
        Ok((run([x, weight], [x_layout, weight_layout], output.elem_count(), &make)?, output))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let pass = |pass| Self { shape: self.shape, pass, pictures: self.pictures };
        let gradient = gradient.contiguous()?;
        let of_x = gradient.apply_op2_no_bwd(weight, &pass(Pass::Input))?;
        let of_weight = x.apply_op2_no_bwd(&gradient, &pass(Pass::Filter))?;
        Ok((Some(of_x), Some(of_weight)))
    }
}

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum_activation"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("sum_activation on a GPU was given a tensor on the CPU")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        other: &CudaStorage,
        other_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (n, c, h, w) = x_layout.shape().dims4()?;
        let make =
            |from, to, stored| planar::sum([n, c, h * w], self.addend, self.activation, from, to, stored);
        Ok((run([x, other], [x_layout, other_layout], n * c * h * w, &make)?, x_layout.shape().clone()))
    }
}

/// Makes a launch of the addresses of two inputs and one output.
type Make<'a> = dyn Fn([u64; 2], u64, Stored) -> Launch + 'a;

fn run(from: [&CudaStorage; 2], layouts: [&Layout; 2], len: usize, make: &Make<'_>) -> Result<CudaStorage> {
    match from[0].dtype() {
        DType::F32 => run_as::<f32>(from, layouts, len, &|from, to| make(from, to, Stored::F32)),
        DType::F16 => run_as::<f16>(from, layouts, len, &|from, to| make(from, to, Stored::F16)),
        DType::BF16 => run_as::<bf16>(from, layouts, len, &|from, to| make(from, to, Stored::Bf16)),
        other => bail!("no CUDA kernel for {other:?}"),
    }
}

fn run_as<T: CudaDType + DeviceRepr + ValidAsZeroBits>(
    from: [&CudaStorage; 2],
    layouts: [&Layout; 2],
    len: usize,
    make: &dyn Fn([u64; 2], u64) -> Launch,
) -> Result<CudaStorage> {
    let device = from[0].device().clone();
    let stream = device.cuda_stream();
    let mut output = device.alloc_zeros::<T>(len)?;
    if len > 0 {
        let (first, second) = (values::<T>(from[0], layouts[0])?, values::<T>(from[1], layouts[1])?);
        // The guards order this launch with others that use the same memory on other streams.
        let (first, _first_used) = first.device_ptr(&stream);
        let (second, _second_used) = second.device_ptr(&stream);
        let (to, _output_used) = output.device_ptr_mut(&stream);
        launch_on(&device, &make([first, second], to))?;
    }
    Ok(CudaStorage::wrap_cuda_slice(output, device))
}

/// The values of a contiguous tensor.
fn values<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => bail!("the kernels take contiguous tensors only"),
    }
}

/// Puts one kernel on the stream of `device`.
fn launch_on<A: KernelArgs>(device: &CudaDevice, data: &Launch<A>) -> Result<()> {
    let function = module(device)?.load_function(&data.kernel).map_err(Error::wrap)?;
    launch(&function, data, &device.cuda_stream()).map_err(Error::wrap)
}

/// The kernels on this GPU, loaded at their first use.
fn module(device: &CudaDevice) -> Result<Arc<CudaModule>> {
    static LOADED: OnceLock<Mutex<HashMap<usize, Arc<CudaModule>>>> = OnceLock::new();
    let stream = device.cuda_stream();
    let context = stream.context();
    let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(&context.ordinal()) {
        return Ok(Arc::clone(module));
    }
    let module = context.load_module(kernels()).map_err(Error::wrap)?;
    loaded.insert(context.ordinal(), Arc::clone(&module));
    Ok(module)
}
