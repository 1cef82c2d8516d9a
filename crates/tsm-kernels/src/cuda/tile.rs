//! Which tiles a convolution can be cut into, and into how many parts its depth; the likeliest first.
//!
//! A model of a launch in cycles: waves of blocks over the multiprocessors, each bound by its multiply-adds or, where
//! few blocks share a multiprocessor, by the way from memory for every stretch of depth. Small pictures of one stream
//! thereby get small tiles and many splits, large batches large tiles and none. A GPU measures the likeliest of each
//! tile (`tuner.rs`), so the model only has to know what is worth a measurement.

use super::buffers::{PARTIAL_BLOCKS_AN_SM, TILE_FLOATS};
use super::program::Element;

/// Where a product's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Planar frames.
    Frames,
    /// Pixels.
    Pointwise,
    /// Patches of pixels.
    Patches,
    /// Pixels of a depthwise convolution that the loader makes.
    DepthwisePointwise,
}

impl Source {
    /// As the kernels' names begin.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Pointwise => "pointwise",
            Self::Patches => "patches",
            Self::DepthwisePointwise => "depthwise_pointwise",
        }
    }
}

/// A tile of `cuda/conv.cuh`, `cuda/mma.cuh` or `cuda/mma_deep.cuh`, as `cuda/step.cu` compiles it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) threads: u32,
    /// Blocks that fit on a multiprocessor, by their registers; with a depthwise convolution in the loader about half.
    resident: usize,
    /// Multiply-adds a cycle of a full multiprocessor.
    rate: f64,
    /// What it is compiled for.
    sources: &'static [Source],
}

const fn tile(
    name: &'static str,
    [rows, columns, depth]: [usize; 3],
    threads: u32,
    resident: usize,
    rate: f64,
    sources: &'static [Source],
) -> Tile {
    Tile { name, rows, columns, depth, threads, resident, rate, sources }
}

const ALL: &[Source] = &[Source::Frames, Source::Pointwise, Source::Patches, Source::DepthwisePointwise];
const MAPS: &[Source] = &[Source::Pointwise, Source::Patches];

/// The rates are estimates from the instructions of a multiply-add's loop, not measured; `sliced` by several groups of
/// threads a tile.
const F32_TILES: [Tile; 8] = [
    tile("128x128", [128, 128, 8], 256, 2, 110.0, MAPS),
    tile("128x64", [128, 64, 16], 128, 3, 105.0, MAPS),
    tile("128x32", [128, 32, 16], 128, 4, 85.0, ALL),
    tile("64x64", [64, 64, 16], 128, 4, 95.0, ALL),
    tile("32x32", [32, 32, 32], 64, 8, 75.0, ALL),
    tile("64x64_sliced", [64, 64, 32], 256, 2, 95.0, MAPS),
    tile("32x32_sliced", [32, 32, 64], 256, 3, 70.0, ALL),
    tile("16x32_sliced", [16, 32, 64], 128, 6, 65.0, ALL),
];

/// By the tensor cores; `deep` with more stretches of depth on their way at once; `plain` without tensor cores.
const F16_TILES: [Tile; 12] = [
    tile("128x64", [128, 64, 32], 128, 3, 1000.0, MAPS),
    tile("128x32", [128, 32, 32], 128, 4, 700.0, ALL),
    tile("64x64", [64, 64, 32], 128, 4, 700.0, ALL),
    tile("32x32", [32, 32, 32], 128, 8, 350.0, ALL),
    tile("128x128_deep", [128, 128, 16], 128, 2, 1200.0, MAPS),
    tile("128x64_deep", [128, 64, 32], 128, 3, 1100.0, MAPS),
    tile("64x64_deep", [64, 64, 32], 128, 4, 800.0, MAPS),
    tile("32x32_sliced", [32, 32, 64], 128, 4, 400.0, MAPS),
    tile("64x64_plain", [64, 64, 16], 128, 4, 90.0, ALL),
    tile("32x32_plain", [32, 32, 32], 64, 8, 70.0, ALL),
    tile("32x32_sliced_plain", [32, 32, 64], 256, 3, 65.0, ALL),
    tile("16x32_sliced_plain", [16, 32, 64], 128, 6, 60.0, ALL),
];

/// Most multiply-adds a cycle of a thread, where few blocks share a multiprocessor: a third of its instructions are
/// others, and it waits for shared memory. Estimated, not measured.
const A_PLAIN_THREAD: f64 = 0.4;
/// The same with tensor cores.
const A_TENSOR_THREAD: f64 = 3.0;
/// Rates from here on are those of tensor cores.
const TENSOR_RATE: f64 = 128.0;
/// Cycles from asking for a stretch of depth until it can be multiplied.
const STRETCH_CYCLES: f64 = 550.0;
/// Cycles of a block before the first stretch and after the last.
const BLOCK_CYCLES: f64 = 900.0;
/// Cycles to leave partial sums and to find out who is last; and for each split to be added.
const SPLIT_CYCLES: [f64; 2] = [1300.0, 120.0];
const MOST_SPLITS: usize = 32;
/// Numbers of splits of one tile that are worth a measurement.
const SPLITS_A_TILE: usize = 4;

