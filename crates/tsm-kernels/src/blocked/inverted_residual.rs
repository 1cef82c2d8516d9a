//! Expand, depthwise, project in bands of rows, so that the wide tensor between them stays in the cache.
//!
//! ```text
//! each part, its rows of y; for each band of them:
//!
//!   x ─ expand: the rows the band needs and the last one left out ─► ring of rows, six times as wide as x
//!                                                                      │ depthwise
//!   y ◄─ project, + residual ◄──────────────────────────────────────── band
//! ```
//!
//! The ring and the band are each part's own and a few hundred kilobytes; where two parts' rows meet, both
//! compute the one or two rows of the ring that they share.

use std::ops::Range;

use super::conv::{Conv, Inputs, Picture, SharedInputs, by_picture};
use super::depthwise::Depthwise;
use super::layout::LANES;
use super::shared::SharedMut;
use super::team::{Team, share};

/// Rows of the expanded tensor that a band of `rows` output rows needs, and one for the border below the last.
pub const fn ring_rows(rows: usize, stride: usize) -> usize {
    rows * stride + 3
}

/// The three convolutions of a block, planned for one picture shape.
#[derive(Debug)]
pub struct InvertedResidual {
    expand: Conv,
    depthwise: Depthwise,
    project: Conv,
    band_rows: usize,
    stride: usize,
}

impl InvertedResidual {
    /// Joins three convolutions. The output of `expand` is a ring of [`ring_rows`] rows, that of `depthwise` one of
    /// `band_rows`.
    ///
    /// # Panics
    /// If their layouts are not such rings or do not follow each other.
    pub fn new(expand: Conv, depthwise: Depthwise, project: Conv, band_rows: usize) -> Self {
        let (hidden, band) = (depthwise.input, depthwise.output);
        let stride = depthwise.stride;
        assert_eq!(expand.places.output, hidden, "InvertedResidual: expand and depthwise do not fit");
        assert_eq!(project.places.input, band, "InvertedResidual: depthwise and project do not fit");
        assert_eq!(
            project.places.patch_blocks, 0,
            "InvertedResidual: a patch behind the depthwise convolution"
        );
        assert_eq!(
            hidden.plane(),
            hidden.pitch() * ring_rows(band_rows, stride),
            "InvertedResidual: {hidden:?}"
        );
        assert_eq!(band.plane(), band.pitch() * band_rows, "InvertedResidual: {band:?}");
        Self { expand, depthwise, project, band_rows, stride }
    }

    /// Floats of scratch for each part of a team's job.
    pub fn scratch_len(&self) -> usize {
        self.depthwise.input.len() + self.depthwise.output.len()
    }

    /// Computes `pictures` pictures; `inputs.residual` is what `project` adds. The border of `y` becomes zero.
    ///
    /// # Panics
    /// If a slice is too short (`scratch`: [`Self::scratch_len`] for each part), or the patch or the residual is
    /// missing.
    pub fn run(
        &self,
        team: &mut Team,
        pictures: usize,
        inputs: Inputs<'_>,
        scratch: &mut [f32],
        y: &mut [f32],
    ) {
        let output = self.project.places.output;
        let all = SharedInputs::new(&self.expand.places, pictures, inputs).with_residual(
            &self.project.places,
            pictures,
            inputs.residual,
        );
        let parts = team.parts();
        let scratch = SharedMut::new(scratch, parts * self.scratch_len());
        let y = SharedMut::new(y, pictures * output.len());
        let residual_len = self.project.places.residual.map_or(0, |layout| layout.len());
        team.run(&|part| {
            let scratch = scratch.at(part * self.scratch_len());
            let mine = share(pictures * output.height(), part, parts);
            for (picture, rows) in by_picture(mine, output.height()) {
                let of = Picture {
                    residual: all.residual_at(picture * residual_len),
                    ..all.picture(&self.expand.places, picture)
                };
                // SAFETY: the lengths were checked, and each part has rows and scratch of its own.
                unsafe { self.run_rows(&of, scratch, y.at(picture * output.len()), rows) };
            }
        });
    }

    /// Computes some rows of a picture.
    ///
    /// # Safety
    /// The pointers are those of whole pictures of the layouts, `scratch` has [`Self::scratch_len`] floats; nobody
    /// writes what is read or touches `scratch` and these rows of `y` meanwhile.
    unsafe fn run_rows(&self, of: &Picture, scratch: *mut f32, y: *mut f32, rows: Range<usize>) {
        let (hidden, band) = (scratch, scratch.wrapping_add(self.depthwise.input.len()));
        let (height, blocks) = (self.depthwise.input.height(), self.depthwise.input.blocks());
        let expanded = Picture { residual: std::ptr::null(), ..*of };
        let projected = Picture { sources: [band.cast_const(), std::ptr::null()], residual: of.residual };
        let mut next = (rows.start * self.stride).saturating_sub(1);
        for first in rows.clone().step_by(self.band_rows) {
            let part = first..rows.end.min(first + self.band_rows);
            let end = height.min((part.end - 1) * self.stride + 2);
            // SAFETY: the ring is this call's alone, and has a row for each that the band needs.
            unsafe { self.expand.run_rows(&expanded, hidden, next..end, 0..blocks) };
            next = end;
            // SAFETY: the ring now holds every row that the band needs; the band is this call's alone.
            unsafe { self.depthwise.run(hidden.cast_const(), band, part.clone(), 0..blocks) };
            let outputs = 0..self.project.places.output.blocks();
            // SAFETY: the band holds the rows of `part`; the rest as the caller says.
            unsafe { self.project.run_rows(&projected, y, part, outputs) };
        }
    }
}

/// How many rows make a band, such that ring and band take about `bytes` bytes.
pub fn band_rows_within(
    bytes: usize,
    [hidden_width, out_width]: [usize; 2],
    channels: usize,
    stride: usize,
) -> usize {
    let lanes = channels.next_multiple_of(LANES);
    let row_bytes = (hidden_width * stride + out_width) * lanes * size_of::<f32>();
    (bytes / row_bytes.max(1)).max(1)
}
