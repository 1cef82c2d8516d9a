//! Which frames of a clip the network sees.
//!
//! ```text
//! clip   . . . . . . . . . . . . . . . . . . . . . .        S = 4
//! uniform      |           |           |           |        one of each of S equal parts
//! dense        | |  |  |                                    S of a window of 64 frames
//! fixed        |   |   |   |                                as a stream sees it: an interval of media time
//! ```
//!
//! The rules are those of the reference systems, fault for fault ([`uniform`], [`dense`]), and one of our own that sees
//! what live recognition sees ([`interval`]). Indices count from 0, whatever the reference does. Sampling only: one
//! frame an index (no optical flow).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draws::Draw;

pub mod dense;
pub mod interval;
pub mod uniform;

pub use interval::ShortClip;
pub use uniform::UniformRule;

/// How frames are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// One frame from each of S equal parts.
    Uniform(UniformRule),
    /// S frames from a window of 64 (MIT's and `MMAction2`'s dense).
    Dense,
    /// Frames as a stream sees them: at this interval of media time, by live recognition's own rule.
    FixedInterval {
        /// Milliseconds of media time between two frames.
        interval_millis: f64,
        /// What a clip gives that is shorter than S intervals.
        short: ShortClip,
    },
}

/// What the frames are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Random, one draw a clip and epoch.
    Train,
    /// The references' validation during training; for MIT and `PaddleVideo` other than their test. Not random here,
    /// although MIT's dense validation is.
    Validate,
    /// Evaluation.
    Test,
}

/// How many clips of S frames a video gives in evaluation; their logits are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipCount {
    /// One.
    #[default]
    One,
    /// Two: MIT's `--twice_sample`. For [`Sampling::FixedInterval`] the first and the last S frames.
    Twice,
    /// Ten windows of 64 frames, whatever the sampling: MIT's and `MMAction2`'s dense test.
    DenseTen,
}

impl ClipCount {
    /// As a number.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Twice => 2,
            Self::DenseTen => 10,
        }
    }
}

/// The frames of a clip as sampling sees them.
#[derive(Debug, Clone, Copy)]
pub struct Timeline<'a> {
    /// Media time of each frame.
    pub pts: &'a [Duration],
}

impl Sampling {
    /// The `segments` frames of a training clip, by index.
    ///
    /// A clip without frames gives none.
    pub fn train(self, clip: Timeline<'_>, segments: usize, draw: &mut dyn Draw) -> Vec<usize> {
        let frames = clip.pts.len();
        match self {
            _ if frames == 0 => Vec::new(),
            Self::Uniform(rule) => uniform::train(rule, frames, segments, draw),
            Self::Dense => dense::one(frames, segments, draw),
            Self::FixedInterval { interval_millis, short } => {
                interval::train(clip.pts, interval::duration(interval_millis), segments, short, draw)
            }
        }
    }

    /// The frames of a clip in validation or evaluation: [`ClipCount::count`] times `segments` of them.
    ///
    /// [`Phase::Train`] is taken for [`Phase::Test`]. A clip without frames gives none.
    pub fn evaluate(self, phase: Phase, clip: Timeline<'_>, segments: usize, clips: ClipCount) -> Vec<usize> {
        let frames = clip.pts.len();
        if frames == 0 {
            return Vec::new();
        }
        if clips == ClipCount::DenseTen {
            return dense::ten(frames, segments);
        }
        match self {
            Self::Uniform(rule) => {
                let mut indices = match phase {
                    Phase::Validate => uniform::validate(rule, frames, segments),
                    Phase::Train | Phase::Test => uniform::test(rule, frames, segments),
                };
                if clips == ClipCount::Twice {
                    indices.extend(uniform::second(frames, segments));
                }
                indices
            }
            Self::Dense => dense::centred(frames, segments, clips),
            Self::FixedInterval { interval_millis, short } => {
                interval::evaluate(clip.pts, interval::duration(interval_millis), segments, short, clips)
            }
        }
    }

    /// How many of the chosen frames of one view a stream would show before its picture stands still: all but those
    /// that stand in for frames that a short clip lacks. Other samplings than that of a stream know no such frames.
    pub fn shown_frames(self, indices: &[usize]) -> usize {
        match self {
            Self::FixedInterval { .. } => interval::shown_frames(indices),
            Self::Uniform(_) | Self::Dense => indices.len(),
        }
    }
}

#[cfg(test)]
mod golden_tests;