/// A matrix product: output pixels, output channels, depth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) source: Source,
}

/// How a product is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) splits: usize,
    /// Depth of a split, a multiple of the tile's.
    pub(super) split_depth: usize,
    pub(super) grid: [usize; 3],
}

/// `product` by `tile`, in as many as `wish` splits, as far as there is room for their sums.
pub(super) fn cut(product: Product, tile: Tile, wish: usize, multiprocessors: usize) -> Cut {
    let tiles = [product.rows.div_ceil(tile.rows), product.columns.div_ceil(tile.columns)];
    let room = match tile.rows * tile.columns {
        ..=TILE_FLOATS => (PARTIAL_BLOCKS_AN_SM * multiprocessors / (tiles[0] * tiles[1])).max(1),
        _ => 1,
    };
    let stretches = product.depth.div_ceil(tile.depth);
    let a_split = stretches.div_ceil(wish.clamp(1, room));
    let splits = stretches.div_ceil(a_split);
    Cut { splits, split_depth: a_split * tile.depth, grid: [tiles[0], tiles[1], splits] }
}

/// Tiles and numbers of splits for `product`, a few of each tile, the fastest by the model first.
pub(super) fn likely(product: Product, element: Element, multiprocessors: usize) -> Vec<(Tile, usize)> {
    let tiles: &[Tile] = match element {
        Element::F32 => &F32_TILES,
        Element::F16 => &F16_TILES,
    };
    let mut all = Vec::new();
    for &tile in tiles.iter().filter(|tile| tile.sources.contains(&product.source)) {
        let mut of_tile: Vec<(f64, usize)> = Vec::new();
        for wish in 1..=product.depth.div_ceil(tile.depth).min(MOST_SPLITS) {
            let cut = cut(product, tile, wish, multiprocessors);
            if of_tile.last().is_none_or(|(_, splits)| *splits != cut.splits) {
                of_tile.push((cycles(tile, &cut, multiprocessors), cut.splits));
            }
        }
        of_tile.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.extend(of_tile.into_iter().take(SPLITS_A_TILE).map(|(cycles, splits)| (cycles, tile, splits)));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|(_, tile, splits)| (tile, splits)).collect()
}

fn cycles(tile: Tile, cut: &Cut, multiprocessors: usize) -> f64 {
    let stretches = lossless(cut.split_depth / tile.depth);
    let a_thread = if tile.rate < TENSOR_RATE { A_PLAIN_THREAD } else { A_TENSOR_THREAD };
    let wave = |resident: usize| {
        let rate = tile.rate.min(lossless(resident) * f64::from(tile.threads) * a_thread);
        let work = lossless(resident * tile.rows * tile.columns * tile.depth) / rate;
        BLOCK_CYCLES + stretches * work.max(STRETCH_CYCLES)
    };
    let (blocks, a_wave) = (cut.grid.iter().product::<usize>(), multiprocessors * tile.resident);
    let (full, rest) = (blocks / a_wave, blocks % a_wave);
    let last = if rest == 0 { 0.0 } else { wave(rest.div_ceil(multiprocessors)) };
    let extra = if cut.splits > 1 { SPLIT_CYCLES[0] + SPLIT_CYCLES[1] * lossless(cut.splits) } else { 0.0 };
    lossless(full) * wave(tile.resident) + last + extra
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn lossless(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product([rows, columns, depth]: [usize; 3]) -> Product {
        Product { rows, columns, depth, source: Source::Pointwise }
    }

    #[test]
    fn every_likely_cut_covers_the_whole_product() {
        for sides in [[1, 1000, 1280], [49, 160, 960], [802_816, 16, 32], [7, 7, 3], [196, 512, 4608]] {
            for element in [Element::F32, Element::F16] {
                let product = product(sides);
                for (tile, splits) in likely(product, element, 132) {
                    let cut = cut(product, tile, splits, 132);
                    let [rows, columns, depths] = cut.grid;
                    assert!(rows * tile.rows >= product.rows && columns * tile.columns >= product.columns);
                    assert!(depths * cut.split_depth >= product.depth, "{cut:?}");
                    assert!((depths - 1) * cut.split_depth < product.depth, "{cut:?}");
                    assert!(cut.split_depth.is_multiple_of(tile.depth) && cut.splits == splits);
                    assert!(splits == 1 || rows * columns * depths <= PARTIAL_BLOCKS_AN_SM * 132);
                }
            }
        }
    }

    #[test]
    fn a_small_picture_is_split_and_a_large_batch_is_not() {
        assert!(likely(product([49, 160, 960]), Element::F32, 132)[0].1 > 3);
        let (tile, splits) = likely(product([64 * 56 * 56, 144, 24]), Element::F32, 132)[0];
        assert!(splits == 1 && tile.rows == 128);
    }

    #[test]
    fn a_wish_for_more_splits_than_there_is_room_for_is_cut_down() {
        let cut = cut(product([64 * 49, 160, 960]), F32_TILES[4], 32, 1);
        assert_eq!(cut.splits, 1);
    }
}
