//! The network's kernels as operations on candle tensors, split over candle's thread pool.
//!
//! ```text
//! tensor ── f32, on the CPU, not tracked for gradients? ──yes──► contiguous ─► kernel, channels over threads
//!        ── f32, f16 or bf16, on a GPU? ─────────────────yes──► contiguous ─► kernel (on_gpu.rs)
//!                                                        └─no──► candle's own operations, same result
//! ```
//!
//! So do the shift of a step ([`shift_and_cache`]) and what comes before the network ([`preprocess`]): pictures of
//! bytes, wherever they lie, become its input there.
//!
//! The depthwise convolution on a GPU has a backward pass; no other kernel has one, so any other tensor that takes part
//! in a gradient ([`Tensor::track_op`]) goes through candle's operations. So do other data types, other
//! devices, and on a GPU more elements than 32 bits count. Results are
//! always new tensors: a tensor's storage may be shared (a state is often a view into an activation), and
//! candle does not tell, so nothing here writes in place.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::bias_activation::{self as kernel, Activation};
use crate::depthwise::{self, DepthwiseShape};

#[cfg(feature = "cuda")]
mod on_gpu;
mod preprocess;
mod shift;

pub use preprocess::{PreprocessPlan, PreprocessSpec, preprocess};
pub use shift::shift_and_cache;

/// Outputs below which a second thread costs more than it brings.
const MIN_OUTPUTS_A_TASK: usize = 16 * 1024;

/// Convolves every channel of `x` `[n, c, h, w]` with its own filter of `weight` `[c, 1, k, k]`;
/// gives `[n, c, h', w']`.
///
/// On the CPU in f32 and without gradients by [`depthwise::depthwise_conv2d`], on a GPU by a kernel that has a backward
/// pass, else by candle's grouped convolution (one convolution a channel: slow, but with a backward pass).
///
/// # Errors
/// If the shapes do not fit each other, the filter does not fit into the padded picture, or the devices
/// or data types differ.
pub fn depthwise_conv2d(x: &Tensor, weight: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
    let (_, channels, height, width) = x.dims4()?;
    let (filters, one, kernel, kernel_width) = weight.dims4()?;
    if filters != channels || one != 1 || kernel != kernel_width || kernel == 0 || stride == 0 {
        bail!(
            "depthwise_conv2d: x is {:?}, so weight must be [{channels}, 1, k, k] with a stride above 0, but it is {:?} with stride {stride}",
            x.dims(),
            weight.dims()
        )
    }
    let shape = DepthwiseShape { channels, height, width, kernel, stride, padding };
    if shape.out_height() == 0 || shape.out_width() == 0 {
        bail!(
            "depthwise_conv2d: a filter {:?} is larger than x {:?} with padding {padding}",
            weight.dims(),
            x.dims()
        )
    }
    if runs_here(x) && runs_here(weight) {
        return x.contiguous()?.apply_op2_no_bwd(&weight.contiguous()?, &Depthwise(shape));
    }
    #[cfg(feature = "cuda")]
    if on_gpu::takes(x)
        && weight.dtype() == x.dtype()
        && fits_kernel_index(x.dim(0)? * channels * shape.out_height() * shape.out_width())
    {
        let pass = crate::cuda::planar::Pass::Forward;
        let op = on_gpu::Depthwise { shape, pass, pictures: x.dim(0)? };
        return x.contiguous()?.apply_op2(&weight.contiguous()?, op);
    }
    x.conv2d(weight, padding, stride, 1, channels)
}

/// Multiplies the channels of every pixel: `x` `[n, c, h, w]` by `weight` `[o, c, 1, 1]` gives `[n, o, h, w]`.
///
/// A 1x1 convolution is a matrix product; as one it is faster than candle's convolution and has candle's
/// backward pass, on every device.
///
/// # Errors
/// If the shapes do not fit each other, or the devices or data types differ.
pub fn pointwise_conv2d(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (n, channels, height, width) = x.dims4()?;
    let (out_channels, weight_channels, one, also_one) = weight.dims4()?;
    if weight_channels != channels || (one, also_one) != (1, 1) {
        bail!(
            "pointwise_conv2d: x is {:?}, so weight must be [o, {channels}, 1, 1], but it is {:?}",
            x.dims(),
            weight.dims()
        )
    }
    let weight = weight.reshape((out_channels, channels))?;
    let x = x.reshape((n, channels, height * width))?;
    let y = weight.broadcast_left(n)?.matmul(&x)?;
    y.reshape((n, out_channels, height, width))
}

