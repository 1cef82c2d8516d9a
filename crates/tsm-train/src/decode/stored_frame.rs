//! A picture kept in memory: its planes packed one after another, and what they mean.
//!
//! ```text
//! Frame    y . y . ┊pad┊  u . u . ┊pad┊ …     StoredFrame   yyyy…uu…vv…
//! ```
//!
//! 4:2:0 of 8 bits takes 1.5 bytes a pixel, half of RGB, and is exact: the decoder's own samples.

use std::sync::Arc;

use tsm_ingest::{ComponentView, Frame, FrameFormat, PixelLayout};
use tsm_kernels::picture::{Component, Picture, PictureError};
use tsm_live::picture_of;

/// One picture.
#[derive(Debug, Clone)]
pub struct StoredFrame {
    format: Arc<FrameFormat>,
    samples: Box<[u8]>,
    components: [Place; 3],
}

/// Where a component lies in the samples.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    offset: usize,
    row_stride: usize,
    step: usize,
}

impl StoredFrame {
    /// Copies a decoded frame.
    pub(super) fn of(frame: &Frame) -> Self {
        let format = frame.format();
        let mut samples = Vec::with_capacity(Self::bytes_of(format));
        let mut components = [Place::default(); 3];
        let step = sample_bytes(format);
        for (index, place) in components.iter_mut().enumerate().take(component_count(format)) {
            let (width, height) = component_size(format, index);
            *place = Place { offset: samples.len(), row_stride: width * step, step };
            pack(&frame.component(index), width, height, step, &mut samples);
        }
        Self { format: Arc::clone(format), samples: samples.into_boxed_slice(), components }
    }

    /// A picture of interleaved RGB `[height, width, 3]`, described by `format`.
    pub(crate) fn of_rgb(format: Arc<FrameFormat>, rgb: Vec<u8>) -> Self {
        let row_stride = pixels(format.width_px) * 3;
        let components = [0, 1, 2].map(|offset| Place { offset, row_stride, step: 3 });
        Self { format, samples: rgb.into_boxed_slice(), components }
    }

    /// What the samples mean.
    pub fn format(&self) -> &Arc<FrameFormat> {
        &self.format
    }

    /// Bytes of its pixels.
    pub fn bytes(&self) -> usize {
        self.samples.len()
    }

    /// The picture as the kernels see it.
    ///
    /// # Errors
    /// [`PictureError`] if it has no pixels.
    pub fn picture(&self) -> Result<Picture<'_>, PictureError> {
        picture_of(&self.format, |index| {
            let Place { offset, row_stride, step } = self.components[index];
            Component::new(self.samples.get(offset..).unwrap_or_default(), row_stride, step)
        })
    }

    /// Bytes that a picture of this format will take.
    pub(super) fn bytes_of(format: &FrameFormat) -> usize {
        let samples = |index| {
            let (width, height) = component_size(format, index);
            width * height
        };
        (0..component_count(format)).map(samples).sum::<usize>() * sample_bytes(format)
    }
}

fn component_count(format: &FrameFormat) -> usize {
    if matches!(format.pixels, PixelLayout::Grey { .. }) { 1 } else { 3 }
}

fn component_size(format: &FrameFormat, index: usize) -> (usize, usize) {
    let (width, height) = (pixels(format.width_px), pixels(format.height_px));
    match format.pixels {
        PixelLayout::Yuv { horizontal_log2, vertical_log2, .. } if index > 0 => {
            (width.div_ceil(1 << horizontal_log2), height.div_ceil(1 << vertical_log2))
        }
        _ => (width, height),
    }
}

fn sample_bytes(format: &FrameFormat) -> usize {
    match format.pixels {
        PixelLayout::Yuv { bits, .. } | PixelLayout::Grey { bits, .. } if bits > 8 => 2,
        _ => 1,
    }
}

fn pack(view: &ComponentView<'_>, width: usize, height: usize, sample_bytes: usize, out: &mut Vec<u8>) {
    for row in view.data.chunks(view.row_stride_bytes.max(1)).take(height) {
        if view.sample_step_bytes == sample_bytes {
            let bytes = (width * sample_bytes).min(row.len());
            out.extend_from_slice(&row[..bytes]);
        } else {
            let samples = row.chunks(view.sample_step_bytes.max(1)).take(width);
            out.extend(samples.flat_map(|sample| sample.iter().take(sample_bytes)));
        }
    }
}

fn pixels(px: u32) -> usize {
    usize::try_from(px).expect("a usize has at least 32 bits where GStreamer runs")
}
