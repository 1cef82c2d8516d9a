//! A clip as a camera would show it: one frame after another through the streaming network.
//!
//! ```text
//! frames chosen by PTS ─ step ─ step ─ step ─ … ─► logits of each frame
//!            state: fresh for each clip, or running on over the joints
//! ```
//!
//! Early recognition reads the mean of the logits so far. It decodes nothing.

use serde::Serialize;
use tsm_model::{Model, StepError, StreamState};

use crate::largest::largest;

/// Parts of a clip after which the answer is looked at.
pub const LOOKS_PERCENT: [usize; 5] = [10, 25, 50, 75, 100];

/// What a clip's frames said, one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedClip {
    /// Mean of all frames' logits, `[classes]`.
    pub mean: Vec<f32>,
    /// The last frame's logits.
    pub last: Vec<f32>,
    /// The class of each frame's own logits.
    pub frames: Vec<usize>,
    /// The class of the mean so far, at each of [`LOOKS_PERCENT`].
    pub looks: [usize; 5],
}

/// What streamed clips come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnlineFigures {
    /// Clips whose mean logits are right.
    pub top1: f64,
    /// Clips whose last frame is right.
    pub last_frame_top1: f64,
    /// Frames that are right, of all frames.
    pub frame_top1: f64,
    /// Frames seen.
    pub frames: usize,
    /// Clips that are right after a part of their frames.
    pub early: Vec<EarlyFigure>,
}

/// Early recognition at one point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EarlyFigure {
    /// Part of the clip's frames, in percent, at least one frame.
    pub percent: usize,
    /// Clips whose mean logits so far are right.
    pub top1: f64,
}

/// Streams a clip's normalised frames `[k, 3, h, w]`, k at least 1, on top of `state`, which starts afresh before the
/// frames within the clip that `starts_afresh` marks: after a gap or a new picture size, as live recognition does.
/// What happens before the first frame is the caller's choice.
///
/// # Errors
/// [`StepError`] if the frames are not the model's, or the device fails.
pub fn stream_clip(
    model: &mut Model,
    state: &mut StreamState,
    frames: &[f32],
    starts_afresh: &[bool],
) -> Result<StreamedClip, StepError> {
    let size = model.spec().input.size_px;
    let classes = model.spec().classes.len();
    let frame_len = 3 * size * size;
    let count = frames.len() / frame_len;
    let mut sum = vec![0.0f64; classes];
    let mut logits = vec![0.0f32; classes];
    let mut said = Vec::with_capacity(count);
    let mut looks = [0; LOOKS_PERCENT.len()];
    for (index, frame) in frames.chunks_exact(frame_len).enumerate() {
        if index > 0 && starts_afresh.get(index).copied().unwrap_or_default() {
            state.reset();
        }
        model.step(frame, &mut [&mut *state], &mut logits)?;
        for (sum, logit) in sum.iter_mut().zip(&logits) {
            *sum += f64::from(*logit);
        }
        said.push(largest(&logits));
        for (look, percent) in looks.iter_mut().zip(LOOKS_PERCENT) {
            if index + 1 == frames_at(percent, count) {
                *look = largest(&sum);
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "frames of a clip are far below 2^53")]
    let scale = 1.0 / count.max(1) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "logits are single precision")]
    let mean = sum.iter().map(|sum| (sum * scale) as f32).collect();
    Ok(StreamedClip { mean, last: logits, frames: said, looks })
}

/// The figures of streamed clips with their true classes.
pub fn figures(clips: &[(StreamedClip, usize)]) -> OnlineFigures {
    let clip_part = |is_right: &dyn Fn(&StreamedClip, usize) -> bool| {
        part(clips.iter().filter(|(clip, class)| is_right(clip, *class)).count(), clips.len())
    };
    let right_frames: usize =
        clips.iter().map(|(clip, class)| clip.frames.iter().filter(|frame| *frame == class).count()).sum();
    let frames = clips.iter().map(|(clip, _)| clip.frames.len()).sum();
    let early = LOOKS_PERCENT.into_iter().enumerate().map(|(at, percent)| EarlyFigure {
        percent,
        top1: clip_part(&|clip, class| clip.looks[at] == class),
    });
    OnlineFigures {
        top1: clip_part(&|clip, class| largest(&clip.mean) == class),
        last_frame_top1: clip_part(&|clip, class| largest(&clip.last) == class),
        frame_top1: part(right_frames, frames),
        frames,
        early: early.collect(),
    }
}

/// Frames of `count` that make up `percent` of them, rounded up.
const fn frames_at(percent: usize, count: usize) -> usize {
    (count * percent).div_ceil(100)
}

#[expect(clippy::cast_precision_loss, reason = "clips and frames are far below 2^53")]
fn part(some: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(mean: [f32; 2], frames: &[usize], looks: [usize; 5]) -> StreamedClip {
        StreamedClip { mean: mean.into(), last: vec![0.0, 1.0], frames: frames.into(), looks }
    }

    #[test]
    fn figures_count_clips_frames_and_early_answers() {
        let clips = [
            (clip([1.0, 0.0], &[0, 0, 1, 0], [1, 0, 0, 0, 0]), 0),
            (clip([1.0, 0.0], &[0, 1], [0, 0, 1, 1, 0]), 1),
        ];
        let figures = figures(&clips);
        assert_eq!((figures.top1, figures.last_frame_top1, figures.frames), (0.5, 0.5, 6));
        assert!((figures.frame_top1 - 4.0 / 6.0).abs() < 1e-9);
        let early: Vec<f64> = figures.early.iter().map(|look| look.top1).collect();
        assert_eq!(early, [0.0, 0.5, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn a_look_comes_after_at_least_one_frame() {
        assert_eq!(LOOKS_PERCENT.map(|percent| frames_at(percent, 3)), [1, 1, 2, 3, 3]);
        assert_eq!(frames_at(10, 40), 4);
    }
}
