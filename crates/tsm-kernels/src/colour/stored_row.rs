//! One row of a picture whose chroma needs no filter, from where it lies in memory to RGB.
//!
//! ```text
//! columns     ( 0 1)( 2 3)( 4 5) …                    pairs; an odd first column is converted with its pair
//! avx2, avx512  └── turn ──┘└── turn ──┘ … └── turn ──┘ I420, NV12, YUY2 as they lie: 8 bits, rule `Floored`
//! scalar                                               other rules and layouts, and where memory ends too soon
//! ```
//!
//! The scalar twin takes samples that lie together; others are unpacked first.

use std::ops::Range as Span;

use super::chroma_filter;
use super::rule::Spread;
use super::tables::Tables;
use crate::cpu_level::CpuLevel;
use crate::picture::{Component, Samples};

/// One row of Y, U and V.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredRow<'a> {
    pub(super) yuv: [&'a Component<'a>; 3],
    pub(super) samples: Samples,
    /// The row of luma and that of chroma.
    pub(super) rows: [usize; 2],
    pub(super) spread: Spread,
}

impl StoredRow<'_> {
    /// Converts `columns` into `rgb`; `unpacked` keeps samples that lie apart.
    pub(super) fn convert(
        self,
        level: CpuLevel,
        tables: &Tables,
        columns: &Span<usize>,
        unpacked: [&mut Vec<u8>; 3],
        rgb: &mut [u8],
    ) {
        let done = self.convert_pairs(level, tables, columns, rgb);
        let columns = columns.start + done..columns.end;
        if columns.is_empty() {
            return;
        }
        let rgb = &mut rgb[done * 3..];
        let shared = self.spread.chroma_columns(&columns);
        let ([y, u, v], [y_row, u_row, v_row]) = (self.yuv, unpacked);
        let [luma_row, chroma_row] = self.rows;
        let yuv = [
            plain_row(y, self.samples, luma_row, &columns, y_row),
            plain_row(u, self.samples, chroma_row, &shared, u_row),
            plain_row(v, self.samples, chroma_row, &shared, v_row),
        ];
        tables.row(self.spread, columns.start, yuv, rgb);
    }

    /// Converts as many of `columns` as vector code can; returns how many.
    #[cfg(target_arch = "x86_64")]
    fn convert_pairs(self, level: CpuLevel, tables: &Tables, columns: &Span<usize>, rgb: &mut [u8]) -> usize {
        use super::{avx2, avx512};
        use crate::cpu_level::{Avx2, Avx512};

        let Some(factors) = tables.factors() else { return 0 };
        let ([y, u, v], [luma_row, chroma_row]) = (self.yuv, self.rows);
        let (first_pair, skip) = (columns.start / 2, columns.start % 2);
        let yuv = [
            y.from(first_pair * 2, luma_row),
            u.from(first_pair, chroma_row),
            v.from(first_pair, chroma_row),
        ];
        let steps = self.yuv.map(|component| component.sample_step_bytes);
        let Some(cpu) = Avx2::at(level) else { return 0 };
        self.prefetch(steps, yuv, columns.len());
        let done =
            Avx512::at(level).map_or(0, |cpu| avx512::row_of_pairs(cpu, factors, yuv, steps, skip, rgb));
        if done > 0 {
            return done;
        }
        // Rows shorter than a turn of AVX-512, too.
        avx2::row_of_pairs(cpu, factors, yuv, steps, skip, rgb)
    }

    /// Asks for the same columns of a row to come; `yuv` are those of this one.
    #[cfg(target_arch = "x86_64")]
    fn prefetch(self, steps: [usize; 3], yuv: [&[u8]; 3], columns: usize) {
        use super::prefetch::{ROWS_AHEAD, prefetch};

        // How many components have lines of their own.
        let apart = match steps {
            I420_STEPS => 3,
            NV12_STEPS => 2,
            _ => 1,
        };
        let chroma = (columns.div_ceil(2), ROWS_AHEAD / 2);
        let spans = [(columns, ROWS_AHEAD), chroma, chroma];
        for (i, (samples, rows)) in spans.into_iter().enumerate().take(apart) {
            // A single row's stride may be any number.
            let at = self.yuv[i].row_stride_bytes.saturating_mul(rows);
            let row = yuv[i].get(at..).unwrap_or_default();
            prefetch(&row[..row.len().min(samples * steps[i])]);
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn convert_pairs(self, _: CpuLevel, _: &Tables, _: &Span<usize>, _: &mut [u8]) -> usize {
        0
    }
}

/// Bytes from one sample to the next of Y, U and V where planes are apart.
#[cfg(target_arch = "x86_64")]
pub(super) const I420_STEPS: [usize; 3] = [1, 1, 1];
/// The same where U and V lie in turn.
#[cfg(target_arch = "x86_64")]
pub(super) const NV12_STEPS: [usize; 3] = [1, 2, 2];
/// The same where all three lie in turn.
#[cfg(target_arch = "x86_64")]
pub(super) const YUY2_STEPS: [usize; 3] = [2, 4, 4];

/// Neighbouring pixels that vector code converts together.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// The first one, counted from the first pair: even.
    pub(super) at: usize,
    /// Which of them are wanted.
    pub(super) wanted: Span<usize>,
    /// Which of the wanted pixels these are.
    pub(super) pixels: Span<usize>,
}

/// Turns of `len` (an even number) pixels that cover `pixels` pixels behind `skip` (0 or 1) others. The last one
/// ends with the last pair, so that it may do some pixels again. None if they are fewer than a turn.
#[cfg(target_arch = "x86_64")]
pub(super) fn turns(skip: usize, pixels: usize, len: usize) -> impl Iterator<Item = Turn> {
    let end = skip + pixels;
    let last = end.next_multiple_of(2).checked_sub(len);
    (0..last.unwrap_or(0)).step_by(len).chain(last).map(move |at| {
        let (from, to) = (at.max(skip), (at + len).min(end));
        Turn { at, wanted: from - at..to - at, pixels: from - skip..to - skip }
    })
}

/// The given columns of a component as bytes: where they lie if they lie together, else unpacked.
pub(super) fn plain_row<'a>(
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
    for (i, sample) in unpacked.iter_mut().enumerate() {
        *sample = match samples {
            Samples::Eight => data[i * step],
            Samples::Wide { .. } => chroma_filter::to_eight(samples.fifteen_bits(&data[i * step..])),
        };
    }
    unpacked
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn turns_cover_each_pixel_in_order_and_stay_within_the_pairs() {
        for skip in [0, 1] {
            for pixels in 0..80 {
                let mut done = 0;
                for Turn { at, wanted, pixels: span } in turns(skip, pixels, 8) {
                    assert!(at % 2 == 0 && at + 8 <= (skip + pixels).next_multiple_of(2));
                    assert!(span.start <= done && wanted.start + at == span.start + skip);
                    assert_eq!(wanted.len(), span.len());
                    done = span.end;
                }
                assert_eq!(done, if (skip + pixels).next_multiple_of(2) < 8 { 0 } else { pixels });
            }
        }
    }
}
