//! Which buffers a step uses and how large they are, on whichever machine.

use super::args::StreamFolds;
#[cfg(feature = "cuda")]
use super::program::Slot;
use super::program::{Program, SLOTS};

/// Blocks that may leave partial sums in one launch, a multiprocessor: above that there are tiles enough without.
pub(super) const PARTIAL_BLOCKS_AN_SM: usize = 4;

/// Floats of the largest tile that may be split.
pub(super) const TILE_FLOATS: usize = 128 * 64;

/// Addresses of everything that a launch may name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Addresses {
    pub(super) weights: u64,
    pub(super) biases: u64,
    pub(super) slots: [u64; SLOTS],
    pub(super) streams: u64,
    pub(super) partial: u64,
    pub(super) counters: u64,
}

/// Bytes of each buffer for a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) slots: [usize; SLOTS],
    /// The table of the streams' memories; the frames follow it in one upload.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the twins need no upload"))]
    pub(super) table: usize,
    pub(super) partial: usize,
    pub(super) counters: usize,
}

impl Sizes {
    pub(super) fn of(program: &Program, pictures: usize, multiprocessors: usize) -> Self {
        let bytes = |slot: usize| program.slot_floats(slot) * pictures * program.slot_element(slot).bytes();
        let blocks = PARTIAL_BLOCKS_AN_SM * multiprocessors;
        Self {
            slots: std::array::from_fn(bytes),
            table: (pictures * size_of::<StreamFolds>()).next_multiple_of(256),
            partial: blocks * TILE_FLOATS * size_of::<f32>(),
            counters: blocks * size_of::<u32>(),
        }
    }

    /// Bytes of the table and the frames behind it.
    #[cfg(feature = "cuda")]
    pub(super) fn upload(&self) -> usize {
        self.table + self.slots[Slot::Frames as usize]
    }
}
