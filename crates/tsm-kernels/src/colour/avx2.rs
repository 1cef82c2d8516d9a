//! The `Floored` rule, 32 pixels a turn.
//!
//! ```text
//! 16 u, 16 v ─► i16 ─► three chroma terms ─ each lane twice ─┐
//! 32 y ───────► i16 ─► luma ─────────────────────────────────┴─ add, pack ─► r, g, b ─ weave ─► 96 bytes
//! ```
//!
//! Samples are read as they lie: together, or with others between them that a mask takes away.
//!
//! The unpack and pack instructions work in 128-bit halves; luma and chroma are taken apart the same way,
//! so the pack puts the pixels back in order.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx2 proof")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi16, _mm256_and_si256,
    _mm256_blendv_epi8, _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_cvtepu8_epi16,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_mulhi_epi16, _mm256_mulhrs_epi16,
    _mm256_packus_epi16, _mm256_packus_epi32, _mm256_permute2x128_si256, _mm256_permute4x64_epi64,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16,
    _mm256_sub_epi16, _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpacklo_epi8,
    _mm256_unpacklo_epi16,
};

use super::stored_row::{I420_STEPS, NV12_STEPS, Turn, YUY2_STEPS, turns};
use super::tables::Factors;
use super::weave::{EVERY_THIRD, SPREAD};
use crate::cpu_level::Avx2;

const PIXELS: usize = 32;

/// Converts pixels in turns of 32; returns how many of `rgb` are done. `yuv` begin with a pair, of which the first
/// `skip` (0 or 1) pixels are not wanted. `steps` are the bytes from one sample to the next; for steps that no
/// common format has nothing is done.
pub(super) fn row_of_pairs(
    _cpu: Avx2,
    factors: &Factors,
    yuv: [&[u8]; 3],
    steps: [usize; 3],
    skip: usize,
    rgb: &mut [u8],
) -> usize {
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { with_steps(factors, yuv, steps, skip, rgb) }
}

#[target_feature(enable = "avx2")]
fn with_steps(factors: &Factors, yuv: [&[u8]; 3], steps: [usize; 3], skip: usize, rgb: &mut [u8]) -> usize {
    match steps {
        I420_STEPS => body::<1, 1>(factors, yuv, skip, rgb),
        NV12_STEPS => body::<1, 2>(factors, yuv, skip, rgb),
        YUY2_STEPS => body::<2, 4>(factors, yuv, skip, rgb),
        _ => 0,
    }
}

#[target_feature(enable = "avx2")]
fn body<const LUMA: usize, const CHROMA: usize>(
    factors: &Factors,
    [y, u, v]: [&[u8]; 3],
    skip: usize,
    rgb: &mut [u8],
) -> usize {
    let mut done = 0;
    for Turn { at, wanted, pixels } in turns(skip, rgb.len() / 3, PIXELS) {
        let pairs = at / 2 * CHROMA..(at / 2 + PIXELS / 2) * CHROMA;
        let (Some(y), Some(u), Some(v)) =
            (y.get(at * LUMA..(at + PIXELS) * LUMA), u.get(pairs.clone()), v.get(pairs))
        else {
            break;
        };
        let (u, v) = (centred::<CHROMA>(u), centred::<CHROMA>(v));
        let [low, high] = luma_words::<LUMA>(y).map(|y| luma(factors, y));
        let green = _mm256_add_epi16(term(factors.green_u, u), term(factors.green_v, v));
        let red = channel(low, high, term(factors.red_v, v));
        let green = channel(low, high, green);
        let blue = channel(low, high, term(factors.blue_u, u));
        let rgb = &mut rgb[pixels.start * 3..pixels.end * 3];
        if wanted.len() == PIXELS {
            weave(red, green, blue, rgb);
        } else {
            let mut whole = [0; PIXELS * 3];
            weave(red, green, blue, &mut whole);
            rgb.copy_from_slice(&whole[wanted.start * 3..wanted.end * 3]);
        }
        done = pixels.end;
    }
    done
}

/// Luma of pixels 0 to 7 and 16 to 23, and of 8 to 15 and 24 to 31.
#[target_feature(enable = "avx2")]
#[inline]
fn luma_words<const STEP: usize>(y: &[u8]) -> [__m256i; 2] {
    if STEP == 1 {
        let (y, zero) = (load_32(y), _mm256_setzero_si256());
        return [_mm256_unpacklo_epi8(y, zero), _mm256_unpackhi_epi8(y, zero)];
    }
    let (first, second) = (words::<STEP>(y), words::<STEP>(&y[16 * STEP..]));
    [_mm256_permute2x128_si256::<0x20>(first, second), _mm256_permute2x128_si256::<0x31>(first, second)]
}

/// Sixteen samples, `STEP` (1, 2 or 4) bytes apart.
#[target_feature(enable = "avx2")]
#[inline]
fn words<const STEP: usize>(samples: &[u8]) -> __m256i {
    match STEP {
        1 => _mm256_cvtepu8_epi16(load_16(samples)),
        2 => _mm256_and_si256(load_32(samples), _mm256_set1_epi16(0xFF)),
        _ => {
            let mask = _mm256_set1_epi32(0xFF);
            let [first, second] =
                [&samples[..32], &samples[32..]].map(|samples| _mm256_and_si256(load_32(samples), mask));
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(first, second))
        }
    }
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
fn centred<const STEP: usize>(chroma: &[u8]) -> __m256i {
    _mm256_slli_epi16::<3>(_mm256_sub_epi16(words::<STEP>(chroma), _mm256_set1_epi16(128)))
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
