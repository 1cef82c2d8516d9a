//! A 3x3 convolution with stride 1 by Winograd's minimal filtering: four or two and a quarter times fewer products.
//!
//! ```text
//! each thread, its tiles of M x M outputs, some at a time (a chunk, scratch of its own):
//!
//!   x ── patch of T x T pixels a tile, T = M + 2 ──► [position][input block][tile]
//!                                                        │ for each of the T² positions: a product over channels,
//!                                                        │ tile.rs with tiles in the place of pixels
//!   y ◄─ M x M outputs a tile, + bias, clamp ◄────── [position][output block][tile]
//! ```
//!
//! It pays where the weights, of which there are T² for each nine, are read for many tiles; [`Winograd::suits`]
//! knows. `transform` has the sums on both sides.

mod transform;

use std::ops::Range;

use super::activation_clamp;
use super::buffer::Buffer;
use super::conv::{Filter, Places};
use super::kernels::{Kernels, Step, Strip};
use super::layout::{LANES, Layout};
use super::shared::{SharedMut, SharedRef};
use super::team::{Team, share};
use super::tile::{Segment, Tile};
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;
pub(super) use transform::{Four, Outputs, Patch, Scheme, Two, outputs, patch};

/// Tiles of a chunk: two strips of the widest tile of pixels, and about a megabyte for 64 to 256 channels.
const CHUNK: usize = 28;

/// Tiles a picture from which on it pays: fewer do not make up for reading the larger weights.
const LEAST_TILES: usize = 40;

/// Products have no activation.
const UNCLAMPED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Pixels of the largest patch.
const MOST_PATCH: usize = 6 * 6;

/// Outputs of a tile, a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileSide {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

/// The functions of a scheme, compiled for a CPU level.
#[derive(Debug, Clone, Copy)]
pub(super) struct WinogradFns {
    pub(super) patch: unsafe fn(&Patch),
    pub(super) outputs: unsafe fn(&Outputs),
}

/// A convolution, packed for one picture shape.
#[derive(Debug)]
pub struct Winograd {
    input: Layout,
    output: Layout,
    side: TileSide,
    segments: Vec<Segment>,
    /// `[position][output block][input channel][16]`.
    weights: Buffer,
    /// `[output block][16]`.
    bias: Buffer,
    /// As much, for products, which have none.
    no_bias: Buffer,
    clamp: [f32; 2],
    kernels: Kernels,
}

impl TileSide {
    /// Outputs a side.
    const fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Pixels of the patch, a side.
    const fn patch(self) -> usize {
        self.outputs() + 2
    }

    /// Tiles that cover a picture, down and across.
    const fn tiles(self, output: &Layout) -> [usize; 2] {
        [output.height().div_ceil(self.outputs()), output.width().div_ceil(self.outputs())]
    }

    /// What a 3x3 filter is multiplied as: T x T.
    fn filter(self, taps: &[f32]) -> Vec<f32> {
        match self {
            Self::Two => filtered(&<Two as Scheme<4, 2>>::FILTER, taps),
            Self::Four => filtered(&<Four as Scheme<6, 4>>::FILTER, taps),
        }
    }
}

/// G g Gᵀ.
#[expect(clippy::cast_possible_truncation, reason = "weights are stored in f32")]
fn filtered(g: &[[f64; 3]], taps: &[f32]) -> Vec<f32> {
    let at = |i: usize, j: usize| {
        let row = |r: usize| (0..3).map(|c| f64::from(taps[r * 3 + c]) * g[j][c]).sum::<f64>();
        (0..3).map(|r| g[i][r] * row(r)).sum::<f64>() as f32
    };
    (0..g.len() * g.len()).map(|position| at(position / g.len(), position % g.len())).collect()
}

impl Winograd {
    /// The side of tile that makes a convolution cheaper than [`super::Conv`] does it, if one does.
    pub fn suits(places: &Places, filter: Filter) -> Option<TileSide> {
        let Places { input, output, residual, patch_blocks } = places;
        let fits = filter == Filter { kernel: 3, stride: 1, padding: 1 }
            && residual.is_none()
            && *patch_blocks == 0
            && (input.border(), input.pixel()) == (1, LANES);
        let pays = |side: &TileSide| side.tiles(output).into_iter().product::<usize>() >= LEAST_TILES;
        [TileSide::Four, TileSide::Two].into_iter().find(pays).filter(|_| fits)
    }

