//! The sum of two activations: where a residual joins its path again.
//!
//! ```text
//! a ─ read (normalise) ─┐                            ┌─► da
//!                       ├─ act(a + b) ─► z;  dz ─ mask ┤      the same memory, unless a normalisation masks it
//! b ─ read (normalise) ─┘                            └─► db
//! ```

use std::sync::Arc;

use candle_core::{Result, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::buffer::Buffer;
use super::candle_way;
use super::feature_map::{Dims, FeatureMap, Host, Values};
use super::graph::{self, GradientCell};
use super::rows;
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;

/// `act(a + b)` of two activations of the same shape.
///
/// # Errors
/// If the shapes or the devices differ.
pub fn add(a: &FeatureMap, b: &FeatureMap, activation: Activation) -> Result<FeatureMap> {
    let dims = a.dims();
    if dims != b.dims() {
        bail!("add: a is {a:?}, but b is {b:?}")
    }
    match (a.values(), b.values()) {
        (Values::Candle(a), Values::Candle(b)) => {
            Ok(FeatureMap::candle(dims, candle_way::activate(&(a + b)?, activation)?))
        }
        (Values::Host(a), Values::Host(b)) => on_host(dims, Arc::clone(a), Arc::clone(b), activation),
        _ => bail!("add: a is {a:?} and b is {b:?}, on two devices"),
    }
}

fn on_host(dims: Dims, a: Arc<Host>, b: Arc<Host>, activation: Activation) -> Result<FeatureMap> {
    let sum = Arc::new(sum(dims, &a, &b, activation));
    let cell = Arc::new(GradientCell::default());
    let (gradient, tokens) = (Arc::clone(&cell), (a.token.clone(), b.token.clone()));
    let saved = (activation != Activation::None).then(|| Arc::clone(&sum));
    let token = graph::token("add", [&tokens.0, &tokens.1, &graph::blank()?], move || {
        let mut dz = gradient.take()?.corrected(dims.c);
        if let Some(z) = saved {
            dz = Arc::new(masked(&dz, &z, activation));
        }
        for side in [a, b].iter().filter(|side| side.wants_gradient()) {
            side.leave_gradient(dims, Arc::clone(&dz));
        }
        Ok([Some(graph::blank()?), Some(graph::blank()?), None])
    })?;
    Ok(FeatureMap::host(dims, Host { values: sum, norm: None, moments: None, token, cell }))
}

/// Floats that a thread adds up at a time: two reads and the result stay in its cache.
const PART: usize = 32 * 1024;

fn sum(dims: Dims, a: &Host, b: &Host, activation: Activation) -> Buffer {
    let level = CpuLevel::detected();
    let mut sum = Buffer::new(dims.len());
    let row = dims.row().max(1);
    sum.par_chunks_mut(row).enumerate().for_each(|(channel, to)| {
        let mut scratch = (Buffer::new(PART.min(row)), Buffer::new(PART.min(row)));
        for (i, to) in to.chunks_mut(PART).enumerate() {
            let first = channel * row + i * PART;
            let a = a.read(level, channel, first, &mut scratch.0[..to.len()]);
            let b = b.read(level, channel, first, &mut scratch.1[..to.len()]);
            rows::sum(level, to, a, b, activation);
        }
    });
    sum
}

fn masked(dz: &[f32], z: &[f32], activation: Activation) -> Buffer {
    let level = CpuLevel::detected();
    let mut g = Buffer::new(dz.len());
    let parts = g.par_chunks_mut(PART).zip(dz.par_chunks(PART)).zip(z.par_chunks(PART));
    parts.for_each(|((g, dz), z)| rows::mask(level, g, dz, z, activation));
    g
}
