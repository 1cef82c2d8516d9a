//! The temporal shift of a clip's frames, with its backward: the shift the other way.
//!
//! ```text
//! frames of a clip     t-1     t      t+1
//! from_past             └──────►┐            these channels of frame t are those of t-1; of the first frame 0
//! from_future                   ┌◄─────┘     these are those of t+1; of the last frame 0
//! the rest                      as is
//! ```
//!
//! Source: TSM (arXiv 1811.08383), section 3. Which channels move is the caller's: MIT, Paddle and the causal
//! network differ in that.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::buffer::Buffer;
use super::candle_way;
use super::feature_map::{Dims, FeatureMap, Host, Values};
use super::graph::{self, GradientCell};

/// The channels that move; the others stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporalShift {
    /// Channels that come from the frame before.
    pub from_past: Range<usize>,
    /// Channels that come from the frame behind; empty for a causal shift.
    pub from_future: Range<usize>,
}

impl TemporalShift {
    /// All `channels` in order of channels: where they come from, as frames ahead (-1, 0 or 1).
    pub(super) fn parts(&self, channels: usize) -> Vec<(Range<usize>, i32)> {
        let mut moved = [(self.from_past.clone(), -1), (self.from_future.clone(), 1)];
        moved.sort_by_key(|(range, _)| (range.start, range.end));
        let mut parts = Vec::new();
        let mut at = 0;
        for (range, from) in moved.into_iter().filter(|(range, _)| !range.is_empty()) {
            parts.push((at..range.start, 0));
            at = range.end;
            parts.push((range, from));
        }
        parts.push((at..channels, 0));
        parts.retain(|(range, _)| !range.is_empty());
        parts
    }

    fn fits(&self, channels: usize) -> bool {
        let (past, future) = (&self.from_past, &self.from_future);
        let apart =
            past.is_empty() || future.is_empty() || past.end <= future.start || future.end <= past.start;
        apart && past.end <= channels && future.end <= channels
    }

    /// Where channel `channel` comes from, as frames ahead.
    fn frames_ahead(&self, channel: usize) -> i32 {
        if self.from_past.contains(&channel) { -1 } else { i32::from(self.from_future.contains(&channel)) }
    }
}

/// Shifts `x` `[clips * segments, c, h, w]`, frames of a clip in succession.
///
/// # Errors
/// If the frames are no whole clips, or the shifted channels overlap or are more than `x` has.
pub fn temporal_shift(x: &FeatureMap, segments: usize, shift: &TemporalShift) -> Result<FeatureMap> {
    let dims = x.dims();
    if segments == 0 || !dims.n.is_multiple_of(segments) || !shift.fits(dims.c) {
        bail!("temporal_shift: {shift:?} in clips of {segments} frames does not fit {x:?}")
    }
    let settled = x.settled()?;
    let host = match settled.values() {
        Values::Candle(x) => {
            return Ok(FeatureMap::candle(dims, candle_way::temporal_shift(x, segments, shift)?));
        }
        Values::Host(host) => Arc::clone(host),
    };
    let values = moved(&host.values, dims, segments, |channel| shift.frames_ahead(channel));
    let cell = Arc::new(GradientCell::default());
    let (gradient, token, shift) = (Arc::clone(&cell), host.token.clone(), shift.clone());
    let blank = graph::blank()?;
    let token = graph::token("temporal_shift", [&token, &blank, &blank], move || {
        let dy = gradient.take()?.corrected(dims.c);
        let dx = moved(&dy, dims, segments, |channel| -shift.frames_ahead(channel));
        host.leave_gradient(dims, Arc::new(dx));
        Ok([Some(graph::blank()?), None, None])
    })?;
    Ok(FeatureMap::host(dims, Host::plain(values, None, token, cell)))
}

fn moved(x: &[f32], dims: Dims, segments: usize, frames_ahead: impl Fn(usize) -> i32 + Sync) -> Buffer {
    let mut y = Buffer::new(x.len());
    let (row, plane) = (dims.row().max(1), dims.plane());
    y.par_chunks_mut(row).zip_eq(rayon::slice::ParallelSlice::par_chunks(x, row)).enumerate().for_each(
        |(channel, (y, x))| {
            let clips =
                y.chunks_exact_mut((segments * plane).max(1)).zip(x.chunks_exact((segments * plane).max(1)));
            for (y, x) in clips {
                let rest = y.len() - plane;
                match frames_ahead(channel) {
                    0 => y.copy_from_slice(x),
                    ahead if ahead < 0 => {
                        y[..plane].fill(0.0);
                        y[plane..].copy_from_slice(&x[..rest]);
                    }
                    _ => {
                        y[..rest].copy_from_slice(&x[plane..]);
                        y[rest..].fill(0.0);
                    }
                }
            }
        },
    );
    y
}
