//! The launches of `cuda/picture.cuh`: pictures to network input, as data.
//!
//! ```text
//! layout, sizes, crop, values ─► PicturePlan ─┬─ words: tables and taps, uploaded once
//!                                             └─ launches for n pictures: rows, then values, with a strip of
//!                                                narrow rows between them
//!
//! words  [ colours 5 x 256 │ values 3 x 256 │ taps of the columns │ taps of the rows ]     32 bits each
//! ```
//!
//! It covers pictures of 8 bits whose chroma needs no interpolation: RGB, grey, 4:4:4, and 4:2:0 (NV12, I420) of an
//! even height and 4:2:2 of an even width or height, at any strides. The others it refuses: [`NotOnGpu`].

#![cfg_attr(
    not(any(feature = "cuda", test)),
    expect(dead_code, reason = "candle's tensors on a GPU alone need them")
)]

use half::{bf16, f16};
use thiserror::Error;

use crate::colour::Lookup;
use crate::picture::{Colours, PictureLayout};
use crate::resize::{AxisTaps, CropRect};

use super::args::{Launch, PictureArgs, int};

/// Threads of a block, as `PICTURE_THREADS` there.
const THREADS: usize = 256;

/// Values of a launch, and blocks of its second axis, that fit the kernels' numbers.
const MOST_PIXELS: usize = 1 << 30;
const MOST_PICTURES: usize = 65_535;

/// Why pictures cannot be prepared by these kernels.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotOnGpu {
    #[error(
        "the kernels take samples of 8 bits and chroma that needs no interpolation (RGB, grey, 4:4:4, NV12 and I420 of an even height); prepare these pictures on the CPU"
    )]
    Format,
    #[error(
        "{rows} source rows for a crop of {width}x{height} have too many pixels for the kernels; prepare these pictures on the CPU"
    )]
    Size { rows: usize, width: usize, height: usize },
    #[error(
        "{pictures} pictures are too many for the kernels, which take {MOST_PICTURES}; prepare them in parts"
    )]
    Pictures { pictures: usize },
}

/// What an input consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    F32,
    F16,
    Bf16,
}

impl Value {
    fn bits(self, value: f32) -> u32 {
        match self {
            Self::F32 => value.to_bits(),
            Self::F16 => f16::from_f32(value).to_bits().into(),
            Self::Bf16 => bf16::from_f32(value).to_bits().into(),
        }
    }

    fn width(self) -> &'static str {
        match self {
            Self::F32 => "bits32",
            Self::F16 | Self::Bf16 => "bits16",
        }
    }
}

/// Where the memories of a launch begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PictureMemory {
    /// The pictures, each at least as long as its layout needs.
    pub(crate) bytes: u64,
    /// [`PicturePlan::words`].
    pub(crate) words: u64,
    /// [`PicturePlan::narrow_words`] of 32 bits, to be written.
    pub(crate) narrow: u64,
    /// `[pictures, 3, height, width]`, to be written.
    pub(crate) y: u64,
}

/// Preparing pictures of one layout.
#[derive(Debug, Clone)]
pub(crate) struct PicturePlan {
    words: Vec<u32>,
    rows_kernel: &'static str,
    values_kernel: String,
    /// All but the addresses.
    args: PictureArgs,
    narrow_pixels: usize,
    crop_pixels: usize,
}

