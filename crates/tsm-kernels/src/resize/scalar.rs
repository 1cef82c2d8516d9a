//! The two passes of the resize in plain Rust: their meaning.

use super::passes::{RGB, RGB_QUAD};
use super::quads::QUAD;
use super::weights::{AxisWeights, level};

/// Narrows source row `row` of its quad into `narrow`, the ring rows of that quad.
pub(super) fn horizontal(axis: &AxisWeights, source: &[u8], row_in_quad: usize, narrow: &mut [u8]) {
    let first_column = axis.source().start;
    for (index, quads) in narrow.chunks_exact_mut(RGB_QUAD).take(axis.len()).enumerate() {
        let from = &source[(axis.window(index).start - first_column) * RGB..];
        let mut sums = [0; RGB];
        for (&weight, rgb) in axis.of(index).iter().zip(from.chunks_exact(RGB)) {
            for (sum, &value) in sums.iter_mut().zip(rgb) {
                *sum += weight * i32::from(value);
            }
        }
        for (quad, sum) in quads.chunks_exact_mut(QUAD).zip(sums) {
            quad[row_in_quad] = level(sum);
        }
    }
}

/// Sums up ring rows into `out_row`; `sample(tap, at)` reads byte `at` of the row that `weights[tap]` counts.
pub(super) fn vertical(weights: &[i32], sample: impl Fn(usize, usize) -> u8, out_row: &mut [u8]) {
    for (at, out) in out_row.iter_mut().enumerate() {
        let taps = weights.iter().enumerate();
        *out = level(taps.map(|(tap, &weight)| weight * i32::from(sample(tap, at))).sum());
    }
}
