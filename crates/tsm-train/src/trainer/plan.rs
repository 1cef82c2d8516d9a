//! What follows from recipe and data before the first batch: counts, schedules, and who goes on from whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tsm_model::spec::SamplingKind;

use super::{Job, TrainError};
use crate::augment::{ColourJitter, Flip, Others};
use crate::counts::float;
use crate::crop::{EvalCrops, TrainCrop};
use crate::dataset::{Dataset, some_of};
use crate::fingerprint;
use crate::learner::LearnerSpec;
use crate::loader::{EvalView, LastBatch, LoaderOptions, LoaderSource, Mode, TrainView};
use crate::loss::{LossSpec, balanced_weights};
use crate::network::Depth;
use crate::optimiser::OptimiserSpec;
use crate::parameter_groups::HeadStart;
use crate::progress::WrongCounts;
use crate::recipe::{ClassWeights, CropChoice, FlipChoice, Recipe};
use crate::run_state::{Position, RunRecord};
use crate::sampling::{ClipCount, Phase, Sampling, ShortClip, UniformRule};
use crate::schedule::Schedule;

/// The fixed numbers of a run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// What is done with every batch.
    pub(super) learner: LearnerSpec,
    /// The learning rate over time.
    pub(super) schedule: Schedule,
    /// Batches of an epoch, the last of which may be smaller.
    pub(super) batches: usize,
    /// Time between saves within an epoch.
    pub(super) save_interval: Duration,
    clips: usize,
    batch_clips: usize,
    accumulate: usize,
    head_epochs: usize,
    frozen_blocks: usize,
    shift_ramp_epochs: f64,
}

impl Plan {
    pub(super) fn of(job: &Job<'_>) -> Self {
        let recipe = job.recipe;
        Self {
            learner: learner(job),
            schedule: Schedule {
                kind: recipe.schedule,
                lr: recipe.lr,
                epochs: recipe.epochs,
                steps: recipe.lr_steps.clone(),
                decay: recipe.lr_decay,
                warmup_epochs: recipe.warmup_epochs,
            },
            batches: batches(job.train.len(), recipe),
            save_interval: Duration::from_secs(recipe.save_interval_secs),
            clips: job.train.len(),
            batch_clips: recipe.batch,
            accumulate: recipe.accumulate,
            head_epochs: recipe.head_epochs,
            frozen_blocks: recipe.frozen_blocks,
            // Without epochs there is no ramp: the head is solved for the whole shift that it will run with.
            shift_ramp_epochs: if recipe.epochs == 0 { 0.0 } else { recipe.shift_ramp_epochs },
        }
    }

    /// Whether the whole network with its whole shift has learned once this epoch is over: an earlier one may be lucky
    /// on few clips, but is not what the recipe is for.
    pub(super) fn is_whole_after(&self, epoch: usize) -> bool {
        float(epoch + 1) > float(self.head_epochs) + self.shift_ramp_epochs
    }

    /// How much learns in an epoch.
    pub(super) const fn depth(&self, epoch: usize) -> Depth {
        if epoch < self.head_epochs { Depth::Head } else { Depth::above(self.frozen_blocks) }
    }

    /// How far the shift has come in at a batch.
    pub(super) fn shift_strength(&self, epoch: usize, batch: usize) -> f64 {
        if self.shift_ramp_epochs <= 0.0 {
            return 1.0;
        }
        let time = float(epoch) + float(batch) / float(self.batches.max(1)) - float(self.head_epochs);
        (time / self.shift_ramp_epochs).clamp(0.0, 1.0)
    }

    /// Whether a step begins with this batch of an epoch.
    pub(super) const fn begins_step(&self, batch: usize) -> bool {
        batch.is_multiple_of(self.accumulate)
    }

    /// Whether the step ends with this batch of an epoch.
    pub(super) const fn completes_step(&self, batch: usize) -> bool {
        (batch + 1).is_multiple_of(self.accumulate) || batch + 1 >= self.batches
    }

    /// Clips that an epoch shows: without the last, where they fill no batch and are to be left out.
    pub(super) fn clips_an_epoch(&self) -> usize {
        (self.batches * self.batch_clips).min(self.clips)
    }

    /// What this batch's gradients count in their step: its share of the step's clips.
    pub(super) fn part(&self, batch: usize) -> f64 {
        let first = batch - batch % self.accumulate;
        let end = (first + self.accumulate).min(self.batches);
        let clips = |from: usize, to: usize| {
            (to * self.batch_clips).min(self.clips) - (from * self.batch_clips).min(self.clips)
        };
        float(clips(batch, batch + 1)) / float(clips(first, end).max(1))
    }
}

