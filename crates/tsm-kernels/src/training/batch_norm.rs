//! Batch normalisation with its activation, with the statistics of the batch or with frozen ones.
//!
//! ```text
//! forward     moments of y (taken by who made y) ─► z = act((y - mean) * scale + bias), left to the reader of z
//! backward    Σ g, Σ g (y - mean) (taken by the reader of z) ─► dweight, dbias
//!             dy = scale (g - Σ g / m - (y - mean) Σ g (y - mean) / (m σ²)), left to the maker of y
//! ```
//!
//! So it touches no activation at all: four passes over memory a layer that the neighbours make on the way.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::candle_way;
use super::feature_map::{Dims, FeatureMap, Host, Norm, Values};
use super::graph::{self, Gradient, GradientCell};
use super::rows::{self, Affine, Correction, Moments};
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;

/// What a batch says about its channels: `[c]` each, outside any gradient.
#[derive(Debug, Clone)]
pub struct BatchStats {
    /// The mean over pictures and pixels.
    pub mean: Tensor,
    /// The variance that normalised the batch: divided by the number of values.
    pub biased_variance: Tensor,
    /// The variance that running statistics take: divided by the number less one (as it is where there is one).
    pub unbiased_variance: Tensor,
}

/// Normalises each channel of `x` `[n, c, h, w]` by the batch's own statistics, scales, shifts and activates.
///
/// `act((x - mean) / sqrt(biased_variance + eps) * weight + bias)`, `weight` and `bias` `[c]`. Gradients of all
/// three, through the statistics as well. The caller keeps the running statistics.
///
/// # Errors
/// If `weight` or `bias` is not `[c]`, `x` holds nothing, or the devices or data types differ.
pub fn batch_norm_train(
    x: &FeatureMap,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    activation: Activation,
) -> Result<(FeatureMap, BatchStats)> {
    let dims = x.dims();
    check(x, "batch_norm_train", &[weight, bias])?;
    if dims.len() == 0 {
        bail!("batch_norm_train: {x:?} holds nothing to take statistics of")
    }
    let settled = x.settled()?;
    match settled.values() {
        Values::Candle(x) => {
            let (mean, variance) = candle_way::statistics(x)?;
            let y = candle_way::normalise(x, [weight, bias, &mean, &variance], eps, activation)?;
            #[expect(clippy::cast_precision_loss, reason = "a count of values")]
            let unbiased = dims.row() as f64 / (dims.row() - 1).max(1) as f64;
            let biased_variance = variance.detach();
            let unbiased_variance = (&biased_variance * unbiased)?;
            let stats = BatchStats { mean: mean.detach(), biased_variance, unbiased_variance };
            Ok((FeatureMap::candle(dims, y), stats))
        }
        Values::Host(host) => {
            let moments = host.moments.clone().unwrap_or_else(|| moments_of(host, dims));
            let stats = statistics(&moments)?;
            let (means, variances): (Vec<f64>, Vec<f64>) =
                moments.iter().map(|m| (m.mean, m.squares / m.count)).unzip();
            let y =
                on_host(host, dims, [weight, bias], (&means, &variances), eps, activation, Statistics::Live)?;
            Ok((y, stats))
        }
    }
}

/// Normalises each channel of `x` `[n, c, h, w]` by given statistics, scales, shifts and activates.
///
/// As [`batch_norm_train`] with `mean` and `variance` `[c]` for the batch's. Gradients of `x`, and of `weight` and
/// `bias` where they want them; none of the statistics.
///
/// # Errors
/// If one of the four is not `[c]`, or the devices or data types differ.
pub fn batch_norm_frozen(
    x: &FeatureMap,
    [weight, bias]: [&Tensor; 2],
    [mean, variance]: [&Tensor; 2],
    eps: f64,
    activation: Activation,
) -> Result<FeatureMap> {
    check(x, "batch_norm_frozen", &[weight, bias, mean, variance])?;
    let settled = x.settled()?;
    match settled.values() {
        Values::Candle(tensor) => {
            let (mean, variance) = (mean.detach(), variance.detach());
            let y = candle_way::normalise(tensor, [weight, bias, &mean, &variance], eps, activation)?;
            Ok(FeatureMap::candle(x.dims(), y))
        }
        Values::Host(host) => {
            let wide = |t: &Tensor| -> Result<Vec<f64>> {
                Ok(graph::parameter(t)?.iter().map(|&value| f64::from(value)).collect())
            };
            let statistics = (wide(mean)?, wide(variance)?);
            let statistics = (&statistics.0[..], &statistics.1[..]);
            on_host(host, x.dims(), [weight, bias], statistics, eps, activation, Statistics::Frozen)
        }
    }
}

