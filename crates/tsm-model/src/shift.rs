//! The temporal shift: which channels of a block's input come from another frame.
//!
//! ```text
//!            channels 0 .. a      a .. b            the rest
//! Mit        from t+1 (future)    from t-1 (past)   as is       a = C/div, b = 2·(C/div)
//! Paddle     from t-1 (past)      from t+1 (future) as is       a = ⌊C·r⌋, b = ⌊2C·r⌋, r = 1/div
//! Causal     from t-1 (past)      as is             as is       a = C/div
//! ```
//!
//! Where there is no neighbour (the first and last frame of a clip) the channels are zero.
//! Source: TSM (arXiv 1811.08383), section 3; the fold orders as the three systems really compute
//! them. This file moves tensors of whole clips; the streaming form, which keeps the fold of the
//! last frame instead, lives with the executor.

use std::ops::Range;

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::spec::Backbone;

/// Which way channels move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShiftKind {
    /// Nothing moves: a TSN.
    None,
    /// Two-way, first fold from the future (MIT, `MMAction2`).
    Mit,
    /// Two-way, first fold from the past (Paddle).
    Paddle,
    /// One-way, first fold from the past (MIT's online network): the only kind that can stream.
    Causal,
}

impl ShiftKind {
    /// The name in flags and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mit => "mit",
            Self::Paddle => "paddle",
            Self::Causal => "causal",
        }
    }
}

/// Which part of a residual block sees the shifted input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShiftPlace {
    /// The block's first convolution only; the identity path sees the unshifted input.
    Blockres,
    /// The whole block, identity path and downsampling included.
    Block,
}

/// The shift as a value: kind, place, fold width, segments and the blocks that have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftSpec {
    /// Which way channels move.
    pub kind: ShiftKind,
    /// What part of a block sees it.
    pub place: ShiftPlace,
    /// A fold is `1 / div` of the channels. At least 1, or 2 for a two-way shift.
    pub div: usize,
    /// Frames that a clip of training had (`n_segment`); two-way models answer for so many at once.
    pub segments: usize,
    /// Names of the shifted blocks (`layer1.0`, `features.3`), in network order.
    pub blocks: Vec<String>,
}

/// Channels that move: `first` and `second` fold (either may be empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    /// Channels `0..a`.
    pub first: Range<usize>,
    /// Channels `a..b`.
    pub second: Range<usize>,
}

impl ShiftSpec {
    /// Shift of this kind and place in the blocks where the reference has it.
    pub fn new(kind: ShiftKind, place: ShiftPlace, div: usize, segments: usize, backbone: Backbone) -> Self {
        let blocks = crate::architecture::default_shifted_blocks(backbone, kind, place);
        Self { kind, place, div, segments, blocks }
    }

    /// The causal shift as MIT's online network has it: an eighth of the channels, `blockres`.
    pub fn causal(backbone: Backbone) -> Self {
        Self::new(ShiftKind::Causal, ShiftPlace::Blockres, 8, 8, backbone)
    }

    /// The channels of a `channels`-wide input that move.
    pub fn folds(&self, channels: usize) -> Folds {
        let fold = channels / self.div;
        match self.kind {
            ShiftKind::None => Folds { first: 0..0, second: 0..0 },
            ShiftKind::Causal => Folds { first: 0..fold, second: fold..fold },
            ShiftKind::Mit => Folds { first: 0..fold, second: fold..(2 * fold).min(channels) },
            ShiftKind::Paddle => {
                let (a, b) = paddle_bounds(channels, self.div);
                Folds { first: 0..a, second: a..b.min(channels) }
            }
        }
    }

    /// Whether a stream can be labelled frame by frame: nothing comes from the future.
    pub fn is_streamable(&self) -> bool {
        matches!(self.kind, ShiftKind::None | ShiftKind::Causal)
    }

