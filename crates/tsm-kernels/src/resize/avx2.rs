//! The two passes of the resize with 16-bit multiply-adds, exact: eight rows at once.
//!
//! ```text
//! source rows 0…7, four pixels each ─ shuffle, transpose ─► r g b: lane k is row k, [x0 x2] and [x1 x3] as words
//! horizontal   lanes · [w0 w2], [w1 w3], summed up over the quads ─► r g b of one output in eight rows
//!              ─ pack ─► rows 0…3 and rows 4…7 as two quads: what the vertical pass takes
//! vertical     quads of four rows, a lane a byte of the output row · [w0 w2], [w1 w3] ─► 32 bytes
//! ```
//!
//! Rows as lanes need no shuffle while they are summed up, and no lane idles.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx2 proof")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srai_epi32, _mm256_srli_epi16,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64,
};
use std::ops::Range;

use super::passes::{PLANAR_QUADS, RGB, RGB_QUAD, TILE_BYTES};
use super::quads::{LOW_BITS, QuadWeights, Words};
use crate::cpu_level::Avx2;

/// Source rows a strip.
pub(super) const ROWS: usize = 8;
/// Quads of rows in them.
pub(super) const GROUPS: usize = ROWS / 4;
/// Output bytes a vertical turn.
const BYTES: usize = 32;

/// Narrows eight source rows into their two quads of ring rows.
pub(super) fn horizontal(
    _cpu: Avx2,
    weights: &QuadWeights,
    source: [&[u8]; ROWS],
    tile: &mut [[u8; TILE_BYTES]],
    narrow: [&mut [u8]; GROUPS],
) {
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { horizontal_body(weights, source, tile, narrow) }
}

#[target_feature(enable = "avx2")]
fn horizontal_body(
    weights: &QuadWeights,
    source: [&[u8]; ROWS],
    tile: &mut [[u8; TILE_BYTES]],
    [upper, lower]: [&mut [u8]; GROUPS],
) {
    let n = weights.an_output();
    for turn in weights.turns() {
        transpose(source, turn.quads.clone(), tile);
        for index in turn.outputs {
            let first = weights.firsts()[index] - turn.quads.start;
            let quads = tile[first * RGB..][..n * RGB].as_chunks().0;
            let [r, g, b] = rgb_of(weights.words(index), quads);
            let bytes = _mm256_packus_epi16(_mm256_packs_epi32(r, g), _mm256_packs_epi32(b, b));
            // The fourth quad belongs to the next output, which overwrites it.
            store_16(&mut upper[index * RGB_QUAD..], _mm256_castsi256_si128(bytes));
            store_16(&mut lower[index * RGB_QUAD..], _mm256_extracti128_si256::<1>(bytes));
        }
    }
}

/// Writes `quads` of the eight rows to `tile`, one after another: red, green, blue; of each samples 0 and 2 of the
/// rows as words, then 1 and 3.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(mut source: [&[u8]; ROWS], quads: Range<usize>, tile: &mut [[u8; TILE_BYTES]]) {
    let order = _mm256_broadcastsi128_si256(load_16(&PLANAR_QUADS));
    // One length for all, so that one check of the bounds does.
    let len = source[0].len();
    for row in &mut source {
        *row = &row[..len];
    }
    for (quad, rgb) in quads.zip(tile.as_chunks_mut::<RGB>().0) {
        let at = quad * RGB_QUAD;
        let rows = |row: usize| {
            let upper = _mm256_castsi128_si256(load_16(&source[row][at..]));
            let both = _mm256_inserti128_si256::<1>(upper, load_16(&source[row + 4][at..]));
            _mm256_shuffle_epi8(both, order)
        };
        let [a, b, c, d] = [rows(0), rows(1), rows(2), rows(3)];
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (blue_ab, blue_cd) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        let channels = [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(blue_ab, blue_cd),
        ];
        for (words, channel) in rgb.iter_mut().zip(channels) {
            let (even, odd) = words.split_at_mut(TILE_BYTES / 2);
            store_32(even, even_bytes(channel));
            store_32(odd, odd_bytes(channel));
        }
    }
}

