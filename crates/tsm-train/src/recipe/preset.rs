//! Recipes to start from: the references', and ours by the amount of data.

use std::str::FromStr;

use tsm_model::spec::{DEFAULT_FRAME_HZ, SamplingKind};
use tsm_model::{Backbone, MotionFeatures, ShiftKind, ShiftPlace};

use super::{ClassWeights, CropChoice, FlipChoice, Recipe};
use crate::network::BatchNormMode;
use crate::optimiser::Method;
use crate::parameter_groups::GroupPreset;
use crate::schedule::ScheduleKind;

/// A complete recipe by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Ours for fewer than 2000 clips: held batch norm, head first, mixup, averaged weights.
    Few,
    /// Ours for more: live batch norm.
    Many,
    /// MIT's Kinetics recipe, 8 frames, uniform sampling (README of temporal-shift-module).
    Mit,
    /// Paddle v1.5.1's `tsm.txt`.
    Paddle,
}

/// Clips from which live batch norm and a longer schedule pay.
const MANY_CLIPS: usize = 2000;

/// Optimiser steps that a small data set should get, whatever its size.
const FEWEST_STEPS: usize = 600;

impl Preset {
    /// Every preset, in the order `--help` names them.
    pub const ALL: [Self; 4] = [Self::Few, Self::Many, Self::Mit, Self::Paddle];

    /// The name in flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Few => "few",
            Self::Many => "many",
            Self::Mit => "mit",
            Self::Paddle => "paddle",
        }
    }

    /// Ours for so many training clips.
    pub const fn for_clips(clips: usize) -> Self {
        if clips < MANY_CLIPS { Self::Few } else { Self::Many }
    }

    /// Its recipe for so many training clips: a few clips are seen more often than many.
    pub fn recipe_for(self, clips: usize) -> Recipe {
        let mut recipe = self.recipe();
        if self == Self::Few {
            // With a solved head the first epochs decide; 100 clips are to take minutes on two cores.
            recipe.epochs = (FEWEST_STEPS * recipe.batch).div_ceil(clips.max(1)).clamp(15, 25);
        }
        recipe
    }

    /// Its recipe.
    pub fn recipe(self) -> Recipe {
        match self {
            Self::Few => few(),
            Self::Many => many(),
            Self::Mit => mit(),
            Self::Paddle => paddle(),
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or_else(|| format!("`{text}` is no preset; known are few, many, mit, paddle"))
    }
}

#[expect(clippy::too_many_lines, reason = "a table of every option")]
fn few() -> Recipe {
    Recipe {
        backbone: Backbone::MobilenetV2,
        width: 1.0,
        shift: ShiftKind::Causal,
        place: ShiftPlace::Blockres,
        shift_div: 8,
        unshifted_blocks: 0,
        motion_features: MotionFeatures::Flow,
        segments: 8,
        size: 160,
        pretrained: None,
        tune_from: None,
        from_scratch: false,
        unit_scale: false,
        motion_start: false,
        sampling: SamplingKind::FixedInterval,
        fps: DEFAULT_FRAME_HZ,
        crop: CropChoice::MultiScale,
        flip: FlipChoice::Auto,
        flip_pairs: Vec::new(),
        jitter_brightness: 0.2,
        jitter_contrast: 0.2,
        jitter_saturation: 0.2,
        jitter_hue: 0.0,
        mixup: 0.2,
        cutmix: 0.0,
        validation: 0.2,
        epochs: 20,
        batch: 8,
        accumulate: 1,
        keep_last_batch: true,
        lr: 0.0005,
        schedule: ScheduleKind::Cosine,
        lr_steps: Vec::new(),
        lr_decay: 0.1,
        warmup_epochs: 1.0,
        optimiser: Method::Sgd,
        momentum: 0.9,
        weight_decay: 1e-4,
        clip_norm: 20.0,
        lr_groups: GroupPreset::Plain,
        head_lr: 10.0,
        batch_norm: BatchNormMode::Frozen,
        head_views: 2,
        head_epochs: 0,
        frozen_blocks: 0,
        shift_ramp_epochs: 3.0,
        dropout: 0.5,
        label_smoothing: 0.1,
        frame_loss: 0.0,
        class_weights: ClassWeights::Equal,
        average: 0.99,
        teacher: Vec::new(),
        teacher_share: 0.5,
        teacher_temperature: 2.0,
        seed: 1,
        workers: 2,
        cache_mib: 4096,
        log_interval: 10,
        valid_interval: 1,
        save_interval_secs: 60,
    }
}

fn many() -> Recipe {
    Recipe {
        size: 224,
        batch_norm: BatchNormMode::Train,
        motion_features: MotionFeatures::None,
        batch: 16,
        epochs: 30,
        lr: 0.01,
        head_views: 1,
        average: 0.999,
        ..few()
    }
}

fn mit() -> Recipe {
    Recipe {
        backbone: Backbone::Resnet50,
        shift: ShiftKind::Mit,
        motion_features: MotionFeatures::None,
        size: 224,
        sampling: SamplingKind::Uniform,
        jitter_brightness: 0.0,
        jitter_contrast: 0.0,
        jitter_saturation: 0.0,
        mixup: 0.0,
        epochs: 50,
        // 128 clips a step, as many at a time as an ordinary computer's memory holds.
        batch: 4,
        accumulate: 32,
        keep_last_batch: false,
        optimiser: Method::Sgd,
        lr: 0.02,
        schedule: ScheduleKind::Step,
        lr_steps: vec![20, 40],
        warmup_epochs: 0.0,
        lr_groups: GroupPreset::Mit,
        batch_norm: BatchNormMode::Train,
        head_views: 0,
        shift_ramp_epochs: 0.0,
        label_smoothing: 0.0,
        average: 0.0,
        ..few()
    }
}

fn paddle() -> Recipe {
    Recipe {
        shift: ShiftKind::Paddle,
        sampling: SamplingKind::UniformPaddle,
        crop: CropChoice::Paddle,
        epochs: 65,
        lr: 0.01,
        lr_steps: vec![40, 60],
        clip_norm: 0.0,
        lr_groups: GroupPreset::Paddle,
        ..mit()
    }
}
