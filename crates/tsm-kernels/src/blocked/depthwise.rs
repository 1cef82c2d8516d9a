//! Depthwise 3x3 convolution with one pixel of padding, a block of sixteen channels at a time.
//!
//! ```text
//!              for each block, its nine weights in registers
//!                for each output row
//!                  for a few output pixels
//!  x row y·s-1  ├─┼─┼─┼─┼─┤    nine taps: sum += x * weight, sixteen channels at once
//!  x row y·s    ├─┼─┼─┼─┼─┤
//!  x row y·s+1  ├─┼─┼─┼─┼─┤ ──► clamp ──► y row
//! ```
//!
//! The input brings its zero border along, so no tap asks where it is.

use std::ops::Range;

use super::activation_clamp;
use super::buffer::Buffer;
use super::conv::by_picture;
use super::kernels::{DepthwiseFn, Kernels};
use super::layout::{LANES, Layout};
use super::shared::{SharedMut, SharedRef};
use super::team::{Team, has_enough_rows, share};
use super::vector::Vector;
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;

const TAPS: usize = 9;

/// Output pixels that are summed up at once: what the registers beside nine weights hold, and a divisor of the
/// usual widths.
const PIXELS: usize = 7;

/// One call of the innermost function: an output row of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct DepthwiseRow {
    /// The first tap of the first output in each of the three input rows.
    x: [*const f32; 3],
    /// `[9][16]`.
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    width: usize,
    clamp: [f32; 2],
}

/// A depthwise convolution, packed for one picture shape.
#[derive(Debug)]
pub struct Depthwise {
    pub(super) input: Layout,
    pub(super) output: Layout,
    pub(super) stride: usize,
    /// `[block][9][16]`.
    weights: Buffer,
    /// `[block][16]`.
    bias: Buffer,
    clamp: [f32; 2],
    row: DepthwiseFn,
}

impl Depthwise {
    /// Packs `weight` `[c, 1, 3, 3]` and `bias` `[c]`.
    ///
    /// # Panics
    /// If the filters are not 3x3 with stride 1 or 2, the input has no border of one pixel, or a length is wrong.
    pub fn new(
        level: CpuLevel,
        [input, output]: [Layout; 2],
        stride: usize,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let channels = input.channels();
        assert_eq!(weight.len(), channels * TAPS, "Depthwise: weight is not [{channels}, 1, 3, 3]");
        assert_eq!(bias.len(), channels, "Depthwise: bias is not [{channels}]");
        assert!(matches!(stride, 1 | 2), "Depthwise: no kernel for stride {stride}");
        assert_eq!(
            (input.border(), input.pixel(), output.pixel(), output.channels()),
            (1, LANES, LANES, channels),
            "Depthwise: {input:?} and {output:?} do not fit"
        );
        assert_eq!(
            (output.height(), output.width()),
            (input.height().div_ceil(stride), input.width().div_ceil(stride)),
            "Depthwise: {output:?} is no output of {input:?}"
        );
        let mut packed = Buffer::zeros(input.blocks() * TAPS * LANES);
        for (c, taps) in weight.chunks_exact(TAPS).enumerate() {
            for (tap, &value) in taps.iter().enumerate() {
                packed[(c / LANES * TAPS + tap) * LANES + c % LANES] = value;
            }
        }
        let mut all_bias = Buffer::zeros(input.blocks() * LANES);
        all_bias[..channels].copy_from_slice(bias);
        let row = Kernels::at(level).depthwise[stride - 1];
        let clamp = activation_clamp(activation);
        Self { input, output, stride, weights: packed, bias: all_bias, clamp, row }
    }

