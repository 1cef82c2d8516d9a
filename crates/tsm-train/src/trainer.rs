//! A run: epochs of batches, validation, saves; killed at any moment, it goes on to the same bits.
//!
//! ```text
//! for each epoch ─ for each batch ─ Learner::study ─ step ─┬─ stop asked, or time to save ─► last.safetensors
//!        │                                                 └─ loss not finite ─► error with the clips' names
//!        └─ validation ─ better than before ─► best.safetensors ─► last.safetensors, log.csv, curves.svg
//! ```
//!
//! Nothing that a step depends on comes from the clock or from the order in which threads finish. It
//! writes into the report folder alone; the model at the end is the caller's to place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use crate::clip_store::ClipStore;
use crate::clock;
use crate::counts::float;
use crate::dataset::{Dataset, class_index};
use crate::learner::{Learner, LearnerTensors};
use crate::loader::{Batch, Loader, Skipped};
use crate::output_folder::FolderLock;
use crate::progress::{BatchReport, Event, Observer, WrongCounts};
use crate::recipe::Recipe;
use crate::report::EventWriter;
use crate::run_state::{Position, RunRecord, RunState};
use crate::start::Start;
use crate::teacher::Teachers;

mod artefacts;
mod epoch_end;
mod error;
mod first_head;
mod motion_eyes;
mod motion_paths;
mod plan;
mod study;
mod validation;

use motion_eyes::MotionEyes;
use motion_paths::Begun;
use plan::Plan;

pub use artefacts::RunFolder;
pub use error::TrainError;
pub(crate) use plan::centre_view;
pub use validation::Validation;

/// What a run works on.
#[derive(Debug)]
pub struct Job<'a> {
    /// All clips.
    pub dataset: Arc<Dataset>,
    /// Where decoded clips are kept.
    pub store: Arc<ClipStore>,
    /// Indices of the training clips.
    pub train: &'a [usize],
    /// Indices of the validation clips; may be empty.
    pub validation: &'a [usize],
    /// All choices.
    pub recipe: &'a Recipe,
    /// All options of the run as TOML, for the report.
    pub settings: &'a str,
    /// Network and first weights.
    pub start: Start,
    /// Models to imitate.
    pub teachers: Teachers,
    /// Where the network learns.
    pub device: Device,
    /// Where saves and reports go.
    pub folder: RunFolder,
    /// The folder, where the caller has taken it.
    pub lock: Option<FolderLock>,
    /// A saved run to go on from.
    pub resume: Option<RunState>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All epochs were done.
    Complete,
    /// The caller asked it to stop; it can go on.
    Stopped,
}

/// What a run comes to.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// What it was and did.
    pub record: RunRecord,
    /// Time that the model waited for clips, in this process.
    pub waited: Duration,
    /// Time of this process's part.
    pub elapsed: Duration,
    /// The folder is this run's until its model is written, too.
    pub lock: FolderLock,
}

/// Trains until all epochs are done or `should_stop` says so.
///
/// # Errors
/// [`TrainError`]; the last save stays and can be resumed.
pub fn train(
    job: Job<'_>,
    observer: &mut dyn Observer,
    should_stop: &dyn Fn() -> bool,
) -> Result<Finished, TrainError> {
    let mut run = Run::new(job)?;
    observer.event(&Event::Started {
        recipe: run.job.recipe,
        train_clips: run.job.train.len(),
        validation_clips: run.job.validation.len(),
        resumed_at: run.resumed_at,
    });
    if let Some(wrong) = &run.wrong_counts {
        observer.event(&Event::WrongCounts(wrong));
    }
    let mut end = run.begin(observer, should_stop)?;
    while end == End::Complete && run.record.position.epoch < run.job.recipe.epochs {
        end = run.epoch(observer, should_stop)?;
    }
    let waited = run.head_waited + run.loader.waited();
    Ok(Finished { end, waited, elapsed: run.begun.elapsed(), record: run.record, lock: run.lock })
}

/// A run under way.
struct Run<'a> {
    job: Job<'a>,
    plan: Plan,
    learner: Learner,
    motion: Option<MotionEyes>,
    loader: Loader,
    record: RunRecord,
    resumed_at: Option<Position>,
    events: EventWriter,
    lock: FolderLock,
    begun: Instant,
    /// When the first step of this process began: a head may have been solved before.
    first_step: Instant,
    /// Time that the model waited for clips while its head was solved.
    head_waited: Duration,
    last_save: Instant,
    clips_here: usize,
    /// Clips that this process could not read when it tried last.
    left_out: BTreeSet<usize>,
    /// The clips of the last step, to be named if it was too much.
    step_clips: Vec<usize>,
    /// What is worth a warning of the lists.
    wrong_counts: Option<WrongCounts>,
}

