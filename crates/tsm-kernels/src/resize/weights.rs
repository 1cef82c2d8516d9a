//! The weights of one axis, as Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` make them.
//!
//! ```text
//! output i ──► window of the source [start, end) ──► weights of 22 fractional bits, their sum about 1
//! ```

use std::ops::Range;

/// Fractional bits of a weight: 32 less 8 for the value and 2 for overflow.
pub(super) const WEIGHT_BITS: u32 = 22;

/// Half a level, in sums of weighted values.
pub(super) const HALF: i32 = 1 << (WEIGHT_BITS - 1);

/// For each output of a range, where its window lies and what each source sample counts.
#[derive(Debug, Clone)]
pub(super) struct AxisWeights {
    windows: Vec<Range<usize>>,
    /// Concatenated; those of output `i` begin at `i * most_taps`.
    weights: Vec<i32>,
    most_taps: usize,
    source: Range<usize>,
    unscaled: bool,
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
        Self { windows, weights, most_taps, source: start..end, unscaled: false }
    }

    /// How many outputs.
    pub(super) fn len(&self) -> usize {
        self.windows.len()
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
}

/// A sum of weighted values as a value.
pub(super) fn level(sum: i32) -> u8 {
    let rounded = (sum + HALF) >> WEIGHT_BITS;
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
}
