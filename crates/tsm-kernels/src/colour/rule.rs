//! Which of ffmpeg's ways a picture takes to RGB (libswscale 5.1, default flags; found by experiment).
//!
//! ```text
//! 4:2:0 or 4:2:2, 8 bits, even height ──────► Floored  nearest chroma
//! chroma for every pixel (4:4:4) ───────────► Exact
//! odd width ────────────────────────────────► Exact    chroma bicubic to every pixel
//! the rest (wide samples, odd height, …) ───► Shifted  chroma bicubic to every pair of columns and every row
//! ```
//!
//! ffmpeg takes NV12 and packed YUV the way of 'the rest'; here they take the way of the planar format with
//! the same content, because the same video must not change colour with the decoder's memory layout.

use std::ops::Range as Span;

use crate::picture::{Matrix, Picture, Pixels, Range, Samples, Subsampling};

/// How the products of chroma are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// Each product is rounded down to a level, luma to the nearest.
    Floored,
    /// Chroma shifts luma by whole codes, rounded down; then luma is scaled.
    Shifted,
    /// One sum, rounded once.
    Exact,
}

/// How many columns share one converted chroma sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// Columns 2i and 2i + 1 share chroma i.
    Pairs,
    /// Each has its own.
    Pixels,
}

impl Spread {
    /// The chroma columns that these pixel columns need.
    pub(super) fn chroma_columns(self, columns: &Span<usize>) -> Span<usize> {
        match self {
            Self::Pairs => columns.start / 2..columns.end.div_ceil(2),
            Self::Pixels => columns.clone(),
        }
    }
}

/// How one picture is converted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) arithmetic: Arithmetic,
    pub(super) matrix: Matrix,
    pub(super) range: Range,
    pub(super) spread: Spread,
    /// Rows a stored chroma sample, as a power of two; used where rows are not filtered.
    pub(super) vertical_log2: u32,
    /// Stored chroma columns, and how many are needed; they differ where columns are filtered.
    pub(super) columns: [usize; 2],
    /// Stored chroma rows, and how many are needed; they differ where rows are filtered.
    pub(super) rows: [usize; 2],
}

impl Rule {
    /// The rule for `picture`; RGB needs none.
    pub(super) fn of(picture: &Picture<'_>) -> Option<Self> {
        let (width, height) = (picture.width_px(), picture.height_px());
        match *picture.pixels() {
            Pixels::Rgb { .. } => None,
            Pixels::Grey { range, .. } => Some(Self {
                arithmetic: Arithmetic::Exact,
                matrix: Matrix::Bt601,
                range,
                spread: Spread::Pixels,
                vertical_log2: 0,
                columns: [width, width],
                rows: [height, height],
            }),
            Pixels::Yuv { subsampling, matrix, range, samples, .. } => {
                Some(Self::of_yuv(width, height, subsampling, matrix, range, samples))
            }
        }
    }

    pub(super) fn of_yuv(
        width: usize,
        height: usize,
        subsampling: Subsampling,
        matrix: Matrix,
        range: Range,
        samples: Samples,
    ) -> Self {
        let Subsampling { horizontal_log2, vertical_log2 } = subsampling;
        let stored_columns = width.div_ceil(1 << horizontal_log2);
        let stored_rows = height.div_ceil(1 << vertical_log2);
        let nearest = samples == Samples::Eight
            && horizontal_log2 == 1
            && vertical_log2 <= 1
            && height.is_multiple_of(2);
        let (arithmetic, spread) = if nearest {
            (Arithmetic::Floored, Spread::Pairs)
        } else if horizontal_log2 == 0 || !width.is_multiple_of(2) {
            (Arithmetic::Exact, Spread::Pixels)
        } else {
            (Arithmetic::Shifted, Spread::Pairs)
        };
        let needed_columns = match spread {
            Spread::Pairs => width.div_ceil(2),
            Spread::Pixels => width,
        };
        let needed_rows = if nearest { stored_rows } else { height };
        Self {
            arithmetic,
            matrix,
            range,
            spread,
            vertical_log2,
            columns: [stored_columns, needed_columns],
            rows: [stored_rows, needed_rows],
        }
    }

    /// Whether chroma has to be interpolated.
    pub(super) fn filtered(&self) -> bool {
        self.columns[0] != self.columns[1] || self.rows[0] != self.rows[1]
    }
}
