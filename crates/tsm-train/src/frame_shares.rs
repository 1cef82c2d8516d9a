//! How much each frame of a clip counts in what is said of the clip.
//!
//! ```text
//! frames shown of each clip ─► shares [n, t] ─ mixed as the clips are ─┐
//! frame logits [n, t, classes] ────────────────────────────────────────┴─► clip logits [n, classes]
//! ```
//!
//! A stream ends with its clip, so a network that streams neither learns of the frames that only fill a short one up,
//! nor teaches what it would say of them. It knows no network and no loss.

use candle_core::{D, Device, Result, Tensor};

use crate::counts::float;

/// What each frame of some clips counts, 1 a clip in all.
#[derive(Debug, Clone, Default)]
pub struct FrameShares {
    /// `[n, t]`; none where all frames count alike.
    uneven: Option<Tensor>,
}

impl FrameShares {
    /// Those of `rows` `[n, t]`, each row of which sums to 1.
    ///
    /// # Errors
    /// If `rows` is no whole number of clips, or the device refuses.
    pub fn new(rows: &[f32], t: usize, device: &Device) -> Result<Self> {
        if rows.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits()) {
            return Ok(Self::default());
        }
        Ok(Self { uneven: Some(Tensor::from_slice(rows, (rows.len() / t.max(1), t), device)?) })
    }

    /// The clips' logits `[n, classes]` of their frames' `[n, t, classes]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn mean(&self, frame_logits: &Tensor) -> Result<Tensor> {
        match &self.uneven {
            None => frame_logits.mean(1),
            Some(shares) => frame_logits.broadcast_mul(&shares.unsqueeze(D::Minus1)?)?.sum(1),
        }
    }

    /// The targets `[n, classes]` of clips as those of their frames, `[n * t, classes]`: each row sums to what its
    /// frame counts, 1 on average.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn targets_of_frames(&self, targets: &Tensor, t: usize) -> Result<Tensor> {
        let (n, classes) = targets.dims2()?;
        let repeated = targets.unsqueeze(1)?.repeat((1, t, 1))?;
        let weighted = match &self.uneven {
            None => repeated,
            Some(shares) => repeated.broadcast_mul(&(shares * float(t))?.unsqueeze(D::Minus1)?)?,
        };
        weighted.reshape((n * t, classes))
    }
}

/// Rows `[n, t]` for [`FrameShares::new`]: the first `shown_frames` of each clip of `t` frames count alike,
/// the rest nothing.
///
/// # Panics
/// If a clip shows no frame, or more than `t`.
#[expect(clippy::cast_precision_loss, reason = "frames of a clip are far below 2^24")]
pub fn rows_of_shown(shown_frames: &[usize], t: usize) -> Vec<f32> {
    assert!(shown_frames.iter().all(|shown| (1..=t).contains(shown)), "a clip shows 1 to {t} frames");
    let share = |shown: usize, at: usize| if at < shown { 1.0 / shown as f32 } else { 0.0 };
    shown_frames.iter().flat_map(|shown| (0..t).map(move |at| share(*shown, at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shown_frames: &[usize], t: usize) -> FrameShares {
        FrameShares::new(&rows_of_shown(shown_frames, t), t, &Device::Cpu).unwrap()
    }

    fn frames() -> Tensor {
        let values = [1f32, 0.0, 2.0, 0.0, 30.0, 6.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0];
        Tensor::from_slice(&values, (2, 3, 2), &Device::Cpu).unwrap()
    }

    #[test]
    fn frames_that_fill_a_clip_up_do_not_count() {
        let short = shares(&[2, 3], 3).mean(&frames()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(short[0], [1.5, 0.0]);
        assert!(short[1].iter().all(|x| (x - 2.0).abs() < 1e-6), "{short:?}");
        let whole = shares(&[3, 3], 3).mean(&frames()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(whole, [[11.0, 2.0], [2.0, 2.0]]);
    }

    #[test]
    fn targets_of_frames_weigh_what_the_frames_count() {
        let targets = Tensor::from_slice(&[1f32, 0.0, 0.25, 0.75], (2, 2), &Device::Cpu).unwrap();
        let rows = shares(&[1, 3], 3).targets_of_frames(&targets, 3).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows[..3], [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]);
        assert_eq!(rows[3..], [[0.25, 0.75]; 3]);
    }
}
