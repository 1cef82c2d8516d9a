//! Floats that begin at a cache line, so that no vector of sixteen lies across two.
//!
//! Large ones begin at a huge page and ask for such: weights are read once a step from end to end, and with small
//! pages every kilobyte or two would cost a look-up.

use std::ops::{Deref, DerefMut};

use crate::huge_pages::{self, HUGE_PAGE_BYTES};

/// Bytes of a cache line, and of a vector of sixteen floats.
const LINE_BYTES: usize = 64;

/// From this size on a buffer lies on huge pages of its own.
const LARGE_BYTES: usize = 512 << 10;

/// A fixed number of floats from a cache line on.
#[derive(Debug, Default)]
pub struct Buffer {
    floats: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let bytes = len * size_of::<f32>();
        let is_large = bytes >= LARGE_BYTES;
        let align = if is_large { HUGE_PAGE_BYTES } else { LINE_BYTES };
        // Room to begin where we want to, and to own the last page to its end; what is never touched costs nothing.
        let room = if is_large { bytes.next_multiple_of(align) } else { bytes } + align;
        let floats = vec![0.0f32; room.div_ceil(size_of::<f32>())];
        if is_large {
            huge_pages::advise(&floats);
        }
        let start = floats.as_ptr().align_offset(align).min(align / size_of::<f32>());
        Self { floats, start, len }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.floats[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_and_its_copy_begin_at_a_cache_line() {
        for len in [0, 1, 15, 16, 1000, 200_000] {
            let mut buffer = Buffer::zeros(len);
            buffer.fill(2.0);
            let copy = buffer.clone();
            assert_eq!((buffer.len(), &*copy), (len, &*buffer));
            assert!([&buffer, &copy].iter().all(|b| b.as_ptr().addr() % LINE_BYTES == 0));
        }
    }
}
