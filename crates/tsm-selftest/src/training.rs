//! Twenty steps of training on the device: the loss of a batch that is seen again and again falls.

use candle_core::{Device, Tensor};
use tsm_model::Backbone;
use tsm_train::draws::Draws;
use tsm_train::frame_shares::FrameShares;
use tsm_train::learner::{Learner, LearnerSpec, Lesson};
use tsm_train::loss::{LossSpec, targets};
use tsm_train::network::{BatchNormMode, Depth};
use tsm_train::optimiser::{Method, OptimiserSpec};
use tsm_train::parameter_groups::{GroupPreset, HeadStart};

use crate::error::SelftestError;
use crate::finding::Finding;
use crate::made_up;

/// Steps.
const STEPS: usize = 20;

/// Clips of the batch, each of another class.
const CLIPS: usize = 4;

/// Frames of a clip.
const SEGMENTS: usize = 4;

/// A rate at which a few clips are learned by heart.
const LR: f64 = 0.01;

/// Part of the first loss that the last may still be: well below what chance does.
const REMAINDER: f64 = 0.5;

/// Trains a made-up `MobileNetV2` in f32.
pub(crate) fn loss_falls(device: &Device, size_px: usize) -> Result<Finding, SelftestError> {
    let checkpoint = made_up::checkpoint(Backbone::MobilenetV2, size_px, 3)?;
    let mut learner = Learner::new(&checkpoint.spec, &checkpoint.weights, spec(), device)?;
    let pictures = made_up::frames(71, CLIPS * SEGMENTS, size_px);
    let pictures = Tensor::from_vec(pictures, (CLIPS * SEGMENTS, 3, size_px, size_px), device)?;
    let labels: Vec<usize> = (0..CLIPS).collect();
    let targets = targets(&labels, checkpoint.spec.classes.len(), 0.0, device)?;
    let mut losses = Vec::with_capacity(STEPS);
    for step in 0..STEPS {
        let lesson = Lesson {
            pictures: &pictures,
            motion: None,
            targets: &targets,
            shares: &FrameShares::default(),
            teacher: None,
            depth: Depth::Whole,
            shift_strength: 1.0,
            draws: Draws::for_purpose(1, "dropout", step as u64),
        };
        losses.push(learner.study(lesson, 1.0)?.loss);
        learner.step(Depth::Whole, LR)?;
    }
    let (first, last) = (losses.first().copied().unwrap_or(0.0), losses.last().copied().unwrap_or(f64::NAN));
    Ok(Finding {
        holds: losses.iter().all(|loss| loss.is_finite()) && last < REMAINDER * first,
        expected: format!("a loss below {:.3}, {REMAINDER} of the first", REMAINDER * first),
        got: format!("{first:.3} to {last:.3} in {STEPS} steps"),
    })
}

fn spec() -> LearnerSpec {
    LearnerSpec {
        optimiser: OptimiserSpec {
            method: Method::Sgd,
            momentum: 0.9,
            weight_decay: 1e-4,
            clip_norm: Some(20.0),
        },
        groups: GroupPreset::Plain,
        head: HeadStart::New,
        head_lr: 1.0,
        batch_norm: BatchNormMode::Train,
        dropout: 0.0,
        loss: LossSpec {
            label_smoothing: 0.0,
            frame_loss: 0.0,
            teacher_share: 0.0,
            teacher_temperature: 1.0,
            class_weights: Vec::new(),
        },
        average: 0.0,
    }
}
