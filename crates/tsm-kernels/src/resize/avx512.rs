//! The two passes of the resize with products of bytes (VNNI), exact: sixteen rows at once.
//!
//! ```text
//! source rows 0…15, four pixels each ─ shuffle, transpose ─► r g b: lane k is row k, [x0 x1 x2 x3] as bytes
//! horizontal   lanes · three bytes of [w0 w1 w2 w3], summed up over the quads ─► r g b of one output in 16 rows
//!              ─ pack ─► rows 0…3, 4…7, 8…11 and 12…15 as four quads: what the vertical pass takes
//! vertical     quads of four rows, a lane a byte of the output row · the same ─► 32 bytes
//! ```
//!
//! One instruction multiplies and sums up a whole quad, where the AVX2 path takes four.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx512Vnni proof")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_storeu_si128, _mm512_add_epi32, _mm512_broadcast_i32x4,
    _mm512_castsi128_si512, _mm512_cvtusepi32_epi8, _mm512_dpbusd_epi32, _mm512_extracti32x4_epi32,
    _mm512_inserti32x4, _mm512_loadu_si512, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_slli_epi32, _mm512_srai_epi32, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::ops::Range;

use super::passes::{PLANAR_QUADS, RGB, RGB_QUAD, TILE_BYTES};
use super::quads::{Digits, QuadWeights};
use crate::cpu_level::Avx512Vnni;

/// Source rows a strip.
pub(super) const ROWS: usize = 16;
/// Quads of rows in them.
pub(super) const GROUPS: usize = ROWS / 4;
/// Output bytes a vertical turn.
const BYTES: usize = 32;

/// Narrows sixteen source rows into their four quads of ring rows.
pub(super) fn horizontal(
    _cpu: Avx512Vnni,
    weights: &QuadWeights,
    source: [&[u8]; ROWS],
    tile: &mut [[u8; TILE_BYTES]],
    narrow: [&mut [u8]; GROUPS],
) {
    // SAFETY: an `Avx512Vnni` exists only where the CPU has AVX-512 F, BW and VNNI.
    unsafe { horizontal_body(weights, source, tile, narrow) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn horizontal_body(
    weights: &QuadWeights,
    source: [&[u8]; ROWS],
    tile: &mut [[u8; TILE_BYTES]],
    [first_rows, second_rows, third_rows, fourth_rows]: [&mut [u8]; GROUPS],
) {
    let n = weights.an_output();
    for turn in weights.turns() {
        transpose(source, turn.quads.clone(), tile);
        for index in turn.outputs {
            let first = weights.firsts()[index] - turn.quads.start;
            let quads = tile[first * RGB..][..n * RGB].as_chunks().0;
            let [r, g, b] = rgb_of(weights.digits(index), quads);
            let bytes = _mm512_packus_epi16(_mm512_packs_epi32(r, g), _mm512_packs_epi32(b, b));
            // The fourth quad belongs to the next output, which overwrites it.
            let at = index * RGB_QUAD;
            store_16(&mut first_rows[at..], _mm512_extracti32x4_epi32::<0>(bytes));
            store_16(&mut second_rows[at..], _mm512_extracti32x4_epi32::<1>(bytes));
            store_16(&mut third_rows[at..], _mm512_extracti32x4_epi32::<2>(bytes));
            store_16(&mut fourth_rows[at..], _mm512_extracti32x4_epi32::<3>(bytes));
        }
    }
}

/// Writes `quads` of the sixteen rows to `tile`, one after another: red, green, blue.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn transpose(mut source: [&[u8]; ROWS], quads: Range<usize>, tile: &mut [[u8; TILE_BYTES]]) {
    let order = _mm512_broadcast_i32x4(load_16(&PLANAR_QUADS));
    // One length for all, so that one check of the bounds does.
    let len = source[0].len();
    for row in &mut source {
        *row = &row[..len];
    }
    for (quad, rgb) in quads.zip(tile.as_chunks_mut::<RGB>().0) {
        let at = quad * RGB_QUAD;
        let rows = |row: usize| {
            let rows = _mm512_castsi128_si512(load_16(&source[row][at..]));
            let rows = _mm512_inserti32x4::<1>(rows, load_16(&source[row + 4][at..]));
            let rows = _mm512_inserti32x4::<2>(rows, load_16(&source[row + 8][at..]));
            let rows = _mm512_inserti32x4::<3>(rows, load_16(&source[row + 12][at..]));
            _mm512_shuffle_epi8(rows, order)
        };
        let [a, b, c, d] = [rows(0), rows(1), rows(2), rows(3)];
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (blue_ab, blue_cd) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        let [red, green, blue] = rgb;
        store_64(red, _mm512_unpacklo_epi64(ab, cd));
        store_64(green, _mm512_unpackhi_epi64(ab, cd));
        store_64(blue, _mm512_unpacklo_epi64(blue_ab, blue_cd));
    }
}

/// One output of each channel in sixteen rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn rgb_of(weights: &[Digits], quads: &[[[u8; TILE_BYTES]; RGB]]) -> [__m512i; RGB] {
    let mut sums = [Sum::zero(); RGB];
    for (weights, rgb) in weights.iter().zip(quads) {
        let weights = weights.map(|digit| _mm512_set1_epi32(digit));
        for (sum, bytes) in sums.iter_mut().zip(rgb) {
            *sum = sum.add(load_64(bytes), weights);
        }
    }
    sums.map(|sum| sum.level())
}

