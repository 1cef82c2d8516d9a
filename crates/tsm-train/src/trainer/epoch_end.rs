//! The end of an epoch, and what precedes the first: validation, record, the best model, a save.

use std::time::SystemTime;

use tsm_model::checkpoint::{Checkpoint, CheckpointError, Origin, Storage};
use tsm_model::{Model, ModelSpec};

use super::{End, Run, TrainError, Validation, artefacts, plan, validation};
use crate::counts::float;
use crate::loader::Skipped;
use crate::progress::{Event, Observer};
use crate::report::EpochRecord;
use crate::run_state::{Best, EpochSums, Position};

impl Run<'_> {
    /// Validation, record and save at the end of an epoch. Stopped within the validation, the epoch stays open.
    pub(super) fn close_epoch(
        &mut self,
        observer: &mut dyn Observer,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<End, TrainError> {
        self.check_classes_left()?;
        let Position { epoch, step, .. } = self.record.position;
        let recipe = self.job.recipe;
        let is_due = (epoch + 1).is_multiple_of(recipe.valid_interval) || epoch + 1 == recipe.epochs;
        let mut validation = None;
        if is_due && !self.job.validation.is_empty() {
            validation = self.validate(should_stop)?;
            let Some(Validation { skipped, .. }) = &validation else {
                self.save()?;
                return Ok(End::Stopped);
            };
            for Skipped { clip, reason } in skipped {
                self.leave_out(*clip, reason, observer);
            }
        }
        let sums = std::mem::take(&mut self.record.sums);
        let record = self.epoch_record(sums, validation.as_ref());
        let ranked = validation.as_ref().map(|validation| self.ranked(validation));
        let is_best = is_better(ranked, self.record.best);
        if is_best {
            self.save_best()?;
            self.record.best = ranked;
        }
        self.record.history.push(record);
        self.record.position = Position { epoch: epoch + 1, batch: 0, step };
        // Before the save: what a kill leaves out here, the resumed run writes again.
        self.job.folder.write_history(&self.record)?;
        self.events.scalars(record.step, SystemTime::now(), &artefacts::scalars(&record))?;
        self.save()?;
        observer.event(&Event::Epoch { record: &record, is_best, is_whole: self.plan.is_whole_after(epoch) });
        Ok(End::Complete)
    }

    /// The line of the epoch under way, which these sums and this validation end.
    fn epoch_record(&self, sums: EpochSums, validation: Option<&Validation>) -> EpochRecord {
        let Position { epoch, step, .. } = self.record.position;
        let EpochSums { clips, loss, correct } = sums;
        let seen = float(clips.max(1));
        EpochRecord {
            epoch: u32::try_from(epoch + 1).unwrap_or(u32::MAX),
            step: step as u64,
            lr: self.plan.schedule.at(epoch, self.plan.batches.saturating_sub(1), self.plan.batches),
            train_loss: loss / seen,
            train_top1: float(correct) / seen,
            valid_loss: validation.map(|v| v.loss),
            valid_top1: validation.map(|v| v.top1),
            valid_mean_class: validation.map(|v| v.mean_class),
        }
    }

    /// The epoch under way as a candidate for the best: one before the whole network has learned ranks below all
    /// others.
    fn ranked(&self, validation: &Validation) -> Best {
        let epoch = self.record.position.epoch;
        let top1 = if self.plan.is_whole_after(epoch) { validation.top1 } else { 0.0 };
        Best { epoch, is_start: false, top1, loss: validation.loss }
    }

    /// Validation of what the run starts from, before its first step: on few clips no epoch may be better than a solved
    /// head, and then that is the model. Stopped within it, the run starts again.
    pub(super) fn judge_start(
        &mut self,
        observer: &mut dyn Observer,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<End, TrainError> {
        if !self.job.validation.is_empty() {
            let Some(Validation { loss, top1, skipped, .. }) = self.validate(should_stop)? else {
                return Ok(End::Stopped);
            };
            for Skipped { clip, reason } in &skipped {
                self.leave_out(*clip, reason, observer);
            }
            self.record.best = Some(Best { epoch: 0, is_start: true, top1, loss });
            observer.event(&Event::StartJudged { valid_loss: loss, valid_top1: top1 });
        }
        self.save_best()?;
        self.job.folder.write_history(&self.record)?;
        Ok(End::Complete)
    }

    fn save_best(&self) -> Result<(), TrainError> {
        match self.checkpoint()?.save(&self.job.folder.best(), Storage::F32) {
            // A statistic can be infinite while the loss still is not.
            Err(CheckpointError::BadValues { .. }) => Err(self.not_finite()),
            saved => Ok(saved?),
        }
    }

    /// Judges the model as it is.
    fn validate(&self, should_stop: &dyn Fn() -> bool) -> Result<Option<Validation>, TrainError> {
        let mut model = Model::load(&self.checkpoint()?, self.job.device.clone())?;
        let source = plan::source(&self.job, self.job.validation);
        let judged = validation::validate(&mut model, &source, self.job.recipe, should_stop)?;
        match &judged {
            // The training loss may still be finite: there, batch norm takes each batch's own statistics.
            Some(Validation { loss, .. }) if !loss.is_finite() => Err(match self.record.position {
                Position { epoch: 0, batch: 0, .. } => TrainError::StartNotFinite,
                Position { epoch, .. } => TrainError::ValidationNotFinite { epoch: epoch + 1 },
            }),
            _ => Ok(judged),
        }
    }

    fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let spec: ModelSpec = self.record.spec.clone();
        Ok(Checkpoint { spec, weights: self.learner.best_weights()?, origin: Origin::Own })
    }
}

