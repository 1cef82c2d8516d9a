//! Which part of a frame the network sees: the references' crops of training and evaluation, as numbers.
//!
//! ```text
//! training (MIT)    frame ─ crop of random size and place ─ scale to 224
//! training (Paddle) frame ─ scale to 341x256 ─ crop of random size ─ scale to 256 ─ random crop 224
//! evaluation        frame ─ scale, short side 256 ─ crop 224 (centre, corners) or 256 (full resolution)
//! ```
//!
//! A [`Cut`] says it in at most two stages of "take a rectangle, scale it, take a crop of that", which
//! [`crate::loader`] carries out with PIL's filter. No pixels here.

use serde::{Deserialize, Serialize};
pub use tsm_kernels::resize::CropRect;
use tsm_model::InputSpec;
use tsm_model::preprocess::AspectRule;

use crate::draws::Draw;

/// Takes `source` out of a picture, scales it and takes `crop` of that.
/// Pixels of the upright picture with square pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// The part of the picture that is scaled: what lies outside has no influence.
    pub source: CropRect,
    /// Width that `source` is scaled to.
    pub scaled_width_px: usize,
    /// Height that `source` is scaled to.
    pub scaled_height_px: usize,
    /// The part of the scaled picture that is kept.
    pub crop: CropRect,
}

/// From a frame to the picture the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What happens to the frame.
    pub first: Stage,
    /// What happens to the outcome, where 8 bits lie between (Paddle 1.x).
    pub then: Option<Stage>,
}

/// How training cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainCrop {
    /// MIT's `GroupMultiScaleCrop`: 1, .875, .75 or .66 of the short side, 13 places.
    /// `PaddleVideo` and `MMAction2` alike.
    #[default]
    MultiScale,
    /// Paddle v1.5.1 to 1.8: aspect forced to 4:3, multi-scale to the short side, then a random crop.
    PaddleV151,
    /// What evaluation and live recognition see: no draw.
    Centre,
}

/// How evaluation cuts; the logits of all crops are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvalCrops {
    /// The centre, as live recognition sees it.
    #[default]
    Centre,
    /// MIT's full resolution: squares of the short side, left, right and centre. The network sees
    /// [`InputSpec::short_side_px`] pixels a side: 256 for an input of 224. Where that is no multiple of 32, which the
    /// network needs, it sees the next smaller one, half-way down.
    ThreeFullRes,
    /// Four corners and the centre.
    Five,
    /// The same five, each also mirrored.
    Ten,
}

/// One crop of evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalView {
    /// What to cut.
    pub cut: Cut,
    /// Whether it is mirrored left to right afterwards.
    pub is_mirrored: bool,
}

impl EvalCrops {
    /// How many crops.
    pub fn count(self) -> usize {
        match self {
            Self::Centre => 1,
            Self::ThreeFullRes => 3,
            Self::Five => 5,
            Self::Ten => 10,
        }
    }

    /// Whether the crop at `index` of [`EvalCrops::views`] is mirrored.
    pub fn is_mirrored(self, index: usize) -> bool {
        self == Self::Ten && index >= 5
    }

    /// Side of the square that the network sees, in pixels.
    pub fn side_px(self, spec: &InputSpec) -> usize {
        match self {
            Self::ThreeFullRes => (spec.short_side_px / 32 * 32).max(spec.size_px),
            Self::Centre | Self::Five | Self::Ten => spec.size_px,
        }
    }

    /// The crops of a `width_px` x `height_px` picture. Ten: each plain one, then the mirrored ones, as MIT.
    pub fn views(self, spec: &InputSpec, width_px: usize, height_px: usize) -> Vec<EvalView> {
        let geometry = spec.geometry(width_px, height_px);
        let (scaled_width_px, scaled_height_px) = (geometry.scaled_width_px, geometry.scaled_height_px);
        let side = self.side_px(spec);
        let corners = match self {
            Self::Centre => vec![(geometry.crop_x_px, geometry.crop_y_px)],
            Self::ThreeFullRes => full_resolution_corners(scaled_width_px, scaled_height_px, side),
            Self::Five | Self::Ten => five_corners(scaled_width_px, scaled_height_px, side).to_vec(),
        };
        let view = |(x, y), is_mirrored| EvalView {
            cut: Cut {
                first: Stage {
                    source: whole(width_px, height_px),
                    scaled_width_px,
                    scaled_height_px,
                    crop: CropRect { x, y, width: side, height: side },
                },
                then: None,
            },
            is_mirrored,
        };
        let plain = corners.iter().map(|corner| view(*corner, false));
        let mirrored = corners.iter().map(|corner| view(*corner, true));
        if self == Self::Ten { plain.chain(mirrored).collect() } else { plain.collect() }
    }
}

impl TrainCrop {
    /// The crop of a `width_px` x `height_px` clip; one draw of a size, one of a place (Paddle: and one of each axis).
    pub fn cut(self, spec: &InputSpec, width_px: usize, height_px: usize, draw: &mut dyn Draw) -> Cut {
        match self {
            Self::Centre => EvalCrops::Centre.views(spec, width_px, height_px)[0].cut,
            Self::MultiScale => {
                let sizes = multi_scale_sizes(width_px, height_px, spec.size_px);
                let (width, height) = sizes[draw.below(sizes.len())];
                let offsets = multi_scale_offsets(width_px, height_px, width, height);
                let (x, y) = offsets[draw.below(offsets.len())];
                Cut { first: scaled_to(CropRect { x, y, width, height }, spec.size_px), then: None }
            }
            Self::PaddleV151 => paddle_cut(spec, width_px, height_px, draw),
        }
    }
}

