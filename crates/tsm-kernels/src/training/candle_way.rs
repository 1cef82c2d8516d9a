//! The training operations as compositions of candle's: on other devices and in other data types.
//!
//! They are differentiable everywhere and slow on a CPU; there our own take their place (and are tested against
//! these in f64).

use candle_core::{D, Result, Tensor};

use super::temporal_shift::TemporalShift;
use crate::bias_activation::Activation;

/// Convolution in `groups`; one of single pixels is a matrix product.
///
/// Candle's backward fails where stride 2 leaves over a column but no row (or the reverse), so the padding is
/// put on, and what no filter reaches is taken off, before.
pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    padding: usize,
    groups: usize,
) -> Result<Tensor> {
    // On a GPU a kernel of ours: candle would take one convolution a channel, forward and backward.
    if x.device().is_cuda() && groups > 1 && weight.dims().first() == Some(&groups) && x.dim(1)? == groups {
        return crate::candle_ops::depthwise_conv2d(x, weight, stride, padding);
    }
    let kernel = weight.dim(2)?;
    if (kernel, padding, groups) == (1, 0, 1) {
        return pointwise(&every(x, stride)?, weight);
    }
    let x = reached(x, D::Minus2, kernel, stride, padding)?;
    let x = reached(&x, D::Minus1, kernel, stride, padding)?;
    x.conv2d(weight, 0, stride, 1, groups)
}

/// A convolution of single pixels, `[o, i, 1, 1]` on `[n, i, h, w]`, as cuBLAS does it best: candle's own would spread
/// `x` out first, and go back by a transposed convolution that is far slower.
///
/// A product a picture copies nothing, but makes each picture a weight gradient of its own and sums them up: `2noi`
/// values to and from memory. One product of all pictures has them side by side, which takes two copies of `x` and `y`
/// there and back, `4nhw(o + i)` values, and has one long sum for the weight's gradient. So the first is for large
/// pictures, the second for the many channels of small ones, whose single products would also be too small for a GPU.
fn pointwise(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let ((n, i, h, w), o) = (x.dims4()?, weight.dim(0)?);
    let weight = weight.reshape((o, i))?;
    if o * i <= 2 * h * w * (o + i) {
        // A broadcast weight is not copied, either: each product begins at the same place.
        return weight.broadcast_left(n)?.matmul(&x.reshape((n, i, h * w))?)?.reshape((n, o, h, w));
    }
    let side_by_side = x.transpose(0, 1)?.reshape((i, n * h * w))?;
    weight.matmul(&side_by_side)?.reshape((o, n, h, w))?.transpose(0, 1)?.contiguous()
}

fn reached(x: &Tensor, axis: D, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let x = if padding > 0 { x.pad_with_zeros(axis, padding, padding)? } else { x.clone() };
    let side = x.dim(axis)?;
    let left_over = (side - kernel) % stride;
    if left_over == 0 { Ok(x) } else { x.narrow(axis, 0, side - left_over)?.contiguous() }
}

/// Mean and biased variance of each channel, `[c]`.
pub(super) fn statistics(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let rows = x.transpose(0, 1)?.flatten_from(1)?;
    let mean = rows.mean_keepdim(1)?;
    let variance = rows.broadcast_sub(&mean)?.sqr()?.mean(1)?;
    Ok((mean.squeeze(1)?, variance))
}

/// `act((x - mean) / sqrt(variance + eps) * weight + bias)` with `[c]` each.
pub(super) fn normalise(
    x: &Tensor,
    [weight, bias, mean, variance]: [&Tensor; 4],
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let per_channel = |t: &Tensor| t.reshape((1, (), 1, 1));
    let scale = (weight / (variance + eps)?.sqrt()?)?;
    let x = x.broadcast_sub(&per_channel(mean)?)?.broadcast_mul(&per_channel(&scale)?)?;
    activate(&x.broadcast_add(&per_channel(bias)?)?, activation)
}

/// The activation.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        // Candle's clamp has its gradient at both ends, PyTorch's ReLU6 none: 6 - relu(6 - relu(x)) is the latter.
        Activation::Relu6 => x.relu()?.affine(-1.0, 6.0)?.relu()?.affine(-1.0, 6.0),
    }
}

/// 3x3 maximum at stride 2, padding 1, as the maximum over nine shifted pictures.
pub(super) fn max_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let lowest = |t: Tensor| t.affine(0.0, f64::from(f32::MIN));
    let ring = |x: &Tensor, axis: D| -> Result<Tensor> {
        let edge = lowest(x.narrow(axis, 0, 1)?.detach())?;
        Tensor::cat(&[&edge, x, &edge, &edge], axis)
    };
    // `cat` takes a plain dimension.
    let padded = ring(&ring(x, D::Minus2)?, D::Minus1)?;
    let (out_h, out_w) = (h.div_ceil(2), w.div_ceil(2));
    let mut best: Option<Tensor> = None;
    for ky in 0..3 {
        for kx in 0..3 {
            let tap = every(&padded.narrow(2, ky, 2 * out_h)?.narrow(3, kx, 2 * out_w)?, 2)?;
            best = Some(match best {
                None => tap,
                Some(best) => best.maximum(&tap)?,
            });
        }
    }
    Ok(best.expect("nine taps"))
}

/// Every `stride`-th row and column, from the first on.
fn every(x: &Tensor, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let (n, c, h, w) = x.dims4()?;
    let (rows, columns) = (h.div_ceil(stride), w.div_ceil(stride));
    let x = x.pad_with_zeros(2, 0, rows * stride - h)?.pad_with_zeros(3, 0, columns * stride - w)?;
    x.contiguous()?
        .reshape((n, c, rows, stride, columns, stride))?
        .narrow(5, 0, 1)?
        .narrow(3, 0, 1)?
        .contiguous()?
        .reshape((n, c, rows, columns))
}

/// The temporal shift.
pub(super) fn temporal_shift(x: &Tensor, segments: usize, shift: &TemporalShift) -> Result<Tensor> {
    let (frames, c, h, w) = x.dims4()?;
    let x = x.reshape((frames / segments, segments, c * h * w))?;
    let plane = h * w;
    let mut parts = Vec::new();
    for (channels, from) in shift.parts(c) {
        let part = x.narrow(2, channels.start * plane, channels.len() * plane)?;
        let nothing = part.narrow(1, 0, 1)?.zeros_like()?;
        parts.push(match from {
            0 => part,
            -1 => Tensor::cat(&[&nothing, &part.narrow(1, 0, segments - 1)?], 1)?,
            _ => Tensor::cat(&[&part.narrow(1, 1, segments - 1)?, &nothing], 1)?,
        });
    }
    Tensor::cat(&parts, 2)?.reshape((frames, c, h, w))
}