impl PicturePlan {
    /// Plans scaling pictures of `layout` to `scaled` (columns, rows), cutting out `crop`,
    /// and making `values` of levels.
    ///
    /// Sizes are those of a [`ResizePlan`](crate::resize::ResizePlan) that could be made.
    pub(crate) fn new(
        layout: &PictureLayout,
        scaled: [usize; 2],
        crop: CropRect,
        values: &[[f32; 256]; 3],
        value: Value,
    ) -> Result<Self, NotOnGpu> {
        let CropRect { x, y, width, height } = crop;
        let lookup = Lookup::of(layout).ok_or(NotOnGpu::Format)?;
        let columns = AxisTaps::new(layout.width_px(), scaled[0], x..x + width);
        let rows = AxisTaps::new(layout.height_px(), scaled[1], y..y + height);
        let too_large = || NotOnGpu::Size { rows: rows.source.len(), width, height };
        let (narrow_pixels, crop_pixels) = (rows.source.len() * width, height * width);
        let tap_words = columns.weights.len().max(rows.weights.len());
        if narrow_pixels.max(crop_pixels).max(tap_words) > MOST_PIXELS {
            return Err(too_large());
        }
        let mut words: Vec<u32> = lookup.tables.as_flattened().iter().map(|&entry| word(entry)).collect();
        words.extend(values.as_flattened().iter().map(|&entry| value.bits(entry)));
        let columns_at = words.len();
        push_taps(&mut words, &columns, 0);
        let rows_at = words.len();
        push_taps(&mut words, &rows, rows.source.start);
        let (rows_kernel, planes) = match *layout.colours() {
            Colours::Rgb { planes } => ("picture_rows_rgb", planes),
            Colours::Yuv { planes, .. } => ("picture_rows_yuv", planes),
            Colours::Grey { plane, .. } => ("picture_rows_grey", [plane; 3]),
        };
        let [chroma_columns_log2, chroma_rows_log2] =
            lookup.chroma_log2.map(|log2| i32::try_from(log2).expect("at most 2"));
        let args = PictureArgs {
            offset: planes.map(|plane| bytes(plane.offset_bytes)),
            row_stride: planes.map(|plane| bytes(plane.row_stride_bytes)),
            sample_step: planes.map(|plane| bytes(plane.sample_step_bytes)),
            first_row: int(rows.source.start),
            rows: int(rows.source.len()),
            width: int(width),
            height: int(height),
            chroma_columns_log2,
            chroma_rows_log2,
            columns_at: int(columns_at),
            rows_at: int(rows_at),
            ..PictureArgs::default()
        };
        let values_kernel = format!("picture_values_{}", value.width());
        Ok(Self { words, rows_kernel, values_kernel, args, narrow_pixels, crop_pixels })
    }

    /// What the kernels look up, to lie on the device.
    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }

    /// Words of the strip of narrow rows between the launches.
    pub(crate) fn narrow_words(&self, pictures: usize) -> usize {
        self.narrow_pixels * pictures
    }

    /// The two launches for `pictures` pictures that lie `picture_bytes` apart.
    pub(crate) fn launches(
        &self,
        pictures: usize,
        picture_bytes: usize,
        memory: PictureMemory,
    ) -> Result<[Launch<PictureArgs>; 2], NotOnGpu> {
        if pictures > MOST_PICTURES {
            return Err(NotOnGpu::Pictures { pictures });
        }
        let PictureMemory { bytes: at, words, narrow, y } = memory;
        let args =
            PictureArgs { bytes: at, words, narrow, y, picture_bytes: bytes(picture_bytes), ..self.args };
        let launch = |kernel: &str, pixels: usize| {
            let blocks = [pixels.div_ceil(THREADS), pictures, 1];
            let grid = blocks.map(|count| u32::try_from(count).expect("checked against the largest sizes"));
            Launch { kernel: kernel.to_owned(), grid, threads: 256, args }
        };
        Ok([launch(self.rows_kernel, self.narrow_pixels), launch(&self.values_kernel, self.crop_pixels)])
    }
}

/// Appends the taps of an axis, its samples counted from `first`.
fn push_taps(words: &mut Vec<u32>, taps: &AxisTaps, first: usize) {
    words.extend(taps.starts.iter().map(|&start| word(int(start - first))));
    words.extend(taps.counts.iter().map(|&count| word(int(count))));
    words.extend(taps.weights.iter().map(|&weight| word(weight)));
}

fn word(value: i32) -> u32 {
    value.cast_unsigned()
}

/// A distance in memory. Where it leaves the number, no memory is that long; of one row or sample it counts nothing.
fn bytes(distance: usize) -> i64 {
    i64::try_from(distance).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[cfg(feature = "cuda-host-twins")]
mod tests;
