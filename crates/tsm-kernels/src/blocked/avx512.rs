//! The kernels compiled for AVX-512: a vector is one register, a tile takes up to 28 of the 32.

use std::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::depthwise::DepthwiseRow;
use super::kernels::{Kernels, Step, TileFn};
use super::max_pool::PoolRow;
use super::tile::Tile;
use super::vector::Vector;
use super::winograd::{self, Four, Outputs, Scheme, Two, Window, WinogradFns};
use crate::cpu_level::Avx512;

#[derive(Debug, Clone, Copy)]
struct Zmm(__m512);

/// Every method runs within the functions below, which are compiled for AVX-512.
impl Vector for Zmm {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above; the caller says that the floats are readable.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch reads nothing, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above; the caller says that the floats are writable.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, sum.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }
}

/// # Safety
/// As [`super::tile::tile`], on a CPU with AVX-512.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn tile<const MR: usize, const NV: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: as the caller says.
    unsafe { super::tile::tile::<Zmm, MR, NV, STEP>(tile) }
}

/// # Safety
/// As [`super::depthwise::row`], on a CPU with AVX-512.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn depthwise<const STRIDE: usize>(row: &DepthwiseRow) {
    // SAFETY: as the caller says.
    unsafe { super::depthwise::row::<Zmm, STRIDE>(row) }
}

/// # Safety
/// As [`super::max_pool::row`], on a CPU with AVX-512.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn max_pool(row: &PoolRow) {
    // SAFETY: as the caller says.
    unsafe { super::max_pool::row::<Zmm>(row) }
}

/// # Safety
/// As [`winograd::window`], on a CPU with AVX-512.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn window<S: Scheme<T, M>, const T: usize, const M: usize>(window: &Window) {
    // SAFETY: as the caller says.
    unsafe { winograd::window::<Zmm, S, T, M>(window) }
}

/// # Safety
/// As [`winograd::outputs`], on a CPU with AVX-512.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn outputs<S: Scheme<T, M>, const T: usize, const M: usize>(outputs: &Outputs) {
    // SAFETY: as the caller says.
    unsafe { winograd::outputs::<Zmm, S, T, M>(outputs) }
}

/// The functions for a CPU that has AVX-512.
pub(super) fn kernels(_cpu: Avx512) -> Kernels {
    Kernels {
        widest: [14, 14, 9, 7],
        best_blocks: 2,
        tile: |step, blocks, pixels| match step {
            Step::PlanarTwo => tile_of::<{ Step::PLANAR_TWO }>(blocks, pixels),
            Step::One => tile_of::<{ Step::ONE }>(blocks, pixels),
            Step::Two => tile_of::<{ Step::TWO }>(blocks, pixels),
        },
        depthwise: [depthwise::<1>, depthwise::<2>],
        max_pool,
        winograd: [
            WinogradFns { window: window::<Two, 4, 2>, outputs: outputs::<Two, 4, 2> },
            WinogradFns { window: window::<Four, 6, 4>, outputs: outputs::<Four, 6, 4> },
        ],
    }
}

fn tile_of<const STEP: usize>(blocks: usize, pixels: usize) -> TileFn {
    let at = pixels - 1;
    match blocks {
        1 => fourteen::<1, STEP>()[at],
        2 => fourteen::<2, STEP>()[at],
        3 => nine::<3, STEP>()[at],
        _ => nine::<4, STEP>()[..7][at],
    }
}

const fn nine<const NV: usize, const STEP: usize>() -> [TileFn; 9] {
    [
        tile::<1, NV, STEP>,
        tile::<2, NV, STEP>,
        tile::<3, NV, STEP>,
        tile::<4, NV, STEP>,
        tile::<5, NV, STEP>,
        tile::<6, NV, STEP>,
        tile::<7, NV, STEP>,
        tile::<8, NV, STEP>,
        tile::<9, NV, STEP>,
    ]
}

const fn fourteen<const NV: usize, const STEP: usize>() -> [TileFn; 14] {
    let [one, two, three, four, five, six, seven, eight, nine] = nine::<NV, STEP>();
    [
        one,
        two,
        three,
        four,
        five,
        six,
        seven,
        eight,
        nine,
        tile::<10, NV, STEP>,
        tile::<11, NV, STEP>,
        tile::<12, NV, STEP>,
        tile::<13, NV, STEP>,
        tile::<14, NV, STEP>,
    ]
}
