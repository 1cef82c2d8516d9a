//! Which tile a convolution is cut into, and into how many parts its depth.
//!
//! A model of a launch in cycles: waves of blocks over the multiprocessors, each bound by its multiply-adds or, where
//! few blocks share a multiprocessor, by the way from memory for every stretch of depth. Small pictures of one stream
//! thereby get small tiles and many splits, large batches large tiles and none.

use super::buffers::PARTIAL_BLOCKS_AN_SM;
use super::program::Element;

/// A compiled tile of `cuda/conv.cuh`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) threads: u32,
    /// Blocks that fit on a multiprocessor, by their registers.
    resident: usize,
    /// Multiply-adds a cycle of a full multiprocessor.
    rate: f64,
}

/// Those of `cuda/conv.cuh`. The rates are estimates from the shared-memory reads a multiply-add takes, not measured.
const F32_TILES: [Tile; 4] = [
    Tile { name: "128x64", rows: 128, columns: 64, depth: 16, threads: 128, resident: 3, rate: 100.0 },
    Tile { name: "128x32", rows: 128, columns: 32, depth: 16, threads: 128, resident: 4, rate: 80.0 },
    Tile { name: "64x64", rows: 64, columns: 64, depth: 16, threads: 128, resident: 4, rate: 85.0 },
    Tile { name: "32x32", rows: 32, columns: 32, depth: 32, threads: 64, resident: 8, rate: 60.0 },
];

/// Those of `cuda/mma.cuh`: four warps each, by the tensor cores.
const F16_TILES: [Tile; 4] = [
    Tile { name: "128x64", rows: 128, columns: 64, depth: 32, threads: 128, resident: 3, rate: 1000.0 },
    Tile { name: "128x32", rows: 128, columns: 32, depth: 32, threads: 128, resident: 4, rate: 700.0 },
    Tile { name: "64x64", rows: 64, columns: 64, depth: 32, threads: 128, resident: 4, rate: 700.0 },
    Tile { name: "32x32", rows: 32, columns: 32, depth: 32, threads: 128, resident: 8, rate: 350.0 },
];

/// Cycles from asking for a stretch of depth until it can be multiplied.
const STRETCH_CYCLES: f64 = 550.0;
/// Cycles of a block before the first stretch and after the last.
const BLOCK_CYCLES: f64 = 900.0;
/// Cycles to leave partial sums and to find out who is last; and for each split to be added.
const SPLIT_CYCLES: [f64; 2] = [1300.0, 120.0];
const MOST_SPLITS: usize = 32;

/// How a convolution is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) tile: Tile,
    pub(super) splits: usize,
    /// Depth of a split, a multiple of the tile's.
    pub(super) split_depth: usize,
    pub(super) grid: [usize; 3],
}

/// The best cut of a product of `rows` by `depth` by `columns`.
pub(super) fn cut([rows, columns, depth]: [usize; 3], element: Element, multiprocessors: usize) -> Cut {
    let mut best: Option<(f64, Cut)> = None;
    let tiles = match element {
        Element::F32 => F32_TILES,
        Element::F16 => F16_TILES,
    };
    for tile in tiles {
        let tiles = [rows.div_ceil(tile.rows), columns.div_ceil(tile.columns)];
        let stretches = depth.div_ceil(tile.depth);
        for wish in 1..=stretches.min(MOST_SPLITS) {
            let a_split = stretches.div_ceil(wish);
            let splits = stretches.div_ceil(a_split);
            let blocks = tiles[0] * tiles[1] * splits;
            if splits > 1 && blocks > PARTIAL_BLOCKS_AN_SM * multiprocessors {
                break;
            }
            let cycles = cycles(tile, blocks, a_split, splits, multiprocessors);
            if best.is_none_or(|(least, _)| cycles < least) {
                let grid = [tiles[0], tiles[1], splits];
                best = Some((cycles, Cut { tile, splits, split_depth: a_split * tile.depth, grid }));
            }
        }
    }
    best.expect("every tile can be cut without splits").1
}

fn cycles(tile: Tile, blocks: usize, stretches: usize, splits: usize, multiprocessors: usize) -> f64 {
    let wave = |resident: usize| {
        let work = lossless(resident * tile.rows * tile.columns * tile.depth) / tile.rate;
        BLOCK_CYCLES + lossless(stretches) * work.max(STRETCH_CYCLES)
    };
    let a_wave = multiprocessors * tile.resident;
    let (full, rest) = (blocks / a_wave, blocks % a_wave);
    let last = if rest == 0 { 0.0 } else { wave(rest.div_ceil(multiprocessors)) };
    let extra = if splits > 1 { SPLIT_CYCLES[0] + SPLIT_CYCLES[1] * lossless(splits) } else { 0.0 };
    lossless(full) * wave(tile.resident) + last + extra
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn lossless(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_covers_the_whole_product() {
        for (rows, columns, depth) in
            [(1, 1000, 1280), (49, 160, 960), (802_816, 16, 32), (7, 7, 3), (196, 512, 4608)]
        {
            for element in [Element::F32, Element::F16] {
                let cut = cut([rows, columns, depth], element, 132);
                assert!(cut.grid[0] * cut.tile.rows >= rows && cut.grid[1] * cut.tile.columns >= columns);
                assert!(cut.splits * cut.split_depth >= depth && (cut.splits - 1) * cut.split_depth < depth);
                assert!(cut.split_depth.is_multiple_of(cut.tile.depth) && cut.grid[2] == cut.splits);
            }
        }
    }

    #[test]
    fn a_small_picture_is_split_and_a_large_batch_is_not() {
        assert!(cut([49, 160, 960], Element::F32, 132).splits > 3);
        let large = cut([64 * 56 * 56, 144, 24], Element::F32, 132);
        assert!(large.splits == 1 && large.tile.rows == 128);
    }
}
