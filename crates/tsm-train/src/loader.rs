//! Batches for training and evaluation, prepared ahead of the model by worker threads.
//!
//! ```text
//! order of (seed, epoch) ─► clip ─ store: frames ─ cut ─ mirror ─ colour ─ normalise ─► row [t, 3, h, w] ┐
//!                           (one job a clip, on tsm-loader-N)                                           ├─► Batch
//!                                                                                    … batch_clips rows ┘
//! ```
//!
//! A [`Loader`] is an iterator of batches over several epochs, so that the next epoch's first batch is under way while
//! a validation runs. What a batch holds depends on the data, the seed, the epoch and the place in it, never on the
//! number of threads or on where the run was resumed. Streaming evaluation has its own: [`online`].
//!
//! A clip that cannot be read is named in [`Batch::skipped`]. In training another one, drawn for this place, takes its
//! place, so that batches keep their size; in evaluation the batch is left smaller.

use std::sync::Arc;
use std::time::Duration;

use tsm_model::InputSpec;

pub use crate::ahead::WorkerLost;
use crate::ahead::{self, Ahead};
use crate::augment::{ColourJitter, FlipTable};
use crate::clip_store::ClipStore;
use crate::crop::{EvalCrops, TrainCrop};
use crate::dataset::Dataset;
use crate::draws::Draws;
use crate::sampling::{ClipCount, Phase, Sampling};

mod clip_row;
pub mod online;

use clip_row::{ClipRow, RowMaker};

/// How clips become rows.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Shuffled, one random view a clip.
    Train(TrainView),
    /// In the order given, all views of a clip.
    Eval(EvalView),
}

/// A random view of each clip.
#[derive(Debug, Clone)]
pub struct TrainView {
    /// Which frames.
    pub sampling: Sampling,
    /// How many.
    pub segments: usize,
    /// Which part of them.
    pub crop: TrainCrop,
    /// Whether and with which label they are mirrored.
    pub flip: FlipTable,
    /// How their colours are changed.
    pub jitter: ColourJitter,
}

/// The views of evaluation: crops times clips.
#[derive(Debug, Clone, Copy)]
pub struct EvalView {
    /// Which frames.
    pub sampling: Sampling,
    /// The references' validation or their test.
    pub phase: Phase,
    /// How many frames a view has.
    pub segments: usize,
    /// How many clips of frames.
    pub clips: ClipCount,
    /// Which crops of each.
    pub crops: EvalCrops,
}

impl Mode {
    /// Rows that a clip gives.
    pub fn views(&self) -> usize {
        match self {
            Self::Train(_) => 1,
            Self::Eval(view) => view.clips.count() * view.crops.count(),
        }
    }

    /// Frames of a row.
    pub fn segments(&self) -> usize {
        match self {
            Self::Train(view) => view.segments,
            Self::Eval(view) => view.segments,
        }
    }

    /// Side of the square frames, in pixels.
    pub fn side_px(&self, input: &InputSpec) -> usize {
        match self {
            Self::Train(_) => input.size_px,
            Self::Eval(view) => view.crops.side_px(input),
        }
    }
}

/// What happens to the clips that do not fill a batch at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastBatch {
    /// A smaller batch. Evaluation has to count every clip.
    #[default]
    Keep,
    /// They are left out of this epoch, others of the next (MIT's training);
    /// with fewer clips than a batch they are kept.
    Drop,
}

/// Where a loader starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Counted from 0.
    pub epoch: u64,
    /// Batch of the epoch, counted from 0.
    pub batch: u64,
}

/// How a loader runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Clips of a batch.
    pub batch_clips: usize,
    /// Worker threads.
    pub workers: usize,
    /// Batches prepared while the model works on one.
    pub ahead_batches: usize,
    /// What happens to the rest of an epoch.
    pub last_batch: LastBatch,
    /// What all draws depend on.
    pub seed: u64,
    /// The first batch.
    pub start: Position,
    /// The epoch before which it ends.
    pub end_epoch: u64,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_clips: 8,
            workers: 2,
            ahead_batches: 2,
            last_batch: LastBatch::Keep,
            seed: 0,
            start: Position::default(),
            end_epoch: 1,
        }
    }
}

