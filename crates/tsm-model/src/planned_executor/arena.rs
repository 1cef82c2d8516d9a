//! The memory of a step: a few buffers that the tensors of all layers share.

use tsm_kernels::blocked::Buffer;

/// A buffer of the arena. Which tensors lie in it, one after the other, is the plan's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The frames with their border; nothing else, so that the border stays zero.
    Frames,
    /// A block's input or output, in turn with the next.
    Even,
    /// The other of the two.
    Odd,
    /// Between a block's convolutions.
    Hidden,
    /// The other one there.
    AlsoHidden,
    /// The first channels of a block's input, taken from the last frame.
    Patch,
    /// A block's input on its way around.
    Shortcut,
    /// Each part's own: rows of an expanded tensor, or windows and products of Winograd's way.
    Bands,
}

const SLOTS: usize = 8;

/// Floats that each slot needs, for a picture and besides.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    a_picture: [usize; SLOTS],
    fixed: [usize; SLOTS],
}

impl Sizes {
    /// Makes room for `floats` floats a picture in `slot`.
    pub(super) fn a_picture(&mut self, slot: Slot, floats: usize) {
        let size = &mut self.a_picture[slot as usize];
        *size = floats.max(*size);
    }

    /// Makes room for `floats` floats in `slot`, however many pictures there are.
    pub(super) fn fixed(&mut self, slot: Slot, floats: usize) {
        let size = &mut self.fixed[slot as usize];
        *size = floats.max(*size);
    }
}

/// The buffers, large enough for the largest batch so far.
#[derive(Debug)]
pub(super) struct Arena {
    sizes: Sizes,
    pictures: usize,
    slots: [Buffer; SLOTS],
}

impl Arena {
    /// Buffers for one picture.
    pub(super) fn new(sizes: Sizes) -> Self {
        let mut arena = Self { sizes, pictures: 0, slots: Default::default() };
        arena.reserve(1);
        arena
    }

    /// Grows for `pictures` pictures, if there were never so many; nothing in it lasts then.
    pub(super) fn reserve(&mut self, pictures: usize) {
        if pictures <= self.pictures {
            return;
        }
        self.pictures = pictures;
        let needs = self.sizes.a_picture.iter().zip(self.sizes.fixed);
        for (slot, (a_picture, fixed)) in self.slots.iter_mut().zip(needs) {
            // The old one goes first: the two need not fit at once.
            drop(std::mem::take(slot));
            *slot = Buffer::zeros(a_picture * pictures + fixed);
        }
    }

    /// The buffer of `slot`.
    pub(super) fn slot(&self, slot: Slot) -> &[f32] {
        &self.slots[slot as usize]
    }

    /// The buffer of `slot`, to be written.
    pub(super) fn slot_mut(&mut self, slot: Slot) -> &mut [f32] {
        &mut self.slots[slot as usize]
    }

    /// Lends the buffer of `slot` out, to be written while others are read; it is missing until it is put back.
    pub(super) fn take(&mut self, slot: Slot) -> Buffer {
        std::mem::take(&mut self.slots[slot as usize])
    }

    /// Takes the buffer of `slot` back.
    pub(super) fn put(&mut self, slot: Slot, buffer: Buffer) {
        self.slots[slot as usize] = buffer;
    }
}