/// Sums up the ring rows that `group` gives for each quad into `out_row`.
pub(super) fn vertical<'a>(
    _cpu: Avx512Vnni,
    weights: &[Digits],
    group: impl Fn(usize) -> &'a [u8],
    out_row: &mut [u8],
) {
    // SAFETY: an `Avx512Vnni` exists only where the CPU has AVX-512 F, BW and VNNI.
    unsafe { vertical_body(weights, group, out_row) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vertical_body<'a>(weights: &[Digits], group: impl Fn(usize) -> &'a [u8], out_row: &mut [u8]) {
    for (turn, out) in out_row.chunks_mut(BYTES).enumerate() {
        let mut sums = [Sum::zero(); 2];
        for (index, weights) in weights.iter().enumerate() {
            let weights = weights.map(|digit| _mm512_set1_epi32(digit));
            let quads = group(index)[turn * 4 * BYTES..][..4 * BYTES].as_chunks().0;
            for (sum, quads) in sums.iter_mut().zip(quads) {
                *sum = sum.add(load_64(quads), weights);
            }
        }
        let [a, b] = sums.map(|sum| _mm512_cvtusepi32_epi8(sum.level()));
        if out.len() == BYTES {
            store_16(out, a);
            store_16(&mut out[16..], b);
        } else {
            let mut whole = [0; BYTES];
            store_16(&mut whole, a);
            store_16(&mut whole[16..], b);
            out.copy_from_slice(&whole[..out.len()]);
        }
    }
}

/// Sixteen sums of weighted samples; the sum is `(third << 16) + (second << 8) + first`.
#[derive(Clone, Copy)]
struct Sum([__m512i; 3]);

impl Sum {
    /// Half a level, so that the shift rounds.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self([_mm512_set1_epi32(super::weights::HALF), zero, zero])
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn add(self, bytes: __m512i, weights: [__m512i; 3]) -> Self {
        let Self([first, second, third]) = self;
        Self([
            _mm512_dpbusd_epi32(first, bytes, weights[0]),
            _mm512_dpbusd_epi32(second, bytes, weights[1]),
            _mm512_dpbusd_epi32(third, bytes, weights[2]),
        ])
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn level(self) -> __m512i {
        let Self([first, second, third]) = self;
        let upper = _mm512_add_epi32(_mm512_slli_epi32::<8>(third), second);
        let sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(upper), first);
        _mm512_srai_epi32::<{ super::weights::WEIGHT_BITS }>(sum)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn load_16(from: &[u8]) -> __m128i {
    let bytes: &[u8; 16] = from.first_chunk().expect("rows reach four bytes beyond their last quad");
    // SAFETY: `bytes` is sixteen readable bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn load_64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: `bytes` is sixty-four readable bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn store_16(to: &mut [u8], value: __m128i) {
    let bytes: &mut [u8; 16] = to.first_chunk_mut().expect("a ring row has a quad more than its pixels");
    // SAFETY: `bytes` is sixteen writable bytes.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn store_64(bytes: &mut [u8; 64], value: __m512i) {
    // SAFETY: `bytes` is sixty-four writable bytes.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
}
