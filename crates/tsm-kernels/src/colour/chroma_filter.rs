//! Interpolates chroma bicubically to more columns and rows, as libswscale does by default.
//!
//! ```text
//! stored chroma, 4 x 4 samples around ── horizontal taps ──► 4 values of 15 bits ── vertical taps ──► one of 15
//! ```
//!
//! Samples are centred in the pixels they stand for. The taps are those of the cubic with `a = -0.6`, as
//! integers that sum up to 1; where neither side is filtered the value is only rounded. It only
//! enlarges: 4:4:0 keeps its full chroma columns (libswscale would halve them first). One sample at a time:
//! the pictures of most cameras do not come here.

use std::ops::Range as Span;

use super::rule::{Arithmetic, Rule};
use crate::picture::{Component, Samples};

const TAPS: usize = 4;
const HORIZONTAL_BITS: u32 = 14;
const VERTICAL_BITS: u32 = 12;
/// Bits of a sample between the passes, as libswscale has them.
pub(super) const SAMPLE_BITS: u32 = 15;
const MOST: i32 = (1 << SAMPLE_BITS) - 1;

/// The four weights for one wanted sample, and the stored sample of the first (may be negative).
struct Taps {
    first: isize,
    weights: [i32; TAPS],
}

impl Taps {
    /// For wanted sample `i` of `wanted`, out of `stored`; the weights sum up to `1 << bits`.
    fn new(i: usize, [stored, wanted]: [usize; 2], bits: u32) -> Self {
        let step = ((stored << 16) + (wanted >> 1)) / wanted;
        // In 1/2^17 of a stored sample, between centres.
        let position = signed(2 * i * step + step) - (1 << 16);
        let first = (position >> 17) - 1;
        let fraction = f64::from(i32::try_from(position & 0x1_FFFF).expect("17 bits")) / 131_072.0;
        let distances = [1.0 + fraction, fraction, 1.0 - fraction, 2.0 - fraction];
        Self { first, weights: quantised(distances, bits) }
    }

    /// Sums up the four samples, which `sample` reads; beyond the edge the last one counts on.
    fn sum(&self, stored: usize, sample: impl Fn(usize) -> i32) -> i32 {
        let mut sum = 0;
        for (&weight, at) in self.weights.iter().zip(self.first..) {
            sum += weight * sample(at.max(0).unsigned_abs().min(stored - 1));
        }
        sum
    }
}

/// The cubic at these distances, as integers: the error of each is carried to the next.
fn quantised(distances: [f64; TAPS], bits: u32) -> [i32; TAPS] {
    let mut carried = 0.0;
    distances.map(|d| {
        let wish = cubic(d) * f64::from(1 << bits) + carried;
        let weight = (wish + 0.5).floor();
        carried = wish - weight;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 2^14")]
        {
            weight as i32
        }
    })
}

/// The cubic convolution kernel with a = -0.6 at distance `d` in 0..=2.
fn cubic(d: f64) -> f64 {
    const A: f64 = -0.6;
    if d < 1.0 {
        ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
    } else {
        ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A
    }
}

/// Writes the wanted `columns` of picture row `row` to `out`, 15 bits each; a cubic may overshoot them.
pub(super) fn filtered_row(
    chroma: &Component<'_>,
    samples: Samples,
    rule: &Rule,
    row: usize,
    columns: Span<usize>,
    out: &mut Vec<i32>,
) {
    let vertical = (rule.rows[0] != rule.rows[1]).then(|| Taps::new(row, rule.rows, VERTICAL_BITS));
    let sample = |x: usize, y: usize| samples.fifteen_bits(chroma.from(x, y));
    out.clear();
    if rule.columns[0] == rule.columns[1] {
        out.extend(columns.map(|x| vertically(vertical.as_ref(), rule, row, |y| sample(x, y))));
        return;
    }
    out.extend(columns.map(|x| {
        let taps = Taps::new(x, rule.columns, HORIZONTAL_BITS);
        let across = |y| taps.sum(rule.columns[0], |x| sample(x, y)) >> HORIZONTAL_BITS;
        vertically(vertical.as_ref(), rule, row, |y| across(y).min(MOST))
    }));
}

fn vertically(taps: Option<&Taps>, rule: &Rule, row: usize, sample: impl Fn(usize) -> i32) -> i32 {
    match taps {
        Some(taps) => {
            let half = (1 << (SAMPLE_BITS - 8 + VERTICAL_BITS)) >> 1;
            let sum = taps.sum(rule.rows[0], sample);
            match rule.arithmetic {
                // To whole codes at once: rounded twice, one in a thousand would be a code off.
                Arithmetic::Shifted | Arithmetic::Floored => {
                    (sum + half) >> (SAMPLE_BITS - 8 + VERTICAL_BITS) << (SAMPLE_BITS - 8)
                }
                Arithmetic::Exact => (sum + (1 << (VERTICAL_BITS - 1))) >> VERTICAL_BITS,
            }
        }
        None => sample(row),
    }
}

impl Samples {
    /// The first sample of `data`, scaled to 15 bits.
    pub(super) fn fifteen_bits(self, data: &[u8]) -> i32 {
        match self {
            Self::Eight => i32::from(data[0]) << (SAMPLE_BITS - 8),
            Self::Wide { bits, shift } => {
                let value = i32::from(u16::from_le_bytes([data[0], data[1]])) >> shift;
                // Codes above `bits` bits do not occur; a broken decoder's must not overflow the sums.
                let value = value.min((1 << bits) - 1);
                if bits <= SAMPLE_BITS { value << (SAMPLE_BITS - bits) } else { value >> 1 }
            }
        }
    }
}

/// To the nearest of 8 bits.
pub(super) fn to_eight(fifteen_bits: i32) -> u8 {
    const DROP: u32 = SAMPLE_BITS - 8;
    let level = (fifteen_bits + (1 << (DROP - 1))) >> DROP;
    u8::try_from(level.clamp(0, 255)).expect("clamped to a byte")
}

fn signed(value: usize) -> isize {
    isize::try_from(value).expect("a picture's side times 2^17 fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_up_to_one_at_every_phase() {
        for i in 0..431 {
            assert_eq!(
                Taps::new(i, [216, 431], VERTICAL_BITS).weights.iter().sum::<i32>(),
                1 << VERTICAL_BITS
            );
        }
    }

    #[test]
    fn doubling_lies_a_quarter_beside_the_centres() {
        let taps = Taps::new(2, [4, 8], HORIZONTAL_BITS);
        assert_eq!(taps.first, -1);
        // At 0.75 between the samples 0 and 1.
        assert!(taps.weights[2] > taps.weights[1] && taps.weights[0] < 0, "{:?}", taps.weights);
    }

    #[test]
    fn wide_samples_are_read_where_their_bits_lie() {
        let p010 = Samples::Wide { bits: 10, shift: 6 };
        let plain = Samples::Wide { bits: 10, shift: 0 };
        assert_eq!(p010.fifteen_bits(&(0x2FFu16 << 6).to_le_bytes()), 0x2FF << 5);
        assert_eq!(plain.fifteen_bits(&0x2FFu16.to_le_bytes()), 0x2FF << 5);
        assert_eq!(Samples::Wide { bits: 16, shift: 0 }.fifteen_bits(&[0xFF, 0xFF]), 0x7FFF);
        assert_eq!(to_eight(Samples::Eight.fifteen_bits(&[200])), 200);
    }
}
