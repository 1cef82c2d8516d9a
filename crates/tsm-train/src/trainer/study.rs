//! One batch of a run: as tensors, mixed where the recipe says so, and what the learner makes of it.
//!
//! ```text
//! Batch ─┬─ motion, teachers if one looks at it ─┐
//!        └─ pixels, targets ─────────────────────┴─ mix ─► Prepared, teachers if none does ─► Lesson ─► gradients
//! ```

use candle_core::{Device, Tensor};

use super::motion_eyes::motion_tensor;
use super::{Run, TrainError};
use crate::counts::float;
use crate::dataset::class_index;
use crate::draws::Draws;
use crate::frame_shares::{FrameShares, rows_of_shown};
use crate::largest::largest;
use crate::learner::Lesson;
use crate::loader::Batch;
use crate::loss;
use crate::mixing::{Mix, MixSpec};
use crate::run_state::Position;

/// A batch as tensors.
struct Prepared {
    /// `[n * t, 3, h, w]`.
    pictures: Tensor,
    /// `[n * t, FEATURES]`, where the network weighs it.
    motion: Option<Tensor>,
    /// `[n, classes]`.
    targets: Tensor,
    /// `[n, t]`.
    shares: FrameShares,
    /// `[n, classes]`, where there are teachers.
    teacher: Option<Tensor>,
    /// The class that is right for each clip: of a mixed one, the larger.
    shown: Vec<usize>,
}

impl Run<'_> {
    /// Gradients of the batch at the current position, added to the open step, and its figures to the epoch's sums.
    pub(super) fn study(&mut self, mut batch: Batch) -> Result<(), TrainError> {
        let Position { epoch, batch: index, .. } = self.record.position;
        // Before a network that looks ahead is shown the rest: a teacher may stream.
        let shown_frames = rows_of_shown(&batch.shown_frames, batch.frames);
        self.show_as_labelled(&mut batch);
        let labels: Vec<usize> = batch.targets.iter().map(|class| class_index(*class)).collect();
        let global = self.plan.batches * epoch + index;
        let Prepared { pictures, motion, targets, shares, teacher, shown } =
            self.tensors(&mut batch, shown_frames, &labels, global)?;
        let lesson = Lesson {
            pictures: &pictures,
            motion: motion.as_ref(),
            targets: &targets,
            shares: &shares,
            teacher: teacher.as_ref(),
            depth: self.plan.depth(epoch),
            shift_strength: self.plan.shift_strength(epoch, index),
            draws: Draws::for_purpose(self.job.recipe.seed, "dropout", global as u64),
        };
        let outcome = self.learner.study(lesson, self.plan.part(index))?;
        if !outcome.loss.is_finite() {
            return Err(self.not_finite());
        }
        let right = outcome.logits.iter().zip(&shown).filter(|(row, shown)| largest(row) == **shown);
        let sums = &mut self.record.sums;
        sums.correct += right.count();
        sums.clips += labels.len();
        sums.loss += outcome.loss * float(labels.len());
        self.clips_here += labels.len();
        Ok(())
    }

    /// The batch as tensors, mixed where the recipe says so; `shown_frames` as [`rows_of_shown`] gives them.
    fn tensors(
        &mut self,
        batch: &mut Batch,
        mut shown_frames: Vec<f32>,
        labels: &[usize],
        global: usize,
    ) -> candle_core::Result<Prepared> {
        let recipe = self.job.recipe;
        let (n, classes) = (labels.len(), self.job.dataset.classes.len());
        let targets = loss::targets(labels, classes, recipe.label_smoothing, &Device::Cpu)?;
        let mut targets: Vec<f32> = targets.flatten_all()?.to_vec1()?;
        let shape = (n * batch.frames, 3, batch.side_px, batch.side_px);
        // Motion is read off the pictures as they were: two that are laid over each other move like neither.
        let mut motion = self.motion.as_mut().map(|eyes| eyes.of(batch));
        let before = self.job.teachers.look_at_motion();
        let mut taught = None;
        if before {
            let pictures = Tensor::from_slice(&batch.pixels, shape, &self.job.device)?;
            let shares = FrameShares::new(&shown_frames, batch.frames, &self.job.device)?;
            taught = self.taught(&pictures, n, &shares)?;
        }
        let mut draws = Draws::for_purpose(recipe.seed, "mixing", global as u64);
        if let Some(mix) = Mix::draw(MixSpec { mixup: recipe.mixup, cutmix: recipe.cutmix }, n, &mut draws) {
            let mut others = vec![targets.as_mut_slice(), shown_frames.as_mut_slice()];
            others.extend(motion.as_deref_mut());
            others.extend(taught.as_deref_mut());
            mix.apply(&mut batch.pixels, recipe.size, &mut others);
        }
        let pictures = Tensor::from_vec(std::mem::take(&mut batch.pixels), shape, &self.job.device)?;
        let shares = FrameShares::new(&shown_frames, batch.frames, &self.job.device)?;
        if !before {
            taught = self.taught(&pictures, n, &shares)?;
        }
        let is_streamable = self.job.start.spec.shift.is_streamable();
        let shares = if is_streamable { shares } else { FrameShares::default() };
        let device = &self.job.device;
        Ok(Prepared {
            pictures,
            motion: motion.map(|motion| motion_tensor(motion, device)).transpose()?,
            shown: targets.chunks(classes).map(largest).collect(),
            targets: Tensor::from_vec(targets, (n, classes), device)?,
            shares,
            teacher: taught.map(|logits| Tensor::from_vec(logits, (n, classes), device)).transpose()?,
        })
    }

    /// A network that looks ahead labels all frames of a clip, those that only fill a short one up included: of them it
    /// learns, too.
    pub(super) fn show_as_labelled(&self, batch: &mut Batch) {
        if !self.job.start.spec.shift.is_streamable() {
            batch.shown_frames.fill(batch.frames);
        }
    }

    /// What the teachers say of `n` clips, `[n, classes]`.
    fn taught(
        &mut self,
        pictures: &Tensor,
        n: usize,
        shares: &FrameShares,
    ) -> candle_core::Result<Option<Vec<f32>>> {
        let logits = self.job.teachers.logits(pictures, n, shares)?;
        logits.map(|logits| logits.flatten_all()?.to_vec1()).transpose()
    }
}
