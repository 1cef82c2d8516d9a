//! Scales an RGB picture and cuts a crop out of it, equal to the bit to PIL's antialiased bilinear on 8 bits.
//!
//! ```text
//!  only what the crop needs                         ring of narrow rows
//!  source row  [columns, 3] ─┬─ horizontal taps ─►  [crop width, 3]  ─┐
//!  source row  [columns, 3] ─┘  (two rows a turn)   [crop width, 3]   ├─ vertical taps ─► crop row
//!  …                                                …                ─┘
//! ```
//!
//! The rule (Pillow's `Resample.c`): per axis a triangle filter as wide as the scale, at least one pixel;
//! weights normalised in f64, then integers of 22 fractional bits, rounded half away from zero; each pass
//! rounds to 8 bits, the horizontal one first; a pass whose size does not change is left out. Source rows
//! are asked for once each, in order, so a camera's picture need not exist as RGB as a whole.
//!
//! No other filter, no other depth, no gamma.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod weights;

use std::ops::Range;

use thiserror::Error;

use crate::cpu_level::CpuLevel;
use weights::AxisWeights;

/// Bytes a pixel.
const RGB: usize = 3;

/// A rectangle in the scaled picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropRect {
    /// Its first column.
    pub x: usize,
    /// Its first row.
    pub y: usize,
    /// Its columns.
    pub width: usize,
    /// Its rows.
    pub height: usize,
}

/// Why a resize cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// A side is 0, or larger than the 65535 pixels any codec or camera has.
    #[error(
        "cannot scale {src_width}x{src_height} to {scaled_width}x{scaled_height}: each side must be 1 to 65535 pixels"
    )]
    Side {
        /// Source columns.
        src_width: usize,
        /// Source rows.
        src_height: usize,
        /// Scaled columns.
        scaled_width: usize,
        /// Scaled rows.
        scaled_height: usize,
    },
    /// The crop is empty or reaches beyond the scaled picture.
    #[error("a crop of {}x{} at ({}, {}) does not lie in the scaled picture of {scaled_width}x{scaled_height}", crop.width, crop.height, crop.x, crop.y)]
    Crop {
        /// The crop asked for.
        crop: CropRect,
        /// Scaled columns.
        scaled_width: usize,
        /// Scaled rows.
        scaled_height: usize,
    },
}

/// A resize and crop for one source size, with its weights and buffers; after [`ResizePlan::new`] it allocates no more.
#[derive(Debug, Clone)]
pub struct ResizePlan {
    src_width: usize,
    crop: CropRect,
    horizontal: AxisWeights,
    vertical: AxisWeights,
    /// Two source rows, each with slack.
    source: [Vec<u8>; 2],
    /// Rows after the horizontal pass; source row `r` stands in row `r % ring_rows`.
    ring: Vec<u8>,
    ring_rows: usize,
}

impl ResizePlan {
    /// Plans scaling `src_width` x `src_height` to `scaled_width` x `scaled_height` and cutting out `crop`.
    ///
    /// # Errors
    /// [`ResizeError`] if a side is 0 or over 65535, or the crop is empty or reaches beyond the scaled picture.
    pub fn new(
        src_width: usize,
        src_height: usize,
        scaled_width: usize,
        scaled_height: usize,
        crop: CropRect,
    ) -> Result<Self, ResizeError> {
        let sides = [src_width, src_height, scaled_width, scaled_height];
        if sides.iter().any(|&side| side == 0 || side > usize::from(u16::MAX)) {
            return Err(ResizeError::Side { src_width, src_height, scaled_width, scaled_height });
        }
        let inside = |first: usize, len: usize, all: usize| {
            len > 0 && first.checked_add(len).is_some_and(|end| end <= all)
        };
        if !inside(crop.x, crop.width, scaled_width) || !inside(crop.y, crop.height, scaled_height) {
            return Err(ResizeError::Crop { crop, scaled_width, scaled_height });
        }
        let horizontal = AxisWeights::new(src_width, scaled_width, crop.x..crop.x + crop.width);
        let vertical = AxisWeights::new(src_height, scaled_height, crop.y..crop.y + crop.height);
        // Vector code reads every window as if it were the longest, in groups of four taps, 16 bytes a load.
        let slack_bytes = horizontal.most_taps().next_multiple_of(4) * RGB + 16;
        let row_bytes = horizontal.source().len() * RGB + slack_bytes;
        // A row more than the tallest window, because rows come in pairs; one more for an even tap count.
        let ring_rows = vertical.most_taps() + 2;
        Ok(Self {
            src_width,
            crop,
            source: [vec![0; row_bytes], vec![0; row_bytes]],
            ring: vec![0; ring_rows * crop.width * RGB],
            ring_rows,
            horizontal,
            vertical,
        })
    }

    /// The source rows that the crop needs.
    pub fn source_rows(&self) -> Range<usize> {
        self.vertical.source()
    }

    /// The source columns that the crop needs.
    pub fn source_columns(&self) -> Range<usize> {
        self.horizontal.source()
    }

    /// The crop, in the scaled picture.
    pub fn crop(&self) -> CropRect {
        self.crop
    }

    /// Scales into `out` `[crop.height, crop.width, 3]`. `fill_row(row, rgb)` has to write the
    /// [`source_columns`](Self::source_columns) of source row `row`; it is called once for each of
    /// [`source_rows`](Self::source_rows), in order.
    ///
    /// # Panics
    /// If `out` does not hold the crop.
    pub fn run_rows(&mut self, fill_row: impl FnMut(usize, &mut [u8]), out: &mut [u8]) {
        self.run_rows_at(CpuLevel::detected(), fill_row, out);
    }

