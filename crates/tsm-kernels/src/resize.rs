//! Scales an RGB picture and cuts a crop out of it, equal to the bit to PIL's antialiased bilinear on 8 bits.
//!
//! ```text
//!  only what the crop needs                             ring of narrow rows
//!  source row  [columns, 3] ─┬─ horizontal taps ─────►  [crop width, 3]  ─┐
//!  source row  [columns, 3]  │  (a strip of up to       [crop width, 3]   ├─ vertical taps ─► crop row
//!  …                        ─┘  sixteen rows a turn)    …                ─┘
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
#[cfg(target_arch = "x86_64")]
mod avx512;
mod lines;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "the tile is for vector code"))]
mod passes;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "weights for vector code"))]
mod quads;
mod scalar;
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
mod taps;
mod weights;

use std::ops::Range;

use thiserror::Error;

use crate::cpu_level::CpuLevel;
use passes::{Passes, Path, RGB};
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
pub(crate) use taps::AxisTaps;
use weights::AxisWeights;

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
    passes: Passes,
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
        Ok(Self { src_width, crop, passes: Passes::new(horizontal, vertical) })
    }

    /// The source rows that the crop needs.
    pub fn source_rows(&self) -> Range<usize> {
        self.passes.vertical.source()
    }

    /// The source columns that the crop needs.
    pub fn source_columns(&self) -> Range<usize> {
        self.passes.horizontal.source()
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
        let mut out_rows = out.chunks_exact_mut(row_bytes).enumerate();
        let rows = self.source_rows();
        if self.passes.horizontal.is_unscaled() && self.passes.vertical.is_unscaled() {
            return rows.zip(out_rows).for_each(|(row, (_, out_row))| fill_row(row, out_row));
        }
        let path = Path::at(level);
        let mut next = out_rows.next();
        for first in rows.clone().step_by(path.strip_rows()) {
            let strip = first..(first + path.strip_rows()).min(rows.end);
            for (row, source) in strip.clone().zip(self.passes.strip()) {
                fill_row(row, source);
            }
            self.passes.horizontal_pass(path, first);
            let passes = &self.passes;
            let is_ready = |index: usize| passes.vertical.window(index).end <= strip.end;
            while let Some((index, out_row)) = next.take_if(|(index, _)| is_ready(*index)) {
                passes.vertical_pass(path, index, out_row);
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
}

#[cfg(test)]
mod tests;
