//! The mean over a picture's pixels, where a network's last activations become features.
//!
//! ```text
//! x [n, c, h, w] ─ read (normalise) ─► mean over h, w ─► tensor [n, c], in candle's graph from here on
//! ```

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::buffer::Buffer;
use super::feature_map::{Dims, FeatureMap, Host, Values};
use super::graph;
use crate::cpu_level::CpuLevel;

/// The mean of each plane of `x` `[n, c, h, w]`, as a tensor `[n, c]` in candle's graph.
///
/// # Errors
/// If a side of `x` is 0.
pub fn global_average_pool(x: &FeatureMap) -> Result<Tensor> {
    let dims = x.dims();
    if dims.plane() == 0 {
        bail!("global_average_pool: {x:?} has no pixels")
    }
    let host = match x.values() {
        Values::Candle(x) => return x.mean((2, 3)),
        Values::Host(host) => Arc::clone(host),
    };
    let means = means(&host, dims);
    let (blank, token) = (graph::blank()?, host.token.clone());
    let shape = Shape::from((dims.n, dims.c));
    graph::node("global_average_pool", [&token, &blank, &blank], (means, shape), move |gradient| {
        let dy = graph::parameter(gradient)?;
        host.leave_gradient(dims, Arc::new(spread(&dy, dims)));
        Ok([Some(graph::blank()?), None, None])
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "means are f32")]
fn means(x: &Host, dims: Dims) -> Vec<f32> {
    let level = CpuLevel::detected();
    let mut by_channel = vec![0.0; dims.c * dims.n];
    by_channel.par_chunks_mut(dims.n.max(1)).enumerate().for_each(|(channel, means)| {
        let mut pixels = Buffer::new(dims.plane());
        for (picture, mean) in means.iter_mut().enumerate() {
            let first = (channel * dims.n + picture) * dims.plane();
            let x = x.read(level, channel, first, &mut pixels);
            *mean = (x.iter().fold(0.0, |sum, &x| sum + f64::from(x)) / dims.plane() as f64) as f32;
        }
    });
    (0..dims.n * dims.c).map(|i| by_channel[i % dims.c * dims.n + i / dims.c]).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a picture's pixels are fewer than 2^24")]
fn spread(dy: &[f32], dims: Dims) -> Buffer {
    let mut dx = Buffer::new(dims.len());
    let share = 1.0 / dims.plane() as f32;
    dx.par_chunks_mut(dims.plane()).enumerate().for_each(|(i, dx)| {
        let (channel, picture) = (i / dims.n, i % dims.n);
        dx.fill(dy[picture * dims.c + channel] * share);
    });
    dx
}
