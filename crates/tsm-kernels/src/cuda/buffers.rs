//! Which buffers a step uses and how large they are, on whichever machine.

use super::args::StreamFolds;
#[cfg(feature = "cuda")]
use super::program::Slot;
use super::program::{Program, SLOTS};
use crate::frames::FrameForm;

/// What goes up begins at multiples of this, as memory that the driver gives does.
const ALIGNED: usize = 256;

/// Blocks that may leave partial sums in one launch, a multiprocessor: above that there are tiles enough without.
pub(super) const PARTIAL_BLOCKS_AN_SM: usize = 4;

/// Floats of the largest tile that may be split.
pub(super) const TILE_FLOATS: usize = 128 * 64;

/// Addresses of everything that a launch may name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Addresses {
    pub(super) weights: u64,
    pub(super) biases: u64,
    /// Frames of bytes.
    pub(super) bytes: u64,
    pub(super) slots: [u64; SLOTS],
    pub(super) streams: u64,
    pub(super) partial: u64,
    pub(super) counters: u64,
}

/// Bytes of each buffer for a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) slots: [usize; SLOTS],
    /// The table of the streams' memories.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the twins need no upload"))]
    pub(super) table: usize,
    /// Frames of bytes, if the program takes them.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the twins have them where they are"))]
    pub(super) bytes: usize,
    pub(super) partial: usize,
    pub(super) counters: usize,
}

impl Sizes {
    pub(super) fn of(program: &Program, pictures: usize, multiprocessors: usize) -> Self {
        let bytes = |slot: usize| program.slot_floats(slot) * pictures * program.slot_element(slot).bytes();
        let blocks = PARTIAL_BLOCKS_AN_SM * multiprocessors;
        let rgb = if program.takes(FrameForm::Rgb) { program.frame_values() } else { 0 };
        Self {
            slots: std::array::from_fn(bytes),
            table: (pictures * size_of::<StreamFolds>()).next_multiple_of(ALIGNED),
            bytes: (rgb * pictures).next_multiple_of(ALIGNED),
            partial: blocks * TILE_FLOATS * size_of::<f32>(),
            counters: blocks * size_of::<u32>(),
        }
    }

    /// Where frames of `form` begin in what goes up: the table, frames of bytes, normalised frames.
    #[cfg(feature = "cuda")]
    pub(super) const fn frames_at(&self, form: FrameForm) -> usize {
        match form {
            FrameForm::Rgb => self.table,
            FrameForm::Normalised => self.table + self.bytes,
        }
    }

    /// Bytes of frames of either form.
    #[cfg(feature = "cuda")]
    pub(super) fn frames(&self) -> usize {
        self.bytes.max(self.slots[Slot::Frames as usize])
    }

    /// Bytes of all that goes up.
    #[cfg(feature = "cuda")]
    pub(super) const fn upload(&self) -> usize {
        self.frames_at(FrameForm::Normalised) + self.slots[Slot::Frames as usize]
    }
}
