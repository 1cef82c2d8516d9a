//! Max pool 3x3 with stride 2 and one pixel of padding: what follows the stem of a `ResNet`.
//!
//! The zero border stands in for the padding, which is right because the input follows a ReLU.

use super::kernels::{Kernels, PoolFn};
use super::layout::{LANES, Layout};
use super::shared::{SharedMut, SharedRef};
use super::team::{Team, share};
use super::vector::Vector;
use crate::cpu_level::CpuLevel;

/// One call of the innermost function: an output row of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolRow {
    /// The first tap of the first output in each of the three input rows.
    x: [*const f32; 3],
    y: *mut f32,
    width: usize,
}

/// A max pool, planned for one picture shape.
#[derive(Debug)]
pub struct MaxPool {
    input: Layout,
    output: Layout,
    row: PoolFn,
}

impl MaxPool {
    /// Plans the pool.
    ///
    /// # Panics
    /// If `input` has no border of one pixel, or `output` is not half as wide and high.
    pub fn new(level: CpuLevel, input: Layout, output: Layout) -> Self {
        assert_eq!((input.border(), input.pixel(), output.pixel()), (1, LANES, LANES), "MaxPool: {input:?}");
        assert_eq!(
            (output.channels(), output.height(), output.width()),
            (input.channels(), input.height().div_ceil(2), input.width().div_ceil(2)),
            "MaxPool: {output:?} is no output of {input:?}"
        );
        Self { input, output, row: Kernels::at(level).max_pool }
    }

    /// Pools `pictures` pictures; the border of `y` becomes zero.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn run(&self, team: &mut Team, pictures: usize, x: &[f32], y: &mut [f32]) {
        let (x, y) =
            (SharedRef::new(x, pictures * self.input.len()), SharedMut::new(y, pictures * self.output.len()));
        let (blocks, parts) = (self.output.blocks(), team.parts());
        team.run(&|part| {
            for unit in share(pictures * blocks, part, parts) {
                let (picture, block) = (unit / blocks, unit % blocks);
                let x = x.at(picture * self.input.len() + block * self.input.plane());
                let y = y.at(picture * self.output.len() + block * self.output.plane());
                // SAFETY: both are whole blocks; each unit belongs to one part.
                unsafe { self.block(x, y) };
            }
        });
    }

    /// # Safety
    /// `x` and `y` are whole blocks; nobody writes the first or touches the second meanwhile.
    unsafe fn block(&self, x: *const f32, y: *mut f32) {
        for row in 0..self.output.height() {
            let call = PoolRow {
                x: [0, 1, 2].map(|ky| x.wrapping_add(self.input.bordered_row(2 * row + ky))),
                y: y.wrapping_add(self.output.at(row, 0)),
                width: self.output.width(),
            };
            // SAFETY: three bordered rows hold every tap of the output row.
            unsafe { (self.row)(&call) };
            // SAFETY: the block is this call's alone.
            unsafe { super::border::clear(&self.output, y, row) };
        }
    }
}

/// Computes an output row of a block.
///
/// # Safety
/// The rows are readable, `y` is this call's alone, and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn row<V: Vector>(row: &PoolRow) {
    for n in 0..row.width {
        let mut largest = V::splat(0.0);
        for x in row.x {
            for kx in 0..3 {
                // SAFETY: the bordered row holds the taps of each of its outputs.
                largest = largest.max(unsafe { V::load(x.wrapping_add((2 * n + kx) * LANES)) });
            }
        }
        // SAFETY: the output row is this call's alone.
        unsafe { largest.store(row.y.wrapping_add(n * LANES)) };
    }
}
