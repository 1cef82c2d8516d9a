//! Every choice of a training run, as one value that is printed, stored in the model and read back.
//!
//! ```text
//! defaults of the preset ◄─ --config FILE.toml ◄─ flags        (the later goes first)
//!            └────────────────────┴─────────────────┴─► Recipe ─► trainer, model's provenance
//! ```
//!
//! Names are those of the flags. It runs nothing, and knows nothing of the clips' place or the model's.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tsm_model::spec::SamplingKind;
use tsm_model::{Backbone, MotionFeatures, ShiftKind, ShiftPlace};

use crate::ahead::MOST_WORKERS;
use crate::counts::float;
use crate::network::BatchNormMode;
use crate::optimiser::Method;
use crate::parameter_groups::GroupPreset;
use crate::schedule::ScheduleKind;

mod preset;

pub use preset::Preset;

/// How training crops are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropChoice {
    /// MIT's multi-scale crop of the unscaled frame.
    MultiScale,
    /// Paddle v1.5.1: 4:3, multi-scale to 256, random 224.
    Paddle,
    /// The centre, as in evaluation.
    Centre,
}

/// Whether clips are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlipChoice {
    /// Half of them; the label changes where two classes differ in `left` and `right` alone.
    Auto,
    /// Half of them, labels as they are.
    On,
    /// None.
    Off,
}

/// Whether rare classes weigh more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// All alike.
    Equal,
    /// Inverse to a class's clips.
    Balanced,
}

/// All choices of a run. Units stand in the names or the comments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option as users write it")]
pub struct Recipe {
    /// The two-dimensional network.
    pub backbone: Backbone,
    /// Width multiplier of `MobileNetV2`.
    pub width: f64,
    /// What moves between frames.
    pub shift: ShiftKind,
    /// Which part of a block sees the shift.
    pub place: ShiftPlace,
    /// A fold is one `shift-div`-th of the channels.
    pub shift_div: usize,
    /// First blocks that have no shift, whatever the backbone's rule; 0 leaves the rule alone.
    pub unshifted_blocks: usize,
    /// What the network sees of motion besides its shift.
    #[serde(default)]
    pub motion_features: MotionFeatures,
    /// Frames of a clip.
    pub segments: usize,
    /// Side of the network's input in pixels.
    pub size: usize,
    /// `ImageNet` weights to start from; the shipped model where neither this nor `tune-from` is given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pretrained: Option<PathBuf>,
    /// A TSM checkpoint to start from; its head is replaced where the classes differ.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tune_from: Option<PathBuf>,
    /// Random weights instead of either.
    pub from_scratch: bool,
    /// Whether convolutions are first brought to one scale, the function unchanged (`start/unit_scale.rs`).
    #[serde(default)]
    pub unit_scale: bool,
    /// Whether weak directions of the features first make room for circuits that see motion (`motion_start.rs`).
    #[serde(default)]
    pub motion_start: bool,

    /// How frames of a clip are chosen.
    pub sampling: SamplingKind,
    /// Frames a second of fixed-interval sampling, and of the model's streams.
    pub fps: f64,
    /// How training crops are taken.
    pub crop: CropChoice,
    /// Whether clips are mirrored.
    pub flip: FlipChoice,
    /// Pairs of classes that a mirror turns into each other, besides those `auto` finds.
    #[serde(default, rename = "flip-pair", alias = "flip-pairs")]
    pub flip_pairs: Vec<(String, String)>,
    /// Largest change of brightness, as a part of it.
    pub jitter_brightness: f32,
    /// Largest change of contrast.
    pub jitter_contrast: f32,
    /// Largest change of saturation.
    pub jitter_saturation: f32,
    /// Largest turn of the hue, as a part of the circle.
    pub jitter_hue: f32,
    /// Beta parameter of mixup; 0 for none.
    pub mixup: f64,
    /// Beta parameter of cutmix; 0 for none. Where both are on, each batch draws one.
    pub cutmix: f64,
    /// Part of the groups that is kept for validation, where no list is given.
    pub validation: f64,

