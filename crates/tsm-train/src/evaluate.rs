//! How well a model labels known clips: by views, as its training did, or streamed, as live recognition does.
//!
//! ```text
//! views    clip ─ crops x clips of frames ─ clip_logits ─ mean of logits ─┐
//! online   clip ─ frames by PTS ─ step, step, … ─ mean of logits ──────────┼─► Predictions ─► Evaluation
//! joined   clip, clip, … ─ steps with and without a reset at the joints ───┘
//! ```
//!
//! Every clip that can be read counts, whatever the batch; the others are named. It chooses no clips.

use serde::Serialize;
use tsm_model::{Model, StepError};

use crate::clip_logits::mean_logits;
use crate::dataset::{Dataset, class_index};
use crate::largest::largest;
use crate::loader::online::{OnlineClips, OnlinePart};
use crate::loader::{Batch, EvalView, Loader, LoaderError, LoaderOptions, LoaderSource, Mode, Skipped};
use crate::metrics::{JudgedClip, Metrics, Predictions, PredictionsError, ScoreKind};
use crate::row_mean::RowMean;
use crate::streaming::{ClipStream, OnlineFigures, figures};

/// Streamed frames after which the caller is asked whether to go on within a clip.
const FRAMES_BETWEEN_LOOKS: usize = 256;

/// Why clips cannot be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// No threads, or one died.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The model refuses a frame.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Scores and classes do not fit.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// Candle refuses.
    #[error("the clips cannot be evaluated: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// Frames of the future cannot be streamed.
    #[error(
        "the model's shift is {kind}: it looks into the future and cannot be streamed; leave --online out"
    )]
    NotStreamable {
        /// The shift.
        kind: &'static str,
    },
}

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Clips done.
    pub done: usize,
    /// Clips in all.
    pub of: usize,
    /// Clips that were right so far.
    pub right: usize,
}

/// What an evaluation comes to.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Scores of the clips that could be read.
    pub predictions: Predictions,
    /// What the model divides logits by before it is confident.
    pub temperature: f64,
    /// The clips of `predictions`, as indices into the data set.
    pub clips: Vec<usize>,
    /// Clips that could not be read.
    pub skipped: Vec<Skipped>,
    /// Streaming figures, where the clips were streamed.
    pub online: Option<OnlineFigures>,
    /// The clips as one stream, where asked for.
    pub joined: Option<JoinedFigures>,
}

/// The same clips one after another on one stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JoinedFigures {
    /// The state is reset at each joint.
    pub with_reset: OnlineFigures,
    /// The state runs on.
    pub without_reset: OnlineFigures,
}

/// An evaluation as JSON: the metrics at the top, streaming figures beside them.
#[derive(Debug, Serialize)]
pub struct EvaluationJson {
    #[serde(flatten)]
    metrics: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<OnlineFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<JoinedFigures>,
    skipped: Vec<String>,
    predictions: Vec<JudgedClip>,
}

impl Evaluation {
    fn new(classes: &[String], temperature: f32) -> Result<Self, PredictionsError> {
        Ok(Self {
            temperature: f64::from(temperature),
            predictions: Predictions::new(ScoreKind::Logits, classes.to_vec())?,
            clips: Vec::new(),
            skipped: Vec::new(),
            online: None,
            joined: None,
        })
    }

    /// Accuracies, classes and confusion.
    pub fn metrics(&self) -> Metrics {
        Metrics::at(&self.predictions, self.temperature)
    }

    /// For `tsm eval --json`; `dataset` is the one that was judged.
    ///
    /// # Panics
    /// If `dataset` lacks a clip that was judged.
    pub fn json(&self, dataset: &Dataset) -> EvaluationJson {
        EvaluationJson {
            metrics: self.metrics(),
            online: self.online.clone(),
            joined: self.joined.clone(),
            skipped: self.skipped.iter().map(|skipped| skipped.reason.clone()).collect(),
            predictions: self.judged_clips(dataset),
        }
    }

    fn judged_clips(&self, dataset: &Dataset) -> Vec<JudgedClip> {
        let predicted = self.predictions.predicted();
        let judged = self.clips.iter().zip(predicted).map(|(clip, predicted)| {
            let clip = &dataset.clips[*clip];
            JudgedClip {
                path: clip.path.clone(),
                group: clip.group.clone(),
                class: dataset.classes[class_index(clip.class)].clone(),
                predicted: predicted.map(|class| dataset.classes[class].clone()),
            }
        });
        judged.collect()
    }

    fn push(&mut self, clip: usize, scores: &[f32], class: usize) -> Result<(), PredictionsError> {
        self.predictions.push(scores, class)?;
        self.clips.push(clip);
        Ok(())
    }
}

