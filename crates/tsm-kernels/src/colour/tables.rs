//! The arithmetic of the three rules as tables: `rgb = clip(luma[y] + chroma[u or v])`, the scalar meaning.
//!
//! ```text
//!           luma[y]                         red_v[v], green_u[u] + green_v[v], blue_u[u]
//! Floored   round(s · (y - black))          floor(k · (v - 128)), each
//! Shifted   s · (y - black)                 s · floor(k / s · (v - 128)) - 0.89, each then rounded once
//! Exact     s · (y - black)                 k · (v - 128), each                     then rounded once
//! ```
//!
//! s is 255/219 or 1. Entries are fixed point with 16 fractional bits. Where the factors of `Floored` are
//! quantised, they are quantised as libswscale has them, so that its floors fall where its floors fall.

use super::chroma_filter::SAMPLE_BITS;
use super::rule::{Arithmetic, Spread};
use crate::picture::{Matrix, Range};

const FRACTION_BITS: u32 = 16;
const ONE: i64 = 1 << FRACTION_BITS;
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// What a set of tables is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TablesKey {
    pub(super) arithmetic: Arithmetic,
    pub(super) matrix: Matrix,
    pub(super) range: Range,
}

/// The tables of one rule, matrix and range.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) key: TablesKey,
    pub(super) luma: [i32; 256],
    pub(super) red_v: [i32; 256],
    pub(super) green_u: [i32; 256],
    pub(super) green_v: [i32; 256],
    pub(super) blue_u: [i32; 256],
    factors: Factors,
}

/// `Floored` as multiplications of 16-bit numbers, for vector code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    /// Subtracted from luma.
    pub(super) black: i16,
    /// luma = (2 · (y - black) · this + 2^14) >> 15; none where luma is y.
    pub(super) luma: Option<i16>,
    /// term = (8 · (chroma - 128) · this) >> 16.
    pub(super) red_v: i16,
    pub(super) green_u: i16,
    pub(super) green_v: i16,
    pub(super) blue_u: i16,
}

/// 2^14 · 255/219: with two more bits from the doubled input it rounds every luma code right (tested).
const LUMA_LIMITED: i16 = 19077;

impl Factors {
    fn new(matrix: Matrix, range: Range) -> Self {
        // To 13 fractional bits, to the nearest.
        let [red_v, blue_u, green_u, green_v] = chroma_factors(matrix, range)
            .map(|k| i16::try_from((k + 4) >> 3).expect("no chroma factor reaches 4"));
        let (black, luma) = match range {
            Range::Limited => (16, Some(LUMA_LIMITED)),
            Range::Full => (0, None),
        };
        Self { black, luma, red_v, green_u, green_v, blue_u }
    }

    fn luma(&self, y: u8) -> i32 {
        let above_black = i32::from(y) - i32::from(self.black);
        self.luma.map_or(above_black, |k| (2 * above_black * i32::from(k) + (1 << 14)) >> 15)
    }

    fn chroma(k: i16, c: u8) -> i32 {
        (8 * (i32::from(c) - 128) * i32::from(k)) >> 16
    }
}

/// Factors of V in red, U in blue, U in green, V in green, with 16 fractional bits, as libswscale has them.
fn chroma_factors(matrix: Matrix, range: Range) -> [i64; 4] {
    let limited: [i64; 4] = match matrix {
        Matrix::Bt601 => [104_597, 132_201, -25_675, -53_279],
        Matrix::Bt709 => [117_489, 138_438, -13_975, -34_925],
        Matrix::Bt2020 => [110_013, 140_363, -12_277, -42_626],
        Matrix::Fcc => [104_448, 132_798, -24_759, -53_109],
        Matrix::Smpte240m => [117_579, 136_230, -16_907, -35_559],
    };
    match range {
        Range::Limited => limited,
        Range::Full => limited.map(|k| k * 224 / 255),
    }
}