impl<'a> Run<'a> {
    fn new(mut job: Job<'a>) -> Result<Self, TrainError> {
        let plan = Plan::of(&job);
        let mut learner =
            Learner::new(&job.start.spec, &job.start.weights, plan.learner.clone(), &job.device)?;
        let (mut record, wrong_counts) = plan::record(&job);
        let mut resumed_at = None;
        if let Some(saved) = job.resume.take() {
            record = Self::restored(&job, record, saved, &mut learner)?;
            resumed_at = Some(record.position);
        }
        let source = plan::source(&job, job.train);
        let options = plan::loader_options(job.recipe, record.position);
        let loader = Loader::start(&source, plan::train_mode(&job)?, &options)?;
        let lock = job.lock.take().map_or_else(|| job.folder.take(), Ok)?;
        job.folder.sweep()?;
        if resumed_at.is_none() {
            job.folder.forget_run()?;
        }
        job.folder.write_settings(job.settings)?;
        let events = job.folder.events(resumed_at.map(|position| position.step))?;
        if !record.history.is_empty() {
            job.folder.write_history(&record)?;
        }
        let left_out = known_left_out(&job, &record);
        let now = clock::now();
        let motion = MotionEyes::of_start(&job.start);
        Ok(Self {
            job,
            plan,
            learner,
            motion,
            loader,
            record,
            resumed_at,
            events,
            lock,
            begun: now,
            first_step: now,
            head_waited: Duration::ZERO,
            last_save: now,
            clips_here: 0,
            left_out,
            step_clips: Vec::new(),
            wrong_counts,
        })
    }

    /// The record of the run that was saved, whose tensors `learner` takes; `fresh` is that of the job as it is now.
    fn restored(
        job: &Job<'_>,
        fresh: RunRecord,
        saved: RunState,
        learner: &mut Learner,
    ) -> Result<RunRecord, TrainError> {
        let path = job.folder.last();
        plan::check_same(&fresh, &saved.record, &path)?;
        plan::check_clips(job, &fresh.clip_marks, &saved.record.clip_marks)?;
        plan::check_teachers(job, &fresh.teacher_marks, &saved.record.teacher_marks)?;
        let tensors = LearnerTensors {
            network: saved.network,
            velocities: saved.velocities,
            average: saved.average,
            average_steps: saved.record.average_steps,
        };
        let restored = learner.restore(tensors).map_err(Box::new);
        restored.map_err(|source| TrainError::Restore { path, source })?;
        let RunRecord { clip_marks, teacher_marks, head, .. } = fresh;
        Ok(RunRecord { clip_marks, teacher_marks, head, ..saved.record })
    }