/// Judges the clips of `source` by the mean logits of their views; `told` says whether to go on.
///
/// # Errors
/// [`EvaluateError`]; a clip that cannot be read is none.
pub fn by_views(
    model: &mut Model,
    source: &LoaderSource,
    view: EvalView,
    workers: usize,
    told: &mut dyn FnMut(Judged) -> bool,
) -> Result<Evaluation, EvaluateError> {
    let mut evaluation = Evaluation::new(&source.dataset.classes, model.spec().temperature)?;
    let options = LoaderOptions { workers, ..one_clip_at_a_time(view) };
    let of = source.clips.len();
    let mut right = 0;
    for (done, batch) in Loader::start(source, Mode::Eval(view), &options)?.enumerate() {
        let batch = batch?;
        if let (Some(clip), Some(class)) = (batch.clips.first(), batch.targets.first()) {
            let scores = mean_of_views(model, &batch)?;
            let class = class_index(*class);
            right += usize::from(largest(&scores) == class);
            evaluation.push(*clip, &scores, class)?;
        }
        evaluation.skipped.extend(batch.skipped);
        if !told(Judged { done: done + 1, of, right }) {
            return Err(EvaluateError::Stopped);
        }
    }
    Ok(evaluation)
}

/// Batches of one clip each, as many ahead as its views leave room for: a hundred of 8 frames of 224x224 are 482 MB.
pub(crate) fn one_clip_at_a_time(view: EvalView) -> LoaderOptions {
    let ahead_batches = if Mode::Eval(view).views() > 10 { 1 } else { 4 };
    LoaderOptions { batch_clips: 1, ahead_batches, ..LoaderOptions::default() }
}

/// Mean logits over the views of one video, `[classes]`.
pub(crate) fn mean_of_views(model: &mut Model, batch: &Batch) -> Result<Vec<f32>, EvaluateError> {
    let mut mean = RowMean::new(model.spec().classes.len());
    mean_logits(model, batch)?.iter().for_each(|logits| mean.add(logits));
    Ok(mean.mean())
}

/// Whether the clips are also streamed as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joints {
    /// Each clip alone.
    Apart,
    /// Also one after another, with and without a reset.
    Joined,
}

/// Streams the clips of `source` frame by frame, as live recognition does; `told` says whether to go on.
///
/// # Errors
/// [`EvaluateError`]; a clip that cannot be read is none.
pub fn online(
    model: &mut Model,
    source: &LoaderSource,
    joints: Joints,
    workers: usize,
    told: &mut dyn FnMut(Judged) -> bool,
) -> Result<Evaluation, EvaluateError> {
    if !model.spec().shift.is_streamable() {
        return Err(EvaluateError::NotStreamable { kind: model.spec().shift.kind.name() });
    }
    let mut evaluation = Evaluation::new(&source.dataset.classes, model.spec().temperature)?;
    let interval_millis = model.spec().sampling.frame_interval_millis;
    let of = source.clips.len();
    let (mut done, mut right, mut frames) = (0, 0, 0usize);
    let (mut apart, mut running) = (Vec::new(), Vec::new());
    let mut alone = ClipStream::new(model);
    let mut endless = (joints == Joints::Joined).then(|| ClipStream::new(model));
    for part in OnlineClips::start(source, interval_millis, workers)? {
        match part? {
            OnlinePart::Frame(frame) => {
                for stream in std::iter::once(&mut alone).chain(&mut endless) {
                    stream.step(model, &frame.pixels, frame.forgets)?;
                }
                frames += 1;
                // A long clip can be stopped, too.
                if !frames.is_multiple_of(FRAMES_BETWEEN_LOOKS) {
                    continue;
                }
            }
            OnlinePart::End { clip, target, outcome: Ok(()) } => {
                let class = class_index(target);
                if let Some(streamed) = alone.finish() {
                    right += usize::from(largest(&streamed.mean) == class);
                    evaluation.push(clip, &streamed.mean, class)?;
                    apart.push((streamed, class));
                }
                running.extend(endless.as_mut().and_then(ClipStream::finish).map(|clip| (clip, class)));
                alone.forget();
                done += 1;
            }
            OnlinePart::End { clip, outcome: Err(reason), .. } => {
                evaluation.skipped.push(Skipped { clip, reason });
                alone.forget();
                endless.iter_mut().for_each(ClipStream::take_back);
                done += 1;
            }
        }
        if !told(Judged { done, of, right }) {
            return Err(EvaluateError::Stopped);
        }
    }
    if joints == Joints::Joined {
        let (with_reset, without_reset) = (figures(&apart), figures(&running));
        evaluation.joined = Some(JoinedFigures { with_reset, without_reset });
    }
    evaluation.online = Some(figures(&apart));
    Ok(evaluation)
}