    /// Computes some rows of some blocks.
    ///
    /// # Safety
    /// `x` is a picture of the input's layout and `y` one of the output's; nobody writes the first or touches these
    /// rows and blocks of the second meanwhile.
    pub(super) unsafe fn run(&self, x: *const f32, y: *mut f32, rows: Range<usize>, blocks: Range<usize>) {
        for block in blocks {
            let x = x.wrapping_add(block * self.input.plane());
            let y_block = y.wrapping_add(block * self.output.plane());
            for y in rows.clone() {
                let row = DepthwiseRow {
                    x: [0, 1, 2].map(|ky| x.wrapping_add(self.input.bordered_row(y * self.stride + ky))),
                    weights: self.weights.as_ptr().wrapping_add(block * TAPS * LANES),
                    bias: self.bias.as_ptr().wrapping_add(block * LANES),
                    y: y_block.wrapping_add(self.output.at(y, 0)),
                    width: self.output.width(),
                    clamp: self.clamp,
                };
                // SAFETY: three bordered rows hold every tap of the output row; the rest as the caller says.
                unsafe { (self.row)(&row) };
            }
        }
    }
}

/// Computes an output row of a block.
///
/// # Safety
/// The rows, weights and bias are readable, `y` is this call's alone, and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn row<V: Vector, const STRIDE: usize>(row: &DepthwiseRow) {
    let mut w = [V::splat(0.0); TAPS];
    for (tap, w) in w.iter_mut().enumerate() {
        // SAFETY: nine vectors of weights.
        *w = unsafe { V::load(row.weights.wrapping_add(tap * LANES)) };
    }
    let whole = row.width - row.width % PIXELS;
    for x in (0..whole).step_by(PIXELS) {
        // SAFETY: as the caller says; the pixels lie within the row.
        unsafe { pixels::<V, PIXELS, STRIDE>(row, &w, x) };
    }
    for x in whole..row.width {
        // SAFETY: as above.
        unsafe { pixels::<V, 1, STRIDE>(row, &w, x) };
    }
}

/// Computes `N` output pixels from `first` on.
///
/// # Safety
/// As [`row`].
#[inline(always)]
unsafe fn pixels<V: Vector, const N: usize, const STRIDE: usize>(
    row: &DepthwiseRow,
    w: &[V; TAPS],
    first: usize,
) {
    // SAFETY: a vector of bias.
    let mut sums = [unsafe { V::load(row.bias) }; N];
    for (x, w) in row.x.iter().zip(w.chunks_exact(3)) {
        let x = x.wrapping_add(first * STRIDE * LANES);
        for (n, sum) in sums.iter_mut().enumerate() {
            for (kx, w) in w.iter().enumerate() {
                // SAFETY: the bordered row holds the taps of each of its outputs.
                let x = unsafe { V::load(x.wrapping_add((n * STRIDE + kx) * LANES)) };
                *sum = x.mul_add(*w, *sum);
            }
        }
    }
    let [low, high] = row.clamp.map(V::splat);
    for (n, sum) in sums.into_iter().enumerate() {
        let y = high.min(low.max(sum));
        // SAFETY: the output row is this call's alone.
        unsafe { y.store(row.y.wrapping_add((first + n) * LANES)) };
    }
}

impl Depthwise {
    /// Convolves `pictures` pictures that lie one behind the other.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn run_all(&self, team: &mut Team, pictures: usize, x: &[f32], y: &mut [f32]) {
        let (x, y) =
            (SharedRef::new(x, pictures * self.input.len()), SharedMut::new(y, pictures * self.output.len()));
        let (blocks, height, parts) = (self.output.blocks(), self.output.height(), team.parts());
        let rows = pictures * height;
        team.run(&|part| {
            // As the convolutions around it, so that a thread finds its rows or blocks in its own cache.
            let (rows, blocks) = if has_enough_rows(rows, parts) {
                (share(rows, part, parts), 0..blocks)
            } else {
                (0..rows, share(blocks, part, parts))
            };
            for (picture, rows) in by_picture(rows, height) {
                let (x, y) = (x.at(picture * self.input.len()), y.at(picture * self.output.len()));
                // SAFETY: the lengths were checked; each part has rows or blocks of its own.
                unsafe { self.run(x, y, rows, blocks.clone()) };
            }
        });
    }
}