/// A clip that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the data set.
    pub clip: usize,
    /// Why, in one line that names it.
    pub reason: String,
}

/// Rows of pixels and what they show.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The epoch it belongs to.
    pub epoch: u64,
    /// Which batch of the epoch, from 0.
    pub index: u64,
    /// `[rows, frames, 3, side, side]`, normalised; see [`Batch::shape`].
    pub pixels: Vec<f32>,
    /// Frames of a row.
    pub frames: usize,
    /// Side of a frame, in pixels.
    pub side_px: usize,
    /// Rows of a clip, one after another.
    pub views: usize,
    /// The class of each row; of a mirrored clip, that of its mirror image.
    pub targets: Vec<u32>,
    /// The clip of each row, as an index into the data set.
    pub clips: Vec<usize>,
    /// The frames of each row that its clip has; the rest repeat one ([`Sampling::shown_frames`]).
    pub shown_frames: Vec<usize>,
    /// The clips of this batch that could not be read, each time they were met.
    pub skipped: Vec<Skipped>,
    /// How long the caller waited for this batch.
    pub waited: Duration,
}

impl Batch {
    /// `[rows, frames, 3, side, side]`.
    pub fn shape(&self) -> [usize; 5] {
        [self.targets.len(), self.frames, 3, self.side_px, self.side_px]
    }

