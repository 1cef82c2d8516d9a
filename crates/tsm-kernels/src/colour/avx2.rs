//! The `Floored` rule, 32 pixels a turn.
//!
//! ```text
//! 16 u, 16 v ─► i16 ─► three chroma terms ─ each lane twice ─┐
//! 32 y ───────► i16 ─► luma ─────────────────────────────────┴─ add, pack ─► r, g, b ─ weave ─► 96 bytes
//! ```
//!
//! The unpack and pack instructions work in 128-bit halves; luma and chroma are taken apart the same way,
//! so the pack puts the pixels back in order.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx2 proof")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi16, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_mulhi_epi16, _mm256_mulhrs_epi16, _mm256_packus_epi16, _mm256_set1_epi16,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_sub_epi16, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16,
};

use super::tables::Factors;
use crate::cpu_level::Avx2;

const PIXELS: usize = 32;

/// Converts as many whole turns of 32 pixels as the row has; returns the pixels done.
pub(super) fn row_of_pairs(_cpu: Avx2, factors: &Factors, yuv: [&[u8]; 3], rgb: &mut [u8]) -> usize {
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { body(factors, yuv, rgb) }
}

#[target_feature(enable = "avx2")]
fn body(factors: &Factors, [y, u, v]: [&[u8]; 3], rgb: &mut [u8]) -> usize {
    let turns = y.chunks_exact(PIXELS).zip(u.chunks_exact(PIXELS / 2)).zip(v.chunks_exact(PIXELS / 2));
    let mut done = 0;
    for (rgb, ((y, u), v)) in rgb.chunks_exact_mut(3 * PIXELS).zip(turns) {
        let (u, v) = (centred(u), centred(v));
        let y = load_32(y);
        let zero = _mm256_setzero_si256();
        let low = luma(factors, _mm256_unpacklo_epi8(y, zero));
        let high = luma(factors, _mm256_unpackhi_epi8(y, zero));
        let green = _mm256_add_epi16(term(factors.green_u, u), term(factors.green_v, v));
        weave(
            channel(low, high, term(factors.red_v, v)),
            channel(low, high, green),
            channel(low, high, term(factors.blue_u, u)),
            rgb,
        );
        done += PIXELS;
    }
    done
}

#[target_feature(enable = "avx2")]
#[inline]
fn luma(factors: &Factors, y: __m256i) -> __m256i {
    let above_black = _mm256_sub_epi16(y, _mm256_set1_epi16(factors.black));
    match factors.luma {
        Some(k) => _mm256_mulhrs_epi16(_mm256_slli_epi16::<1>(above_black), _mm256_set1_epi16(k)),
        None => above_black,
    }
}

/// 8 · (c - 128) of sixteen chroma samples.
#[target_feature(enable = "avx2")]
#[inline]
fn centred(chroma: &[u8]) -> __m256i {
    let chroma = _mm256_cvtepu8_epi16(load_16(chroma));
    _mm256_slli_epi16::<3>(_mm256_sub_epi16(chroma, _mm256_set1_epi16(128)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn term(k: i16, centred: __m256i) -> __m256i {
    _mm256_mulhi_epi16(centred, _mm256_set1_epi16(k))
}

#[target_feature(enable = "avx2")]
#[inline]
fn channel(low: __m256i, high: __m256i, chroma: __m256i) -> __m256i {
    _mm256_packus_epi16(
        _mm256_add_epi16(low, _mm256_unpacklo_epi16(chroma, chroma)),
        _mm256_add_epi16(high, _mm256_unpackhi_epi16(chroma, chroma)),
    )
}

/// Writes 32 pixels r g b r g b …. In byte q of the j-th 16 bytes of a half stands channel (q + j) % 3, so
/// one shuffle a channel serves all three j, and a selection by q takes from each what is its.
#[target_feature(enable = "avx2")]
#[inline]
fn weave(r: __m256i, g: __m256i, b: __m256i, rgb: &mut [u8]) {
    let r = _mm256_shuffle_epi8(r, both_halves(&SPREAD[0]));
    let g = _mm256_shuffle_epi8(g, both_halves(&SPREAD[1]));
    let b = _mm256_shuffle_epi8(b, both_halves(&SPREAD[2]));
    let (second, third) = (both_halves(&EVERY_THIRD[1]), both_halves(&EVERY_THIRD[2]));
    let pick = |zero, one, two| _mm256_blendv_epi8(_mm256_blendv_epi8(zero, one, second), two, third);
    for (j, part) in [pick(r, g, b), pick(g, b, r), pick(b, r, g)].into_iter().enumerate() {
        store_16(&mut rgb[16 * j..], _mm256_castsi256_si128(part));
        store_16(&mut rgb[48 + 16 * j..], _mm256_extracti128_si256::<1>(part));
    }
}

/// For channel c and byte q: the pixel whose c stands at q, in whichever of the three parts it does.
const SPREAD: [[u8; 16]; 3] = [spread(0), spread(1), spread(2)];

#[expect(clippy::cast_possible_truncation, reason = "pixels 0..16")]
const fn spread(channel: usize) -> [u8; 16] {
    let mut pixels = [0; 16];
    let mut q = 0;
    while q < 16 {
        let part = (channel + 3 - q % 3) % 3;
        pixels[q] = ((16 * part + q) / 3) as u8;
        q += 1;
    }
    pixels
}

/// All ones where q % 3 is the index.
const EVERY_THIRD: [[u8; 16]; 3] = [every_third(0), every_third(1), every_third(2)];

const fn every_third(phase: usize) -> [u8; 16] {
    let mut mask = [0; 16];
    let mut q = phase;
    while q < 16 {
        mask[q] = 0xFF;
        q += 3;
    }
    mask
}

#[target_feature(enable = "avx2")]
#[inline]
fn both_halves(bytes: &[u8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(load_16(bytes))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_16(from: &[u8]) -> __m128i {
    let bytes: &[u8; 16] = from.first_chunk().expect("sixteen chroma samples a turn");
    // SAFETY: `bytes` is sixteen readable bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_32(from: &[u8]) -> __m256i {
    let bytes: &[u8; 32] = from.first_chunk().expect("thirty-two luma samples a turn");
    // SAFETY: `bytes` is thirty-two readable bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_16(to: &mut [u8], value: __m128i) {
    let bytes: &mut [u8; 16] = to.first_chunk_mut().expect("ninety-six bytes a turn");
    // SAFETY: `bytes` is sixteen writable bytes.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}