/// How a recipe chooses frames.
fn sampling(recipe: &Recipe) -> Sampling {
    match recipe.sampling {
        SamplingKind::Dense => Sampling::Dense,
        SamplingKind::UniformPaddle => Sampling::Uniform(UniformRule::PaddleV151),
        SamplingKind::Uniform => Sampling::Uniform(UniformRule::Mit),
        SamplingKind::FixedInterval | SamplingKind::Unknown => {
            Sampling::FixedInterval { interval_millis: 1000.0 / recipe.fps, short: ShortClip::default() }
        }
    }
}

/// One random view of each training clip.
pub(super) fn train_mode(job: &Job<'_>) -> Result<Mode, TrainError> {
    let recipe = job.recipe;
    let flip = match (recipe.flip, recipe.flip_pairs.is_empty()) {
        (FlipChoice::Off, _) => Flip::Off,
        (FlipChoice::On, true) => Flip::On,
        (FlipChoice::Auto, true) => Flip::Auto,
        (choice, false) => Flip::Swap {
            pairs: recipe.flip_pairs.clone(),
            others: if choice == FlipChoice::On { Others::On } else { Others::Auto },
        },
    };
    Ok(Mode::Train(TrainView {
        sampling: sampling(recipe),
        segments: recipe.segments,
        crop: match recipe.crop {
            CropChoice::MultiScale => TrainCrop::MultiScale,
            CropChoice::Paddle => TrainCrop::PaddleV151,
            CropChoice::Centre => TrainCrop::Centre,
        },
        flip: flip.table(&job.dataset.classes)?,
        jitter: ColourJitter {
            brightness: recipe.jitter_brightness,
            contrast: recipe.jitter_contrast,
            saturation: recipe.jitter_saturation,
            hue: recipe.jitter_hue,
        },
    }))
}

/// One centred view of each validation clip.
pub(super) fn validation_mode(recipe: &Recipe) -> Mode {
    Mode::Eval(centre_view(recipe))
}

/// The view that a clip is judged by where it is not streamed.
pub(crate) fn centre_view(recipe: &Recipe) -> EvalView {
    EvalView {
        sampling: sampling(recipe),
        phase: Phase::Test,
        segments: recipe.segments,
        clips: ClipCount::One,
        crops: EvalCrops::Centre,
    }
}

/// Training batches from `position` to the end of the run.
pub(super) fn loader_options(recipe: &Recipe, position: Position) -> LoaderOptions {
    LoaderOptions {
        batch_clips: recipe.batch,
        workers: recipe.workers,
        last_batch: if recipe.keep_last_batch { LastBatch::Keep } else { LastBatch::Drop },
        seed: recipe.seed,
        start: crate::loader::Position { epoch: position.epoch as u64, batch: position.batch as u64 },
        end_epoch: recipe.epochs as u64,
        ..LoaderOptions::default()
    }
}

/// What a loader of these clips draws from.
pub(super) fn source(job: &Job<'_>, clips: &[usize]) -> LoaderSource {
    LoaderSource {
        dataset: Arc::clone(&job.dataset),
        clips: clips.into(),
        store: Arc::clone(&job.store),
        input: job.start.spec.input.clone(),
    }
}

/// Batches of an epoch, as the loader counts them.
fn batches(clips: usize, recipe: &Recipe) -> usize {
    let whole = clips / recipe.batch;
    if recipe.keep_last_batch || whole == 0 { clips.div_ceil(recipe.batch) } else { whole }
}

fn learner(job: &Job<'_>) -> LearnerSpec {
    let recipe = job.recipe;
    let clips_by_class = job.dataset.clips_by_class_of(job.train.iter().copied());
    LearnerSpec {
        optimiser: OptimiserSpec {
            method: recipe.optimiser,
            momentum: recipe.momentum,
            weight_decay: recipe.weight_decay,
            clip_norm: (recipe.clip_norm > 0.0).then_some(recipe.clip_norm),
        },
        groups: recipe.lr_groups,
        head: head(job),
        head_lr: recipe.head_lr,
        batch_norm: recipe.batch_norm,
        dropout: recipe.dropout,
        loss: LossSpec {
            label_smoothing: recipe.label_smoothing,
            frame_loss: recipe.frame_loss,
            teacher_share: recipe.teacher_share,
            teacher_temperature: recipe.teacher_temperature,
            class_weights: match recipe.class_weights {
                ClassWeights::Equal => Vec::new(),
                ClassWeights::Balanced => balanced_weights(&clips_by_class),
            },
        },
        average: recipe.average,
    }
}

/// How the head started: of a run that goes on, when it began.
fn head(job: &Job<'_>) -> HeadStart {
    let Some(saved) = &job.resume else { return job.start.head };
    saved.record.head.unwrap_or_else(|| job.start.head_by_order())
}