    /// Whether no clip of it could be read; in evaluation only.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// Why there are no (more) batches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// No threads.
    #[error("the loader's threads cannot be started: {0}")]
    Threads(#[source] std::io::Error),
    /// A thread panicked.
    #[error(transparent)]
    Lost(#[from] WorkerLost),
    /// A training batch whose clips, and those drawn in their place, are all unreadable.
    #[error("no clip of a whole batch could be read; the first: {first}")]
    NothingReadable {
        /// The reason of the first one.
        first: String,
    },
}

/// What a loader draws from.
#[derive(Debug, Clone)]
pub struct LoaderSource {
    /// Where paths and classes stand.
    pub dataset: Arc<Dataset>,
    /// The clips of this side of the split, as indices into the data set.
    pub clips: Arc<[usize]>,
    /// Where decoded clips are kept; one a data set.
    pub store: Arc<ClipStore>,
    /// Size, resize rule and normalisation of the model.
    pub input: InputSpec,
}

/// Batches in order. Dropping it ends and joins its threads.
#[derive(Debug)]
pub struct Loader {
    rows: Ahead<ClipRow>,
    plan: EpochPlan,
    mode: Mode,
    side_px: usize,
}

/// How jobs are numbered: `epoch * clips_an_epoch + place`.
#[derive(Debug, Clone, Copy)]
struct EpochPlan {
    clips: u64,
    batch_clips: u64,
}

impl EpochPlan {
    fn new(clips: usize, options: &LoaderOptions) -> Self {
        let (clips, batch_clips) = (clips as u64, options.batch_clips.max(1) as u64);
        let whole = clips - clips % batch_clips;
        let drops = options.last_batch == LastBatch::Drop && whole > 0;
        Self { clips: if drops { whole } else { clips }, batch_clips }
    }

    fn job(&self, position: Position) -> u64 {
        let place = position.batch.saturating_mul(self.batch_clips).min(self.clips);
        position.epoch.saturating_mul(self.clips).saturating_add(place)
    }
}

impl Loader {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`LoaderError::Threads`] if the system gives none.
    pub fn start(source: &LoaderSource, mode: Mode, options: &LoaderOptions) -> Result<Self, LoaderError> {
        let plan = EpochPlan::new(source.clips.len(), options);
        let end = plan.job(Position { epoch: options.end_epoch, batch: 0 });
        let depth = (options.ahead_batches as u64 + 1).saturating_mul(plan.batch_clips);
        let side_px = mode.side_px(&source.input);
        let make_worker = || {
            let (mut maker, mut order) = (RowMaker::new(source.clone(), mode.clone()), EpochOrder::default());
            let (clips, seed) = (Arc::clone(&source.clips), options.seed);
            let is_shuffled = matches!(mode, Mode::Train(_));
            move |job: u64| {
                let (epoch, place) = (job / plan.clips, job % plan.clips);
                let place = ahead::index(place);
                let clip = if is_shuffled { order.clip(&clips, seed, epoch, place) } else { clips[place] };
                maker.row(seed, epoch, clip)
            }
        };
        let rows = Ahead::start(plan.job(options.start)..end, options.workers, depth, make_worker)
            .map_err(LoaderError::Threads)?;
        Ok(Self { rows, plan, mode, side_px })
    }

    /// The batch that comes next.
    pub fn next_position(&self) -> Position {
        let (job, plan) = (self.rows.position(), self.plan);
        if plan.clips == 0 {
            return Position::default();
        }
        Position { epoch: job / plan.clips, batch: job % plan.clips / plan.batch_clips }
    }

    /// How long the caller has waited for batches in all.
    pub fn waited(&self) -> Duration {
        self.rows.waited()
    }

    fn batch(&mut self, first: ClipRow, position: Position) -> Result<Batch, LoaderError> {
        let place = position.batch * self.plan.batch_clips;
        let clips = self.plan.batch_clips.min(self.plan.clips - place);
        let mut batch = Batch {
            epoch: position.epoch,
            index: position.batch,
            pixels: Vec::new(),
            frames: self.mode.segments(),
            side_px: self.side_px,
            views: self.mode.views(),
            targets: Vec::new(),
            clips: Vec::new(),
            shown_frames: Vec::new(),
            skipped: Vec::new(),
            waited: Duration::ZERO,
        };
        let row_len = first.pixels.len();
        batch.pixels.reserve_exact(row_len * usize::try_from(clips).unwrap_or(0));
        batch.add(first);
        for _ in 1..clips {
            let Some(row) = self.rows.next() else { break };
            batch.add(row?);
        }
        match batch.skipped.first() {
            Some(first) if batch.is_empty() && matches!(self.mode, Mode::Train(_)) => {
                Err(LoaderError::NothingReadable { first: first.reason.clone() })
            }
            _ => Ok(batch),
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (position, before) = (self.next_position(), self.waited());
        let first = match self.rows.next()? {
            Ok(row) => row,
            Err(lost) => return Some(Err(lost.into())),
        };
        let batch = self.batch(first, position);
        let waited = self.waited().saturating_sub(before);
        Some(batch.map(|batch| Batch { waited, ..batch }))
    }
}

impl Batch {
    fn add(&mut self, row: ClipRow) {
        self.skipped.extend(row.skipped);
        if let Some((clip, target)) = row.shown {
            self.pixels.extend_from_slice(&row.pixels);
            self.targets.extend(std::iter::repeat_n(target, self.views));
            self.clips.extend(std::iter::repeat_n(clip, self.views));
            self.shown_frames.extend(row.shown_frames);
        }
    }
}

/// The order of the epoch a worker is in.
#[derive(Debug, Default)]
struct EpochOrder {
    epoch: Option<u64>,
    clips: Vec<usize>,
}

impl EpochOrder {
    fn clip(&mut self, clips: &[usize], seed: u64, epoch: u64, place: usize) -> usize {
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.clips = epoch_order(clips, seed, epoch);
        }
        self.clips[place]
    }
}

/// The clips in the order of an epoch of training.
pub fn epoch_order(clips: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = clips.to_vec();
    Draws::for_order(seed, epoch).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests;
