//! What a run tells: a line a labelled frame, a line a change of a source.
//!
//! These are values; how they look is the sinks' affair ([`crate::sinks`]).

use std::fmt;
use std::time::{Duration, Instant};

use crate::decision::Decision;

/// One thing to tell.
#[derive(Debug, Clone)]
pub enum Report {
    /// A labelled frame.
    Frame(FrameReport),
    /// A live source changed.
    Source(SourceReport),
}

/// A labelled frame.
#[derive(Debug, Clone)]
pub struct FrameReport {
    /// The stream, numbered in the order given.
    pub stream: usize,
    /// This stream's labelled frames before this one.
    pub frame: u64,
    /// Media time since the stream's beginning; runs on over reconnects.
    pub pts: Duration,
    /// What the frame is said to show.
    pub decision: Decision,
    /// Where its time went.
    pub latency: Latency,
    /// Steps since the state was reset, 1 on the first.
    pub state_age_steps: u64,
    /// Due frames passed over since the stream's previous line because the model was busy.
    pub dropped: u64,
}

/// Where a frame's time went.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// When the decoded frame arrived.
    pub arrival: Instant,
    /// How old it was then, where the source tells it.
    pub age_at_arrival: Option<Duration>,
    /// From arrival until the model's thread took it.
    pub queue: Duration,
    /// Colour, resize, crop and normalisation of all the frames of its step.
    pub preprocess: Duration,
    /// The step that the frame took part in.
    pub model: Duration,
}

/// A change of a live source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReport {
    /// The stream, numbered in the order given.
    pub stream: usize,
    /// What it is now.
    pub state: SourceState,
    /// Why, where there is a reason.
    pub reason: Option<String>,
    /// Attempts since the source last worked; 0 for the first connection.
    pub attempt: u32,
}

/// The states of a live source.
///
/// ```text
/// connecting ─► live ─► stalled ─► retrying ─► connecting …
///                └──────(error, end)──┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// A pipeline is being built.
    Connecting,
    /// Frames come.
    Live,
    /// No frame for the stall timeout.
    Stalled,
    /// Waiting for the next attempt.
    Retrying,
}

impl SourceState {
    /// The word in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::Retrying => "retrying",
        }
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
