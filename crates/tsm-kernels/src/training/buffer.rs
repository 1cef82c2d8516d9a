//! The memory of activations and gradients, kept from one training step to the next.
//!
//! ```text
//! step 1   Buffer::new(len) ─► the allocator ─► dropped ─► the shelf ─┐
//! step 2   Buffer::new(len) ◄─ the shelf ◄────────────────────────────┘
//! ```
//!
//! A training step takes and gives back the same few hundred buffers of megabytes each time. From the allocator
//! every page of them would be mapped, zeroed and unmapped anew, which costs as much as the arithmetic. So dropped
//! buffers wait on a shelf of the process; what waits never makes the process larger than four times the most that was
//! in use at once. [`release_idle_buffers`] empties the shelf. Small buffers come from the allocator.
//!
//! A strip of all channels touches a page or two of each. So large buffers ask for huge pages, where Linux has them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::huge_pages;

/// Buffers shorter than this (in floats) go to the allocator, which keeps such blocks itself.
const MIN_SHELVED: usize = 16 * 1024;

static SHELF: LazyLock<Mutex<Shelf>> = LazyLock::new(|| Mutex::new(Shelf::default()));

/// Floats whose memory returns to the shelf. What it holds when new is unspecified.
pub(super) struct Buffer {
    floats: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` floats of any value: the caller writes all of them before it reads one.
    pub(super) fn new(len: usize) -> Self {
        if len < MIN_SHELVED {
            return Self { floats: vec![0.0; len], len };
        }
        let kept = lock().take(len);
        Self { floats: kept.unwrap_or_else(|| fresh(len)), len }
    }

    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.floats.len() >= MIN_SHELVED {
            lock().put(std::mem::take(&mut self.floats));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.floats[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.floats[..self.len]
    }
}

/// Zeros from the allocator, in huge pages where the kernel can.
fn fresh(len: usize) -> Vec<f32> {
    let floats = vec![0.0f32; len];
    huge_pages::advise(&floats);
    floats
}

/// Gives the memory that waits for the next training step back to the allocator.
///
/// For a program that goes on to something else after training; a later step takes its memory anew.
pub fn release_idle_buffers() {
    let idle = std::mem::take(&mut lock().idle);
    drop(idle);
}

fn lock() -> MutexGuard<'static, Shelf> {
    // A panic cannot leave the shelf half changed in a way that matters: at worst it counts too much.
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Shelf {
    idle: BTreeMap<usize, Vec<Vec<f32>>>,
    idle_floats: usize,
    live_floats: usize,
    most_live_floats: usize,
}

impl Shelf {
    /// The shortest idle buffer that fits without wasting more than a quarter, if there is one.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let fitting = self.idle.range(len..=len + len / 4).next().map(|(&len, _)| len);
        let Some(fitting) = fitting else {
            self.live_floats += len;
            self.most_live_floats = self.most_live_floats.max(self.live_floats);
            self.shrink();
            return None;
        };
        let floats = self.remove(fitting)?;
        self.live_floats += fitting;
        self.most_live_floats = self.most_live_floats.max(self.live_floats);
        Some(floats)
    }

    fn put(&mut self, floats: Vec<f32>) {
        self.live_floats = self.live_floats.saturating_sub(floats.len());
        self.idle_floats += floats.len();
        self.idle.entry(floats.len()).or_default().push(floats);
    }

    fn remove(&mut self, len: usize) -> Option<Vec<f32>> {
        let same = self.idle.get_mut(&len)?;
        let floats = same.pop();
        if same.is_empty() {
            self.idle.remove(&len);
        }
        self.idle_floats -= floats.as_ref().map_or(0, Vec::len);
        floats
    }

    /// Lets idle buffers go, the longest first, until all memory is at most four times the most ever in use.
    ///
    /// With less room a step evicts what its own next half asks for, and a third of its pages are mapped anew; layers
    /// that keep still ask for buffers that the learning ones have no use for.
    fn shrink(&mut self) {
        let limit = 4 * self.most_live_floats;
        while self.live_floats + self.idle_floats > limit {
            let Some((&longest, _)) = self.idle.last_key_value() else { return };
            drop(self.remove(longest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_is_taken_again() {
        let mut shelf = Shelf::default();
        assert!(shelf.take(100).is_none());
        shelf.put(vec![1.0; 100]);
        assert_eq!(shelf.take(90).map(|floats| floats.len()), Some(100));
        assert_eq!((shelf.live_floats, shelf.idle_floats), (100, 0));
    }

    #[test]
    fn a_much_longer_buffer_is_not_wasted_on_a_short_wish() {
        let mut shelf = Shelf::default();
        assert!(shelf.take(100).is_none());
        shelf.put(vec![1.0; 100]);
        assert!(shelf.take(70).is_none());
    }

    #[test]
    fn idle_memory_gives_way_before_the_process_grows() {
        let mut shelf = Shelf::default();
        for len in [1000, 1000, 700] {
            assert!(shelf.take(len).is_none());
        }
        for len in [1000, 1000, 700] {
            shelf.put(vec![0.0; len]);
        }
        for len in [2000, 3000] {
            // Nothing idle fits.
            assert!(shelf.take(len).is_none());
            shelf.put(vec![0.0; len]);
        }
        shelf.put(vec![0.0; 9000]);
        // 16700 idle ones shrink to what keeps the whole within four times the 3500 in use at most.
        assert!(shelf.take(3500).is_none());
        assert!(shelf.live_floats + shelf.idle_floats <= 4 * 3500, "{}", shelf.idle_floats);
    }
}