impl Tables {
    pub(super) fn new(key: TablesKey) -> Self {
        let factors = Factors::new(key.matrix, key.range);
        let [red_v, blue_u, green_u, green_v] = chroma_factors(key.matrix, key.range);
        let chroma = |k: i64, floored: i16| {
            table(|c| match key.arithmetic {
                Arithmetic::Floored => i64::from(Factors::chroma(floored, c)) * ONE,
                Arithmetic::Shifted => scaled(shift(k, key.range, c), key.range) - darker(key.range, c),
                Arithmetic::Exact => k * (i64::from(c) - 128),
            })
        };
        let luma = table(|y| match key.arithmetic {
            Arithmetic::Floored => i64::from(factors.luma(y)) * ONE,
            Arithmetic::Shifted | Arithmetic::Exact => {
                scaled(i64::from(y) - i64::from(factors.black), key.range)
            }
        });
        Self {
            key,
            luma,
            red_v: chroma(red_v, factors.red_v),
            green_u: chroma(green_u, factors.green_u),
            green_v: chroma(green_v, factors.green_v),
            blue_u: chroma(blue_u, factors.blue_u),
            factors,
        }
    }

    /// The same as multiplications, where the rule is made of 16-bit ones.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn factors(&self) -> Option<&Factors> {
        (self.key.arithmetic == Arithmetic::Floored).then_some(&self.factors)
    }

    /// Converts a row, the first sample of luma in column `first`, with the chroma of its columns.
    pub(super) fn row(&self, spread: Spread, first: usize, [y, u, v]: [&[u8]; 3], rgb: &mut [u8]) {
        if spread == Spread::Pixels {
            return self.row_of_pixels([y, u, v], rgb);
        }
        // The second half of a pair comes alone.
        let alone = (first % 2).min(y.len());
        let (y_alone, y) = y.split_at(alone);
        let (rgb_alone, rgb) = rgb.split_at_mut(alone * 3);
        self.row_of_pairs([y_alone, u, v], rgb_alone);
        self.row_of_pairs([y, &u[alone..], &v[alone..]], rgb);
    }

    /// Converts a row whose pixels each have a `u` and a `v`.
    fn row_of_pixels(&self, [y, u, v]: [&[u8]; 3], rgb: &mut [u8]) {
        for (((rgb, &y), &u), &v) in rgb.chunks_exact_mut(3).zip(y).zip(u).zip(v) {
            rgb.copy_from_slice(&self.rgb(y, self.chroma(u, v)));
        }
    }

    /// Converts a row whose pixels 2i and 2i + 1 share `u[i]` and `v[i]`.
    fn row_of_pairs(&self, [y, u, v]: [&[u8]; 3], rgb: &mut [u8]) {
        for (((rgb, y), &u), &v) in rgb.chunks_mut(6).zip(y.chunks(2)).zip(u).zip(v) {
            let chroma = self.chroma(u, v);
            for (rgb, &y) in rgb.chunks_exact_mut(3).zip(y) {
                rgb.copy_from_slice(&self.rgb(y, chroma));
            }
        }
    }

    /// Converts a row of 15-bit samples whose pixels each have a `u` and a `v`: `Exact`, without tables.
    pub(super) fn row_of_fine_pixels(&self, [y, u, v]: [&[i32]; 3], rgb: &mut [u8]) {
        const MORE: u32 = SAMPLE_BITS - 8;
        let [red_v, blue_u, green_u, green_v] = chroma_factors(self.key.matrix, self.key.range);
        let black = i64::from(self.factors.black) << MORE;
        for (((rgb, &y), &u), &v) in rgb.chunks_exact_mut(3).zip(y).zip(u).zip(v) {
            let luma = scaled(i64::from(y) - black, self.key.range);
            let (u, v) = (i64::from(u) - (128 << MORE), i64::from(v) - (128 << MORE));
            let sums = [red_v * v, green_u * u + green_v * v, blue_u * u];
            rgb.copy_from_slice(&sums.map(|chroma| {
                let level = (luma + chroma + (ONE << MORE >> 1)) >> (FRACTION_BITS + MORE);
                u8::try_from(level.clamp(0, 255)).expect("clamped to a byte")
            }));
        }
    }

    /// Converts a row without chroma.
    pub(super) fn grey_row(&self, y: &[u8], rgb: &mut [u8]) {
        for (rgb, &y) in rgb.chunks_exact_mut(3).zip(y) {
            rgb.fill(clip(self.luma[usize::from(y)]));
        }
    }

    fn chroma(&self, u: u8, v: u8) -> [i32; 3] {
        let (u, v) = (usize::from(u), usize::from(v));
        [self.red_v[v], self.green_u[u] + self.green_v[v], self.blue_u[u]]
    }

    fn rgb(&self, y: u8, chroma: [i32; 3]) -> [u8; 3] {
        let luma = self.luma[usize::from(y)];
        chroma.map(|chroma| clip(luma + chroma))
    }
}