/// Adds `bias` `[c]` to the channels of `x` `[n, c, h, w]` and activates.
///
/// NaN stays NaN on the CPU; where candle's operations take over, they turn it into 0.
///
/// # Errors
/// If `bias` is not `[c]`, or the devices or data types differ.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the caller's x ends here; a planned executor may reuse it"
)]
pub fn bias_activation(x: Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let (_, channels, height, width) = x.dims4()?;
    if bias.dims() != [channels] {
        bail!(
            "bias_activation: x is {:?}, so bias must be [{channels}], but it is {:?}",
            x.dims(),
            bias.dims()
        )
    }
    if runs_here(&x) && runs_here(bias) {
        let op = BiasActivation { plane_len: height * width, activation };
        return x.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &op);
    }
    #[cfg(feature = "cuda")]
    if on_gpu::takes(&x) && bias.dtype() == x.dtype() && !x.track_op() && !bias.track_op() {
        let op = on_gpu::Sum { addend: crate::cuda::planar::Addend::Bias, activation };
        return x.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &op);
    }
    activate(&x.broadcast_add(&bias.reshape((1, channels, 1, 1))?)?, activation)
}

/// Adds `residual` to `x` (same shape) and activates.
///
/// NaN as in [`bias_activation`].
///
/// # Errors
/// If the shapes, devices or data types differ.
pub fn add_activation(x: Tensor, residual: &Tensor, activation: Activation) -> Result<Tensor> {
    if x.dims() != residual.dims() {
        bail!("add_activation: x is {:?}, but residual is {:?}", x.dims(), residual.dims())
    }
    if runs_here(&x) && runs_here(residual) {
        return x.contiguous()?.apply_op2_no_bwd(&residual.contiguous()?, &AddActivation(activation));
    }
    #[cfg(feature = "cuda")]
    if on_gpu::takes(&x)
        && residual.dtype() == x.dtype()
        && x.rank() == 4
        && !x.track_op()
        && !residual.track_op()
    {
        let op = on_gpu::Sum { addend: crate::cuda::planar::Addend::Residual, activation };
        return x.contiguous()?.apply_op2_no_bwd(&residual.contiguous()?, &op);
    }
    activate(&(x + residual)?, activation)
}

/// Whether a GPU's kernel, whose indices have 32 bits, reaches this many elements by whole blocks of threads.
fn fits_kernel_index(elements: usize) -> bool {
    const THREADS_A_BLOCK: usize = 1024;
    i32::try_from(elements.saturating_add(THREADS_A_BLOCK)).is_ok()
}

/// Whether a kernel may take this tensor: f32, on the CPU, and in no gradient.
fn runs_here(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32 && !x.track_op()
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0f32, 6f32),
    }
}

/// The values of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    values_as(storage, layout)
}

/// The values of a contiguous tensor of this type.
fn values_as<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let all = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!("the kernels take contiguous tensors only"),
    }
}

struct Depthwise(DepthwiseShape);

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = self.0;
        let n = x_layout.dims()[0];
        let (x, weight) = (values(x, x_layout)?, values(weight, weight_layout)?);
        let (in_plane, taps) = (shape.height * shape.width, shape.kernel * shape.kernel);
        let out_plane = shape.out_height() * shape.out_width();
        let mut y = vec![0.0; n * shape.channels * out_plane];
        let channels = channels_a_task(n * shape.channels, shape.channels, out_plane);
        let part = DepthwiseShape { channels, ..shape };
        y.par_chunks_mut(channels * out_plane).zip(x.par_chunks(channels * in_plane)).enumerate().for_each(
            |(task, (y, x))| {
                let first = task * channels % shape.channels;
                let weight = &weight[first * taps..][..channels * taps];
                depthwise::depthwise_conv2d(&part, x, weight, y);
            },
        );
        Ok((CpuStorage::F32(y), (n, shape.channels, shape.out_height(), shape.out_width()).into()))
    }
}

/// Channels a thread takes at a time: a divisor of `channels`, so that no task spans two pictures.
fn channels_a_task(planes: usize, channels: usize, out_plane: usize) -> usize {
    let threads = rayon::current_num_threads();
    let for_work = MIN_OUTPUTS_A_TASK.div_ceil(out_plane.max(1));
    let for_threads = planes.div_ceil(2 * threads);
    let wish = for_work.max(for_threads).min(channels);
    (wish..=channels).find(|part| channels.is_multiple_of(*part)).unwrap_or(channels).max(1)
}

struct BiasActivation {
    plane_len: usize,
    activation: Activation,
}

impl CustomOp2 for BiasActivation {
    fn name(&self) -> &'static str {
        "bias_activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = values(bias, bias_layout)?;
        let mut y = values(x, x_layout)?.to_vec();
        kernel::bias_activation(&mut y, bias, self.plane_len, self.activation);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }
}

struct AddActivation(Activation);

impl CustomOp2 for AddActivation {
    fn name(&self) -> &'static str {
        "add_activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let residual = values(residual, residual_layout)?;
        let mut y = values(x, x_layout)?.to_vec();
        kernel::residual_activation(&mut y, residual, self.0);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn random(shape: impl Into<Shape>) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    /// The largest difference; both have to have the same shape.
    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        let difference = (a - b).unwrap().abs().unwrap();
        difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn depthwise_gives_what_candle_gives() {
        for (n, c, h, w, k, stride, padding) in [
            (1, 5, 9, 14, 3, 1, 1),
            (3, 4, 15, 14, 3, 2, 1),
            (2, 32, 56, 57, 3, 1, 1),
            (1, 3, 7, 7, 5, 1, 2),
            (2, 6, 1, 1, 3, 2, 1),
        ] {
            let (x, weight) = (random((n, c, h, w)), random((c, 1, k, k)));
            let ours = depthwise_conv2d(&x, &weight, stride, padding).unwrap();
            let candle = x.conv2d(&weight, padding, stride, 1, c).unwrap();
            // Nine products of about 1, summed up in another order.
            assert!(difference(&ours, &candle) < 1e-5, "{n} {c} {h} {w} {k} {stride} {padding}");
        }
    }

