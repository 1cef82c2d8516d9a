//! A 3x3 convolution with stride 1 by Winograd's minimal filtering: four or two and a quarter times fewer products.
//!
//! ```text
//! each part, its tiles of M x M outputs, some at a time (a chunk, in the part's own scratch):
//!
//!   x ── window of T x T pixels a tile, T = M + 2 ─► [position][input block][tile]
//!                                                        │ for each of the T² positions: a product over channels,
//!                                                        │ tile.rs with tiles in the place of pixels
//!   y ◄─ M x M outputs, + bias, + residual, clamp ◄─ [position][output block][tile]
//! ```
//!
//! It pays where the weights, of which there are T² for each nine, are read for many tiles by each thread;
//! [`Winograd::suits`] knows. Its roundings differ from the direct way's, about twice as large. What is no number
//! spreads over a whole tile, and an infinity becomes no number. `transform` has the sums on both sides.

mod transform;

use std::ops::Range;

use super::activation_clamp;
use super::buffer::Buffer;
use super::conv::{Filter, Inputs, Picture, Places, SharedInputs};
use super::kernels::{Kernels, Step, Strip};
use super::layout::{LANES, Layout};
use super::shared::SharedMut;
use super::team::{Team, share};
use super::tile::{Segment, Tile};
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;
pub(super) use transform::{Four, Outputs, Scheme, Two, Window, outputs, window};

/// Tiles of a chunk: two strips of the widest tile of pixels, or one where a chunk would exceed [`CHUNK_BYTES`].
const CHUNKS: [usize; 2] = [28, 14];

/// What the windows and products of a chunk should take: most of a core's second cache. 14 tiles of the widest layers
/// take more.
const CHUNK_BYTES: usize = 1100 << 10;

/// Tiles a picture from which on it pays: fewer do not make up for reading the larger weights.
const LEAST_TILES: usize = 40;

/// Tiles a thread from which on it pays: each thread reads all weights, where the direct way divides them.
const LEAST_TILES_A_THREAD: usize = 12;

/// Products have no activation.
const UNCLAMPED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Pixels of the largest window.
const MOST_WINDOW: usize = 6 * 6;

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
    pub(super) window: unsafe fn(&Window),
    pub(super) outputs: unsafe fn(&Outputs),
}

/// A convolution, packed for one picture shape.
#[derive(Debug)]
pub struct Winograd {
    places: Places,
    side: TileSide,
    /// Tiles that scratch has room for.
    chunk: usize,
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

    /// Pixels of the window, a side.
    const fn window(self) -> usize {
        self.outputs() + 2
    }

    /// Tiles that cover a picture, down and across.
    const fn tiles(self, output: &Layout) -> [usize; 2] {
        [output.height().div_ceil(self.outputs()), output.width().div_ceil(self.outputs())]
    }

    /// What the taps of a 3x3 filter are multiplied as, position by position, to the head of `positions`.
    fn filter(self, taps: &[f32], positions: &mut [f32; MOST_WINDOW]) {
        match self {
            Self::Two => filter(&<Two as Scheme<4, 2>>::FILTER, taps, positions),
            Self::Four => filter(&<Four as Scheme<6, 4>>::FILTER, taps, positions),
        }
    }
}