    /// Packs `weight` `[o, i, 3, 3]` and `bias` `[o]`, with batch norm already in both.
    ///
    /// # Panics
    /// If a length is wrong, or the layouts are not blocked pictures of one size, the input's with a border of one
    /// pixel.
    pub fn new(
        level: CpuLevel,
        [input, output]: [Layout; 2],
        side: TileSide,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let (inputs, outputs) = (input.channels(), output.channels());
        assert_eq!(weight.len(), outputs * inputs * 9, "Winograd: weight is not [{outputs}, {inputs}, 3, 3]");
        assert_eq!(bias.len(), outputs, "Winograd: bias is not [{outputs}]");
        assert_eq!(
            (input.height(), input.width(), input.border(), input.pixel()),
            (output.height(), output.width(), 1, output.pixel()),
            "Winograd: {output:?} is no output of {input:?}"
        );
        assert_eq!(input.pixel(), LANES, "Winograd: {input:?} is not blocked");
        let positions = side.patch() * side.patch();
        let blocks = output.blocks();
        let mut packed = Buffer::zeros(positions * blocks * inputs * LANES);
        for (index, taps) in weight.chunks_exact(9).enumerate() {
            let (o, i) = (index / inputs, index % inputs);
            for (position, value) in side.filter(taps).into_iter().enumerate() {
                packed[((position * blocks + o / LANES) * inputs + i) * LANES + o % LANES] = value;
            }
        }
        let no_bias = Buffer::zeros(blocks * LANES);
        let mut all_bias = no_bias.clone();
        all_bias[..outputs].copy_from_slice(bias);
        let segment = |block: usize| Segment {
            source: 0,
            offset: block * CHUNK * LANES,
            len: LANES.min(inputs - block * LANES),
        };
        let segments = (0..input.blocks()).map(segment).collect();
        let (clamp, kernels) = (activation_clamp(activation), Kernels::at(level));
        Self { input, output, side, segments, weights: packed, bias: all_bias, no_bias, clamp, kernels }
    }

    /// Floats of scratch for each thread.
    pub fn scratch_len(&self) -> usize {
        self.patches_len() + self.positions() * self.output.blocks() * CHUNK * LANES
    }

    /// Multiply-adds a picture that the definition has and this way does not; what tiles compute beyond the picture's
    /// edge counts as made.
    pub fn saved_multiply_adds(&self) -> usize {
        let channels = self.input.channels() * self.output.channels();
        let direct = self.output.height() * self.output.width() * 9;
        channels * direct.saturating_sub(self.tiles_a_picture() * self.positions())
    }

    /// Convolves `pictures` pictures that lie one behind the other; the border of `y` becomes zero.
    ///
    /// # Panics
    /// If a slice is too short (`scratch`: [`Self::scratch_len`] for each thread).
    pub fn run(&self, team: &mut Team, pictures: usize, x: &[f32], scratch: &mut [f32], y: &mut [f32]) {
        let threads = team.threads();
        let x = SharedRef::new(x, pictures * self.input.len());
        let y = SharedMut::new(y, pictures * self.output.len());
        let scratch = SharedMut::new(scratch, threads * self.scratch_len());
        let tiles = pictures * self.tiles_a_picture();
        team.run(&|thread| {
            let mine = share(tiles, thread, threads);
            let scratch = scratch.at(thread * self.scratch_len());
            let chunks = mine.len().div_ceil(CHUNK);
            for chunk in 0..chunks {
                let part = share(mine.len(), chunk, chunks);
                let part = mine.start + part.start..mine.start + part.end;
                // SAFETY: the lengths were checked, and each thread has tiles and scratch of its own.
                unsafe { self.run_chunk(x, scratch, y, part) };
            }
        });
    }

    fn positions(&self) -> usize {
        self.side.patch() * self.side.patch()
    }

    fn tiles_a_picture(&self) -> usize {
        self.side.tiles(&self.output).into_iter().product()
    }

    /// Floats of all positions of a chunk's patches.
    fn patches_len(&self) -> usize {
        self.positions() * self.input.blocks() * CHUNK * LANES
    }

    /// Computes some tiles, counted through all pictures.
    ///
    /// # Safety
    /// `x` and `y` are whole pictures with these tiles, `scratch` has [`Self::scratch_len`] floats; nobody writes
    /// the first or touches `scratch` and these tiles of `y` (and their border) meanwhile.
    unsafe fn run_chunk(&self, x: SharedRef, scratch: *mut f32, y: SharedMut, tiles: Range<usize>) {
        let products = scratch.wrapping_add(self.patches_len());
        for (at, tile) in tiles.clone().enumerate() {
            let place = self.place(tile);
            let x = x.at(place.picture * self.input.len());
            // SAFETY: as the caller says.
            unsafe { self.patches(x, &place, scratch.wrapping_add(at * LANES)) };
        }
        for position in 0..self.positions() {
            // SAFETY: all patches are there; the products are this call's alone.
            unsafe { self.products(position, scratch.cast_const(), products, tiles.len()) };
        }
        for (at, tile) in tiles.enumerate() {
            let place = self.place(tile);
            let y = y.at(place.picture * self.output.len());
            // SAFETY: all products are there; the rest as the caller says.
            unsafe { self.outputs(products.wrapping_add(at * LANES).cast_const(), &place, y) };
        }
    }

