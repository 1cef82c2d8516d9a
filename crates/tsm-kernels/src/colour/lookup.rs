//! A conversion as numbers alone, for a kernel that does not run here: five tables,
//! and which chroma sample a pixel has.
//!
//! ```text
//! PictureLayout ─ rule ─► chroma as it is stored? ──yes──► tables, and how many columns and rows share a sample
//!                                                 └─no───► none: it has to be interpolated
//! ```
//!
//! A pixel is then `clip(luma[y] + chroma[u or v])`, rounded from 16 fractional bits, as `tables` has it.

use super::rule::{Arithmetic, Rule, Spread};
use super::tables::{Tables, TablesKey};
use crate::picture::{Colours, Matrix, PictureLayout, Samples};

/// How pictures of one layout are converted. Those of RGB are not; their tables are zeros.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Luma, V in red, U in green, V in green, U in blue, with 16 fractional bits.
    pub(crate) tables: [[i32; 256]; 5],
    /// Columns and rows that share a chroma sample, as powers of two.
    pub(crate) chroma_log2: [u32; 2],
}

impl Lookup {
    /// The tables for `layout`; none where chroma is interpolated, or a sample has more than 8 bits.
    pub(crate) fn of(layout: &PictureLayout) -> Option<Self> {
        let (key, chroma_log2) = match *layout.colours() {
            Colours::Rgb { .. } => return Some(Self { tables: [[0; 256]; 5], chroma_log2: [0, 0] }),
            Colours::Grey { range, samples: Samples::Eight, .. } => {
                (TablesKey { arithmetic: Arithmetic::Exact, matrix: Matrix::Bt601, range }, [0, 0])
            }
            Colours::Yuv { subsampling, matrix, range, samples: Samples::Eight, .. } => {
                let (width, height) = (layout.width_px(), layout.height_px());
                let rule = Rule::of_yuv(width, height, subsampling, matrix, range, Samples::Eight);
                if rule.filtered() {
                    return None;
                }
                let columns = u32::from(rule.spread == Spread::Pairs);
                (TablesKey { arithmetic: rule.arithmetic, matrix, range }, [columns, rule.vertical_log2])
            }
            Colours::Grey { .. } | Colours::Yuv { .. } => return None,
        };
        let Tables { luma, red_v, green_u, green_v, blue_u, .. } = Tables::new(key);
        Some(Self { tables: [luma, red_v, green_u, green_v, blue_u], chroma_log2 })
    }
}