    #[test]
    fn views_are_taken_for_what_they_show() {
        let x = random((2, 8, 6, 10)).transpose(2, 3).unwrap().narrow(1, 3, 4).unwrap();
        let weight = random((6, 1, 3, 3)).narrow(0, 1, 4).unwrap();
        let plain = depthwise_conv2d(&x.contiguous().unwrap(), &weight.contiguous().unwrap(), 1, 1).unwrap();
        assert!(difference(&depthwise_conv2d(&x, &weight, 1, 1).unwrap(), &plain) == 0.0);
        let bias = random(8).narrow(0, 2, 4).unwrap();
        let ours = bias_activation(x.clone(), &bias, Activation::Relu).unwrap();
        let candle = x.broadcast_add(&bias.reshape((1, 4, 1, 1)).unwrap()).unwrap().relu().unwrap();
        assert!(difference(&ours, &candle) == 0.0);
    }

    #[test]
    fn pointwise_gives_what_candle_gives() {
        for n in [1, 3] {
            let (x, weight) = (random((n, 24, 5, 7)), random((9, 24, 1, 1)));
            let candle = x.conv2d(&weight, 0, 1, 1, 1).unwrap();
            assert!(difference(&pointwise_conv2d(&x, &weight).unwrap(), &candle) < 1e-4);
        }
    }

    #[test]
    fn sums_and_activations_are_candles_and_leave_their_inputs_alone() {
        let (x, y) = (random((2, 3, 4, 5)), random((2, 3, 4, 5)));
        let (x_before, y_before) = (x.copy().unwrap(), y.copy().unwrap());
        for (activation, expected) in [
            (Activation::None, (&x + &y).unwrap()),
            (Activation::Relu, (&x + &y).unwrap().relu().unwrap()),
            (Activation::Relu6, (&x + &y).unwrap().clamp(0f32, 6f32).unwrap()),
        ] {
            let ours = add_activation(x.clone(), &y, activation).unwrap();
            assert!(difference(&ours, &expected) == 0.0);
        }
        assert!(difference(&x, &x_before) == 0.0 && difference(&y, &y_before) == 0.0);
    }

    #[test]
    fn a_variable_gets_its_gradient() {
        let weight = Var::from_tensor(&random((2, 1, 3, 3))).unwrap();
        let bias = Var::from_tensor(&random(2)).unwrap();
        let y = depthwise_conv2d(&random((1, 2, 6, 6)), &weight, 1, 1).unwrap();
        let y = bias_activation(y, &bias, Activation::Relu6).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&weight).is_some() && gradients.get(&bias).is_some());
    }

    #[test]
    fn other_data_types_take_candles_way() {
        let x = random((1, 4, 6, 6)).to_dtype(DType::F64).unwrap();
        let weight = random((4, 1, 3, 3)).to_dtype(DType::F64).unwrap();
        assert_eq!(depthwise_conv2d(&x, &weight, 1, 1).unwrap().dtype(), DType::F64);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_both() {
        let x = random((1, 4, 6, 6));
        let first_line =
            |result: Result<Tensor>| result.unwrap_err().to_string().lines().next().unwrap().to_owned();
        let error = first_line(depthwise_conv2d(&x, &random((3, 1, 3, 3)), 1, 1));
        assert!(error.contains("[1, 4, 6, 6]") && error.contains("[3, 1, 3, 3]"), "{error}");
        let error = first_line(pointwise_conv2d(&x, &random((3, 5, 1, 1))));
        assert!(error.contains("[o, 4, 1, 1]") && error.contains("[3, 5, 1, 1]"), "{error}");
        let error = first_line(bias_activation(x.clone(), &random(5), Activation::None));
        assert!(error.contains("[4]") && error.contains("[5]"), "{error}");
        assert!(depthwise_conv2d(&x, &random((4, 1, 9, 9)), 1, 1).is_err());
        assert!(depthwise_conv2d(&x, &random((4, 1, 3, 3)), 0, 1).is_err());
    }

    #[test]
    fn tasks_hold_whole_channels_of_one_picture() {
        for (planes, channels, out_plane) in
            [(32, 32, 112 * 112), (960, 960, 49), (8 * 96, 96, 56 * 56), (7, 7, 1), (0, 4, 9)]
        {
            let part = channels_a_task(planes, channels, out_plane);
            assert!(part >= 1 && channels % part == 0, "{planes} {channels} {out_plane}: {part}");
        }
    }
}