    /// [`ResizePlan::run_rows`] on a given level, for tests and benches.
    ///
    /// # Panics
    /// As [`ResizePlan::run_rows`].
    pub fn run_rows_at(
        &mut self,
        level: CpuLevel,
        mut fill_row: impl FnMut(usize, &mut [u8]),
        out: &mut [u8],
    ) {
        let row_bytes = self.crop.width * RGB;
        assert_eq!(out.len(), self.crop.height * row_bytes, "resize: out does not hold {:?}", self.crop);
        let source_bytes = self.horizontal.source().len() * RGB;
        let rows = self.source_rows();
        let mut out_rows = out.chunks_exact_mut(row_bytes).enumerate();
        let mut next = out_rows.next();
        for row in rows.clone().step_by(2) {
            let pair = row..(row + 2).min(rows.end);
            for (at, source) in pair.clone().zip(&mut self.source) {
                fill_row(at, &mut source[..source_bytes]);
            }
            self.horizontal_pass(level, pair.clone());
            while let Some((index, out_row)) =
                next.take_if(|(index, _)| self.vertical.window(*index).end <= pair.end)
            {
                self.vertical_pass(level, index, out_row);
                next = out_rows.next();
            }
        }
    }

    /// Scales `src_rgb`, the whole [`source_rows`](Self::source_rows) `[rows, src_width, 3]` without gaps.
    ///
    /// # Panics
    /// If `src_rgb` does not hold these rows or `out` not the crop.
    pub fn run(&mut self, src_rgb: &[u8], out: &mut [u8]) {
        self.run_at(CpuLevel::detected(), src_rgb, out);
    }

    /// [`ResizePlan::run`] on a given level, for tests and benches.
    ///
    /// # Panics
    /// As [`ResizePlan::run`].
    pub fn run_at(&mut self, level: CpuLevel, src_rgb: &[u8], out: &mut [u8]) {
        let (rows, columns, src_width) = (self.source_rows(), self.source_columns(), self.src_width);
        assert_eq!(
            src_rgb.len(),
            rows.len() * src_width * RGB,
            "resize: src_rgb does not hold rows {rows:?}"
        );
        self.run_rows_at(
            level,
            |row, rgb| {
                let at = ((row - rows.start) * src_width + columns.start) * RGB;
                rgb.copy_from_slice(&src_rgb[at..][..rgb.len()]);
            },
            out,
        );
    }

    /// Narrows the one or two source rows `pair` into the ring.
    fn horizontal_pass(&mut self, level: CpuLevel, pair: Range<usize>) {
        let row_bytes = self.crop.width * RGB;
        #[cfg(target_arch = "x86_64")]
        if pair.len() == 2
            && let Some(split) = self.horizontal.split()
            && let Some(cpu) = crate::cpu_level::Avx2::at(level)
        {
            let at = [pair.start, pair.start + 1].map(|row| row % self.ring_rows * row_bytes);
            let rows = [at[0]..at[0] + row_bytes, at[1]..at[1] + row_bytes];
            let narrow = self.ring.get_disjoint_mut(rows).expect("a ring has more than one row");
            let source = [&self.source[0][..], &self.source[1][..]];
            return avx2::horizontal(cpu, &self.horizontal, split, source, narrow);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = level;
        for (row, source) in pair.zip(&self.source) {
            let narrow = &mut self.ring[row % self.ring_rows * row_bytes..][..row_bytes];
            scalar_horizontal(&self.horizontal, source, narrow);
        }
    }

    /// Sums up the ring rows of output row `index`.
    fn vertical_pass(&self, level: CpuLevel, index: usize, out_row: &mut [u8]) {
        let row_bytes = self.crop.width * RGB;
        let window = self.vertical.window(index);
        let row = |row: usize| &self.ring[row % self.ring_rows * row_bytes..][..row_bytes];
        if self.vertical.is_unscaled() {
            return out_row.copy_from_slice(row(window.start));
        }
        #[cfg(target_arch = "x86_64")]
        let done = match (self.vertical.split(), crate::cpu_level::Avx2::at(level)) {
            (Some(split), Some(cpu)) => {
                avx2::vertical(cpu, split.of(index), |tap| row(window.start + tap), out_row)
            }
            _ => 0,
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = {
            let _ = level;
            0
        };
        for (at, out) in out_row.iter_mut().enumerate().skip(done) {
            let taps = self.vertical.of(index).iter().zip(window.clone());
            *out = weights::level(taps.map(|(&weight, y)| weight * i32::from(row(y)[at])).sum());
        }
    }
}

fn scalar_horizontal(axis: &AxisWeights, source: &[u8], narrow: &mut [u8]) {
    let first_column = axis.source().start;
    if axis.is_unscaled() {
        return narrow.copy_from_slice(&source[..narrow.len()]);
    }
    for (index, pixel) in narrow.chunks_exact_mut(RGB).enumerate() {
        let from = &source[(axis.window(index).start - first_column) * RGB..];
        let mut sums = [0; RGB];
        for (&weight, rgb) in axis.of(index).iter().zip(from.chunks_exact(RGB)) {
            for (sum, &value) in sums.iter_mut().zip(rgb) {
                *sum += weight * i32::from(value);
            }
        }
        pixel.copy_from_slice(&sums.map(weights::level));
    }
}

#[cfg(test)]
mod tests;