    /// Times that the run learns from each clip by steps; 0 where the solved head is to be all.
    pub epochs: usize,
    /// Clips of a batch.
    pub batch: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Whether the clips that do not fill a batch are seen, too; the references leave them out of an epoch.
    pub keep_last_batch: bool,
    /// Learning rate.
    pub lr: f64,
    /// How it falls.
    pub schedule: ScheduleKind,
    /// Epochs at which the `step` schedule falls.
    #[serde(default)]
    pub lr_steps: Vec<usize>,
    /// What it falls by there.
    pub lr_decay: f64,
    /// Epochs over which the rate rises.
    pub warmup_epochs: f64,
    /// How gradients move the weights.
    pub optimiser: Method,
    /// Part of the last velocity that is kept.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; 0 for no limit.
    pub clip_norm: f64,
    /// Whose per-parameter multipliers.
    pub lr_groups: GroupPreset,
    /// How much faster a new head learns, with `lr-groups = "plain"`.
    pub head_lr: f64,
    /// Which batch norms learn.
    pub batch_norm: BatchNormMode,
    /// Views of each clip that a new head is solved from before the first step; 0 for a random head.
    pub head_views: usize,
    /// First epochs in which the head alone learns.
    pub head_epochs: usize,
    /// First blocks, the stem before them, that keep still all along; 0 lets every layer learn.
    pub frozen_blocks: usize,
    /// Epochs over which the shift comes in, after the head's; by default at most half of a run that is no longer.
    pub shift_ramp_epochs: f64,
    /// Part of the features that dropout sets to zero.
    pub dropout: f64,
    /// Part of each target that is spread over all classes.
    pub label_smoothing: f64,
    /// Part of the loss that each frame's own logits have.
    pub frame_loss: f64,
    /// Whether rare classes weigh more.
    pub class_weights: ClassWeights,
    /// Part that the averaged weights keep of themselves at each step; 0 for no averaging.
    pub average: f64,
    /// Models whose averaged logits the network imitates.
    #[serde(default)]
    pub teacher: Vec<PathBuf>,
    /// Part of the loss that imitates them.
    pub teacher_share: f64,
    /// Softens both sides.
    pub teacher_temperature: f64,

    /// Seed of every draw.
    pub seed: u64,
    /// Threads that decode ahead.
    pub workers: usize,
    /// Memory for decoded clips that are kept, in MiB.
    pub cache_mib: usize,
    /// Optimiser steps between lines of the log.
    pub log_interval: usize,
    /// Epochs between validations.
    pub valid_interval: usize,
    /// Seconds between saves within an epoch.
    pub save_interval_secs: u64,
}

