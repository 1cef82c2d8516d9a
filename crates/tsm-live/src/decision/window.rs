//! The mean of a stream's last logits, kept as a ring.

/// A ring of `frames` rows of `classes` logits.
#[derive(Debug)]
pub(super) struct LogitWindow {
    rows: Vec<f32>,
    classes: usize,
    capacity: usize,
    filled: usize,
    next: usize,
}

impl LogitWindow {
    /// An empty window of at most `frames` (at least 1) rows.
    pub(super) fn new(frames: usize, classes: usize) -> Self {
        Self { rows: vec![0.0; frames * classes], classes, capacity: frames, filled: 0, next: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.next = 0;
    }

    /// Takes a row, in place of the oldest where the window is full.
    pub(super) fn push(&mut self, logits: &[f32]) {
        let start = self.next * self.classes;
        self.rows[start..start + self.classes].copy_from_slice(logits);
        self.next = (self.next + 1) % self.capacity;
        self.filled = (self.filled + 1).min(self.capacity);
    }

    /// Writes the mean of the rows held, summed afresh so that no rounding error grows over months.
    #[expect(clippy::cast_precision_loss, reason = "a window has a few hundred rows at most")]
    pub(super) fn mean(&self, mean: &mut [f32]) {
        mean.fill(0.0);
        for row in self.rows.chunks_exact(self.classes.max(1)).take(self.filled) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        for value in mean {
            *value /= self.filled.max(1) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_forgets_the_oldest_row() {
        let mut window = LogitWindow::new(2, 1);
        let mut mean = [0.0f32];
        for (value, expected) in [(4.0, 4.0), (2.0, 3.0), (8.0, 5.0)] {
            window.push(&[value]);
            window.mean(&mut mean);
            assert!((mean[0] - expected).abs() < 1e-6, "{mean:?} is not {expected}");
        }
    }
}
