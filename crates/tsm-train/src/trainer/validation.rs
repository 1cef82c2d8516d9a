//! Validation within a run: one centred view of each clip, through the folded network.

use candle_core::Tensor;
use tsm_model::Model;

use super::{TrainError, plan};
use crate::clip_logits::mean_logits;
use crate::dataset::class_index;
use crate::loader::{Loader, LoaderError, LoaderOptions, LoaderSource, Skipped};
use crate::loss::{cross_entropy, targets};
use crate::metrics::{Metrics, Predictions, ScoreKind};
use crate::recipe::Recipe;

/// Clips that go through the network at once.
const BATCH_CLIPS: usize = 4;

/// What the validation clips come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// Share of right clips.
    pub top1: f64,
    /// Mean over classes of the share of right clips.
    pub mean_class: f64,
    /// Clips that could not be read.
    pub skipped: Vec<Skipped>,
}

/// Labels the clips of `source`; nothing where `should_stop` said so.
pub(super) fn validate(
    model: &mut Model,
    source: &LoaderSource,
    recipe: &Recipe,
    should_stop: &dyn Fn() -> bool,
) -> Result<Option<Validation>, TrainError> {
    let options =
        LoaderOptions { batch_clips: BATCH_CLIPS, workers: recipe.workers, ..LoaderOptions::default() };
    let classes = &source.dataset.classes;
    let mut predictions = Predictions::new(ScoreKind::Logits, classes.clone())?;
    let mut loss = 0.0;
    let mut skipped = Vec::new();
    for batch in Loader::start(source, plan::validation_mode(recipe), &options)? {
        let batch = batch?;
        if should_stop() {
            return Ok(None);
        }
        skipped.extend(batch.skipped.iter().cloned());
        if batch.is_empty() {
            continue;
        }
        let labels: Vec<usize> = batch.targets.iter().map(|class| class_index(*class)).collect();
        let device = candle_core::Device::Cpu;
        let rows = mean_logits(model, &batch)?;
        let logits = Tensor::from_vec(rows.concat(), (labels.len(), classes.len()), &device)?;
        let wanted = targets(&labels, classes.len(), 0.0, &device)?;
        let batch_loss = cross_entropy(&logits, &wanted, &[])?.to_scalar::<f32>()?;
        #[expect(clippy::cast_precision_loss, reason = "clips of a batch are few")]
        let clips_of_batch = labels.len() as f64;
        loss += f64::from(batch_loss) * clips_of_batch;
        for (row, label) in rows.iter().zip(labels) {
            predictions.push(row, label)?;
        }
    }
    if let (true, Some(first)) = (predictions.is_empty(), skipped.first()) {
        return Err(LoaderError::NothingReadable { first: first.reason.clone() }.into());
    }
    let metrics = Metrics::of(&predictions);
    #[expect(clippy::cast_precision_loss, reason = "clips are far below 2^53")]
    let clips = predictions.len().max(1) as f64;
    Ok(Some(Validation {
        loss: loss / clips,
        top1: metrics.top1.unwrap_or(0.0),
        mean_class: metrics.mean_class_accuracy.unwrap_or(0.0),
        skipped,
    }))
}
