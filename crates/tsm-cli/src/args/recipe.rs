//! The flags of a training recipe: one an option of `tsm_train::Recipe`, under the same name.
//!
//! Each is absent or goes before `--config` and the preset. They are handed on as a table, so that a
//! new option of the recipe needs a flag here and nothing between.

use std::path::PathBuf;

use clap::{Args, value_parser};
use serde::Serialize;

/// TOML has no larger whole number.
const TOML_MOST: u64 = i64::MAX as u64;

const BACKBONES: [&str; 6] = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "mobilenetv2"];

/// Flags that go before the configuration file and the preset.
#[derive(Debug, Clone, Default, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RecipeArgs {
    /// The two-dimensional network
    #[arg(long, value_parser = BACKBONES, help_heading = "Network")]
    backbone: Option<String>,
    /// Width multiplier of mobilenetv2
    #[arg(long, value_name = "X", help_heading = "Network")]
    width: Option<f64>,
    /// What moves between frames: causal is the only kind that labels a stream
    #[arg(long, value_parser = ["none", "mit", "paddle", "causal"], help_heading = "Network")]
    shift: Option<String>,
    /// What part of a block sees the shift
    #[arg(long, value_parser = ["blockres", "block"], help_heading = "Network")]
    place: Option<String>,
    /// A fold is one N-th of the channels
    #[arg(long, value_name = "N", help_heading = "Network")]
    shift_div: Option<usize>,
    /// First blocks without a shift, besides those that never have one
    #[arg(long, value_name = "N", help_heading = "Network")]
    unshifted_blocks: Option<usize>,
    /// What it sees of motion besides: histograms of optical flow, or nothing
    #[arg(long, value_parser = ["none", "flow"], help_heading = "Network")]
    motion_features: Option<String>,
    /// Frames of a clip
    #[arg(long, value_name = "N", help_heading = "Network")]
    segments: Option<usize>,
    /// Side of the network's input in pixels, a multiple of 32
    #[arg(long, value_name = "PX", help_heading = "Network")]
    size: Option<usize>,
    /// ImageNet weights to start from [default: the built-in model]
    #[arg(long, value_name = "FILE", help_heading = "Start")]
    pretrained: Option<PathBuf>,
    /// A TSM checkpoint to start from; its head is replaced where the classes differ
    #[arg(long, value_name = "FILE", help_heading = "Start")]
    tune_from: Option<PathBuf>,
    /// Start from random weights
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Start")]
    from_scratch: Option<bool>,
    /// Bring all convolutions to one scale first, the function unchanged: for weights whose batch norm was folded
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Start")]
    unit_scale: Option<bool>,
    /// Make room in ImageNet weights for circuits that see motion: mobilenetv2, with a shift
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Start")]
    motion_start: Option<bool>,
    /// How frames of a clip are chosen; `fixed_interval` is what a stream sees
    #[arg(long, value_parser = ["uniform", "uniform_paddle", "dense", "fixed_interval"], help_heading = "Data")]
    sampling: Option<String>,
    /// Frames a second of fixed-interval sampling, and of the model's streams
    #[arg(long, value_name = "HZ", help_heading = "Data")]
    fps: Option<f64>,
    /// How training crops are taken
    #[arg(long, value_parser = ["multi-scale", "paddle", "centre"], help_heading = "Data")]
    crop: Option<String>,
    /// Mirror half of the clips; auto swaps labels that differ in left and right
    #[arg(long, value_parser = ["auto", "on", "off"], help_heading = "Data")]
    flip: Option<String>,
    /// Two classes that a mirror turns into each other; may be given several times
    #[arg(long, value_name = "A=B", value_parser = flip_pair, help_heading = "Data")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flip_pair: Vec<(String, String)>,
    /// Largest change of brightness, as a part of it
    #[arg(long, value_name = "PART", help_heading = "Data")]
    jitter_brightness: Option<f32>,
    /// Largest change of contrast
    #[arg(long, value_name = "PART", help_heading = "Data")]
    jitter_contrast: Option<f32>,
    /// Largest change of saturation
    #[arg(long, value_name = "PART", help_heading = "Data")]
    jitter_saturation: Option<f32>,
    /// Largest turn of the hue, as a part of the circle
    #[arg(long, value_name = "PART", help_heading = "Data")]
    jitter_hue: Option<f32>,
    /// Mix clips and labels: alpha of mixup, 0 for none
    #[arg(long, value_name = "ALPHA", help_heading = "Data")]
    mixup: Option<f64>,
    /// Alpha of cutmix, 0 for none
    #[arg(long, value_name = "ALPHA", help_heading = "Data")]
    cutmix: Option<f64>,
    /// Part of the groups that is kept for validation
    #[arg(long, value_name = "PART", help_heading = "Data")]
    validation: Option<f64>,
    /// Times that each clip is learned from by steps; 0: the head is solved, and that is all
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    epochs: Option<usize>,
    /// Clips of a batch
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    batch: Option<usize>,
    /// Batches whose gradients make one step
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    accumulate: Option<usize>,
    /// See the clips that do not fill a batch, too
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Optimisation")]
    keep_last_batch: Option<bool>,
    /// Learning rate
    #[arg(long, value_name = "RATE", help_heading = "Optimisation")]
    lr: Option<f64>,
    /// How the learning rate falls
    #[arg(long, value_parser = ["step", "cosine", "cosine-epochs", "constant"], help_heading = "Optimisation")]
    schedule: Option<String>,
    /// Epochs at which the step schedule falls
    #[arg(long, value_name = "EPOCH", value_delimiter = ',', help_heading = "Optimisation")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lr_steps: Vec<usize>,
    /// What it falls by there
    #[arg(long, value_name = "FACTOR", help_heading = "Optimisation")]
    lr_decay: Option<f64>,
    /// Epochs over which the rate rises
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    warmup_epochs: Option<f64>,
    /// How gradients move the weights
    #[arg(long, value_parser = ["sgd", "adamw"], help_heading = "Optimisation")]
    optimiser: Option<String>,
    /// Part of the last velocity that is kept
    #[arg(long, value_name = "PART", help_heading = "Optimisation")]
    momentum: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "X", help_heading = "Optimisation")]
    weight_decay: Option<f64>,
    /// Largest norm of all gradients together, 0 for no limit
    #[arg(long, value_name = "NORM", help_heading = "Optimisation")]
    clip_norm: Option<f64>,
    /// Whose learning rates and decays by kind of parameter
    #[arg(long, value_parser = ["mit", "paddle", "paddlevideo", "plain"], help_heading = "Optimisation")]
    lr_groups: Option<String>,
    /// How much faster a new head learns, with --lr-groups plain
    #[arg(long, value_name = "FACTOR", help_heading = "Optimisation")]
    head_lr: Option<f64>,
    /// Which batch norms learn
    #[arg(long, value_parser = ["train", "partial", "frozen"], help_heading = "Optimisation")]
    batch_norm: Option<String>,
    /// Views of each clip that a new head is solved from before the first step; 0 for a random head
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    head_views: Option<usize>,
    /// First epochs in which the head alone learns
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    head_epochs: Option<usize>,
    /// First blocks, the stem before them, that keep still all along
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    frozen_blocks: Option<usize>,
    /// Epochs over which the shift comes in, after the head's; by default half of those, where the preset's are as many
    #[arg(long, value_name = "N", help_heading = "Optimisation")]
    shift_ramp_epochs: Option<f64>,
    /// Part of the features that is dropped
    #[arg(long, value_name = "PART", help_heading = "Optimisation")]
    dropout: Option<f64>,
    /// Part of each target that is spread over all classes
    #[arg(long, value_name = "PART", help_heading = "Optimisation")]
    label_smoothing: Option<f64>,
    /// Part of the loss that each frame's own logits have
    #[arg(long, value_name = "PART", help_heading = "Optimisation")]
    frame_loss: Option<f64>,
    /// Whether rare classes weigh more
    #[arg(long, value_parser = ["equal", "balanced"], help_heading = "Optimisation")]
    class_weights: Option<String>,
    /// Part that averaged weights keep of themselves at each step, 0 for no averaging
    #[arg(long, value_name = "PART", help_heading = "Optimisation")]
    average: Option<f64>,
    /// A model to imitate; several are averaged
    #[arg(long, value_name = "FILE", help_heading = "Distillation")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    teacher: Vec<PathBuf>,
    /// Part of the loss that imitates the teachers
    #[arg(long, value_name = "PART", help_heading = "Distillation")]
    teacher_share: Option<f64>,
    /// Softens both sides
    #[arg(long, value_name = "T", help_heading = "Distillation")]
    teacher_temperature: Option<f64>,
    /// Seed of every draw
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=TOML_MOST), help_heading = "Run")]
    seed: Option<u64>,
    /// Threads that decode ahead
    #[arg(long, value_name = "N", help_heading = "Run")]
    workers: Option<usize>,
    /// Memory for decoded clips that are kept
    #[arg(long, value_name = "MIB", help_heading = "Run")]
    cache_mib: Option<usize>,
    /// Steps between lines of the log
    #[arg(long, value_name = "STEPS", help_heading = "Run")]
    log_interval: Option<usize>,
    /// Epochs between validations
    #[arg(long, value_name = "EPOCHS", help_heading = "Run")]
    valid_interval: Option<usize>,
    /// Seconds between saves within an epoch
    #[arg(long, value_name = "SECONDS", help_heading = "Run")]
    save_interval_secs: Option<u64>,
}

impl RecipeArgs {
    /// The flags that were given, as a table of recipe options.
    ///
    /// # Errors
    /// A path that is no UTF-8.
    pub(crate) fn table(&self) -> Result<toml::Table, toml::ser::Error> {
        toml::Table::try_from(self)
    }
}

/// `A=B` as the two names.
pub(crate) fn flip_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
        _ => Err("give two class names as A=B".to_owned()),
    }
}
