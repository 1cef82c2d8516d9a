//! The weights of one axis, as Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` make them.
//!
//! ```text
//! output i ──► window of the source [start, end) ──► weights of 22 fractional bits, their sum about 1
//!                                                    └─► for vector code: high and low part, 16 bits each
//! ```

use std::ops::Range;

/// Fractional bits of a weight: 32 less 8 for the value and 2 for overflow.
const WEIGHT_BITS: u32 = 22;

/// Bits of the low part of a split weight: it has to stay positive in 16 bits.
const LOW_BITS: u32 = 15;

/// Above this many taps the sum of the low parts could leave 32 bits: 255 · (2^15 - 1) · 256 < 2^31.
const MOST_SPLIT_TAPS: usize = 256;

/// For each output of a range, where its window lies and what each source sample counts.
#[derive(Debug, Clone)]
pub(super) struct AxisWeights {
    windows: Vec<Range<usize>>,
    /// Concatenated; those of output `i` begin at `i * most_taps`.
    weights: Vec<i32>,
    most_taps: usize,
    source: Range<usize>,
    unscaled: bool,
    split: Option<SplitWeights>,
}

/// Weights as `high << 15 | low`, four of each a group, so that 16-bit multiply-adds can take them.
#[derive(Debug, Clone)]
pub(super) struct SplitWeights {
    groups: Vec<SplitGroup>,
    groups_an_output: usize,
}

/// Four weights, split; beyond the window they are 0. Each `i32` holds two parts of 16 bits, the first one low,
/// so that vector code spreads a pair with one load.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SplitGroup {
    pub(super) low: [i32; 2],
    pub(super) high: [i32; 2],
}

impl AxisWeights {
    /// Weights for the `wanted` outputs of scaling `source_len` to `scaled_len`.
    pub(super) fn new(source_len: usize, scaled_len: usize, wanted: Range<usize>) -> Self {
        if source_len == scaled_len {
            let windows = wanted.clone().map(|at| at..at + 1).collect();
            return Self {
                windows,
                weights: vec![1 << WEIGHT_BITS; wanted.len()],
                most_taps: 1,
                source: wanted,
                unscaled: true,
                split: None,
            };
        }
        let taps: Vec<(Range<usize>, Vec<i32>)> = wanted.map(|at| taps(source_len, scaled_len, at)).collect();
        let most_taps = taps.iter().map(|(window, _)| window.len()).max().unwrap_or(1);
        let mut weights = vec![0; taps.len() * most_taps];
        for (row, (_, taps)) in weights.chunks_exact_mut(most_taps).zip(&taps) {
            row[..taps.len()].copy_from_slice(taps);
        }
        let windows: Vec<_> = taps.into_iter().map(|(window, _)| window).collect();
        let start = windows.iter().map(|window| window.start).min().unwrap_or(0);
        let end = windows.iter().map(|window| window.end).max().unwrap_or(0);
        let split = SplitWeights::new(&weights, most_taps);
        Self { windows, weights, most_taps, source: start..end, unscaled: false, split }
    }

    /// Whether this axis keeps its size, so that its pass is left out.
    pub(super) fn is_unscaled(&self) -> bool {
        self.unscaled
    }

    /// All source samples that any output needs.
    pub(super) fn source(&self) -> Range<usize> {
        self.source.clone()
    }

    /// The source samples of output `index`.
    pub(super) fn window(&self, index: usize) -> Range<usize> {
        self.windows[index].clone()
    }

    /// The length of the longest window.
    pub(super) fn most_taps(&self) -> usize {
        self.most_taps
    }

    /// The weights of output `index`, one for each sample of its window.
    pub(super) fn of(&self, index: usize) -> &[i32] {
        &self.weights[index * self.most_taps..][..self.windows[index].len()]
    }

    /// The same for vector code; none if this axis keeps its size or its windows are too long.
    pub(super) fn split(&self) -> Option<&SplitWeights> {
        self.split.as_ref()
    }
}

impl SplitWeights {
    fn new(weights: &[i32], most_taps: usize) -> Option<Self> {
        if most_taps > MOST_SPLIT_TAPS {
            return None;
        }
        let mut groups = Vec::new();
        for row in weights.chunks_exact(most_taps) {
            for four in row.chunks(4) {
                let mut group = SplitGroup::default();
                for (i, &weight) in four.iter().enumerate() {
                    let up = 16 * (i % 2);
                    group.low[i / 2] |= (weight & ((1 << LOW_BITS) - 1)) << up;
                    group.high[i / 2] |= (weight >> LOW_BITS) << up;
                }
                groups.push(group);
            }
        }
        Some(Self { groups, groups_an_output: most_taps.div_ceil(4) })
    }

    /// The groups of output `index`.
    pub(super) fn of(&self, index: usize) -> &[SplitGroup] {
        &self.groups[index * self.groups_an_output..][..self.groups_an_output]
    }
}

/// A sum of weighted values as a value.
pub(super) fn level(sum: i32) -> u8 {
    let rounded = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    u8::try_from(rounded.clamp(0, 255)).expect("clamped to a byte")
}

/// The window and weights of output `at`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides are at most 65535 and positions not negative; truncation is Pillow's rule"
)]
fn taps(source_len: usize, scaled_len: usize, at: usize) -> (Range<usize>, Vec<i32>) {
    let scale = source_len as f64 / scaled_len as f64;
    let support = scale.max(1.0);
    let per_pixel = 1.0 / support;
    let centre = (at as f64 + 0.5) * scale;
    let start = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(source_len);
    let triangle = |x: usize| {
        let distance = ((x as f64 - centre + 0.5) * per_pixel).abs();
        if distance < 1.0 { 1.0 - distance } else { 0.0 }
    };
    let raw: Vec<f64> = (start..end).map(triangle).collect();
    let sum: f64 = raw.iter().sum();
    let one = f64::from(1 << WEIGHT_BITS);
    // Half away from zero; a triangle has no negative weights.
    (start..end, raw.into_iter().map(|w| (0.5 + w / sum * one) as i32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_up_to_one_within_a_unit_a_tap() {
        for (source, scaled) in [(320, 341), (1080, 256), (7, 3), (3, 7), (1, 5), (5, 1)] {
            let axis = AxisWeights::new(source, scaled, 0..scaled);
            for i in 0..scaled {
                let sum: i32 = axis.of(i).iter().sum();
                let off = (sum - (1 << WEIGHT_BITS)).unsigned_abs();
                assert!(usize::try_from(off).unwrap() <= axis.most_taps(), "{source} to {scaled}, {i}");
            }
        }
    }

    #[test]
    fn split_weights_put_together_are_the_weights() {
        let axis = AxisWeights::new(1080, 256, 3..200);
        let split = axis.split().unwrap();
        for i in 0..197 {
            let together = split.of(i).iter().flat_map(|group| {
                [0, 1, 2, 3].map(|k| {
                    let part = |pairs: [i32; 2]| (pairs[k / 2] >> (16 * (k % 2))) & 0xFFFF;
                    (part(group.high) << LOW_BITS) | part(group.low)
                })
            });
            let expected = axis.of(i).iter().copied().chain(std::iter::repeat(0));
            assert!(together.zip(expected).all(|(a, b)| a == b));
        }
    }
}
