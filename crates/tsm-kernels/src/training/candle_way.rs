//! The training operations as compositions of candle's: on other devices and in other data types.
//!
//! They are differentiable everywhere and slow on a CPU; there our own take their place (and are tested against
//! these in f64).

use candle_core::{D, Result, Tensor};

use super::temporal_shift::TemporalShift;
use crate::bias_activation::Activation;

/// Convolution in `groups`.
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
    let x = reached(x, D::Minus2, kernel, stride, padding)?;
    let x = reached(&x, D::Minus1, kernel, stride, padding)?;
    x.conv2d(weight, 0, stride, 1, groups)
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
            let tap = every_second(&padded.narrow(2, ky, 2 * out_h)?.narrow(3, kx, 2 * out_w)?)?;
            best = Some(match best {
                None => tap,
                Some(best) => best.maximum(&tap)?,
            });
        }
    }
    Ok(best.expect("nine taps"))
}

fn every_second(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.contiguous()?
        .reshape((n, c, h / 2, 2, w / 2, 2))?
        .narrow(5, 0, 1)?
        .narrow(3, 0, 1)?
        .contiguous()?
        .reshape((n, c, h / 2, w / 2))
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
