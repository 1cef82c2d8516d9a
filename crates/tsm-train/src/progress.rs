//! What a run tells while it goes: events, for a progress bar, a log or a test.

use std::path::PathBuf;
use std::time::Duration;

use crate::dataset::Dataset;
use crate::fingerprint::ClipMark;
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
    /// Folders of frames hold more or fewer pictures than their list says.
    WrongCounts(&'a WrongCounts),
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

/// Counts of frames in a list that are not those of its folders: the list is of other frames, or some are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongCounts {
    /// How many folders differ.
    pub folders: usize,
    /// Of how many that the list has a count for.
    pub of: usize,
    /// The first that differs.
    pub first: PathBuf,
    /// What the list says of it.
    pub said: u32,
    /// How many pictures it holds.
    pub held: usize,
}

impl WrongCounts {
    /// Compares the lists' counts of `clips` with `marks`, which are in their order.
    pub(crate) fn of(dataset: &Dataset, clips: &[usize], marks: &[ClipMark]) -> Option<Self> {
        let count = |(clip, mark): (&usize, &ClipMark)| {
            let clip = &dataset.clips[*clip];
            Some((&clip.path, clip.frames?, mark.pictures?))
        };
        let counts: Vec<_> = clips.iter().zip(marks).filter_map(count).collect();
        let differs = |(_, said, held): &&(&PathBuf, u32, usize)| usize::try_from(*said) != Ok(*held);
        let folders = counts.iter().filter(differs).count();
        let (first, said, held) = counts.iter().find(differs)?;
        Some(Self { folders, of: counts.len(), first: (*first).clone(), said: *said, held: *held })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Clip;

    #[test]
    fn counts_of_a_list_are_held_against_folders_alone() {
        let listed = |path: &str, frames| Clip { frames, ..Clip::new(path, 0) };
        let clips = vec![
            listed("a", Some(90)),
            listed("b", Some(90)),
            listed("c.mp4", Some(90)),
            listed("d", None),
            listed("e", Some(7)),
        ];
        let dataset = Dataset { classes: vec!["sit".to_owned()], clips };
        let pictures = |pictures| ClipMark { mark: 1, pictures };
        let held = [Some(90), Some(88), None, Some(3), Some(8)].map(pictures);
        let wrong = WrongCounts::of(&dataset, &[0, 1, 2, 3, 4], &held).unwrap();
        assert_eq!((wrong.folders, wrong.of), (2, 3));
        assert_eq!((wrong.first, wrong.said, wrong.held), (PathBuf::from("b"), 90, 88));
        assert_eq!(WrongCounts::of(&dataset, &[0, 2, 3], &[held[0], held[2], held[3]]), None);
    }
}
