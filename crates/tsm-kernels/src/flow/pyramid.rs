//! A picture and its halves, fine to coarse: what flow is measured between.
//!
//! A stream's next frame is measured against the last one, so a pyramid is made once and kept for the other use.

use super::plane::Plane;

/// Pictures of a pyramid; each has half the rows and columns of the one before.
pub(super) const LEVELS: usize = 3;

/// A picture and its halves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pyramid {
    levels: [Plane; LEVELS],
}

impl Pyramid {
    /// That of a picture of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        let mut out = Self::default();
        out.fill(|picture| {
            picture.resize(rows, columns);
            picture.values_mut().fill(0.0);
        });
        out
    }

    /// The picture itself.
    pub const fn picture(&self) -> &Plane {
        &self.levels[0]
    }

    /// Bytes of all its numbers.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(level.values())).sum()
    }

    /// Another picture, which `draw` writes, and its halves.
    pub(super) fn fill(&mut self, draw: impl FnOnce(&mut Plane)) {
        draw(&mut self.levels[0]);
        for level in 1..LEVELS {
            let (finer, coarser) = self.levels.split_at_mut(level);
            finer[level - 1].halve(&mut coarser[0]);
        }
    }

    /// The picture halved `level` times.
    pub(super) const fn level(&self, level: usize) -> &Plane {
        &self.levels[level]
    }
}
