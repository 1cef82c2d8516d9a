//! A convolution over all channels as a matrix product: 1x1, 3x3, or the stem on planar pictures.
//!
//! ```text
//! for each group of output blocks        its weights stay in the nearest cache
//!   for each output row
//!     for each tile of the row's pixels
//!       for each segment                 1x1: an input block; 3x3: a block at a tap; stem: a row of taps
//!         for each of its lanes          tile.rs: pixels x blocks of sums in registers
//! ```
//!
//! Nothing is copied: a segment says where the floats of a pixel's neighbour lie, and all pixels of a tile find
//! theirs a constant step apart. The first blocks of the input may come from elsewhere (`patch`): that is how the
//! temporal shift reads the last frame's channels without touching this one's.

use std::ops::Range;

use super::activation_clamp;
use super::buffer::Buffer;
use super::kernels::{Kernels, Step, Strip};
use super::layout::{LANES, Layout};
use super::shared::{SharedMut, SharedRef};
use super::team::{Team, has_enough_rows, share};
use super::tile::{Segment, Tile};
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;

/// A good part of a core's second cache: what rows of input or the weights may take to be read from it again.
const BAND_FLOATS: usize = (512 << 10) / size_of::<f32>();

/// The sizes of a convolution's filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Rows and columns of taps.
    pub kernel: usize,
    /// Input pixels from one output to the next.
    pub stride: usize,
    /// Zeros around the input that the filter sees.
    pub padding: usize,
}

impl Filter {
    /// A product of channels, pixel by pixel.
    pub const POINTWISE: Self = Self { kernel: 1, stride: 1, padding: 0 };
}

/// Where the pictures of a convolution lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Of the input.
    pub input: Layout,
    /// Of the output.
    pub output: Layout,
    /// Of what is added to the output before the activation, if something is.
    pub residual: Option<Layout>,
    /// How many of the input's first blocks come from the patch, a picture of that many blocks with the input's
    /// rows and border.
    pub patch_blocks: usize,
}

/// The pictures that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The input.
    pub x: &'a [f32],
    /// What stands in for its first blocks, where the convolution was planned so.
    pub patch: Option<&'a [f32]>,
    /// What is added, where the convolution was planned so.
    pub residual: Option<&'a [f32]>,
}

/// The first floats of one picture's inputs; null where there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    pub(super) sources: [*const f32; 2],
    pub(super) residual: *const f32,
}

/// A convolution, packed for one picture shape.
#[derive(Debug)]
pub struct Conv {
    pub(super) places: Places,
    filter: Filter,
    segments: Vec<Segment>,
    /// `[block][float of the segments][16]`.
    weights: Buffer,
    /// `[block][16]`.
    bias: Buffer,
    clamp: [f32; 2],
    kernels: Kernels,
    step: Step,
}

impl Conv {
    /// Packs `weight` `[o, i, k, k]` and `bias` `[o]`, with batch norm already in both.
    ///
    /// # Panics
    /// If a length is wrong, the layouts do not fit each other or the filter, or the stride has no kernel: blocked
    /// input takes 1 and 2, planar input 2.
    pub fn new(
        level: CpuLevel,
        places: Places,
        filter: Filter,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        check(&places, filter);
        let Places { input, output, patch_blocks, .. } = places;
        let (inputs, outputs) = (input.channels(), output.channels());
        let taps = filter.kernel * filter.kernel;
        assert_eq!(weight.len(), outputs * inputs * taps, "Conv: weight is not [{outputs}, {inputs}, k, k]");
        assert_eq!(bias.len(), outputs, "Conv: bias is not [{outputs}]");
        let step = Step::of(filter.stride * input.pixel());
        let Some(step) = step else { panic!("Conv: no kernel for {filter:?} on {input:?}") };
        let (segments, order) = segments(&input, filter, patch_blocks);
        let mut packed = Buffer::zeros(output.blocks() * order.len() * LANES);
        for (o, weight) in weight.chunks_exact(inputs * taps).enumerate() {
            let block = &mut packed[o / LANES * order.len() * LANES..];
            for (vector, &from) in block.chunks_exact_mut(LANES).zip(&order) {
                vector[o % LANES] = weight[from];
            }
        }
        let mut all_bias = Buffer::zeros(output.blocks() * LANES);
        all_bias[..outputs].copy_from_slice(bias);
        let (clamp, kernels) = (activation_clamp(activation), Kernels::at(level));
        Self { places, filter, segments, weights: packed, bias: all_bias, clamp, kernels, step }
    }