/// The record of a run of this job that has made no step, and which counts of its list the clips belie.
pub(super) fn record(job: &Job<'_>) -> (RunRecord, Option<WrongCounts>) {
    let mut record = RunRecord::new(
        job.recipe.clone(),
        job.start.spec.clone(),
        digest(&job.dataset, job.train, job.validation),
    );
    let clips = [job.train, job.validation].concat();
    let marks = fingerprint::of_clips(&job.dataset, &clips, job.recipe.workers);
    let wrong = WrongCounts::of(&job.dataset, &clips, &marks);
    record.clip_marks = marks.iter().map(|mark| mark.mark).collect();
    // One that has gone since it was opened has an empty mark, which is no file's.
    let mark = |teacher: &PathBuf| fingerprint::of_file(teacher).unwrap_or_default();
    record.teacher_marks = job.recipe.teacher.iter().map(mark).collect();
    record.head = Some(head(job));
    (record, wrong)
}

/// A number that changes with the classes, the clips and which side each is on.
fn digest(dataset: &Dataset, train: &[usize], validation: &[usize]) -> u64 {
    // FNV-1a: the standard library's hashes may change from version to version.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for class in &dataset.classes {
        take(class.as_bytes());
    }
    for (side, clips) in [(b"train", train), (b"valid", validation)] {
        take(side);
        for clip in clips.iter().filter_map(|clip| dataset.clips.get(*clip)) {
            take(clip.path.file_name().unwrap_or_default().as_encoded_bytes());
            take(&clip.class.to_le_bytes());
        }
    }
    hash
}

/// Refuses to go on from a run that was another one.
pub(super) fn check_same(now: &RunRecord, saved: &RunRecord, path: &Path) -> Result<(), TrainError> {
    let other = |difference: String| Err(TrainError::OtherRun { path: path.to_owned(), difference });
    if now.spec.backbone != saved.spec.backbone {
        return other(format!("is of a {}, this one of a {}", saved.spec.backbone, now.spec.backbone));
    }
    if now.spec.classes != saved.spec.classes {
        return other(format!("has the classes {}", some_of(&saved.spec.classes)));
    }
    if now.data_digest != saved.data_digest {
        return other("has other clips, or another split".to_owned());
    }
    let (mine, theirs) = (comparable(&now.recipe), comparable(&saved.recipe));
    let changed = mine.iter().find(|(name, value)| theirs.get(*name) != Some(value));
    if let Some((name, value)) = changed {
        let saved = theirs.get(name).map_or_else(|| "absent".to_owned(), ToString::to_string);
        return other(format!("has {name} = {saved}, this one {value}"));
    }
    match theirs.iter().find(|(name, _)| !mine.contains_key(*name)) {
        Some((name, value)) => other(format!("has {name} = {value}, this one has none")),
        None => Ok(()),
    }
}

/// Refuses clips that are not what they were; an old save does not say what they were.
pub(super) fn check_clips(job: &Job<'_>, now: &[u32], saved: &[u32]) -> Result<(), TrainError> {
    let clips = job.train.iter().chain(job.validation);
    let changed = |((clip, now), saved): ((&usize, &u32), &u32)| (now != saved).then_some(*clip);
    let mut changed = clips.zip(now).zip(saved).filter_map(changed);
    match changed.next() {
        None => Ok(()),
        Some(clip) => Err(TrainError::ChangedClip {
            path: job.folder.last(),
            clip: job.dataset.clips[clip].path.clone(),
            others: changed.count(),
        }),
    }
}

/// Refuses teachers that are not what they were: the rest of the run would learn from others than its beginning did.
pub(super) fn check_teachers(job: &Job<'_>, now: &[String], saved: &[String]) -> Result<(), TrainError> {
    let marks = now.iter().zip(saved);
    let changed = job.recipe.teacher.iter().zip(marks).find(|(_, (now, saved))| now != saved);
    changed.map_or(Ok(()), |(teacher, _)| {
        Err(TrainError::ChangedTeacher { path: job.folder.last(), teacher: teacher.clone() })
    })
}

/// The choices that change the outcome. A path from another folder may lead to the same file.
fn comparable(recipe: &Recipe) -> toml::Table {
    let located = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_gone| path.clone());
    // Weights to start from are in the save; they may be somewhere else by now.
    let named = |path: &PathBuf| path.file_name().map_or_else(|| path.clone(), PathBuf::from);
    let recipe = Recipe {
        pretrained: recipe.pretrained.as_ref().map(named),
        tune_from: recipe.tune_from.as_ref().map(named),
        teacher: recipe.teacher.iter().map(located).collect(),
        ..recipe.clone()
    };
    let mut table = toml::Table::try_from(recipe).unwrap_or_default();
    for name in ["workers", "cache-mib", "log-interval", "save-interval-secs"] {
        table.remove(name);
    }
    table
}