/// G g Gᵀ.
#[expect(clippy::cast_possible_truncation, reason = "weights are stored in f32")]
fn filter(g: &[[f64; 3]], taps: &[f32], positions: &mut [f32; MOST_WINDOW]) {
    let rows: [[f64; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|c| f64::from(taps[r * 3 + c])));
    let dot = |a: &[f64; 3], b: &[f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    for (row, to) in g.iter().zip(positions.chunks_exact_mut(g.len())) {
        for (column, to) in g.iter().zip(to) {
            *to = dot(row, &[0, 1, 2].map(|r| dot(&rows[r], column))) as f32;
        }
    }
}

impl Winograd {
    /// The side of tile that makes a convolution cheaper than [`super::Conv`] does it on so many threads, if one does.
    pub fn suits(places: &Places, filter: Filter, threads: usize) -> Option<TileSide> {
        let Places { input, output, .. } = places;
        let fits = filter == Filter { kernel: 3, stride: 1, padding: 1 }
            && (input.border(), input.pixel()) == (1, LANES);
        let least = LEAST_TILES.max(LEAST_TILES_A_THREAD * threads);
        let pays = |side: &TileSide| side.tiles(output).into_iter().product::<usize>() >= least;
        [TileSide::Four, TileSide::Two].into_iter().find(pays).filter(|_| fits)
    }

    /// Packs `weight` `[o, i, 3, 3]` and `bias` `[o]`, with batch norm already in both.
    ///
    /// # Panics
    /// If a length is wrong, or the layouts are not whole blocked pictures of one size, the input's with a border of
    /// one pixel.
    pub fn new(
        level: CpuLevel,
        places: Places,
        side: TileSide,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        check(&places);
        let Places { input, output, .. } = places;
        let (inputs, outputs) = (input.channels(), output.channels());
        assert_eq!(weight.len(), outputs * inputs * 9, "Winograd: weight is not [{outputs}, {inputs}, 3, 3]");
        assert_eq!(bias.len(), outputs, "Winograd: bias is not [{outputs}]");
        let positions = side.window() * side.window();
        let tile_bytes = positions * (input.blocks() + output.blocks()) * LANES * size_of::<f32>();
        let [chunk, small_chunk] = CHUNKS;
        let chunk = if chunk * tile_bytes <= CHUNK_BYTES { chunk } else { small_chunk };
        let no_bias = Buffer::zeros(output.blocks() * LANES);
        let mut all_bias = no_bias.clone();
        all_bias[..outputs].copy_from_slice(bias);
        let segment = |block: usize| Segment {
            source: 0,
            offset: block * chunk * LANES,
            len: LANES.min(inputs - block * LANES),
        };
        let segments = (0..input.blocks()).map(segment).collect();
        let weights = packed(side, [outputs, inputs], weight);
        let (clamp, kernels) = (activation_clamp(activation), Kernels::at(level));
        Self { places, side, chunk, segments, weights, bias: all_bias, no_bias, clamp, kernels }
    }

    /// Floats of scratch for each part of a team's job.
    pub fn scratch_len(&self) -> usize {
        self.windows_len() + self.positions() * self.places.output.blocks() * self.chunk * LANES
    }

    /// Multiply-adds a picture that the definition has and this way does not; what tiles compute beyond the picture's
    /// edge counts as made.
    pub fn saved_multiply_adds(&self) -> usize {
        let Places { input, output, .. } = &self.places;
        let channels = input.channels() * output.channels();
        let direct = output.height() * output.width() * 9;
        channels * direct.saturating_sub(self.tiles_a_picture() * self.positions())
    }

    /// Convolves `pictures` pictures that lie one behind the other; the border of `y` becomes zero.
    ///
    /// # Panics
    /// If a slice is too short (`scratch`: [`Self::scratch_len`] for each part), or the patch or the residual is
    /// missing.
    pub fn run(
        &self,
        team: &mut Team,
        pictures: usize,
        inputs: Inputs<'_>,
        scratch: &mut [f32],
        y: &mut [f32],
    ) {
        let parts = team.parts();
        let all = SharedInputs::new(&self.places, pictures, inputs);
        let y = SharedMut::new(y, pictures * self.places.output.len());
        let scratch = SharedMut::new(scratch, parts * self.scratch_len());
        let tiles = pictures * self.tiles_a_picture();
        team.run(&|part| {
            let mine = share(tiles, part, parts);
            let scratch = scratch.at(part * self.scratch_len());
            let chunks = mine.len().div_ceil(self.chunk);
            for chunk in 0..chunks {
                let tiles = share(mine.len(), chunk, chunks);
                let tiles = mine.start + tiles.start..mine.start + tiles.end;
                // SAFETY: the lengths were checked, and each part has tiles and scratch of its own.
                unsafe { self.run_chunk(all, scratch, y, tiles) };
            }
        });
    }

    fn positions(&self) -> usize {
        self.side.window() * self.side.window()
    }

    fn tiles_a_picture(&self) -> usize {
        self.side.tiles(&self.places.output).into_iter().product()
    }

    /// Floats of all positions of a chunk's windows.
    fn windows_len(&self) -> usize {
        self.positions() * self.places.input.blocks() * self.chunk * LANES
    }

    /// Computes some tiles, counted through all pictures.
    ///
    /// # Safety
    /// `all` and `y` are whole pictures with these tiles, `scratch` has [`Self::scratch_len`] floats; nobody writes
    /// the first or touches `scratch` and these tiles of `y` (and their border) meanwhile.
    unsafe fn run_chunk(&self, all: SharedInputs, scratch: *mut f32, y: SharedMut, tiles: Range<usize>) {
        let products = scratch.wrapping_add(self.windows_len());
        for (at, tile) in tiles.clone().enumerate() {
            let place = self.place(tile);
            let of = all.picture(&self.places, place.picture);
            // SAFETY: as the caller says.
            unsafe { self.windows(&of, &place, scratch.wrapping_add(at * LANES)) };
        }
        for position in 0..self.positions() {
            // SAFETY: all windows are there; the products are this call's alone.
            unsafe { self.products(position, scratch.cast_const(), products, tiles.len()) };
        }
        for (at, tile) in tiles.enumerate() {
            let place = self.place(tile);
            let of = all.picture(&self.places, place.picture);
            let y = y.at(place.picture * self.places.output.len());
            // SAFETY: all products are there; the rest as the caller says.
            unsafe { self.outputs(products.wrapping_add(at * LANES).cast_const(), &of, &place, y) };
        }
    }

    fn place(&self, tile: usize) -> Place {
        let [_, across] = self.side.tiles(&self.places.output);
        let within = tile % self.tiles_a_picture();
        let side = self.side.outputs();
        Place {
            picture: tile / self.tiles_a_picture(),
            row: within / across * side,
            column: within % across * side,
        }
    }

    /// Takes a tile's window of each input block to its positions, of which `to` is the first.
    ///
    /// # Safety
    /// `of` is the tile's picture; the positions are this call's alone.
    unsafe fn windows(&self, of: &Picture, place: &Place, to: *mut f32) {
        let (side, Places { input, patch_blocks, .. }) = (self.side.window(), &self.places);
        // The border has one row and one pixel; what a tile needs beyond them is zero as well.
        let rows = side.min(input.height() + 2 - place.row);
        let columns = side.min(input.width() + 2 - place.column);
        let first = input.bordered_row(place.row) + place.column * LANES;
        let position = input.blocks() * self.chunk * LANES;
        for block in 0..input.blocks() {
            let source = of.sources[usize::from(block < *patch_blocks)];
            let x = source.wrapping_add(block * input.plane() + first);
            let positions = to.wrapping_add(block * self.chunk * LANES);
            let window = Window { x, pitch: input.pitch(), positions, position };
            if (rows, columns) == (side, side) {
                // SAFETY: a whole window lies within the bordered picture; the rest as the caller says.
                unsafe { (self.kernels.winograd(self.side).window)(&window) };
            } else {
                // SAFETY: so many rows and columns lie within it; the rest as the caller says.
                unsafe { self.window_at_the_edge(window, [rows, columns]) };
            }
        }
    }

    /// Takes a window, of which `rows` and `columns` are readable and the rest is zero, to its positions.
    ///
    /// # Safety
    /// They are readable, the positions are this call's alone.
    unsafe fn window_at_the_edge(&self, window: Window, [rows, columns]: [usize; 2]) {
        let pitch = self.side.window() * LANES;
        let mut pixels = [0.0f32; MOST_WINDOW * LANES];
        for (row, pixels) in pixels.chunks_exact_mut(pitch).enumerate().take(rows) {
            let from = window.x.wrapping_add(row * window.pitch);
            // SAFETY: as the caller says.
            let from = unsafe { std::slice::from_raw_parts(from, columns * LANES) };
            pixels[..columns * LANES].copy_from_slice(from);
        }
        let window = Window { x: pixels.as_ptr(), pitch, ..window };
        // SAFETY: a whole window is in `pixels`; the CPU has the level; the rest as the caller says.
        unsafe { (self.kernels.winograd(self.side).window)(&window) };
    }

    /// Multiplies the windows' values at one position with its weights.
    ///
    /// # Safety
    /// The windows of a chunk's first `tiles` tiles are readable; their products are this call's alone.
    unsafe fn products(&self, position: usize, windows: *const f32, products: *mut f32, tiles: usize) {
        let Places { input, output, .. } = &self.places;
        let (plane, blocks) = (self.chunk * LANES, output.blocks());
        let weights_block = input.channels() * LANES;
        let windows = windows.wrapping_add(position * input.blocks() * plane);
        let products = products.wrapping_add(position * blocks * plane);
        for group in self.kernels.groups(0..blocks, tiles) {
            let strip = Strip::new(&self.kernels, Step::One, tiles, group.len());
            let weights =
                self.weights.as_ptr().wrapping_add((position * blocks + group.start) * weights_block);
            let after = weights.wrapping_add(group.len() * weights_block);
            for (part, (pixels, tile)) in strip.parts().enumerate() {
                let at = pixels.start * LANES;
                let call = Tile {
                    sources: [windows.wrapping_add(at), std::ptr::null()],
                    segments: &self.segments,
                    weights,
                    weights_block,
                    prefetch: after.wrapping_add(part.min(group.len()) * weights_block),
                    bias: self.no_bias.as_ptr(),
                    residual: std::ptr::null(),
                    residual_plane: 0,
                    y: products.wrapping_add(group.start * plane + at),
                    y_plane: plane,
                    clamp: UNCLAMPED,
                };
                // SAFETY: windows, weights and products are as long as the strip; the CPU has the level.
                unsafe { tile(&call) };
            }
        }
    }

    /// Takes a tile's products, of which `from` is the first, to its outputs in each block of `y`.
    ///
    /// # Safety
    /// `of` and `y` are the tile's picture; its outputs, and the border if it is a row's first, are this call's alone.
    unsafe fn outputs(&self, from: *const f32, of: &Picture, place: &Place, y: *mut f32) {
        let (side, Places { output, residual, .. }) = (self.side.outputs(), &self.places);
        let rows = side.min(output.height() - place.row);
        let columns = side.min(output.width() - place.column);
        for block in 0..output.blocks() {
            let y = y.wrapping_add(block * output.plane());
            let (residual, residual_pitch) = residual.map_or((std::ptr::null(), 0), |layout| {
                let at = block * layout.plane() + layout.at(place.row, place.column);
                (of.residual.wrapping_add(at), layout.pitch())
            });
            let call = Outputs {
                positions: from.wrapping_add(block * self.chunk * LANES),
                position: output.blocks() * self.chunk * LANES,
                bias: self.bias.as_ptr().wrapping_add(block * LANES),
                residual,
                residual_pitch,
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

/// `[position][output block][input channel][16]` of `weight` `[o, i, 3, 3]`.
fn packed(side: TileSide, [outputs, inputs]: [usize; 2], weight: &[f32]) -> Buffer {
    let (positions, blocks) = (side.window() * side.window(), outputs.div_ceil(LANES));
    let mut packed = Buffer::zeros(positions * blocks * inputs * LANES);
    let mut lanes = [[0.0; MOST_WINDOW]; LANES];
    for block in 0..blocks {
        let channels = block * LANES..outputs.min((block + 1) * LANES);
        for i in 0..inputs {
            for (lane, o) in lanes.iter_mut().zip(channels.clone()) {
                side.filter(&weight[(o * inputs + i) * 9..][..9], lane);
            }
            // All lanes of a position at once: a line of memory each.
            for position in 0..positions {
                let to = &mut packed[((position * blocks + block) * inputs + i) * LANES..][..channels.len()];
                for (to, lane) in to.iter_mut().zip(&lanes) {
                    *to = lane[position];
                }
            }
        }
    }
    packed
}

/// Checks that the layouts are whole pictures of one size.
fn check(places: &Places) {
    let Places { input, output, residual, patch_blocks } = places;
    let whole = |layout: &Layout| {
        Layout::blocked(layout.channels(), output.height(), output.width(), layout.border()) == *layout
    };
    assert!(
        whole(input) && input.border() == 1,
        "Winograd: {input:?} is no whole picture with a border of 1"
    );
    assert!(whole(output), "Winograd: {output:?} is no whole picture");
    assert!(*patch_blocks <= input.blocks(), "Winograd: {patch_blocks} blocks of patch for {input:?}");
    if let Some(residual) = residual {
        let fits = whole(residual) && residual.channels() == output.channels();
        assert!(fits, "Winograd: {residual:?} cannot be added to {output:?}");
    }
}

/// Where a tile begins.
#[derive(Debug, Clone, Copy)]
struct Place {
    picture: usize,
    row: usize,
    column: usize,
}
