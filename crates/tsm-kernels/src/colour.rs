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
mod chroma_filter;
mod rule;
mod tables;

use std::ops::Range as Span;

use crate::cpu_level::CpuLevel;
use crate::picture::{Component, Picture, Pixels, Samples};
use rule::{Rule, Spread};
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
        let y = plain_row(y, *samples, row, columns, y_row);
        let (u, v) = if rule.filtered() {
            for (component, out) in [(u, &mut *u_row), (v, &mut *v_row)] {
                let [fine, ..] = fine;
                chroma_filter::filtered_row(component, *samples, rule, row, shared.clone(), fine);
                out.clear();
                out.extend(fine.iter().map(|&sample| chroma_filter::to_eight(sample)));
            }
            (&u_row[..], &v_row[..])
        } else {
            let chroma_row = row >> rule.vertical_log2;
            (
                plain_row(u, *samples, chroma_row, &shared, u_row),
                plain_row(v, *samples, chroma_row, &shared, v_row),
            )
        };
        convert(self.level, tables, rule.spread, columns.start, [y, u, v], rgb);
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

/// Converts `n` luma samples, the first in column `first`, with their chroma.
fn convert(
    level: CpuLevel,
    tables: &Tables,
    spread: Spread,
    first: usize,
    [y, u, v]: [&[u8]; 3],
    rgb: &mut [u8],
) {
    if spread == Spread::Pixels {
        return tables.row_of_pixels([y, u, v], rgb);
    }
    // An odd first column is the second half of its pair: alone, so that pairs follow.
    let alone = (first % 2).min(y.len());
    let (y_alone, y) = y.split_at(alone);
    let (rgb_alone, rgb) = rgb.split_at_mut(alone * 3);
    tables.row_of_pairs([y_alone, u, v], rgb_alone);
    let (u, v) = (&u[alone..], &v[alone..]);
    #[cfg(target_arch = "x86_64")]
    if let (Some(cpu), Some(factors)) = (crate::cpu_level::Avx2::at(level), tables.factors()) {
        let done = avx2::row_of_pairs(cpu, factors, [y, u, v], rgb);
        return tables.row_of_pairs([&y[done..], &u[done / 2..], &v[done / 2..]], &mut rgb[done * 3..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = level;
    tables.row_of_pairs([y, u, v], rgb);
}

/// The given columns of a component as bytes: where they lie if they lie together, else unpacked.
fn plain_row<'a>(
    component: &Component<'a>,
    samples: Samples,
    row: usize,
    columns: &Span<usize>,
    unpacked: &'a mut Vec<u8>,
) -> &'a [u8] {
    let data = component.from(columns.start, row);
    let (count, step) = (columns.len(), component.sample_step_bytes);
    if samples == Samples::Eight && step == 1 {
        return &data[..count];
    }
    unpacked.resize(count, 0);
    match (samples, step) {
        // The common steps as constants: the compiler makes vector code of them.
        (Samples::Eight, 2) => unpack::<2>(data, unpacked),
        (Samples::Eight, 4) => unpack::<4>(data, unpacked),
        (Samples::Eight, _) => {
            for (i, sample) in unpacked.iter_mut().enumerate() {
                *sample = data[i * step];
            }
        }
        (Samples::Wide { .. }, _) => {
            for (i, sample) in unpacked.iter_mut().enumerate() {
                *sample = chroma_filter::to_eight(samples.fifteen_bits(&data[i * step..]));
            }
        }
    }
    unpacked
}

fn unpack<const STEP: usize>(data: &[u8], unpacked: &mut [u8]) {
    // The last sample may end the data before its step does.
    let whole = data.len() / STEP;
    let (body, tail) = unpacked.split_at_mut(whole.min(unpacked.len()));
    for (sample, bytes) in body.iter_mut().zip(data.chunks_exact(STEP)) {
        *sample = bytes[0];
    }
    for (i, sample) in tail.iter_mut().enumerate() {
        *sample = data[(whole + i) * STEP];
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
