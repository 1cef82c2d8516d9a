//! The innermost functions of one CPU level, chosen when a network is planned.

use std::ops::Range;

use super::depthwise::DepthwiseRow;
use super::layout::LANES;
use super::max_pool::PoolRow;
use super::team::share;
use super::tile::Tile;
use super::vector::Plain;
use super::winograd::{self, Four, TileSide, Two, WinogradFns};
use crate::cpu_level::CpuLevel;
#[cfg(target_arch = "x86_64")]
use crate::cpu_level::{Avx2, Avx512};

/// A [`super::tile::tile`] of some size, compiled for a CPU level.
pub(super) type TileFn = unsafe fn(&Tile<'_>);

/// One output row of a depthwise convolution, compiled for a CPU level.
pub(super) type DepthwiseFn = unsafe fn(&DepthwiseRow);

/// One output row of a max pool, compiled for a CPU level.
pub(super) type PoolFn = unsafe fn(&PoolRow);

/// Blocks of output channels that a tile has at most.
pub(super) const MOST_BLOCKS: usize = 4;

/// The functions of one level. Only a proof of the level makes it, so the CPU can run them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Pixels of the widest tile with 1, 2, 3 and 4 blocks; 0 where there is none.
    pub(super) widest: [usize; MOST_BLOCKS],
    /// Blocks of the tile that does most work a load.
    pub(super) best_blocks: usize,
    /// The tile for pixels so many floats apart, with so many blocks and pixels.
    pub(super) tile: fn(Step, usize, usize) -> TileFn,
    /// Strides 1 and 2.
    pub(super) depthwise: [DepthwiseFn; 2],
    pub(super) max_pool: PoolFn,
    /// Tiles of side 2 and 4.
    pub(super) winograd: [WinogradFns; 2],
}

/// Floats from the input of a pixel to the next pixel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Planar input, stride 2: the first convolution of every network.
    PlanarTwo,
    /// Blocked input, stride 1.
    One,
    /// Blocked input, stride 2.
    Two,
}

impl Step {
    pub(super) const PLANAR_TWO: usize = 2;
    pub(super) const ONE: usize = LANES;
    pub(super) const TWO: usize = 2 * LANES;

    /// The step of so many floats, if there is a kernel for it.
    pub(super) fn of(floats: usize) -> Option<Self> {
        match floats {
            Self::PLANAR_TWO => Some(Self::PlanarTwo),
            Self::ONE => Some(Self::One),
            Self::TWO => Some(Self::Two),
            _ => None,
        }
    }
}

impl Kernels {
    /// The functions of `level`, or of the highest one below it that has some of its own.
    pub(super) fn at(level: CpuLevel) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(cpu) = Avx512::at(level) {
                return super::avx512::kernels(cpu);
            }
            if let Some(cpu) = Avx2::at(level) {
                return super::avx2::kernels(cpu);
            }
        }
        let _ = level;
        plain()
    }

    /// The functions for tiles of a side.
    pub(super) fn winograd(&self, side: TileSide) -> &WinogradFns {
        match side {
            TileSide::Two => &self.winograd[0],
            TileSide::Four => &self.winograd[1],
        }
    }

    /// Parts `blocks` into groups that a tile can have, of equal size but for one, for rows of `width` pixels.
    pub(super) fn groups(&self, blocks: Range<usize>, width: usize) -> impl Iterator<Item = Range<usize>> {
        let count = blocks.len().div_ceil(self.most_blocks(width));
        (0..count).map(move |group| {
            let part = share(blocks.len(), group, count);
            blocks.start + part.start..blocks.start + part.end
        })
    }

    /// Blocks of the tiles for this width: as many as the registers hold beside the pixels.
    pub(super) fn most_blocks(&self, width: usize) -> usize {
        let most = self.widest[self.best_blocks - 1];
        let pixels = width.div_ceil(width.div_ceil(most));
        (1..=MOST_BLOCKS).rev().find(|&blocks| self.widest[blocks - 1] >= pixels).unwrap_or(1)
    }
}

/// A row of pixels by a group of blocks, parted into tiles as evenly as the widest tile allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strip {
    width: usize,
    parts: usize,
    widest: usize,
    /// Of the widest part, and of the others, which are one pixel narrower.
    tiles: [TileFn; 2],
}

impl Strip {
    pub(super) fn new(kernels: &Kernels, step: Step, width: usize, blocks: usize) -> Self {
        let parts = width.div_ceil(kernels.widest[blocks - 1]);
        let widest = width.div_ceil(parts);
        let tiles = [widest, (width / parts).max(1)].map(|pixels| (kernels.tile)(step, blocks, pixels));
        Self { width, parts, widest, tiles }
    }

    /// The pixels of each part, and the tile for them.
    pub(super) fn parts(self) -> impl Iterator<Item = (Range<usize>, TileFn)> {
        (0..self.parts).map(move |part| {
            let pixels = share(self.width, part, self.parts);
            let tile = self.tiles[usize::from(pixels.len() != self.widest)];
            (pixels, tile)
        })
    }
}

/// Pixels of a tile in plain Rust: few, as every CPU has at least sixteen registers of four floats.
const PLAIN_PIXELS: usize = 2;

fn plain() -> Kernels {
    Kernels {
        widest: [PLAIN_PIXELS, 0, 0, 0],
        best_blocks: 1,
        tile: |step, _, pixels| match step {
            Step::PlanarTwo => plain_tile::<{ Step::PLANAR_TWO }>(pixels),
            Step::One => plain_tile::<{ Step::ONE }>(pixels),
            Step::Two => plain_tile::<{ Step::TWO }>(pixels),
        },
        depthwise: [super::depthwise::row::<Plain, 1>, super::depthwise::row::<Plain, 2>],
        max_pool: super::max_pool::row::<Plain>,
        winograd: [
            WinogradFns {
                window: winograd::window::<Plain, Two, 4, 2>,
                outputs: winograd::outputs::<Plain, Two, 4, 2>,
            },
            WinogradFns {
                window: winograd::window::<Plain, Four, 6, 4>,
                outputs: winograd::outputs::<Plain, Four, 6, 4>,
            },
        ],
    }
}

fn plain_tile<const STEP: usize>(pixels: usize) -> TileFn {
    use super::tile::tile;
    let by_pixels: [TileFn; PLAIN_PIXELS] = [tile::<Plain, 1, 1, STEP>, tile::<Plain, 2, 1, STEP>];
    by_pixels[pixels - 1]
}
