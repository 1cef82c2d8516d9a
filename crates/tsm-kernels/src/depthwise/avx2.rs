//! Depthwise 3x3 convolution with stride 1 or 2, eight outputs of a row a turn.
//!
//! ```text
//! stride 1   x[i ..], x[i+1 ..], x[i+2 ..]                                    ──► 8 sums
//! stride 2   x[2i ..], x[2i+8 ..] ─ shuffle: even (tap 0), odd (tap 1) lanes ─┐
//!            x[2i+2 ..], x[2i+10 ..] ─ shuffle: even lanes (tap 2) ───────────┴─► 8 sums, one permute
//! ```
//!
//! A row's last vector reaches back over outputs already written; a row shorter than a vector is
//! computed whole (the plane has slack behind it) and stored in part.
#![allow(unsafe_code, reason = "vector loads and stores; entered only with an Avx2 proof")]

use std::arch::x86_64::{
    __m256, _mm256_castpd_ps, _mm256_castps_pd, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_permute4x64_pd,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
};

use super::{DepthwiseShape, PaddedPlane};
use crate::cpu_level::Avx2;

const LANES: usize = 8;
const KERNEL: usize = 3;

/// What the last vector of a short row reads beyond the plane: two vectors of a stride-2 row and the taps.
const SLACK: usize = 2 * LANES + KERNEL;

/// Whether this path takes `shape`.
pub(super) fn fits(shape: &DepthwiseShape) -> bool {
    shape.kernel == KERNEL && matches!(shape.stride, 1 | 2)
}

/// As [`super::depthwise_conv2d`], for shapes that [`fits`] takes and slices already checked.
pub(super) fn depthwise_conv2d(_cpu: Avx2, shape: &DepthwiseShape, x: &[f32], weight: &[f32], y: &mut [f32]) {
    debug_assert!(fits(shape));
    match shape.stride {
        // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
        1 => unsafe { planes::<1>(shape, x, weight, y) },
        // SAFETY: as above.
        _ => unsafe { planes::<2>(shape, x, weight, y) },
    }
}

#[target_feature(enable = "avx2,fma")]
fn planes<const STRIDE: usize>(shape: &DepthwiseShape, x: &[f32], weight: &[f32], y: &mut [f32]) {
    let mut padded = PaddedPlane::new(shape, SLACK);
    let out_width = shape.out_width();
    let out_plane = shape.out_height() * out_width;
    let filters = weight.chunks_exact(KERNEL * KERNEL);
    for (c, (y, w)) in y.chunks_exact_mut(out_plane).zip(filters).enumerate() {
        padded.fill(x, c);
        let w: [__m256; 9] = std::array::from_fn(|i| _mm256_set1_ps(w[i]));
        for (oy, y_row) in y.chunks_exact_mut(out_width).enumerate() {
            let rows = [0, 1, 2].map(|ky| padded.row(oy * STRIDE + ky));
            out_row::<STRIDE>(rows, &w, y_row);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn out_row<const STRIDE: usize>(rows: [&[f32]; KERNEL], w: &[__m256; 9], y_row: &mut [f32]) {
    if y_row.len() < LANES {
        let mut lanes = [0.0; LANES];
        store(&mut lanes, eight_sums::<STRIDE>(rows, w, 0));
        y_row.copy_from_slice(&lanes[..y_row.len()]);
        return;
    }
    let last = y_row.len() - LANES;
    for ox in (0..last).step_by(LANES) {
        store(&mut y_row[ox..], eight_sums::<STRIDE>(rows, w, ox));
    }
    store(&mut y_row[last..], eight_sums::<STRIDE>(rows, w, last));
}

/// Outputs `ox .. ox + 8`, taps row by row.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn eight_sums<const STRIDE: usize>(rows: [&[f32]; KERNEL], w: &[__m256; 9], ox: usize) -> __m256 {
    let mut sum = _mm256_setzero_ps();
    for (row, w) in rows.into_iter().zip(w.chunks_exact(KERNEL)) {
        let at = &row[ox * STRIDE..];
        if STRIDE == 1 {
            for (kx, &w) in w.iter().enumerate() {
                sum = _mm256_fmadd_ps(w, load(&at[kx..]), sum);
            }
        } else {
            let (low, high) = (load(at), load(&at[LANES..]));
            let even = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
            let odd = _mm256_shuffle_ps::<0b11_01_11_01>(low, high);
            let next = _mm256_shuffle_ps::<0b10_00_10_00>(load(&at[2..]), load(&at[2 + LANES..]));
            sum = _mm256_fmadd_ps(w[0], even, sum);
            sum = _mm256_fmadd_ps(w[1], odd, sum);
            sum = _mm256_fmadd_ps(w[2], next, sum);
        }
    }
    if STRIDE == 1 {
        return sum;
    }
    // The shuffles work within 128-bit halves and leave the pairs in the order 0 2 1 3.
    _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(sum)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(from: &[f32]) -> __m256 {
    let lanes: &[f32; LANES] = from.first_chunk().expect("the plane's slack covers a whole vector");
    // SAFETY: `lanes` is eight readable floats.
    unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(to: &mut [f32], value: __m256) {
    let lanes: &mut [f32; LANES] = to.first_chunk_mut().expect("eight outputs remain");
    // SAFETY: `lanes` is eight writable floats.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), value) }
}