    fn place(&self, tile: usize) -> Place {
        let [_, across] = self.side.tiles(&self.output);
        let within = tile % self.tiles_a_picture();
        let side = self.side.outputs();
        Place {
            picture: tile / self.tiles_a_picture(),
            row: within / across * side,
            column: within % across * side,
        }
    }

    /// Takes a tile's patch of each input block to its positions, of which `to` is the first.
    ///
    /// # Safety
    /// `x` is the tile's picture; the positions are this call's alone.
    unsafe fn patches(&self, x: *const f32, place: &Place, to: *mut f32) {
        let (side, input) = (self.side.patch(), &self.input);
        // The border has one row and one pixel; what a tile needs beyond them is zero as well.
        let rows = side.min(input.height() + 2 - place.row);
        let columns = side.min(input.width() + 2 - place.column);
        let is_whole = (rows, columns) == (side, side);
        let mut edge = [0.0f32; MOST_PATCH * LANES];
        for block in 0..input.blocks() {
            let first = block * input.plane() + input.bordered_row(place.row) + place.column * LANES;
            let inside = x.wrapping_add(first);
            let positions = to.wrapping_add(block * CHUNK * LANES);
            let position = input.blocks() * CHUNK * LANES;
            let (x, pitch) = if is_whole {
                (inside, input.pitch())
            } else {
                for row in 0..rows {
                    let from = inside.wrapping_add(row * input.pitch());
                    // SAFETY: these pixels lie within the bordered picture.
                    let from = unsafe { std::slice::from_raw_parts(from, columns * LANES) };
                    edge[row * side * LANES..][..columns * LANES].copy_from_slice(from);
                }
                (edge.as_ptr(), side * LANES)
            };
            // SAFETY: a whole patch is readable; the CPU has the level; the rest as the caller says.
            unsafe { (self.kernels.winograd(self.side).patch)(&Patch { x, pitch, positions, position }) };
        }
    }

    /// Multiplies the patches' values at one position with its weights.
    ///
    /// # Safety
    /// The patches of a chunk's first `tiles` tiles are readable; their products are this call's alone.
    unsafe fn products(&self, position: usize, patches: *const f32, products: *mut f32, tiles: usize) {
        let (inputs, blocks) = (self.input.blocks(), self.output.blocks());
        let weights_block = self.input.channels() * LANES;
        let patches = patches.wrapping_add(position * inputs * CHUNK * LANES);
        let products = products.wrapping_add(position * blocks * CHUNK * LANES);
        for group in self.kernels.groups(0..blocks, tiles) {
            let strip = Strip::new(&self.kernels, Step::One, tiles, group.len());
            let weights =
                self.weights.as_ptr().wrapping_add((position * blocks + group.start) * weights_block);
            let after = weights.wrapping_add(group.len() * weights_block);
            for (part, (pixels, tile)) in strip.parts().enumerate() {
                let at = pixels.start * LANES;
                let call = Tile {
                    sources: [patches.wrapping_add(at), std::ptr::null()],
                    segments: &self.segments,
                    weights,
                    weights_block,
                    prefetch: after.wrapping_add(part.min(group.len()) * weights_block),
                    bias: self.no_bias.as_ptr(),
                    residual: std::ptr::null(),
                    residual_plane: 0,
                    y: products.wrapping_add(group.start * CHUNK * LANES + at),
                    y_plane: CHUNK * LANES,
                    clamp: UNCLAMPED,
                };
                // SAFETY: patches, weights and products are as long as the strip; the CPU has the level.
                unsafe { tile(&call) };
            }
        }
    }

    /// Takes a tile's products, of which `from` is the first, to its outputs in each block of `y`.
    ///
    /// # Safety
    /// `y` is the tile's picture; its outputs, and the border if it is a row's first, are this call's alone.
    unsafe fn outputs(&self, from: *const f32, place: &Place, y: *mut f32) {
        let (side, output) = (self.side.outputs(), &self.output);
        let rows = side.min(output.height() - place.row);
        let columns = side.min(output.width() - place.column);
        for block in 0..output.blocks() {
            let y = y.wrapping_add(block * output.plane());
            let call = Outputs {
                positions: from.wrapping_add(block * CHUNK * LANES),
                position: output.blocks() * CHUNK * LANES,
                bias: self.bias.as_ptr().wrapping_add(block * LANES),
                clamp: self.clamp,
                y: y.wrapping_add(output.at(place.row, place.column)),
                pitch: output.pitch(),
                inside: [rows, columns],
            };
            // SAFETY: as the caller says; the CPU has the level.
            unsafe { (self.kernels.winograd(self.side).outputs)(&call) };
            if place.column == 0 {
                for row in place.row..place.row + rows {
                    // SAFETY: as the caller says.
                    unsafe { super::border::clear(output, y, row) };
                }
            }
        }
    }
}

/// Where a tile begins.
#[derive(Debug, Clone, Copy)]
struct Place {
    picture: usize,
    row: usize,
    column: usize,
}
