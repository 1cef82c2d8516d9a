//! What a live run is asked to do, as values that cannot contradict each other.

use std::time::Duration;

use tsm_ingest::SessionOptions;

use crate::decision::MIT_CLASSES;
use crate::sampler::SampleRate;

/// Everything about a run but its sources, model and sinks.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// Which frames the model sees.
    pub rate: RateChoice,
    /// How logits become a label.
    pub decision: DecisionSettings,
    /// How pipelines are opened: transport, pace, connect timeout.
    pub session: SessionOptions,
    /// How long a live source may stay silent before it is rebuilt.
    pub stall_timeout: Duration,
    /// How often a live source that worked once is tried again.
    pub retries: Retries,
    /// Ends the run after so many labelled frames of all streams together.
    pub frame_limit: Option<u64>,
}

/// The rate at which frames go into the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RateChoice {
    /// The model's own frame interval.
    Model,
    /// So many frames a second of media time; positive and finite.
    Hertz(f64),
    /// Every frame of the source.
    All,
}

impl RateChoice {
    /// The rate itself, for a model that learned from frames `model_interval` apart.
    pub(crate) fn sample_rate(self, model_interval: Duration) -> SampleRate {
        match self {
            Self::All => SampleRate::AllFrames,
            Self::Hertz(hz) => SampleRate::Every(Duration::from_secs_f64(1.0 / hz)),
            Self::Model => SampleRate::Every(model_interval),
        }
    }
}

/// How long to go on with a source that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// For ever.
    Forever,
    /// So many attempts in a row without a frame, then the stream is given up.
    AtMost(u32),
}

/// How logits become a label.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionSettings {
    /// Frames whose logits are averaged; by default about a second of frames.
    pub window: Option<usize>,
    /// When the shown class changes.
    pub rule: DecisionRule,
    /// Divides logits before softmax (calibration).
    pub temperature: f32,
    /// Length of the ranking.
    pub top_k: usize,
}

/// When the shown class changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionRule {
    /// After so many agreeing frames.
    Confirm {
        /// At least 1.
        frames: usize,
    },
    /// As MIT's online demo of 27 gestures does it.
    Mit,
}

/// A model that MIT's decision logic does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "--decision mit is the logic of MIT's demo of {MIT_CLASSES} gestures, but this model has {0} classes"
)]
pub struct NotMitClasses(pub usize);

impl DecisionRule {
    /// MIT's logic, for a model of its classes.
    ///
    /// # Errors
    /// [`NotMitClasses`] for any other number of classes: the logic names classes by number.
    pub fn mit(classes: usize) -> Result<Self, NotMitClasses> {
        if classes == MIT_CLASSES { Ok(Self::Mit) } else { Err(NotMitClasses(classes)) }
    }
}