    /// Convolves `pictures` pictures that lie one behind the other; the border of `y` becomes zero.
    ///
    /// # Panics
    /// If a slice is too short, or the patch or the residual is missing.
    pub fn run(&self, team: &mut Team, pictures: usize, inputs: Inputs<'_>, y: &mut [f32]) {
        let all = SharedInputs::new(&self.places, pictures, inputs);
        let output = self.places.output;
        let y = SharedMut::new(y, pictures * output.len());
        let (parts, rows, blocks) = (team.parts(), output.height(), output.blocks());
        let (split, band) = (self.split(pictures * rows, parts), self.band_rows(pictures));
        team.run(&|part| {
            let (mine, blocks) = match split {
                Split::Rows => (share(pictures * rows, part, parts), 0..blocks),
                Split::Blocks => (0..pictures * rows, share(blocks, part, parts)),
            };
            for first in mine.clone().step_by(band) {
                let band = first..mine.end.min(first.saturating_add(band));
                for group in self.groups(blocks.clone()) {
                    for (picture, rows) in by_picture(band.clone(), rows) {
                        let (of, y) = (all.picture(&self.places, picture), y.at(picture * output.len()));
                        // SAFETY: the lengths were checked, and each part has rows or blocks of its own.
                        unsafe { self.run_group(&of, y, rows, group.clone()) };
                    }
                }
            }
        });
    }

    /// Output rows, counted through all pictures, that are computed before the next: few where the input exceeds the
    /// second cache, so that it is read once from far away and by each group of blocks from near. The weights are
    /// then read once a band, which pays as long as those of a group are smaller than a band.
    fn band_rows(&self, pictures: usize) -> usize {
        let Places { input, output, .. } = self.places;
        let group_weights = self.kernels.most_blocks(output.width()) * self.weights.len() / output.blocks();
        if pictures * input.len() <= 2 * BAND_FLOATS || group_weights > BAND_FLOATS {
            return usize::MAX;
        }
        let row = self.filter.stride * input.len() / input.height();
        (BAND_FLOATS / row).max(1)
    }

    /// How threads divide the work. By rows each finds in its own cache what it wrote a layer before; but few rows
    /// cannot be shared evenly, and weights that fill the cache are better read by one thread than by all.
    fn split(&self, rows: usize, parts: usize) -> Split {
        let fits = self.weights.len() <= BAND_FLOATS;
        if fits && has_enough_rows(rows, parts) { Split::Rows } else { Split::Blocks }
    }

    /// Computes some rows of some blocks of a picture.
    ///
    /// # Safety
    /// The picture's pointers are those of whole pictures of this convolution's layouts, `y` is one of the
    /// output's; nobody writes the first or touches these rows and blocks (and their border) of the second
    /// meanwhile.
    pub(super) unsafe fn run_rows(
        &self,
        of: &Picture,
        y: *mut f32,
        rows: Range<usize>,
        blocks: Range<usize>,
    ) {
        for group in self.groups(blocks) {
            // SAFETY: as the caller says.
            unsafe { self.run_group(of, y, rows.clone(), group) };
        }
    }

    /// Parts `blocks` into groups that a tile can have.
    fn groups(&self, blocks: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        self.kernels.groups(blocks, self.places.output.width())
    }