fn check(x: &FeatureMap, operation: &str, parameters: &[&Tensor]) -> Result<()> {
    let c = x.dims().c;
    match parameters.iter().find(|parameter| parameter.dims() != [c]) {
        Some(wrong) => {
            bail!("{operation}: x is {x:?}, so all parameters must be [{c}], but one is {:?}", wrong.dims())
        }
        None => Ok(()),
    }
}

/// Where the statistics come from: live ones depend on the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistics {
    Live,
    Frozen,
}

fn moments_of(host: &Host, dims: Dims) -> Vec<Moments> {
    let level = CpuLevel::detected();
    let row = dims.row();
    (0..dims.c).into_par_iter().map(|c| rows::moments(level, &host.values[c * row..(c + 1) * row])).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "statistics are kept in f32")]
fn statistics(moments: &[Moments]) -> Result<BatchStats> {
    let tensor = |value: fn(&Moments) -> f64| {
        let values: Vec<f32> = moments.iter().map(|m| value(m) as f32).collect();
        Tensor::from_vec(values, moments.len(), &Device::Cpu)
    };
    Ok(BatchStats {
        mean: tensor(|m| m.mean)?,
        biased_variance: tensor(|m| m.squares / m.count)?,
        unbiased_variance: tensor(|m| m.squares / (m.count - 1.0).max(1.0))?,
    })
}

/// One channel, as the backward pass needs it.
#[derive(Clone, Copy)]
struct Channel {
    affine: Affine,
    inverse_deviation: f64,
}

#[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
fn channels(weight: &[f32], bias: &[f32], (means, variances): (&[f64], &[f64]), eps: f64) -> Vec<Channel> {
    let statistics = means.iter().zip(variances);
    let parameters = weight.iter().zip(bias);
    let channel = |((&mean, &variance), (&weight, &bias)): ((&f64, &f64), (&f32, &f32))| {
        let inverse_deviation = 1.0 / (variance + eps).sqrt();
        let scale = (f64::from(weight) * inverse_deviation) as f32;
        Channel { affine: Affine { centre: mean as f32, scale, shift: bias }, inverse_deviation }
    };
    statistics.zip(parameters).map(channel).collect()
}

fn on_host(
    host: &Arc<Host>,
    dims: Dims,
    [weight, bias]: [&Tensor; 2],
    statistics: (&[f64], &[f64]),
    eps: f64,
    activation: Activation,
    kind: Statistics,
) -> Result<FeatureMap> {
    let channels = channels(&graph::parameter(weight)?, &graph::parameter(bias)?, statistics, eps);
    let affines = channels.iter().map(|channel| channel.affine).collect();
    let cell = Arc::new(GradientCell::default());
    let (gradient, to, y) = (Arc::clone(&cell), Arc::clone(&host.cell), Arc::clone(&host.values));
    let wants_x = host.wants_gradient();
    let token = graph::token("batch_norm", [&host.token, weight, bias], move || {
        let g = gradient.take()?;
        let (dweight, dbias, corrections) = backward(&channels, &g, dims.row(), kind);
        if wants_x {
            let corrected =
                Gradient { values: g.values, correction: Some((corrections, y)), sums: Vec::new() };
            to.leave(corrected, dims.c);
        }
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, dims.c, &Device::Cpu);
        Ok([Some(graph::blank()?), Some(tensor(dweight)?), Some(tensor(dbias)?)])
    })?;
    let norm = Some(Norm { affines, activation });
    Ok(FeatureMap::host(dims, Host { values: Arc::clone(&host.values), norm, moments: None, token, cell }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "gradients are f32")]
fn backward(
    channels: &[Channel],
    g: &Gradient,
    count: usize,
    kind: Statistics,
) -> (Vec<f32>, Vec<f32>, Vec<Correction>) {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for (channel, sums) in channels.iter().zip(&g.sums) {
        let Affine { centre, scale, .. } = channel.affine;
        let inverse = channel.inverse_deviation;
        let through = if kind == Statistics::Live { f64::from(scale) / count as f64 } else { 0.0 };
        all.0.push((sums.centred * inverse) as f32);
        all.1.push(sums.plain as f32);
        let b = (-through * inverse * inverse * sums.centred) as f32;
        all.2.push(Correction { centre, a: scale, b, c: (-through * sums.plain) as f32 });
    }
    all
}