/// Crop sizes (width, height) of MIT's multi-scale crop for an input of `size_px`.
///
/// Source: MIT `ops/transforms.py`, `GroupMultiScaleCrop._sample_crop_size`, scales 1, .875, .75, .66 and one step of
/// distortion; a side within 2 of the input's becomes the input's.
pub fn multi_scale_sizes(width_px: usize, height_px: usize, size_px: usize) -> Vec<(usize, usize)> {
    // As in the references: products with the short side, in double precision, cut off.
    const SCALES: [f64; 4] = [1.0, 0.875, 0.75, 0.66];
    let sides = SCALES.map(|scale| {
        let side = scaled_side(width_px.min(height_px), scale);
        if side.abs_diff(size_px) < 3 { size_px } else { side }
    });
    // A side set to the input's may be up to 2 larger than the picture; PIL pads there, we stay inside.
    let mut sizes = Vec::with_capacity(10);
    for (i, &height) in sides.iter().enumerate() {
        for (j, &width) in sides.iter().enumerate() {
            if i.abs_diff(j) <= 1 {
                sizes.push((width.min(width_px), height.min(height_px)));
            }
        }
    }
    sizes
}

/// The 13 places (x, y) of a `crop_width` x `crop_height` crop, in MIT's order (`fill_fix_offset`, `more_fix_crop`).
pub fn multi_scale_offsets(
    width_px: usize,
    height_px: usize,
    crop_width: usize,
    crop_height: usize,
) -> [(usize, usize); 13] {
    let (x, y) = ((width_px - crop_width) / 4, (height_px - crop_height) / 4);
    OFFSET_QUARTERS.map(|(i, j)| (i * x, j * y))
}

/// The 13 places in quarters of the room to the right and below.
const OFFSET_QUARTERS: [(usize, usize); 13] =
    [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)];

/// MIT's `GroupOverSample`: four corners and the centre, in steps of a quarter of the room.
fn five_corners(width: usize, height: usize, side: usize) -> [(usize, usize); 5] {
    let (x, y) = (width.saturating_sub(side) / 4, height.saturating_sub(side) / 4);
    [(0, 0), (4 * x, 0), (0, 4 * y), (4 * x, 4 * y), (2 * x, 2 * y)]
}

/// MIT's `GroupFullResSample`: left, right, centre, all half-way down.
fn full_resolution_corners(width: usize, height: usize, side: usize) -> Vec<(usize, usize)> {
    let (x, y) = (width.saturating_sub(side) / 4, height.saturating_sub(side) / 4);
    vec![(0, 2 * y), (4 * x, 2 * y), (2 * x, 2 * y)]
}

/// Paddle v1.5.1, `kinetics_reader.py`: `group_scale`, `group_multi_scale_crop`, `group_random_crop`.
fn paddle_cut(spec: &InputSpec, width_px: usize, height_px: usize, draw: &mut dyn Draw) -> Cut {
    let forced = InputSpec { aspect: AspectRule::FourByThree, ..spec.clone() };
    let geometry = forced.geometry(width_px, height_px);
    let (width, height) = (geometry.scaled_width_px, geometry.scaled_height_px);
    let short = spec.short_side_px;
    let sizes = multi_scale_sizes(width, height, short);
    let (crop_width, crop_height) = sizes[draw.below(sizes.len())];
    let (i, j) = OFFSET_QUARTERS[draw.below(OFFSET_QUARTERS.len())];
    let (x, width_of_box) = paddle_edges(i, width, crop_width);
    let (y, height_of_box) = paddle_edges(j, height, crop_height);
    let first = Stage {
        source: whole(width_px, height_px),
        scaled_width_px: width,
        scaled_height_px: height,
        crop: CropRect { x, y, width: width_of_box, height: height_of_box },
    };
    let room = short.saturating_sub(spec.size_px);
    let then = Stage {
        source: whole(width_of_box, height_of_box),
        scaled_width_px: short,
        scaled_height_px: short,
        crop: CropRect {
            x: draw.below(room + 1),
            y: draw.below(room + 1),
            width: spec.size_px,
            height: spec.size_px,
        },
    };
    Cut { first, then: Some(then) }
}

/// First pixel and length of a box that starts `quarters` of the room in. Under Python 3 the step is a true division,
/// and PIL rounds both edges of the box, halves to even: a box may be a pixel longer than the crop.
fn paddle_edges(quarters: usize, all: usize, crop: usize) -> (usize, usize) {
    let room = (all - crop) * quarters;
    let start = quarter_half_even(room);
    let end = quarter_half_even(room + 4 * crop).min(all);
    (start, end - start)
}

/// A quarter of `n`, halves to even.
fn quarter_half_even(n: usize) -> usize {
    match n % 4 {
        0 | 1 => n / 4,
        3 => n / 4 + 1,
        _ => n / 4 + (n / 4) % 2,
    }
}

fn scaled_to(source: CropRect, side: usize) -> Stage {
    Stage { source, scaled_width_px: side, scaled_height_px: side, crop: whole(side, side) }
}

fn whole(width: usize, height: usize) -> CropRect {
    CropRect { x: 0, y: 0, width, height }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "as the reference: the product of a side and a factor below 1, cut off"
)]
fn scaled_side(side: usize, scale: f64) -> usize {
    ((side as f64 * scale) as usize).max(1)
}

#[cfg(test)]
mod tests;