/// A recipe that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A value out of its range.
    #[error("{name} is {value}, it must be {allowed}")]
    Value {
        /// The option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Options that exclude each other.
    #[error("{0} exclude each other; give one of them")]
    Exclusive(&'static str),
    /// An unknown option, or a value of the wrong type.
    #[error("{0}")]
    Text(String),
}

impl Recipe {
    /// The recipe of a table whose missing options are `preset`'s.
    ///
    /// # Errors
    /// An unknown option, a value of the wrong type or out of its range.
    pub fn from_table(preset: &Self, table: &toml::Table) -> Result<Self, RecipeError> {
        let mut all = toml::Table::try_from(preset).map_err(|e| RecipeError::Text(e.to_string()))?;
        if table.get("motion-start") == Some(&toml::Value::Boolean(true)) {
            // The preset's ramp is for a start that does not know the shift; this one is made for it.
            all.insert("shift-ramp-epochs".to_owned(), toml::Value::Float(0.0));
        }
        if !sees_successive_frames(preset, table) {
            // Without neighbours in time there is no motion to see, and a network without a shift is to be blind to it.
            all.insert("motion-features".to_owned(), toml::Value::String("none".to_owned()));
        }
        all.extend(table.clone());
        let text = |e: toml::de::Error| RecipeError::Text(e.message().replace('\n', " "));
        let mut recipe: Self = all.try_into().map_err(text)?;
        let is_never_whole = float(recipe.epochs) <= float(recipe.head_epochs) + recipe.shift_ramp_epochs;
        if is_never_whole && !table.contains_key("shift-ramp-epochs") {
            // Half of a short run has the whole shift: an epoch without it is no candidate for the best.
            let deep = recipe.epochs.saturating_sub(recipe.head_epochs);
            recipe.shift_ramp_epochs = recipe.shift_ramp_epochs.min(float(deep) / 2.0);
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// The recipe as TOML, every option with its value.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// Refuses values that make no sense.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self) -> Result<(), RecipeError> {
        let parts: [(&'static str, f64); 6] = [
            ("dropout", self.dropout),
            ("label-smoothing", self.label_smoothing),
            ("momentum", self.momentum),
            ("average", self.average),
            ("validation", self.validation),
            ("lr-decay", self.lr_decay),
        ];
        for (name, value) in parts {
            ensure((0.0..1.0).contains(&value), name, value, "at least 0 and below 1")?;
        }
        let hue = self.jitter_hue;
        ensure((0.0..0.5).contains(&hue), "jitter-hue", f64::from(hue), "at least 0 and below 0.5")?;
        for (name, value) in [("frame-loss", self.frame_loss), ("teacher-share", self.teacher_share)] {
            ensure((0.0..=1.0).contains(&value), name, value, "0 to 1")?;
        }
        let positive: [(&'static str, f64); 3] =
            [("lr", self.lr), ("teacher-temperature", self.teacher_temperature), ("head-lr", self.head_lr)];
        for (name, value) in positive {
            ensure(value > 0.0 && value < 1e6, name, value, "above 0 and below a million")?;
        }
        ensure((0.001..=1000.0).contains(&self.fps), "fps", self.fps, "0.001 to 1000")?;
        for (name, value) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            let fits = value == 0.0 || (0.01..=4.0).contains(&value);
            ensure(fits, name, value, "0 for none, or 0.01 to 4")?;
        }
        let not_negative: [(&'static str, f64); 7] = [
            ("weight-decay", self.weight_decay),
            ("clip-norm", self.clip_norm),
            ("warmup-epochs", self.warmup_epochs),
            ("shift-ramp-epochs", self.shift_ramp_epochs),
            ("jitter-brightness", f64::from(self.jitter_brightness)),
            ("jitter-contrast", f64::from(self.jitter_contrast)),
            ("jitter-saturation", f64::from(self.jitter_saturation)),
        ];
        for (name, value) in not_negative {
            ensure(value.is_finite() && value >= 0.0, name, value, "at least 0")?;
        }
        self.check_counts()?;
        self.check_network()
    }

    fn check_counts(&self) -> Result<(), RecipeError> {
        let counts: [(&'static str, usize); 5] = [
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("log-interval", self.log_interval),
            ("valid-interval", self.valid_interval),
            ("segments", self.segments),
        ];
        for (name, value) in counts {
            ensure((1..=100_000).contains(&value), name, value, "1 to 100000")?;
        }
        ensure((1..=MOST_WORKERS).contains(&self.workers), "workers", self.workers, "1 to 1024")?;
        ensure(self.epochs <= 100_000, "epochs", self.epochs, "0 to 100000")?;
        // Without a step the solved head is all that is learned.
        let learns = self.epochs > 0 || self.head_views > 0;
        ensure(learns, "head-views", self.head_views, "at least 1 where epochs is 0")
    }

    fn check_network(&self) -> Result<(), RecipeError> {
        let starts = [self.pretrained.is_some(), self.tune_from.is_some(), self.from_scratch];
        if starts.iter().filter(|given| **given).count() > 1 {
            return Err(RecipeError::Exclusive("pretrained, tune-from and from-scratch"));
        }
        if self.flip == FlipChoice::Off && !self.flip_pairs.is_empty() {
            return Err(RecipeError::Exclusive("flip off and flip pairs"));
        }
        if let Some((name, _)) = self.flip_pairs.iter().find(|(one, other)| one == other) {
            return ensure(false, "flip-pair", format!("{name}={name}"), "two classes");
        }
        let known = self.sampling != SamplingKind::Unknown;
        ensure(known, "sampling", self.sampling.name(), "uniform, uniform_paddle, dense or fixed_interval")?;
        self.check_motion_start()?;
        if self.motion_features != MotionFeatures::None {
            let sampling = self.sampling;
            let is_successive = sampling == SamplingKind::FixedInterval;
            ensure(is_successive, "sampling", sampling.name(), "fixed_interval with motion-features flow")?;
            let has_past = self.segments >= 2;
            ensure(has_past, "segments", self.segments, "at least 2 with motion-features flow")?;
        }
        let size = self.size;
        let fits = size > 0 && size.is_multiple_of(32) && size <= 1024;
        ensure(fits, "size", size, "a multiple of 32 up to 1024")?;
        let least = if matches!(self.shift, ShiftKind::Mit | ShiftKind::Paddle) { 2 } else { 1 };
        ensure(self.shift_div >= least, "shift-div", self.shift_div, "at least 1, 2 for a two-way shift")?;
        let has_width = self.backbone == Backbone::MobilenetV2;
        let fits =
            if has_width { (0.1..=4.0).contains(&self.width) } else { (self.width - 1.0).abs() < 1e-9 };
        ensure(fits, "width", self.width, "0.1 to 4 for mobilenetv2 and 1 for every other backbone")
    }

    /// The circuits stand in inverted residuals of a pretrained network whose first shift they need.
    fn check_motion_start(&self) -> Result<(), RecipeError> {
        if !self.motion_start {
            return Ok(());
        }
        if self.tune_from.is_some() {
            return Err(RecipeError::Exclusive("motion-start and tune-from"));
        }
        if self.from_scratch {
            return Err(RecipeError::Exclusive("motion-start and from-scratch"));
        }
        let is_mobilenet = self.backbone == Backbone::MobilenetV2;
        ensure(is_mobilenet, "backbone", self.backbone, "mobilenetv2 with motion-start")?;
        // Batch norms that follow the batch would undo the scales of the circuits.
        let keeps = self.batch_norm != BatchNormMode::Train;
        ensure(keeps, "batch-norm", "train", "frozen or partial with motion-start")?;
        ensure((3..=8).contains(&self.shift_div), "shift-div", self.shift_div, "3 to 8 with motion-start")?;
        // Without a shift the circuits are silent: what the same recipe comes to without time.
        if self.shift == ShiftKind::None {
            return Ok(());
        }
        ensure(self.segments >= 2, "segments", self.segments, "at least 2 with motion-start")?;
        let ramp = self.shift_ramp_epochs;
        ensure(ramp <= 0.0, "shift-ramp-epochs", ramp, "0 with motion-start")?;
        let unshifted = self.unshifted_blocks;
        ensure(unshifted <= 2, "unshifted-blocks", unshifted, "at most 2 with motion-start")?;
        let is_beside = self.place == ShiftPlace::Blockres;
        ensure(is_beside, "place", "block", "blockres with motion-start")?;
        Ok(())
    }
}

/// What a recipe allows of an option that is a number, as its refusal says it; `None` for an option that takes every
/// number, or no number at all.
pub fn allowed_number(name: &str) -> Option<&'static str> {
    use toml::Value::{Float, Integer};
    // What lies in hardly any range, of both kinds; the kind that the option has not is no number to it.
    [Float(f64::NAN), Integer(i64::MAX), Integer(0)].into_iter().find_map(|beyond| {
        let table = toml::Table::from_iter([(name.to_owned(), beyond)]);
        match Recipe::from_table(&Preset::Few.recipe(), &table) {
            Err(RecipeError::Value { name: refused, allowed, .. }) if refused == name => Some(allowed),
            _ => None,
        }
    })
}

/// Whether the frames of a clip follow each other, and the network is to tell what happens between them.
fn sees_successive_frames(preset: &Recipe, table: &toml::Table) -> bool {
    let said = |name: &str| table.get(name).and_then(toml::Value::as_str);
    let is_successive = match said("sampling") {
        Some(kind) => kind == "fixed_interval",
        None => preset.sampling == SamplingKind::FixedInterval,
    };
    let segments = table.get("segments").and_then(toml::Value::as_integer);
    let has_past = segments.map_or(preset.segments >= 2, |segments| segments >= 2);
    let has_shift = said("shift").map_or(preset.shift != ShiftKind::None, |kind| kind != "none");
    is_successive && has_past && has_shift
}

fn ensure(
    holds: bool,
    name: &'static str,
    value: impl std::fmt::Display,
    allowed: &'static str,
) -> Result<(), RecipeError> {
    if holds { Ok(()) } else { Err(RecipeError::Value { name, value: value.to_string(), allowed }) }
}

#[cfg(test)]
mod tests;
