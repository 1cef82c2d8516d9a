//! Makes RGB of any decoded picture, row by row, as `ffmpeg -pix_fmt rgb24` does: within 2 levels of it, greys exact.
//!
//! ```text
//! Picture ── row, columns ──► y [n] u8  ────────────────────────┐
//!            (unpacked where   u, v [n/2 or n] u8 ─┐             ├─► sum of table entries ─► rgb [n, 3]
//!            samples lie apart)                    └─ bicubic? ──┘   (avx2: the same by multiplication)
//! ```
//!
//! ffmpeg converts along three ways that differ by more than two levels, so there are three rules here too
//! (module `rule` tells which picture takes which, `tables` what they compute). A rule depends on what
//! the picture holds, not on how it lies in memory: NV12 gives what I420 gives, YUY2 what planar 4:2:2 gives.
//!
//! Grey, limited range, comes out as `round((y - 16) * 255 / 219)`, full range as `y`: ffmpeg itself is up to
//! two levels lower there. No scaling, no dither, no transfer curve, no gamut.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod chroma_filter;
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
mod lookup;
#[cfg(target_arch = "x86_64")]
mod prefetch;
mod rule;
mod stored_row;
mod tables;
#[cfg(target_arch = "x86_64")]
mod weave;

use std::ops::Range as Span;

use crate::cpu_level::CpuLevel;
use crate::picture::{Component, Picture, Pixels, Samples};
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
pub(crate) use lookup::Lookup;
use rule::{Rule, Spread};
use stored_row::{StoredRow, plain_row};
use tables::{Tables, TablesKey};

/// What a conversion keeps between pictures: its tables and the rows it unpacks. Grows to the widest
/// picture seen, then allocates no more.
#[derive(Debug, Default)]
pub struct RowScratch {
    tables: Option<Tables>,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
    /// Y, U and V with 15 bits.
    fine: [Vec<i32>; 3],
}

impl RowScratch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The rows of a picture as RGB.
#[derive(Debug)]
pub struct RgbRows<'a> {
    picture: &'a Picture<'a>,
    rule: Option<Rule>,
    scratch: &'a mut RowScratch,
    level: CpuLevel,
}

impl<'a> RgbRows<'a> {
    /// Prepares the conversion of `picture`; keeps its rows in `scratch`.
    pub fn new(picture: &'a Picture<'a>, scratch: &'a mut RowScratch) -> Self {
        Self::at(CpuLevel::detected(), picture, scratch)
    }

    /// [`RgbRows::new`] on a given level, for tests and benches.
    pub fn at(level: CpuLevel, picture: &'a Picture<'a>, scratch: &'a mut RowScratch) -> Self {
        let rule = Rule::of(picture);
        if let Some(rule) = &rule {
            let key = TablesKey { arithmetic: rule.arithmetic, matrix: rule.matrix, range: rule.range };
            if scratch.tables.as_ref().is_none_or(|tables| tables.key != key) {
                scratch.tables = Some(Tables::new(key));
            }
        }
        Self { picture, rule, scratch, level }
    }

    /// Converts the given columns of row `row` into `rgb`, three bytes a pixel.
    ///
    /// # Panics
    /// If the row or a column lies outside the picture, or `rgb` is not `columns.len() * 3` long.
    pub fn row(&mut self, row: usize, columns: Span<usize>, rgb: &mut [u8]) {
        assert!(
            row < self.picture.height_px() && columns.end <= self.picture.width_px(),
            "row {row}, columns {columns:?} lie outside the picture"
        );
        assert_eq!(rgb.len(), columns.len() * 3, "rgb does not hold columns {columns:?}");
        if columns.is_empty() {
            return;
        }
        match self.picture.pixels() {
            Pixels::Rgb { r, g, b } => copy_rgb([r, g, b], row, &columns, rgb),
            Pixels::Grey { y, samples, .. } => self.grey_row(y, *samples, row, &columns, rgb),
            Pixels::Yuv { .. } => self.yuv_row(row, &columns, rgb),
        }
    }

    fn grey_row(
        &mut self,
        y: &Component<'_>,
        samples: Samples,
        row: usize,
        columns: &Span<usize>,
        rgb: &mut [u8],
    ) {
        let y = plain_row(y, samples, row, columns, &mut self.scratch.y);
        if let Some(tables) = &self.scratch.tables {
            tables.grey_row(y, rgb);
        }
    }

    fn yuv_row(&mut self, row: usize, columns: &Span<usize>, rgb: &mut [u8]) {
        let (Pixels::Yuv { y, u, v, samples, .. }, Some(rule)) = (self.picture.pixels(), &self.rule) else {
            return;
        };
        let RowScratch { tables: Some(tables), y: y_row, u: u_row, v: v_row, fine } = &mut *self.scratch
        else {
            return;
        };
        let shared = rule.spread.chroma_columns(columns);
        if rule.spread == Spread::Pixels && (rule.filtered() || *samples != Samples::Eight) {
            let [fine_y, fine_u, fine_v] = fine;
            fine_y.clear();
            fine_y.extend(columns.clone().map(|x| samples.fifteen_bits(y.from(x, row))));
            chroma_filter::filtered_row(u, *samples, rule, row, shared.clone(), fine_u);
            chroma_filter::filtered_row(v, *samples, rule, row, shared, fine_v);
            return tables.row_of_fine_pixels([fine_y, fine_u, fine_v], rgb);
        }
        if !rule.filtered() {
            let rows = [row, row >> rule.vertical_log2];
            let stored = StoredRow { yuv: [y, u, v], samples: *samples, rows, spread: rule.spread };
            return stored.convert(self.level, tables, columns, [y_row, u_row, v_row], rgb);
        }
        let y = plain_row(y, *samples, row, columns, y_row);
        for (component, out) in [(u, &mut *u_row), (v, &mut *v_row)] {
            let [fine, ..] = fine;
            chroma_filter::filtered_row(component, *samples, rule, row, shared.clone(), fine);
            out.clear();
            out.extend(fine.iter().map(|&sample| chroma_filter::to_eight(sample)));
        }
        tables.row(rule.spread, columns.start, [y, u_row, v_row], rgb);
    }
}

/// Converts whole rows of a picture into `rgb` `[rows.len(), width, 3]`, tightly packed.
///
/// A convenience that allocates; a stream keeps a [`RowScratch`] and uses [`RgbRows`].
///
/// # Panics
/// If a row lies outside the picture or `rgb` does not hold the rows.
pub fn rgb_from_picture(picture: &Picture<'_>, rows: Span<usize>, rgb: &mut [u8]) {
    let width = picture.width_px();
    assert_eq!(rgb.len(), rows.len() * width * 3, "rgb does not hold rows {rows:?}");
    let mut scratch = RowScratch::new();
    let mut converter = RgbRows::new(picture, &mut scratch);
    for (row, rgb) in rows.zip(rgb.chunks_exact_mut(width * 3)) {
        converter.row(row, 0..width, rgb);
    }
}

fn copy_rgb(components: [&Component<'_>; 3], row: usize, columns: &Span<usize>, rgb: &mut [u8]) {
    for (channel, component) in components.into_iter().enumerate() {
        let data = component.from(columns.start, row);
        for (i, value) in rgb.iter_mut().skip(channel).step_by(3).enumerate() {
            *value = data[i * component.sample_step_bytes];
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod ffmpeg_tests;
