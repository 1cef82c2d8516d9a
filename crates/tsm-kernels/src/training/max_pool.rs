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
        let (mut pixels, pitch) = (Buffer::new(dims.plane()), dims.w + 3);
        // A border that never wins: one row and column before, as many behind as the last output sees.
        let mut framed = Buffer::new((dims.h + 3) * pitch);
        framed.fill(f32::NEG_INFINITY);
        let x = x.read(level, index / dims.n, index * dims.plane(), &mut pixels);
        for (row, framed) in x.chunks_exact(dims.w).zip(framed[pitch..].chunks_exact_mut(pitch)) {
            framed[1..=dims.w].copy_from_slice(row);
        }
        let rows = y.chunks_exact_mut(out.w).zip(winners.chunks_exact_mut(out.w));
        for (oy, (y, winners)) in rows.enumerate() {
            largest(&framed[2 * oy * pitch..], pitch, y, winners);
        }
    });
    (y, winners)
}

/// One row of outputs, from the framed row of their first taps on.
fn largest(framed: &[f32], pitch: usize, y: &mut [f32], winners: &mut [u8]) {
    y.fill(f32::NEG_INFINITY);
    // Where nothing is larger than the border: the middle, which always lies within the plane.
    winners.fill(4);
    for tap in 0..9u8 {
        let row = &framed[usize::from(tap / 3) * pitch + usize::from(tap % 3)..];
        for ((y, winner), &value) in y.iter_mut().zip(&mut *winners).zip(row.iter().step_by(2)) {
            let wins = value > *y || value.is_nan();
            *y = if wins { value } else { *y };
            *winner = if wins { tap } else { *winner };
        }
    }
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
