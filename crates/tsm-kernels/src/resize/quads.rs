//! The weights of one axis for vector code, which takes four neighbouring samples in each lane of 32 bits.
//!
//! ```text
//! source    0 1 2 3 │ 4 5 6 7 │ 8 9 …        quads, counted from the first sample that the axis needs
//! window        └───────────────┘
//! weights   0 0 w w │ w w w w │ w w 0 0      0 outside of the window: what stands there is of no account
//! ```
//!
//! A weight of 23 bits fits no multiplication of bytes or 16-bit words, so it is cut up: into two words for
//! `madd` or three bytes for `dpbusd`. Sums of each part, shifted and added, are the scalar twin's sum modulo
//! 2^32, and that sum is below 2^31: the same integer, whatever the length of the window.

use std::ops::Range;

use super::weights::AxisWeights;

/// Samples a lane.
pub(super) const QUAD: usize = 4;

/// Outputs a turn: so many that two turns share few quads, so few that their quads stay in the first cache.
const TURN: usize = 32;

/// Bits of the low word of a weight: it has to stay positive in 16 bits.
pub(super) const LOW_BITS: u32 = 15;

/// Four weights as `high << 15 | low`: low of samples 0 and 2, of 1 and 3, then high of the same. Of each pair
/// the first stands in the low half, so that vector code spreads it with one load.
pub(super) type Words = [i32; 4];

/// Four weights as `third << 16 + second << 8 + first`, signed bytes, those of sample 0 the lowest.
pub(super) type Digits = [i32; 3];

/// For each output of an axis, its first quad and the weights of its quads, as many for each output.
#[derive(Debug, Clone)]
pub(super) struct QuadWeights {
    firsts: Vec<usize>,
    words: Vec<Words>,
    digits: Vec<Digits>,
    an_output: usize,
}

/// Neighbouring outputs and all quads that they need.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) outputs: Range<usize>,
    pub(super) quads: Range<usize>,
}

impl QuadWeights {
    pub(super) fn new(axis: &AxisWeights) -> Self {
        let start = axis.source().start;
        let windows: Vec<_> = (0..axis.len()).map(|i| axis.window(i)).collect();
        let firsts: Vec<_> = windows.iter().map(|window| (window.start - start) / QUAD).collect();
        let quads = |(window, first): (&Range<usize>, &usize)| (window.end - start).div_ceil(QUAD) - first;
        let an_output = windows.iter().zip(&firsts).map(quads).max().unwrap_or(1);
        let mut all = vec![[0; QUAD]; firsts.len() * an_output];
        for (index, quads) in all.chunks_exact_mut(an_output).enumerate() {
            let before = (windows[index].start - start) % QUAD;
            quads.as_flattened_mut()[before..][..windows[index].len()].copy_from_slice(axis.of(index));
        }
        let (words, digits) = all.into_iter().map(|quad| (words(quad), digits(quad))).unzip();
        Self { firsts, words, digits, an_output }
    }

    /// Quads an output.
    pub(super) fn an_output(&self) -> usize {
        self.an_output
    }

    /// The first quad of each output.
    pub(super) fn firsts(&self) -> &[usize] {
        &self.firsts
    }

    /// The weights of output `index` as words.
    pub(super) fn words(&self, index: usize) -> &[Words] {
        &self.words[index * self.an_output..][..self.an_output]
    }

    /// The weights of output `index` as bytes.
    pub(super) fn digits(&self, index: usize) -> &[Digits] {
        &self.digits[index * self.an_output..][..self.an_output]
    }

    /// The outputs in order, a few at a time.
    pub(super) fn turns(&self) -> impl Iterator<Item = Turn> {
        let len = self.firsts.len();
        (0..len).step_by(TURN).map(move |start| {
            let outputs = start..(start + TURN).min(len);
            let quads = self.firsts[start]..self.firsts[outputs.end - 1] + self.an_output;
            Turn { outputs, quads }
        })
    }
}

fn words(weights: [i32; QUAD]) -> Words {
    let pair = |part: [i32; QUAD], k: usize| part[k] | (part[k + 2] << 16);
    let low = weights.map(|weight| weight & ((1 << LOW_BITS) - 1));
    let high = weights.map(|weight| weight >> LOW_BITS);
    [pair(low, 0), pair(low, 1), pair(high, 0), pair(high, 1)]
}

fn digits(mut weights: [i32; QUAD]) -> Digits {
    [0; 3].map(|_: i32| {
        let bytes = weights.map(|weight| weight.to_le_bytes()[0]);
        for (weight, byte) in weights.iter_mut().zip(bytes) {
            *weight = (*weight - i32::from(byte.cast_signed())) >> 8;
        }
        i32::from_le_bytes(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weights of output `i` from its first quad on, put together again.
    fn from_words(quads: &QuadWeights, i: usize) -> Vec<i32> {
        let together = |[low_02, low_13, high_02, high_13]: Words| {
            [(low_02, high_02, 0), (low_13, high_13, 0), (low_02, high_02, 16), (low_13, high_13, 16)]
                .map(|(low, high, up)| (((high >> up) & 0xFFFF) << LOW_BITS) | ((low >> up) & 0xFFFF))
        };
        quads.words(i).iter().flat_map(|&words| together(words)).collect()
    }

    fn from_digits(quads: &QuadWeights, i: usize) -> Vec<i32> {
        let together = |digits: Digits| {
            let bytes = digits.map(|digit| digit.to_le_bytes().map(|byte| i32::from(byte.cast_signed())));
            [0, 1, 2, 3].map(|k| bytes[0][k] + (bytes[1][k] << 8) + (bytes[2][k] << 16))
        };
        quads.digits(i).iter().flat_map(|&digits| together(digits)).collect()
    }

    #[test]
    fn cut_up_weights_put_together_are_the_weights() {
        for (source, scaled, wanted) in
            [(1080, 256, 3..200), (7, 3, 0..3), (3, 7, 1..6), (1, 5, 0..5), (5000, 1, 0..1), (9, 9, 2..5)]
        {
            let axis = AxisWeights::new(source, scaled, wanted);
            let quads = QuadWeights::new(&axis);
            for i in 0..axis.len() {
                let before = axis.window(i).start - axis.source().start - QUAD * quads.firsts()[i];
                let mut expected = vec![0; before];
                expected.extend(axis.of(i));
                expected.resize(QUAD * quads.an_output(), 0);
                assert_eq!(from_words(&quads, i), expected, "{source} to {scaled}, {i}");
                assert_eq!(from_digits(&quads, i), expected, "{source} to {scaled}, {i}");
            }
        }
    }

    #[test]
    fn turns_take_each_output_once_with_its_quads() {
        let axis = AxisWeights::new(1920, 455, 115..339);
        let quads = QuadWeights::new(&axis);
        let mut next = 0;
        for turn in quads.turns() {
            assert_eq!(turn.outputs.start, next);
            next = turn.outputs.end;
            for first in &quads.firsts()[turn.outputs] {
                assert!(turn.quads.start <= *first && first + quads.an_output() <= turn.quads.end);
            }
        }
        assert_eq!(next, 224);
    }
}
