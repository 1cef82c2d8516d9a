//! The numbers between a picture and the network's input: resize rule, crop, normalisation.
//!
//! ```text
//! picture (display shape) ─ scale, short side 256 ─ centre crop 224 ─ (x/255 - mean)/std ─ [3, h, w]
//! ```
//!
//! Only geometry and constants; the pixels are moved by `tsm_kernels::resize` and friends.

use serde::{Deserialize, Serialize};

/// How a picture becomes network input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Side of the square crop the network sees, in pixels; a multiple of 32.
    pub size_px: usize,
    /// Short side after scaling, in pixels.
    pub short_side_px: usize,
    /// What happens to the shape of the picture.
    pub aspect: AspectRule,
    /// Channel means (R, G, B) of pictures scaled to 0..=1.
    pub mean: [f32; 3],
    /// Channel standard deviations (R, G, B).
    pub std: [f32; 3],
}

/// What scaling does to the shape of a picture. The filter is always PIL's bilinear with antialias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AspectRule {
    /// Kept: the long side is `⌊short · long / short⌋` (MIT, `PaddleVideo` 2.x).
    Keep,
    /// Forced to 4:3, upright or lying (Paddle 1.x).
    FourByThree,
}

impl Default for InputSpec {
    fn default() -> Self {
        Self {
            size_px: 224,
            short_side_px: 256,
            aspect: AspectRule::Keep,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

/// Where the crop lies in the scaled picture, all in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the scaled picture.
    pub scaled_width_px: usize,
    /// Height of the scaled picture.
    pub scaled_height_px: usize,
    /// Left edge of the crop.
    pub crop_x_px: usize,
    /// Upper edge of the crop.
    pub crop_y_px: usize,
}

impl InputSpec {
    /// The default rule at another input size: the short side keeps its ratio to the crop.
    pub fn with_size(size_px: usize) -> Self {
        Self { size_px, short_side_px: size_px * 256 / 224, ..Self::default() }
    }

    /// Pixels of what the network sees.
    pub const fn pixels(&self) -> usize {
        self.size_px * self.size_px
    }

    /// Scaled size and crop for a picture whose display shape is `width_px` x `height_px`.
    ///
    /// Both must be at least 1. Source: MIT `transforms.py` (`GroupScale`, `GroupCenterCrop`);
    /// Paddle v1.5.1 `kinetics_reader.py` (`group_scale`).
    pub fn geometry(&self, width_px: usize, height_px: usize) -> Geometry {
        let (w, h) = self.scaled(width_px, height_px);
        Geometry {
            scaled_width_px: w,
            scaled_height_px: h,
            crop_x_px: half_even(w.saturating_sub(self.size_px)),
            crop_y_px: half_even(h.saturating_sub(self.size_px)),
        }
    }

    fn scaled(&self, w: usize, h: usize) -> (usize, usize) {
        let short = self.short_side_px;
        if w.min(h) == short {
            return (w, h);
        }
        let long = match self.aspect {
            AspectRule::Keep => short * w.max(h) / w.min(h),
            AspectRule::FourByThree => short * 4 / 3,
        };
        if w < h { (short, long) } else { (long, short) }
    }
}

/// Half of `n`, the half rounded to even as Python's `round` does.
const fn half_even(n: usize) -> usize {
    if n % 4 == 3 { n / 2 + 1 } else { n / 2 }
}