/// One output of each channel in eight rows.
#[target_feature(enable = "avx2")]
#[inline]
fn rgb_of(weights: &[Words], quads: &[[[u8; TILE_BYTES]; RGB]]) -> [__m256i; RGB] {
    let mut sums = [Sum::zero(); RGB];
    for (weights, rgb) in weights.iter().zip(quads) {
        let weights = weights.map(|pair| _mm256_set1_epi32(pair));
        for (sum, words) in sums.iter_mut().zip(rgb) {
            let (even, odd) = words.split_at(TILE_BYTES / 2);
            *sum = sum.add(load_32(even), load_32(odd), weights);
        }
    }
    sums.map(|sum| sum.level())
}

/// Sums up the ring rows that `group` gives for each quad into `out_row`.
pub(super) fn vertical<'a>(
    _cpu: Avx2,
    weights: &[Words],
    group: impl Fn(usize) -> &'a [u8],
    out_row: &mut [u8],
) {
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { vertical_body(weights, group, out_row) }
}

#[target_feature(enable = "avx2")]
fn vertical_body<'a>(weights: &[Words], group: impl Fn(usize) -> &'a [u8], out_row: &mut [u8]) {
    for (turn, out) in out_row.chunks_mut(BYTES).enumerate() {
        let mut sums = [Sum::zero(); 4];
        for (index, weights) in weights.iter().enumerate() {
            let weights = weights.map(|pair| _mm256_set1_epi32(pair));
            let quads = group(index)[turn * 4 * BYTES..][..4 * BYTES].as_chunks::<BYTES>().0;
            for (sum, quads) in sums.iter_mut().zip(quads) {
                let quads = load_32(quads);
                *sum = sum.add(even_bytes(quads), odd_bytes(quads), weights);
            }
        }
        let [a, b, c, d] = sums.map(|sum| sum.level());
        let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Each half holds four bytes of each vector: the upper half's belong between them.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(bytes, order);
        if out.len() == BYTES {
            store_32(out, bytes);
        } else {
            let mut whole = [0; BYTES];
            store_32(&mut whole, bytes);
            out.copy_from_slice(&whole[..out.len()]);
        }
    }
}

/// Eight sums of weighted samples; the sum is `(high << 15) + low`.
#[derive(Clone, Copy)]
struct Sum {
    low: __m256i,
    high: __m256i,
}

impl Sum {
    /// Half a level, so that the shift rounds.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn zero() -> Self {
        Self { low: _mm256_set1_epi32(super::weights::HALF), high: _mm256_setzero_si256() }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn add(self, even: __m256i, odd: __m256i, weights: [__m256i; 4]) -> Self {
        let [low_02, low_13, high_02, high_13] = weights;
        let dot = |sum, values, weights| _mm256_add_epi32(sum, _mm256_madd_epi16(values, weights));
        Self {
            low: dot(dot(self.low, even, low_02), odd, low_13),
            high: dot(dot(self.high, even, high_02), odd, high_13),
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn level(self) -> __m256i {
        const LOW: i32 = LOW_BITS.cast_signed();
        const ALL: i32 = super::weights::WEIGHT_BITS.cast_signed();
        _mm256_srai_epi32::<ALL>(_mm256_add_epi32(_mm256_slli_epi32::<LOW>(self.high), self.low))
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn even_bytes(bytes: __m256i) -> __m256i {
    _mm256_and_si256(bytes, _mm256_set1_epi16(0xFF))
}

#[target_feature(enable = "avx2")]
#[inline]
fn odd_bytes(bytes: __m256i) -> __m256i {
    _mm256_srli_epi16::<8>(bytes)
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_16(from: &[u8]) -> __m128i {
    let bytes: &[u8; 16] = from.first_chunk().expect("rows reach four bytes beyond their last quad");
    // SAFETY: `bytes` is sixteen readable bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_32(from: &[u8]) -> __m256i {
    let bytes: &[u8; 32] = from.first_chunk().expect("eight lanes");
    // SAFETY: `bytes` is thirty-two readable bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_16(to: &mut [u8], value: __m128i) {
    let bytes: &mut [u8; 16] = to.first_chunk_mut().expect("a ring row has a quad more than its pixels");
    // SAFETY: `bytes` is sixteen writable bytes.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_32(to: &mut [u8], value: __m256i) {
    let bytes: &mut [u8; 32] = to.first_chunk_mut().expect("eight lanes");
    // SAFETY: `bytes` is thirty-two writable bytes.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value) }
}
