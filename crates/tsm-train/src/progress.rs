//! What a run tells while it goes: events, for a progress bar, a log or a test.

use std::time::Duration;

use crate::motion_start::MotionPaths;
use crate::recipe::Recipe;
use crate::report::EpochRecord;
use crate::run_state::Position;

/// Listens to a run.
pub trait Observer {
    /// Something happened. Called on the training thread: be quick.
    fn event(&mut self, event: &Event<'_>);
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins, or goes on.
    Started {
        /// All choices.
        recipe: &'a Recipe,
        /// Training clips.
        train_clips: usize,
        /// Validation clips.
        validation_clips: usize,
        /// Where a resumed run goes on.
        resumed_at: Option<Position>,
    },
    /// The network was given circuits that see motion.
    MotionPaths {
        /// Their measures.
        paths: &'a MotionPaths,
    },
    /// Features of more clips were gathered for the first head.
    HeadBatch {
        /// Clips so far, each as often as it was seen.
        clips: usize,
        /// Clips in all.
        all: usize,
    },
    /// The first head was solved.
    HeadSolved {
        /// Part of the training clips that it gets right where their group was held out.
        held_out_top1: f64,
    },
    /// What the run starts from was judged.
    StartJudged {
        /// Mean cross entropy of the validation clips, in nats.
        valid_loss: f64,
        /// Share of right validation clips.
        valid_top1: f64,
    },
    /// A batch was learned from.
    Batch(&'a BatchReport),
    /// A clip could not be read and was left out.
    Skipped {
        /// Its path.
        clip: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// An epoch ended, with validation where it was due.
    Epoch {
        /// Its figures.
        record: &'a EpochRecord,
        /// Whether its model is the best so far.
        is_best: bool,
        /// Whether the network is whole by now; before, head or shift are still coming in, and its model ranks
        /// below all that are whole.
        is_whole: bool,
    },
}

/// How the run stands after a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchReport {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Batches done in this epoch.
    pub batches_done: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Optimiser steps made.
    pub step: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Part of the epoch's clips that were right so far.
    pub top1: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the last step's gradients.
    pub gradient_norm: f64,
    /// Clips a second, over this process's part of the run.
    pub clips_per_sec: f64,
    /// Estimated time to the end.
    pub remaining: Duration,
    /// Whether the recipe asks for a line here.
    pub is_log_line: bool,
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event<'_>) {}
}
