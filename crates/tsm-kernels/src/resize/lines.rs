//! Bytes that begin at a cache line, so that no vector of 64 lies across two.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A fixed number of bytes from a cache line on. Scratch memory: a clone keeps the length, the content may move.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    memory: Vec<u8>,
    len: usize,
}

impl Lines {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        Self { memory: vec![0; len + LINE_BYTES], len }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start()..][..self.len]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let start = self.start();
        &mut self.memory[start..][..self.len]
    }

    fn start(&self) -> usize {
        self.memory.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES)
    }
}
