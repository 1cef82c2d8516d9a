//! Floats that begin at a cache line, so that no vector of sixteen lies across two.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of a vector of sixteen floats.
const LINE_BYTES: usize = 64;

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
        let floats = vec![0.0f32; len + LINE_BYTES / size_of::<f32>()];
        let start = floats.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES / size_of::<f32>());
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
        for len in [0, 1, 15, 16, 1000] {
            let mut buffer = Buffer::zeros(len);
            buffer.fill(2.0);
            let copy = buffer.clone();
            assert_eq!((buffer.len(), &*copy), (len, &*buffer));
            assert!([&buffer, &copy].iter().all(|b| b.as_ptr().addr() % LINE_BYTES == 0));
        }
    }
}