    /// # Safety
    /// As [`Self::run_rows`], for a group of [`Self::groups`].
    unsafe fn run_group(&self, of: &Picture, y: *mut f32, rows: Range<usize>, group: Range<usize>) {
        let Places { input, output, residual, .. } = self.places;
        let strip = Strip::new(&self.kernels, self.step, output.width(), group.len());
        let weights_block = self.weights.len() / output.blocks();
        let residual_plane = residual.map_or(0, |layout| layout.plane());
        let first_tap = |y: usize, x: usize| {
            let border = input.border() - self.filter.padding;
            input.bordered_row(y * self.filter.stride + border)
                + (x * self.filter.stride + border) * input.pixel()
        };
        // What the next group needs comes along while this one computes: far caches deliver about a line a turn.
        let after = self.weights.as_ptr().wrapping_add(group.end * weights_block);
        let mut ahead = 0;
        for row in rows {
            for (pixels, tile) in strip.parts() {
                let input_at = first_tap(row, pixels.start);
                let residual = match residual {
                    Some(layout) => {
                        of.residual.wrapping_add(group.start * layout.plane() + layout.at(row, pixels.start))
                    }
                    None => std::ptr::null(),
                };
                let call = Tile {
                    sources: of.sources.map(|source| source.wrapping_add(input_at)),
                    segments: &self.segments,
                    weights: self.weights.as_ptr().wrapping_add(group.start * weights_block),
                    weights_block,
                    prefetch: after.wrapping_add(ahead * weights_block),
                    bias: self.bias.as_ptr().wrapping_add(group.start * LANES),
                    residual,
                    residual_plane,
                    y: y.wrapping_add(group.start * output.plane() + output.at(row, pixels.start)),
                    y_plane: output.plane(),
                    clamp: self.clamp,
                };
                // SAFETY: the tile lies within the output, so its taps lie within the input; the CPU has the
                // kernels' level; the rest as the caller says.
                unsafe { tile(&call) };
                ahead = (ahead + 1).min(group.len());
            }
            for block in group.clone() {
                // SAFETY: the border of these rows and blocks is this call's alone.
                unsafe { super::border::clear(&output, y.wrapping_add(block * output.plane()), row) };
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Split {
    Rows,
    Blocks,
}

/// Splits a range of rows, counted through all pictures, into each picture's own.
pub(super) fn by_picture(rows: Range<usize>, height: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let pictures = if rows.is_empty() { 0..0 } else { rows.start / height..rows.end.div_ceil(height) };
    pictures.map(move |picture| {
        let first = picture * height;
        (picture, rows.start.max(first) - first..rows.end.min(first + height) - first)
    })
}

/// The inputs of all pictures, for all threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedInputs {
    x: SharedRef,
    patch: SharedRef,
    residual: SharedRef,
}

impl SharedInputs {
    /// Checks the lengths.
    ///
    /// # Panics
    /// If a slice is too short, or the patch or the residual is missing.
    pub(super) fn new(places: &Places, pictures: usize, inputs: Inputs<'_>) -> Self {
        let patch = places.patch_len();
        let of = |slice: Option<&[f32]>, what: &str, len: usize| match slice {
            Some(slice) => SharedRef::new(slice, pictures * len),
            None => panic!("Conv: the {what} is missing"),
        };
        Self {
            x: SharedRef::new(inputs.x, pictures * places.input.len()),
            patch: if patch == 0 { SharedRef::none() } else { of(inputs.patch, "patch", patch) },
            residual: match places.residual {
                Some(layout) => of(inputs.residual, "residual", layout.len()),
                None => SharedRef::none(),
            },
        }
    }

    pub(super) fn picture(&self, places: &Places, picture: usize) -> Picture {
        Picture {
            sources: [self.x.at(picture * places.input.len()), self.patch.at(picture * places.patch_len())],
            residual: self.residual.at(picture * places.residual.map_or(0, |layout| layout.len())),
        }
    }

    /// The same with another residual.
    pub(super) fn with_residual(self, places: &Places, pictures: usize, residual: Option<&[f32]>) -> Self {
        let Some(layout) = places.residual else { return self };
        let Some(slice) = residual else { panic!("Conv: the residual is missing") };
        Self { residual: SharedRef::new(slice, pictures * layout.len()), ..self }
    }

    pub(super) fn residual_at(&self, index: usize) -> *const f32 {
        self.residual.at(index)
    }
}

impl Places {
    /// Floats of a picture's patch.
    fn patch_len(&self) -> usize {
        self.patch_blocks * self.input.plane()
    }
}

fn check(places: &Places, filter: Filter) {
    let Places { input, output, residual, patch_blocks } = places;
    let Filter { kernel, stride, padding } = filter;
    assert!(kernel > 0 && stride > 0, "Conv: {filter:?}");
    let side = |pixels: usize| (pixels + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
    assert_eq!(
        (side(input.height()), side(input.width())),
        (Some(output.height()), Some(output.width())),
        "Conv: {output:?} is no output of {input:?} under {filter:?}"
    );
    assert!(input.border() >= padding, "Conv: {input:?} has too small a border for {filter:?}");
    assert!(output.pixel() == LANES && !output.is_empty(), "Conv: {output:?} is not blocked");
    assert!(*patch_blocks <= input.blocks(), "Conv: {patch_blocks} blocks of patch for {input:?}");
    if let Some(residual) = residual {
        let shape = |layout: &Layout| (layout.channels(), layout.height(), layout.width(), layout.pixel());
        assert_eq!(shape(residual), shape(output), "Conv: {residual:?} cannot be added to {output:?}");
    }
}

/// The segments of every pixel's sum, and for each of their floats where its weight lies in `[i, k, k]`.
fn segments(input: &Layout, filter: Filter, patch_blocks: usize) -> (Vec<Segment>, Vec<usize>) {
    let (kernel, pixel) = (filter.kernel, input.pixel());
    let (mut segments, mut order) = (Vec::new(), Vec::new());
    for block in 0..input.blocks() {
        let source = usize::from(block < patch_blocks);
        for ky in 0..kernel {
            let row = block * input.plane() + ky * input.pitch();
            if pixel == 1 {
                segments.push(Segment { source, offset: row, len: kernel });
                order.extend((0..kernel).map(|kx| (block * kernel + ky) * kernel + kx));
                continue;
            }
            let channels = block * pixel..input.channels().min((block + 1) * pixel);
            for kx in 0..kernel {
                segments.push(Segment { source, offset: row + kx * pixel, len: channels.len() });
                order.extend(channels.clone().map(|channel| (channel * kernel + ky) * kernel + kx));
            }
        }
    }
    (segments, order)
}