/// To the nearest level, within 0..=255.
fn clip(value: i32) -> u8 {
    let level = (value + HALF) >> FRACTION_BITS;
    u8::try_from(level.clamp(0, 255)).expect("clamped to a byte")
}

fn table(entry: impl Fn(u8) -> i64) -> [i32; 256] {
    let mut table = [0; 256];
    for (code, slot) in (0u8..=255).zip(&mut table) {
        *slot = i32::try_from(entry(code)).expect("an entry is a level below 1000, times 2^16");
    }
    table
}

/// Luma codes as levels with fractional bits.
fn scaled(codes: i64, range: Range) -> i64 {
    match range {
        Range::Limited => (codes * 255 * ONE + (codes.signum() * 109)) / 219,
        Range::Full => codes * ONE,
    }
}

/// How much darker than the formula this way of libswscale is, halved: its limited-range tables lie 1.78 levels
/// low, greys included. Greys stay exact here, colours meet it half way.
fn darker(range: Range, c: u8) -> i64 {
    if range == Range::Limited && c != 128 { ONE * 89 / 100 } else { 0 }
}

/// By how many luma codes `c` shifts a channel: its distance from 128 times `k`, in codes, rounded down
/// from code 0 on, as libswscale's tables have it.
fn shift(k: i64, range: Range, c: u8) -> i64 {
    let level_a_code = match range {
        Range::Limited => ONE * 255 / 219,
        Range::Full => ONE,
    };
    let k = ((k << 16) + 0x8000) / level_a_code;
    ((i64::from(c) * k) >> 16) - (k >> 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRICES: [Matrix; 5] =
        [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020, Matrix::Fcc, Matrix::Smpte240m];

    fn all() -> impl Iterator<Item = Tables> {
        [Arithmetic::Floored, Arithmetic::Shifted, Arithmetic::Exact].into_iter().flat_map(|arithmetic| {
            MATRICES.into_iter().flat_map(move |matrix| {
                [Range::Limited, Range::Full]
                    .map(|range| Tables::new(TablesKey { arithmetic, matrix, range }))
            })
        })
    }

    #[test]
    fn greys_are_exact_in_every_rule_matrix_and_range() {
        for tables in all() {
            for y in 0u8..=255 {
                let expected = match tables.key.range {
                    Range::Limited => ((f64::from(y) - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0),
                    Range::Full => f64::from(y),
                };
                let rgb = tables.rgb(y, tables.chroma(128, 128));
                assert!(
                    rgb.iter().all(|&c| (f64::from(c) - expected).abs() < 1e-9),
                    "{:?} {y}: {rgb:?}",
                    tables.key
                );
            }
        }
    }

    #[test]
    fn every_rule_stays_near_the_formula() {
        for tables in all() {
            let [red_v, blue_u, green_u, green_v] = chroma_factors(tables.key.matrix, tables.key.range)
                .map(|k| f64::from(i32::try_from(k).unwrap()) / 65536.0);
            let (black, s) = match tables.key.range {
                Range::Limited => (16.0, 255.0 / 219.0),
                Range::Full => (0.0, 1.0),
            };
            let allowed = match tables.key.arithmetic {
                Arithmetic::Exact => 0.51,
                Arithmetic::Floored => 2.9,
                Arithmetic::Shifted => 4.7,
            };
            for (y, u, v) in (0..4913).map(|i| (i / 289 * 15, i / 17 % 17 * 15, i % 17 * 15)) {
                let [y, u, v] = [y, u, v].map(|c| u8::try_from(c).unwrap());
                let luma = s * (f64::from(y) - black);
                let (du, dv) = (f64::from(u) - 128.0, f64::from(v) - 128.0);
                let ideal = [luma + red_v * dv, luma + green_u * du + green_v * dv, luma + blue_u * du];
                for (found, ideal) in tables.rgb(y, tables.chroma(u, v)).into_iter().zip(ideal) {
                    let off = (f64::from(found) - ideal.clamp(0.0, 255.0)).abs();
                    assert!(off <= allowed, "{:?} {y} {u} {v}: {found} for {ideal}", tables.key);
                }
            }
        }
    }
}
