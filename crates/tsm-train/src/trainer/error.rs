//! Why a run ends without a model, a line each.

use std::path::PathBuf;

use tsm_model::StepError;
use tsm_model::checkpoint::CheckpointError;

use crate::augment::FlipError;
use crate::learner::RestoreError;
use crate::loader::LoaderError;
use crate::metrics::PredictionsError;
use crate::report::ReportError;
use crate::run_state::RunStateError;

/// Why a run ended without a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe does not fit the data.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The run cannot be saved.
    #[error(transparent)]
    State(#[from] RunStateError),
    /// A model cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the report cannot be written or drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A pair of mirrored labels that are no classes.
    #[error(transparent)]
    Flip(#[from] FlipError),
    /// Scores of the validation do not fit.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// A clip of the network's size is refused.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The loss is infinite or no number.
    #[error(
        "training has blown up at step {step} (epoch {epoch}), a number is not finite; lower --lr, or look at the clips of the batch: {}",
        clips.join(", ")
    )]
    NotFinite {
        /// Optimiser steps made.
        step: usize,
        /// Epoch, counted from 1.
        epoch: usize,
        /// The clips of the batch.
        clips: Vec<String>,
    },
    /// What a run starts from makes the loss of the validation clips infinite, or no number.
    #[error(
        "what the run starts from has no finite loss on the validation clips; start from other weights, or pass --head-views 0"
    )]
    StartNotFinite,
    /// The loss of the validation clips is infinite or no number.
    #[error(
        "the model of epoch {epoch} has no finite loss on the validation clips; lower --lr, or keep batch norm still (--batch-norm frozen)"
    )]
    ValidationNotFinite {
        /// Epoch, counted from 1.
        epoch: usize,
    },
    /// Without epochs the head is all that is learned, and the clips do not determine one.
    #[error(
        "the training clips do not determine a head, and --epochs 0 learns nothing else; pass --epochs 1 or more"
    )]
    NoHead,
    /// A saved run of other choices.
    #[error("{}: the saved run {difference}; use the same command, or another output", path.display())]
    OtherRun {
        /// The saved run.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// Every clip of a class that is learned from was left out.
    #[error("no clip of '{class}' can be read; the first: {first}")]
    NothingReadable {
        /// The class.
        class: String,
        /// Why its first clip cannot.
        first: String,
    },
    /// Another run writes there.
    #[error("{}: another training writes its report there; wait for its end, or choose another --output", folder.display())]
    InUse {
        /// The folder of the report.
        folder: PathBuf,
    },
    /// A clip is not what it was.
    #[error(
        "{}: is not what the saved run {} learned from{}; put the old clip back, or start anew with --restart",
        clip.display(), path.display(), more(*others)
    )]
    ChangedClip {
        /// The saved run.
        path: PathBuf,
        /// The first of the changed clips.
        clip: PathBuf,
        /// How many others have changed.
        others: usize,
    },
    /// A teacher is not what it was.
    #[error(
        "{}: is not the teacher that the saved run {} has imitated; put the old file back, or start anew with --restart",
        teacher.display(), path.display()
    )]
    ChangedTeacher {
        /// The saved run.
        path: PathBuf,
        /// The teacher's file.
        teacher: PathBuf,
    },
    /// The tensors of a saved run are not this network's.
    #[error("{}: the saved run is damaged: {source}; start anew with --restart", path.display())]
    Restore {
        /// The saved run.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<RestoreError>,
    },
    /// Candle refuses: memory, shapes.
    #[error("the network cannot be trained: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A model cannot be put on the device.
    #[error(transparent)]
    Compute(#[from] tsm_model::device::ComputeError),
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(", nor are {others} others") }
}