    /// Shifts whole clips: `x` is `[n * t, c, h, w]`, `t` successive rows being one clip.
    ///
    /// # Errors
    /// If the rows are no multiple of `t`.
    pub fn apply(&self, x: &Tensor, t: usize) -> Result<Tensor> {
        let (rows, c, h, w) = x.dims4()?;
        let folds = self.folds(c);
        if folds.second.end == 0 {
            return Ok(x.clone());
        }
        if t == 0 || rows % t != 0 {
            candle_core::bail!("temporal shift: {rows} frames are no whole number of clips of {t}");
        }
        let x = x.reshape((rows / t, t, c, h, w))?;
        let first = x.narrow(2, 0, folds.first.len())?;
        let second = x.narrow(2, folds.second.start, folds.second.len())?;
        let rest = x.narrow(2, folds.second.end, c - folds.second.end)?;
        let (first, second) = match self.kind {
            ShiftKind::Mit => (from_future(&first, t)?, from_past(&second, t)?),
            ShiftKind::Paddle => (from_past(&first, t)?, from_future(&second, t)?),
            ShiftKind::Causal | ShiftKind::None => (from_past(&first, t)?, second),
        };
        Tensor::cat(&[first, second, rest], 2)?.reshape((rows, c, h, w))
    }
}

/// Paddle multiplies by a single-precision ratio and truncates: for 20 channels and `div` 8 the
/// folds are 2 and 3 wide.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the reference computes exactly so; channel counts are far below 2^24"
)]
fn paddle_bounds(channels: usize, div: usize) -> (usize, usize) {
    let ratio = 1.0 / div as f32;
    ((channels as f32 * ratio) as usize, (channels as f32 * 2.0 * ratio) as usize)
}

/// `x` `[n, t, c, h, w]` one frame later: frame 0 is zero, frame i is `x[i - 1]`.
fn from_past(x: &Tensor, t: usize) -> Result<Tensor> {
    Tensor::cat(&[x.narrow(1, 0, 1)?.zeros_like()?, x.narrow(1, 0, t - 1)?], 1)
}

/// `x` `[n, t, c, h, w]` one frame earlier: the last frame is zero.
fn from_future(x: &Tensor, t: usize) -> Result<Tensor> {
    Tensor::cat(&[x.narrow(1, 1, t - 1)?, x.narrow(1, 0, 1)?.zeros_like()?], 1)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, IndexOp};

    use super::*;

    fn spec(kind: ShiftKind, div: usize) -> ShiftSpec {
        ShiftSpec::new(kind, ShiftPlace::Blockres, div, 3, Backbone::Resnet50)
    }

    /// Channel values `10 * frame + channel`, one pixel, three frames of eight channels.
    fn shifted(kind: ShiftKind) -> Vec<Vec<f32>> {
        let values: Vec<f32> = (1u8..4).flat_map(|t| (0u8..8).map(move |c| f32::from(10 * t + c))).collect();
        let x = Tensor::from_vec(values, (3, 8, 1, 1), &Device::Cpu).unwrap();
        let y = spec(kind, 8).apply(&x, 3).unwrap();
        (0..3).map(|t| y.i(t).unwrap().flatten_all().unwrap().to_vec1().unwrap()).collect()
    }

    #[test]
    fn mit_takes_the_first_fold_from_the_future() {
        let y = shifted(ShiftKind::Mit);
        assert_eq!(y[0][..3], [20.0, 0.0, 12.0]);
        assert_eq!(y[1][..3], [30.0, 11.0, 22.0]);
        assert_eq!(y[2][..3], [0.0, 21.0, 32.0]);
    }

    #[test]
    fn paddle_takes_the_first_fold_from_the_past() {
        let y = shifted(ShiftKind::Paddle);
        assert_eq!(y[0][..3], [0.0, 21.0, 12.0]);
        assert_eq!(y[2][..3], [20.0, 0.0, 32.0]);
    }

    #[test]
    fn causal_looks_back_only() {
        let y = shifted(ShiftKind::Causal);
        assert_eq!(y[0][..3], [0.0, 11.0, 12.0]);
        assert_eq!(y[1][..3], [10.0, 21.0, 22.0]);
    }

    #[test]
    fn paddle_rounds_each_bound_on_its_own() {
        assert_eq!(spec(ShiftKind::Paddle, 8).folds(20), Folds { first: 0..2, second: 2..5 });
        assert_eq!(spec(ShiftKind::Mit, 8).folds(20), Folds { first: 0..2, second: 2..4 });
    }

    #[test]
    fn a_fold_narrower_than_one_channel_moves_nothing() {
        let x = Tensor::ones((4, 3, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let y = spec(ShiftKind::Mit, 8).apply(&x, 4).unwrap();
        assert_eq!(y.dims(), x.dims());
    }
}
