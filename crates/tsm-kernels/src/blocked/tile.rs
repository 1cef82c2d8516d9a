//! The innermost product: a strip of a row's pixels by some blocks of output channels, all sums in registers.
//!
//! ```text
//!                      weights [k][16] of each of NV blocks
//!                           │  one vector each
//!  x: pixel 0, lane k ──►  sum sum      for each segment of the input (a block, or a tap of a filter)
//!     pixel 1, lane k ──►  sum sum        for each lane k of it
//!       ⋮      (STEP apart) ⋮   ⋮           for MR pixels: one float, to all lanes
//!     pixel MR-1      ──►  sum sum            for NV blocks: sum += x * weight
//!                           │
//!                  + bias, + residual, clamp ──► y: MR pixels of NV blocks
//! ```
//!
//! A float of the input costs one load for NV multiply-adds of sixteen lanes, a vector of weights one for MR. What
//! the sums begin with is the bias.

use super::layout::LANES;
use super::vector::Vector;

/// A run of input floats that are next to each other: what one pixel's sum goes through in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Which of the tile's two sources it lies in.
    pub(super) source: usize,
    /// Floats from the tile's first pixel.
    pub(super) offset: usize,
    /// Floats of it.
    pub(super) len: usize,
}

/// One call of the innermost product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The first pixel in the input, and in what stands in for its first blocks.
    pub(super) sources: [*const f32; 2],
    pub(super) segments: &'a [Segment],
    /// Of the first output block; [`LANES`] floats for each float of the segments.
    pub(super) weights: *const f32,
    /// Floats from the weights of an output block to the next block's.
    pub(super) weights_block: usize,
    /// Weights that will be needed later: a cache line of them is asked for with each float of the segments.
    pub(super) prefetch: *const f32,
    pub(super) bias: *const f32,
    /// The first pixel of what is added; null where nothing is.
    pub(super) residual: *const f32,
    pub(super) residual_plane: usize,
    pub(super) y: *mut f32,
    pub(super) y_plane: usize,
    /// What the results are held between.
    pub(super) clamp: [f32; 2],
}

/// Computes a tile of `MR` pixels by `NV` blocks; input pixels are `STEP` floats apart.
///
/// # Safety
/// All floats that the picture above touches are readable, those of `y` are this call's alone, and the CPU has
/// the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const STEP: usize>(tile: &Tile<'_>) {
    let mut sums = [[V::splat(0.0); NV]; MR];
    for v in 0..NV {
        // SAFETY: the bias has a vector for each of the tile's blocks.
        let bias = unsafe { V::load(tile.bias.wrapping_add(v * LANES)) };
        for sums in &mut sums {
            sums[v] = bias;
        }
    }
    let (mut weights, mut prefetch) = (tile.weights, tile.prefetch);
    for segment in tile.segments {
        let x = tile.sources[segment.source].wrapping_add(segment.offset);
        for k in 0..segment.len {
            let mut w = [V::splat(0.0); NV];
            for (v, w) in w.iter_mut().enumerate() {
                // SAFETY: each block has a vector of weights for each float of the segments.
                *w = unsafe { V::load(weights.wrapping_add(v * tile.weights_block)) };
            }
            weights = weights.wrapping_add(LANES);
            V::prefetch(prefetch);
            prefetch = prefetch.wrapping_add(LANES);
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the segment lies within the input for each of the tile's pixels.
                let x = V::splat(unsafe { x.wrapping_add(row * STEP + k).read() });
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = x.mul_add(w, *sum);
                }
            }
        }
    }
    // SAFETY: as the caller says.
    unsafe { finish(tile, &sums) }
}

/// Adds the residual, clamps and stores.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn finish<V: Vector, const MR: usize, const NV: usize>(tile: &Tile<'_>, sums: &[[V; NV]; MR]) {
    let [low, high] = tile.clamp.map(V::splat);
    for (row, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let mut sum = sum;
            if !tile.residual.is_null() {
                // SAFETY: the residual has every pixel and block of the tile.
                sum = sum.add(unsafe {
                    V::load(tile.residual.wrapping_add(v * tile.residual_plane + row * LANES))
                });
            }
            let y = high.min(low.max(sum));
            // SAFETY: the tile's outputs are this call's alone.
            unsafe { y.store(tile.y.wrapping_add(v * tile.y_plane + row * LANES)) };
        }
    }
}
