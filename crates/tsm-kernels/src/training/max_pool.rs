//! The 3x3 maximum at stride 2 and padding 1, as behind the first convolution of a `ResNet`.
//!
//! ```text
//! x plane ─ read (normalise) ─► maximum of 9 ─► y, and which of the 9 it was
//! dy ─► added to that pixel of dx
//! ```
//!
//! Of equal pixels the first one wins, and with it the gradient, as in PyTorch (candle's way shares it). NaN wins.

use std::sync::Arc;

use candle_core::{Result, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::buffer::Buffer;
use super::candle_way;
use super::feature_map::{Dims, FeatureMap, Host, Values};
use super::graph::{self, GradientCell};
use crate::cpu_level::CpuLevel;

/// The largest of each 3x3 pixels of `x` `[n, c, h, w]`, a step of 2 apart; gives `[n, c, ceil(h / 2), ceil(w / 2)]`.
///
/// # Errors
/// If a side of `x` is 0.
pub fn max_pool_3x3_s2_p1(x: &FeatureMap) -> Result<FeatureMap> {
    let dims = x.dims();
    if dims.plane() == 0 {
        bail!("max_pool_3x3_s2_p1: {x:?} has no pixels")
    }
    let out = Dims { h: dims.h.div_ceil(2), w: dims.w.div_ceil(2), ..dims };
    let host = match x.values() {
        Values::Candle(x) => return Ok(FeatureMap::candle(out, candle_way::max_pool(x)?)),
        Values::Host(host) => Arc::clone(host),
    };
    let (values, winners) = forward(&host, dims, out);
    let cell = Arc::new(GradientCell::default());
    let (gradient, token) = (Arc::clone(&cell), host.token.clone());
    let blank = graph::blank()?;
    let token = graph::token("max_pool_3x3_s2_p1", [&token, &blank, &blank], move || {
        let dy = gradient.take()?.corrected(dims.c);
        host.leave_gradient(dims, Arc::new(backward(&dy, &winners, dims, out)));
        Ok([Some(graph::blank()?), None, None])
    })?;
    Ok(FeatureMap::host(out, Host::plain(values, None, token, cell)))
}

fn forward(x: &Host, dims: Dims, out: Dims) -> (Buffer, Vec<u8>) {
    let level = CpuLevel::detected();
    let (mut y, mut winners) = (Buffer::new(out.len()), vec![0; out.len()]);
    let planes = y.par_chunks_mut(out.plane()).zip(winners.par_chunks_mut(out.plane()));
    planes.enumerate().for_each(|(index, (y, winners))| {
        let mut pixels = Buffer::new(dims.plane());
        let x = x.read(level, index / dims.n, index * dims.plane(), &mut pixels);
        let rows = y.chunks_exact_mut(out.w).zip(winners.chunks_exact_mut(out.w));
        for (oy, (y, winners)) in rows.enumerate() {
            for (ox, (y, winner)) in y.iter_mut().zip(winners).enumerate() {
                (*y, *winner) = largest(x, dims, oy, ox);
            }
        }
    });
    (y, winners)
}

fn largest(x: &[f32], dims: Dims, oy: usize, ox: usize) -> (f32, u8) {
    let mut best = (f32::NEG_INFINITY, None);
    for tap in 0..9 {
        let Some(pixel) = pixel(dims, oy, ox, tap) else { continue };
        let value = x[pixel];
        if best.1.is_none() || value > best.0 || value.is_nan() {
            best = (value, Some(tap));
        }
    }
    // The middle tap is always within the plane.
    (best.0, best.1.unwrap_or(4))
}

/// The pixel that tap `tap` of output `(oy, ox)` sees, if it lies within the plane.
fn pixel(dims: Dims, oy: usize, ox: usize, tap: u8) -> Option<usize> {
    let (ky, kx) = (usize::from(tap / 3), usize::from(tap % 3));
    let iy = (2 * oy + ky).checked_sub(1).filter(|&iy| iy < dims.h)?;
    let ix = (2 * ox + kx).checked_sub(1).filter(|&ix| ix < dims.w)?;
    Some(iy * dims.w + ix)
}

fn backward(dy: &[f32], winners: &[u8], dims: Dims, out: Dims) -> Buffer {
    let mut dx = Buffer::new(dims.len());
    let outputs = dy.par_chunks(out.plane()).zip(winners.par_chunks(out.plane()));
    dx.par_chunks_mut(dims.plane()).zip(outputs).for_each(|(dx, (dy, winners))| {
        dx.fill(0.0);
        for (i, (&dy, &winner)) in dy.iter().zip(winners).enumerate() {
            let pixel = pixel(dims, i / out.w, i % out.w, winner);
            dx[pixel.expect("the winner was within the plane")] += dy;
        }
    });
    dx
}
