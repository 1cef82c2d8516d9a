//! Where a float of a picture lies: channels in blocks of sixteen, each block a picture of its own.
//!
//! ```text
//! blocked   block 0: rows of pixels, 16 channels a pixel │ block 1: … │      a zero border around each block
//! planar    channel 0: rows of pixels                    │ channel 1: … │   (the frame that comes in)
//!
//! a row    ├─ border ─┼─ pixel 0 ─┼─ pixel 1 ─┼─ … ─┼─ border ─┤    pitch floats
//! ```
//!
//! Sixteen floats are a cache line and a vector of AVX-512. A convolution reads and writes whole pixels of a
//! block, so neighbouring pixels of a row are a constant number of bytes apart. The channels that fill up the
//! last block are zero in every tensor.

/// Channels of a block.
pub const LANES: usize = 16;

/// Shape and strides of one picture; every stride counts floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    channels: usize,
    height: usize,
    width: usize,
    border: usize,
    /// Rows that are stored; fewer than the picture has where a band of it is kept.
    stored_rows: usize,
    /// Floats of a pixel: [`LANES`], or 1 where planar.
    pixel: usize,
}

impl Layout {
    /// Blocks of sixteen channels, `border` zero pixels on each side.
    pub const fn blocked(channels: usize, height: usize, width: usize, border: usize) -> Self {
        Self { channels, height, width, border, stored_rows: height + 2 * border, pixel: LANES }
    }

    /// One plane a channel, `border` zero pixels on each side.
    pub const fn planar(channels: usize, height: usize, width: usize, border: usize) -> Self {
        Self { channels, height, width, border, stored_rows: height + 2 * border, pixel: 1 }
    }

    /// The same picture, of which `rows` rows are kept: row `y` takes the place of row `y - rows`.
    #[must_use]
    pub const fn ring(self, rows: usize) -> Self {
        Self { stored_rows: rows, ..self }
    }

    /// Channels of the picture.
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// Rows of the picture.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Pixels of a row.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Zero pixels on each side.
    pub const fn border(&self) -> usize {
        self.border
    }

    /// Floats of a pixel: [`LANES`], or 1 where planar.
    pub const fn pixel(&self) -> usize {
        self.pixel
    }

    /// Blocks, or planes where planar.
    pub const fn blocks(&self) -> usize {
        self.channels.div_ceil(self.pixel)
    }

    /// Floats from a row to the next.
    pub const fn pitch(&self) -> usize {
        (self.width + 2 * self.border) * self.pixel
    }

    /// Floats from a block to the next.
    pub const fn plane(&self) -> usize {
        self.stored_rows * self.pitch()
    }

    /// Floats of a picture.
    pub const fn len(&self) -> usize {
        self.blocks() * self.plane()
    }

    /// Whether there is no float at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where row `y`, counted from the first border row, begins in each block; its first border pixel.
    pub const fn bordered_row(&self, y: usize) -> usize {
        y % self.stored_rows * self.pitch()
    }

    /// Where pixel `x` of row `y` begins in each block.
    pub const fn at(&self, y: usize, x: usize) -> usize {
        self.bordered_row(y + self.border) + (x + self.border) * self.pixel
    }
}

/// Copies planar `[c, h, w]` without border into `blocked`; border and filling channels become zero.
///
/// # Panics
/// If a slice does not have the length that `layout` gives it.
pub fn blocked_from_planar(planar: &[f32], layout: &Layout, blocked: &mut [f32]) {
    let (h, w) = (layout.height, layout.width);
    assert_eq!(planar.len(), layout.channels * h * w, "blocked_from_planar: planar does not fit {layout:?}");
    assert_eq!(blocked.len(), layout.len(), "blocked_from_planar: blocked does not fit {layout:?}");
    blocked.fill(0.0);
    for (c, plane) in planar.chunks_exact((h * w).max(1)).enumerate() {
        let base = c / layout.pixel * layout.plane() + c % layout.pixel;
        for (y, row) in plane.chunks_exact(w).enumerate() {
            for (x, &value) in row.iter().enumerate() {
                blocked[base + layout.at(y, x)] = value;
            }
        }
    }
}

/// Copies a blocked picture out to planar `[c, h, w]`.
///
/// # Panics
/// If a slice does not have the length that `layout` gives it.
pub fn planar_from_blocked(blocked: &[f32], layout: &Layout, planar: &mut [f32]) {
    let (h, w) = (layout.height, layout.width);
    assert_eq!(planar.len(), layout.channels * h * w, "planar_from_blocked: planar does not fit {layout:?}");
    assert_eq!(blocked.len(), layout.len(), "planar_from_blocked: blocked does not fit {layout:?}");
    for (c, plane) in planar.chunks_exact_mut((h * w).max(1)).enumerate() {
        let base = c / layout.pixel * layout.plane() + c % layout.pixel;
        for (y, row) in plane.chunks_exact_mut(w).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value = blocked[base + layout.at(y, x)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_comes_back_from_every_layout() {
        for layout in [Layout::blocked(19, 3, 5, 1), Layout::blocked(16, 2, 2, 0), Layout::planar(3, 4, 2, 3)]
        {
            let count = layout.channels() * layout.height() * layout.width();
            let planar: Vec<f32> = (0u16..).take(count).map(f32::from).collect();
            let mut stored = vec![f32::NAN; layout.len()];
            blocked_from_planar(&planar, &layout, &mut stored);
            let mut back = vec![0.0; count];
            planar_from_blocked(&stored, &layout, &mut back);
            assert_eq!(back, planar);
            assert!(stored.iter().all(|value| !value.is_nan()));
        }
    }

    #[test]
    fn a_ring_keeps_the_newest_rows() {
        let layout = Layout::blocked(16, 10, 4, 1).ring(3);
        assert_eq!(layout.len(), 3 * 6 * LANES);
        assert_eq!(layout.bordered_row(7), layout.bordered_row(1));
        assert_eq!(layout.at(3, 0), layout.at(0, 0));
    }
}