    /// What precedes the first step of a new run.
    fn begin(
        &mut self,
        observer: &mut dyn Observer,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<End, TrainError> {
        if self.resumed_at.is_some() {
            return Ok(End::Complete);
        }
        let Begun::With(own) = motion_paths::put_in(&self.job, &mut self.learner, observer, should_stop)?
        else {
            return Ok(End::Stopped);
        };
        if self.wants_first_head() && self.start_from_head(&own, observer, should_stop)? == End::Stopped {
            return Ok(End::Stopped);
        }
        self.first_step = clock::now();
        Ok(End::Complete)
    }

    /// The rest of the current epoch, with its validation.
    fn epoch(
        &mut self,
        observer: &mut dyn Observer,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<End, TrainError> {
        while self.record.position.batch < self.plan.batches {
            let Some(batch) = self.loader.next() else { break };
            self.learn(batch?, observer)?;
            if !self.plan.completes_step(self.record.position.batch - 1) {
                continue;
            }
            if should_stop() {
                self.save()?;
                return Ok(End::Stopped);
            }
            if self.last_save.elapsed() >= self.plan.save_interval {
                self.save()?;
            }
        }
        self.close_epoch(observer, should_stop)
    }

    /// One batch, and the step where it completes one.
    fn learn(&mut self, batch: Batch, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Position { epoch, batch: index, .. } = self.record.position;
        self.note_clips(&batch, observer);
        if self.plan.begins_step(index) {
            self.step_clips.clear();
        }
        self.step_clips.extend_from_slice(&batch.clips);
        self.study(batch)?;
        self.record.position.batch += 1;
        let mut gradient_norm = 0.0;
        let lr = self.plan.schedule.at(epoch, index, self.plan.batches);
        if self.plan.completes_step(index) {
            gradient_norm = self.learner.step(self.plan.depth(epoch), lr)?;
            self.record.position.step += 1;
            if !gradient_norm.is_finite() {
                return Err(self.not_finite());
            }
        }
        observer.event(&Event::Batch(&self.report(lr, gradient_norm)));
        Ok(())
    }

    /// Notes which clips of a batch could be read, and which could not.
    fn note_clips(&mut self, batch: &Batch, observer: &mut dyn Observer) {
        for clip in &batch.clips {
            self.left_out.remove(clip);
        }
        for Skipped { clip, reason } in &batch.skipped {
            self.left_out.insert(*clip);
            self.leave_out(*clip, reason, observer);
        }
    }

    /// Notes a clip that cannot be read; told once.
    fn leave_out(&mut self, clip: usize, reason: &str, observer: &mut dyn Observer) {
        if self.record.unreadable.insert(clip, reason.to_owned()).is_none() {
            let name = self.job.dataset.clips[clip].path.display().to_string();
            observer.event(&Event::Skipped { clip: &name, reason });
        }
    }

    /// Refuses to go on where no clip of a class could be read: what is learned would not know the class, and still
    /// name it.
    fn check_classes_left(&self) -> Result<(), TrainError> {
        let dataset = &self.job.dataset;
        let left = self.job.train.iter().copied().filter(|clip| !self.left_out.contains(clip));
        let counts = dataset.clips_by_class_of(left);
        let is_lost = |clip: &&usize| counts[class_index(dataset.clips[**clip].class)] == 0;
        let Some(lost) = self.left_out.iter().find(is_lost) else { return Ok(()) };
        let class = class_index(dataset.clips[*lost].class);
        let reason = self.record.unreadable.get(lost);
        let (class, first) = (dataset.classes[class].clone(), reason.cloned().unwrap_or_default());
        Err(TrainError::NothingReadable { class, first })
    }

    /// Training has blown up in the step whose clips were seen last.
    fn not_finite(&self) -> TrainError {
        let Position { epoch, step, .. } = self.record.position;
        let name = |clip: &usize| self.job.dataset.clips[*clip].path.display().to_string();
        TrainError::NotFinite { step, epoch: epoch + 1, clips: self.step_clips.iter().map(name).collect() }
    }

    fn report(&self, lr: f64, gradient_norm: f64) -> BatchReport {
        let Position { epoch, batch, step } = self.record.position;
        let recipe = self.job.recipe;
        let sums = self.record.sums;
        let seen = float(sums.clips.max(1));
        let elapsed = self.first_step.elapsed().as_secs_f64();
        let clips_per_sec = float(self.clips_here) / elapsed.max(1e-9);
        let left = float((recipe.epochs - epoch) * self.plan.clips_an_epoch()) - float(sums.clips);
        let remaining = if clips_per_sec > 0.0 { left.max(0.0) / clips_per_sec } else { 0.0 };
        BatchReport {
            epoch,
            epochs: recipe.epochs,
            batches_done: batch,
            batches: self.plan.batches,
            step,
            loss: sums.loss / seen,
            top1: float(sums.correct) / seen,
            lr,
            gradient_norm,
            clips_per_sec,
            remaining: Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX),
            is_log_line: self.plan.completes_step(batch.saturating_sub(1))
                && step.is_multiple_of(recipe.log_interval),
        }
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let LearnerTensors { network, velocities, average, average_steps } = self.learner.tensors()?;
        // What has blown up must not take the place of the last good state.
        if !network.values().map(is_finite).collect::<candle_core::Result<Vec<_>>>()?.into_iter().all(|is| is)
        {
            return Err(self.not_finite());
        }
        self.record.average_steps = average_steps;
        let state = RunState { record: self.record.clone(), network, velocities, average };
        state.save(&self.job.folder.last())?;
        self.last_save = clock::now();
        Ok(())
    }
}

/// The training clips that the open epoch could not read before it was interrupted. Only the first epoch's are known to
/// be of the epoch itself; later ones may lie on a disk that is there again.
fn known_left_out(job: &Job<'_>, record: &RunRecord) -> BTreeSet<usize> {
    let is_open = record.position.epoch == 0;
    job.train.iter().copied().filter(|clip| is_open && record.unreadable.contains_key(clip)).collect()
}

/// Whether every value of a tensor is a number.
fn is_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| value.is_finite()))
}
