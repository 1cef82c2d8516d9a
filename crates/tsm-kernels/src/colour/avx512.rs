//! The `Floored` rule, 64 pixels a turn: the steps of the AVX2 path, in vectors twice as wide.
//!
//! ```text
//! 32 u, 32 v ─► i16 ─► three chroma terms ─ each lane twice ─┐
//! 64 y ───────► i16 ─► luma ─────────────────────────────────┴─ add, pack ─► r, g, b ─ weave ─► 192 bytes
//! ```
//!
//! Here, too, unpack and pack work in parts of 128 bits; luma and chroma are taken apart the same way.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx512 proof")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm256_loadu_si256, _mm512_add_epi16, _mm512_and_si512,
    _mm512_broadcast_i32x4, _mm512_cvtepu8_epi16, _mm512_loadu_si512, _mm512_mask_blend_epi8,
    _mm512_mulhi_epi16, _mm512_mulhrs_epi16, _mm512_packus_epi16, _mm512_packus_epi32,
    _mm512_permutex2var_epi64, _mm512_permutexvar_epi64, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_setr_epi64, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i64x2, _mm512_slli_epi16,
    _mm512_storeu_si512, _mm512_sub_epi16, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8,
    _mm512_unpacklo_epi16,
};

use super::stored_row::{I420_STEPS, NV12_STEPS, Turn, YUY2_STEPS, turns};
use super::tables::Factors;
use super::weave::{EVERY_THIRD, SPREAD};
use crate::cpu_level::Avx512;

const PIXELS: usize = 64;

