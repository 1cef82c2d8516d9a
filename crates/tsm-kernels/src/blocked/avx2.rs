//! The kernels compiled for AVX2 and FMA: a vector is two registers, a tile takes up to twelve of the sixteen.

use std::arch::x86_64::{
    __m256, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps,
};

use super::depthwise::DepthwiseRow;
use super::kernels::{Kernels, Step, TileFn};
use super::max_pool::PoolRow;
use super::tile::Tile;
use super::vector::Vector;
use super::winograd::{self, Four, Outputs, Scheme, Two, Window, WinogradFns};
use crate::cpu_level::Avx2;

/// Floats of a register.
const HALF: usize = 8;

#[derive(Debug, Clone, Copy)]
struct TwoYmm(__m256, __m256);

/// Every method runs within the functions below, which are compiled for AVX2 and FMA.
impl Vector for TwoYmm {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        let half = unsafe { _mm256_set1_ps(value) };
        Self(half, half)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above; the caller says that sixteen floats are readable.
        let low = unsafe { _mm256_loadu_ps(from) };
        // SAFETY: as above.
        Self(low, unsafe { _mm256_loadu_ps(from.wrapping_add(HALF)) })
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch reads nothing, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above; the caller says that sixteen floats are writable.
        unsafe { _mm256_storeu_ps(to, self.0) };
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to.wrapping_add(HALF), self.1) };
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: see above.
        let low = unsafe { _mm256_fmadd_ps(self.0, factor.0, sum.0) };
        // SAFETY: see above.
        Self(low, unsafe { _mm256_fmadd_ps(self.1, factor.1, sum.1) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        let low = unsafe { _mm256_add_ps(self.0, other.0) };
        // SAFETY: see above.
        Self(low, unsafe { _mm256_add_ps(self.1, other.1) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        let low = unsafe { _mm256_sub_ps(self.0, other.0) };
        // SAFETY: see above.
        Self(low, unsafe { _mm256_sub_ps(self.1, other.1) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        let low = unsafe { _mm256_max_ps(self.0, other.0) };
        // SAFETY: see above.
        Self(low, unsafe { _mm256_max_ps(self.1, other.1) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        let low = unsafe { _mm256_min_ps(self.0, other.0) };
        // SAFETY: see above.
        Self(low, unsafe { _mm256_min_ps(self.1, other.1) })
    }
}

/// # Safety
/// As [`super::tile::tile`], on a CPU with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: as the caller says.
    unsafe { super::tile::tile::<TwoYmm, MR, 1, STEP>(tile) }
}

/// # Safety
/// As [`super::depthwise::row`], on a CPU with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn depthwise<const STRIDE: usize>(row: &DepthwiseRow) {
    // SAFETY: as the caller says.
    unsafe { super::depthwise::row::<TwoYmm, STRIDE>(row) }
}

/// # Safety
/// As [`super::max_pool::row`], on a CPU with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn max_pool(row: &PoolRow) {
    // SAFETY: as the caller says.
    unsafe { super::max_pool::row::<TwoYmm>(row) }
}

/// # Safety
/// As [`winograd::window`], on a CPU with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn window<S: Scheme<T, M>, const T: usize, const M: usize>(window: &Window) {
    // SAFETY: as the caller says.
    unsafe { winograd::window::<TwoYmm, S, T, M>(window) }
}

/// # Safety
/// As [`winograd::outputs`], on a CPU with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn outputs<S: Scheme<T, M>, const T: usize, const M: usize>(outputs: &Outputs) {
    // SAFETY: as the caller says.
    unsafe { winograd::outputs::<TwoYmm, S, T, M>(outputs) }
}

/// The functions for a CPU that has AVX2 and FMA.
pub(super) fn kernels(_cpu: Avx2) -> Kernels {
    Kernels {
        widest: [6, 0, 0, 0],
        best_blocks: 1,
        tile: |step, _, pixels| match step {
            Step::PlanarTwo => tile_of::<{ Step::PLANAR_TWO }>(pixels),
            Step::One => tile_of::<{ Step::ONE }>(pixels),
            Step::Two => tile_of::<{ Step::TWO }>(pixels),
        },
        depthwise: [depthwise::<1>, depthwise::<2>],
        max_pool,
        winograd: [
            WinogradFns { window: window::<Two, 4, 2>, outputs: outputs::<Two, 4, 2> },
            WinogradFns { window: window::<Four, 6, 4>, outputs: outputs::<Four, 6, 4> },
        ],
    }
}

fn tile_of<const STEP: usize>(pixels: usize) -> TileFn {
    let by_pixels: [TileFn; 6] = [
        tile::<1, STEP>,
        tile::<2, STEP>,
        tile::<3, STEP>,
        tile::<4, STEP>,
        tile::<5, STEP>,
        tile::<6, STEP>,
    ];
    by_pixels[pixels - 1]
}
