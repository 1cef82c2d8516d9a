//! The two passes of the resize with 16-bit multiply-adds, exact.
//!
//! ```text
//! horizontal   [row 0: r0 g0 b0 r1 g1 b1 … │ row 1: …] ─ shuffle ─► [r0 r1 g0 g1 b0 b1 │ …] · [w0 w1 …] ─► r g b │ r g b
//! vertical     rows k and k + 1, byte by byte side by side · [wk wk+1 …]                              ─► sums of 32 bits
//! ```
//!
//! A weight of 23 bits does not fit a 16-bit multiplication, so it is split: sum = (Σ high · x) << 15 + Σ low · x,
//! the same integer as the scalar twin's.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx2 proof")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi32, _mm256_broadcastsi128_si256,
    _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_extract_epi32,
    _mm256_inserti128_si256, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srai_epi32, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

use super::RGB;
use super::weights::{AxisWeights, SplitGroup, SplitWeights};
use crate::cpu_level::Avx2;

/// Output bytes a vertical turn.
const BYTES: usize = 16;

/// Narrows two source rows at once; behind them lies slack for the longest window and a load.
pub(super) fn horizontal(
    _cpu: Avx2,
    axis: &AxisWeights,
    split: &SplitWeights,
    source: [&[u8]; 2],
    narrow: [&mut [u8]; 2],
) {
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { horizontal_body(axis, split, source, narrow) }
}

#[target_feature(enable = "avx2")]
fn horizontal_body(axis: &AxisWeights, split: &SplitWeights, source: [&[u8]; 2], narrow: [&mut [u8]; 2]) {
    let first_column = axis.source().start;
    let taps = [load_both(&TAPS_01), load_both(&TAPS_23)];
    let [narrow_0, narrow_1] = narrow;
    let pixels = narrow_0.chunks_exact_mut(RGB).zip(narrow_1.chunks_exact_mut(RGB));
    for (index, (pixel_0, pixel_1)) in pixels.enumerate() {
        let at = (axis.window(index).start - first_column) * RGB;
        let [row_0, row_1] = source.map(|row| &row[at..]);
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (group, weights) in split.of(index).iter().enumerate() {
            let rows = load_rows(&row_0[12 * group..], &row_1[12 * group..]);
            for (pair, &order) in taps.iter().enumerate() {
                let values = _mm256_shuffle_epi8(rows, order);
                let (l, h) = (_mm256_set1_epi32(weights.low[pair]), _mm256_set1_epi32(weights.high[pair]));
                low = _mm256_add_epi32(low, _mm256_madd_epi16(values, l));
                high = _mm256_add_epi32(high, _mm256_madd_epi16(values, h));
            }
        }
        let levels = levels(low, high);
        let bytes = _mm256_packus_epi16(_mm256_packs_epi32(levels, levels), levels);
        pixel_0.copy_from_slice(&_mm256_extract_epi32::<0>(bytes).to_le_bytes()[..RGB]);
        pixel_1.copy_from_slice(&_mm256_extract_epi32::<4>(bytes).to_le_bytes()[..RGB]);
    }
}

/// Where in sixteen bytes of RGB the samples of taps 0 and 1 stand, as 16-bit pairs a channel; 0x80 gives 0.
const TAPS_01: [u8; 16] = [0, 0x80, 3, 0x80, 1, 0x80, 4, 0x80, 2, 0x80, 5, 0x80, 0x80, 0x80, 0x80, 0x80];
/// The same of taps 2 and 3.
const TAPS_23: [u8; 16] = [6, 0x80, 9, 0x80, 7, 0x80, 10, 0x80, 8, 0x80, 11, 0x80, 0x80, 0x80, 0x80, 0x80];

/// Sums up the rows that `row` gives for each tap into `out_row`; returns the bytes done, the rest is too short.
pub(super) fn vertical<'a>(
    _cpu: Avx2,
    groups: &[SplitGroup],
    row: impl Fn(usize) -> &'a [u8],
    out_row: &mut [u8],
) -> usize {
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { vertical_body(groups, row, out_row) }
}

#[target_feature(enable = "avx2")]
fn vertical_body<'a>(groups: &[SplitGroup], row: impl Fn(usize) -> &'a [u8], out_row: &mut [u8]) -> usize {
    let mut done = 0;
    for out in out_row.chunks_exact_mut(BYTES) {
        let mut low = [_mm256_setzero_si256(); 2];
        let mut high = low;
        for pair in 0..2 * groups.len() {
            let weights = groups[pair / 2];
            let (l, h) =
                (_mm256_set1_epi32(weights.low[pair % 2]), _mm256_set1_epi32(weights.high[pair % 2]));
            let a = _mm256_cvtepu8_epi16(load(&row(2 * pair)[done..]));
            let b = _mm256_cvtepu8_epi16(load(&row(2 * pair + 1)[done..]));
            let values = [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
            for (half, values) in values.into_iter().enumerate() {
                low[half] = _mm256_add_epi32(low[half], _mm256_madd_epi16(values, l));
                high[half] = _mm256_add_epi32(high[half], _mm256_madd_epi16(values, h));
            }
        }
        let words = _mm256_packs_epi32(levels(low[0], high[0]), levels(low[1], high[1]));
        let bytes = _mm256_packus_epi16(words, words);
        // Each 128-bit half holds its eight bytes twice: the first of each, side by side.
        let bytes = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b00_00_10_00>(bytes));
        store(out, bytes);
        done += BYTES;
    }
    done
}

/// (2^21 + (high << 15) + low) >> 22.
#[target_feature(enable = "avx2")]
#[inline]
fn levels(low: __m256i, high: __m256i) -> __m256i {
    let sum = _mm256_add_epi32(_mm256_slli_epi32::<15>(high), low);
    _mm256_srai_epi32::<22>(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 21)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_rows(row_0: &[u8], row_1: &[u8]) -> __m256i {
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(load(row_0)), load(row_1))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_both(bytes: &[u8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(load(bytes))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(from: &[u8]) -> __m128i {
    let bytes: &[u8; 16] = from.first_chunk().expect("rows reach sixteen bytes beyond each tap group");
    // SAFETY: `bytes` is sixteen readable bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(to: &mut [u8], value: __m128i) {
    let bytes: &mut [u8; 16] = to.first_chunk_mut().expect("a turn is sixteen bytes");
    // SAFETY: `bytes` is sixteen writable bytes.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}