/// Whether an epoch takes the place of the best so far; one that was not judged only where there is none.
fn is_better(ranked: Option<Best>, best: Option<Best>) -> bool {
    match (ranked, best) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(new), Some(best)) => new.top1 > best.top1 || (new.top1 >= best.top1 && new.loss < best.loss),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tsm_model::{Device, MotionFeatures};

    use super::*;
    use crate::clip_store::ClipStore;
    use crate::dataset::{Clip, Dataset, Span};
    use crate::progress::Silent;
    use crate::recipe::{Preset, Recipe};
    use crate::shared_data::own_clip;
    use crate::solved_head::SolvedHead;
    use crate::start::Start;
    use crate::teacher::Teachers;
    use crate::trainer::{Job, RunFolder};

    /// A second of each of the repository's clips.
    fn dataset() -> Dataset {
        let part = |name: &str, class| Clip {
            span: Some(Span { start_secs: 0.0, end_secs: 1.0 }),
            ..Clip::new(own_clip(name), class)
        };
        let classes = ["squat", "walk"].map(str::to_owned).to_vec();
        Dataset { classes, clips: vec![part("pose-squats.mp4", 0), part("asl-walk.mkv", 1)] }
    }

    fn recipe() -> Recipe {
        Recipe {
            from_scratch: true,
            motion_features: MotionFeatures::None,
            width: 0.25,
            size: 32,
            segments: 2,
            batch: 2,
            head_views: 0,
            ..Preset::Few.recipe()
        }
    }

    /// No weight is infinite, but the difference of two logits is: what a file cannot tell, the loss of clips does.
    #[test]
    fn a_model_without_a_finite_loss_on_the_validation_clips_is_not_kept() {
        let (place, dataset, recipe) = (tempfile::tempdir().unwrap(), dataset(), recipe());
        let folder = RunFolder::beside(&place.path().join("m.safetensors"));
        let job = Job {
            store: Arc::new(ClipStore::new(0)),
            train: &[0, 1],
            validation: &[0, 1],
            recipe: &recipe,
            settings: "",
            start: Start::of(&recipe, &dataset.classes, None).unwrap(),
            teachers: Teachers::default(),
            device: Device::Cpu,
            folder: folder.clone(),
            lock: None,
            resume: None,
            dataset: Arc::new(dataset),
        };
        let mut run = Run::new(job).unwrap();
        let features = run.learner.network().architecture().features;
        let (weight, bias) = (vec![0.0; 2 * features], vec![f32::MAX, -f32::MAX]);
        let head = SolvedHead { weight, bias, strength: 0.0, scale: 1.0, loudness: 1.0, held_out_top1: 0.0 };
        run.learner.set_head(head).unwrap();
        let of_start = run.judge_start(&mut Silent, &|| false).unwrap_err();
        assert!(matches!(of_start, TrainError::StartNotFinite), "{of_start}");
        run.record.position = Position { epoch: 2, batch: 1, step: 3 };
        let of_epoch = run.close_epoch(&mut Silent, &|| false).unwrap_err();
        assert!(matches!(of_epoch, TrainError::ValidationNotFinite { epoch: 3 }), "{of_epoch}");
        assert!(run.record.best.is_none() && run.record.history.is_empty());
        assert!(!folder.best().exists() && !folder.last().exists());
    }
}
