//! Slices that the threads of a team read and write at the same time, each its own part.

/// What all threads read.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedRef(*const f32);

/// What all threads write, each where no other does.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedMut(*mut f32);

// SAFETY: a pointer may be read anywhere; whoever goes through it says why that is right.
unsafe impl Send for SharedRef {}
// SAFETY: as above.
unsafe impl Sync for SharedRef {}
// SAFETY: as above.
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}

impl SharedRef {
    /// The first `needed` floats of `slice`.
    ///
    /// # Panics
    /// If it has fewer.
    pub(super) fn new(slice: &[f32], needed: usize) -> Self {
        Self(slice[..needed].as_ptr())
    }

    /// Nothing; for what is not there.
    pub(super) fn none() -> Self {
        Self(std::ptr::null())
    }

    /// From float `index` on; null where there is nothing.
    pub(super) fn at(self, index: usize) -> *const f32 {
        if self.0.is_null() { self.0 } else { self.0.wrapping_add(index) }
    }
}

impl SharedMut {
    /// The first `needed` floats of `slice`.
    ///
    /// # Panics
    /// If it has fewer.
    pub(super) fn new(slice: &mut [f32], needed: usize) -> Self {
        Self(slice[..needed].as_mut_ptr())
    }

    /// From float `index` on.
    pub(super) fn at(self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }

    /// The `len` floats from `index` on.
    ///
    /// # Safety
    /// They lie within the slice, and nobody else touches them while the result lives.
    pub(super) unsafe fn part<'a>(self, index: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.at(index), len) }
    }
}
