//! One frame from each of S equal parts of the clip, as each reference system does it.
//!
//! ```text
//! n frames   | part 0 | part 1 | part 2 | … | part S-1 |
//! train          x      x            x          x          a draw in each part
//! test           x        x        x            x          the middle of each part
//! ```
//!
//! Where a clip has fewer frames than segments, the systems differ, and their answers are kept: weights were
//! trained with them.

use serde::{Deserialize, Serialize};

use crate::counts::float;
use crate::draws::Draw;

/// Whose rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniformRule {
    /// MIT `temporal-shift-module`, `ops/dataset.py`.
    #[default]
    Mit,
    /// Paddle v1.5.1 to 1.8, `kinetics_reader.py`; its pkl and mp4 readers agree for single frames.
    PaddleV151,
    /// `PaddleVideo` 2.x, `Sampler` with `select_left`.
    PaddleVideo,
    /// `MMAction2`, `SampleFrames`.
    MmAction,
}

/// Training: a draw in each part.
pub fn train(rule: UniformRule, frames: usize, segments: usize, draw: &mut dyn Draw) -> Vec<usize> {
    let part = frames / segments;
    if part > 0 {
        return (0..segments).map(|i| i * part + draw.below(part)).collect();
    }
    match rule {
        UniformRule::Mit | UniformRule::PaddleVideo => vec![0; segments],
        UniformRule::PaddleV151 => (0..segments).map(|i| i % frames).collect(),
        UniformRule::MmAction => {
            let ratio = float(frames) / float(segments);
            // NumPy's `around` rounds halves to even; the tail wraps around to the first frame.
            (0..segments).map(|i| whole((float(i) * ratio).round_ties_even()) % frames).collect()
        }
    }
}

/// Validation while training runs.
pub fn validate(rule: UniformRule, frames: usize, segments: usize) -> Vec<usize> {
    match rule {
        // The references' own fault: as many frames as segments give the first one only.
        UniformRule::Mit | UniformRule::PaddleVideo if frames <= segments => vec![0; segments],
        _ => test(rule, frames, segments),
    }
}

/// Evaluation: the middle of each part. `PaddleVideo` has no rule but its validation's.
pub fn test(rule: UniformRule, frames: usize, segments: usize) -> Vec<usize> {
    match rule {
        UniformRule::PaddleVideo if frames <= segments => vec![0; segments],
        UniformRule::Mit | UniformRule::PaddleVideo | UniformRule::MmAction => {
            let part = float(frames) / float(segments);
            (0..segments).map(|i| whole(part / 2.0 + part * float(i))).collect()
        }
        UniformRule::PaddleV151 => {
            let part = frames / segments;
            let middle = part.saturating_sub(1) / 2;
            (0..segments).map(|i| if part > 0 { i * part + middle } else { i % frames }).collect()
        }
    }
}

/// The second clip of MIT's and `MMAction2`'s `twice_sample`: the start of each part.
pub fn second(frames: usize, segments: usize) -> Vec<usize> {
    let part = float(frames) / float(segments);
    (0..segments).map(|i| whole(part * float(i))).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the references cut off; never negative"
)]
pub(super) fn whole(x: f64) -> usize {
    x as usize
}