/// Converts pixels in turns of 64; returns how many of `rgb` are done. `yuv` begin with a pair, of which the first
/// `skip` (0 or 1) pixels are not wanted. `steps` are the bytes from one sample to the next; for steps that no
/// common format has nothing is done.
pub(super) fn row_of_pairs(
    _cpu: Avx512,
    factors: &Factors,
    yuv: [&[u8]; 3],
    steps: [usize; 3],
    skip: usize,
    rgb: &mut [u8],
) -> usize {
    // SAFETY: an `Avx512` exists only where the CPU has AVX-512 F and BW.
    unsafe { with_steps(factors, yuv, steps, skip, rgb) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn with_steps(factors: &Factors, yuv: [&[u8]; 3], steps: [usize; 3], skip: usize, rgb: &mut [u8]) -> usize {
    match steps {
        I420_STEPS => body::<1, 1>(factors, yuv, skip, rgb),
        NV12_STEPS => body::<1, 2>(factors, yuv, skip, rgb),
        YUY2_STEPS => body::<2, 4>(factors, yuv, skip, rgb),
        _ => 0,
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
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
        let green = _mm512_add_epi16(term(factors.green_u, u), term(factors.green_v, v));
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

/// Luma of the first eight of each sixteen pixels, and of the other eight.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn luma_words<const STEP: usize>(y: &[u8]) -> [__m512i; 2] {
    if STEP == 1 {
        let (y, zero) = (load_64(y), _mm512_setzero_si512());
        return [_mm512_unpacklo_epi8(y, zero), _mm512_unpackhi_epi8(y, zero)];
    }
    let (first, second) = (words::<STEP>(y), words::<STEP>(&y[32 * STEP..]));
    [
        _mm512_shuffle_i64x2::<0b10_00_10_00>(first, second),
        _mm512_shuffle_i64x2::<0b11_01_11_01>(first, second),
    ]
}

/// Thirty-two samples, `STEP` (1, 2 or 4) bytes apart.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn words<const STEP: usize>(samples: &[u8]) -> __m512i {
    match STEP {
        1 => _mm512_cvtepu8_epi16(load_32(samples)),
        2 => _mm512_and_si512(load_64(samples), _mm512_set1_epi16(0xFF)),
        _ => {
            let mask = _mm512_set1_epi32(0xFF);
            let [first, second] =
                [&samples[..64], &samples[64..]].map(|samples| _mm512_and_si512(load_64(samples), mask));
            let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            _mm512_permutexvar_epi64(order, _mm512_packus_epi32(first, second))
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn luma(factors: &Factors, y: __m512i) -> __m512i {
    let above_black = _mm512_sub_epi16(y, _mm512_set1_epi16(factors.black));
    match factors.luma {
        Some(k) => _mm512_mulhrs_epi16(_mm512_slli_epi16::<1>(above_black), _mm512_set1_epi16(k)),
        None => above_black,
    }
}

/// 8 · (c - 128) of thirty-two chroma samples.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn centred<const STEP: usize>(chroma: &[u8]) -> __m512i {
    _mm512_slli_epi16::<3>(_mm512_sub_epi16(words::<STEP>(chroma), _mm512_set1_epi16(128)))
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn term(k: i16, centred: __m512i) -> __m512i {
    _mm512_mulhi_epi16(centred, _mm512_set1_epi16(k))
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn channel(low: __m512i, high: __m512i, chroma: __m512i) -> __m512i {
    _mm512_packus_epi16(
        _mm512_add_epi16(low, _mm512_unpacklo_epi16(chroma, chroma)),
        _mm512_add_epi16(high, _mm512_unpackhi_epi16(chroma, chroma)),
    )
}

/// Writes 64 pixels r g b r g b …: three parts of each sixteen pixels, then these in the order of the pixels.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn weave(r: __m512i, g: __m512i, b: __m512i, rgb: &mut [u8]) {
    let r = _mm512_shuffle_epi8(r, all_quarters(&SPREAD[0]));
    let g = _mm512_shuffle_epi8(g, all_quarters(&SPREAD[1]));
    let b = _mm512_shuffle_epi8(b, all_quarters(&SPREAD[2]));
    let pick =
        |zero, one, two| _mm512_mask_blend_epi8(THIRDS[2], _mm512_mask_blend_epi8(THIRDS[1], zero, one), two);
    let (first, second, third) = (pick(r, g, b), pick(g, b, r), pick(b, r, g));
    // Quarter k of each part belongs to pixels 16 k to 16 k + 15; two 64-bit lanes a quarter.
    let stores = [
        (
            first,
            _mm512_setr_epi64(0, 1, 8, 9, 0, 0, 2, 3),
            second,
            third,
            _mm512_setr_epi64(0, 1, 2, 3, 8, 9, 6, 7),
        ),
        (
            second,
            _mm512_setr_epi64(2, 3, 10, 11, 0, 0, 4, 5),
            third,
            first,
            _mm512_setr_epi64(0, 1, 2, 3, 12, 13, 6, 7),
        ),
        (
            third,
            _mm512_setr_epi64(4, 5, 14, 15, 0, 0, 6, 7),
            first,
            second,
            _mm512_setr_epi64(0, 1, 2, 3, 14, 15, 6, 7),
        ),
    ];
    for (out, (a, order_ab, b, c, order_c)) in rgb.chunks_exact_mut(64).zip(stores) {
        let ab = _mm512_permutex2var_epi64(a, order_ab, b);
        store_64(out, _mm512_permutex2var_epi64(ab, order_c, c));
    }
}

/// The bits of the bytes of each third, in all four quarters.
const THIRDS: [u64; 3] = [third(0), third(1), third(2)];

const fn third(phase: usize) -> u64 {
    let mut mask = 0;
    let mut q = 0;
    while q < 16 {
        if EVERY_THIRD[phase][q] != 0 {
            mask |= 1 << q;
        }
        q += 1;
    }
    mask | mask << 16 | mask << 32 | mask << 48
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn all_quarters(bytes: &[u8; 16]) -> __m512i {
    _mm512_broadcast_i32x4(load_16(bytes))
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: `bytes` is sixteen readable bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_32(from: &[u8]) -> __m256i {
    let bytes: &[u8; 32] = from.first_chunk().expect("thirty-two chroma samples a turn");
    // SAFETY: `bytes` is thirty-two readable bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_64(from: &[u8]) -> __m512i {
    let bytes: &[u8; 64] = from.first_chunk().expect("sixty-four luma samples a turn");
    // SAFETY: `bytes` is sixty-four readable bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn store_64(to: &mut [u8], value: __m512i) {
    let bytes: &mut [u8; 64] = to.first_chunk_mut().expect("three times sixty-four bytes a turn");
    // SAFETY: `bytes` is sixty-four writable bytes.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
}
