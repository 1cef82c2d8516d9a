//! Twenty steps of training on the device: the loss of a batch that is seen again and again falls, and at first as it
//! does on this CPU.

use candle_core::{Device, Tensor};
use tsm_model::Backbone;
use tsm_model::checkpoint::Checkpoint;
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

/// Steps whose losses another device shares: after some more, what rounding differs in has grown.
const SHARED_STEPS: usize = 3;

/// Part by which those may differ: the sums of gradients have another order, and batch norm divides by small numbers.
const SHARED_WITHIN: f64 = 1e-2;

/// Trains a made-up network in f32; on a GPU its first steps on the CPU as well.
pub(crate) fn loss_falls(
    device: &Device,
    backbone: Backbone,
    size_px: usize,
) -> Result<Finding, SelftestError> {
    let checkpoint = made_up::checkpoint(backbone, size_px, 3)?;
    let found = losses(&checkpoint, device, STEPS)?;
    let (first, last) = (found.first().copied().unwrap_or(0.0), found.last().copied().unwrap_or(f64::NAN));
    let mut finding = Finding {
        holds: found.iter().all(|loss| loss.is_finite()) && last < REMAINDER * first,
        expected: format!("a loss below {:.3}, {REMAINDER} of the first", REMAINDER * first),
        got: format!("{first:.3} to {last:.3} in {STEPS} steps"),
    };
    if !device.is_cpu() {
        let expected = losses(&checkpoint, &Device::Cpu, SHARED_STEPS)?;
        let off = worst_off(&expected, &found);
        finding.holds &= off <= SHARED_WITHIN;
        finding.expected =
            format!("{}; the first {SHARED_STEPS} within {SHARED_WITHIN} of the CPU's", finding.expected);
        finding.got = format!("{}, the first {off:.1e} off", finding.got);
    }
    Ok(finding)
}

/// The largest difference as a part of what is expected; infinite where something is no number.
fn worst_off(expected: &[f64], found: &[f64]) -> f64 {
    expected.iter().zip(found).fold(0.0, |worst: f64, (expected, found)| {
        let off = (found - expected).abs() / expected.abs();
        if off.is_nan() { f64::INFINITY } else { worst.max(off) }
    })
}

/// The losses of so many steps.
fn losses(checkpoint: &Checkpoint, device: &Device, steps: usize) -> Result<Vec<f64>, SelftestError> {
    let size_px = checkpoint.spec.input.size_px;
    let mut learner = Learner::new(&checkpoint.spec, &checkpoint.weights, spec(), device)?;
    let pictures = made_up::frames(71, CLIPS * SEGMENTS, size_px);
    let pictures = Tensor::from_vec(pictures, (CLIPS * SEGMENTS, 3, size_px, size_px), device)?;
    let labels: Vec<usize> = (0..CLIPS).collect();
    let targets = targets(&labels, checkpoint.spec.classes.len(), 0.0, device)?;
    let mut losses = Vec::with_capacity(steps);
    for step in 0..steps {
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
    Ok(losses)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_are_no_numbers_are_far_off() {
        assert!((worst_off(&[2.0, 4.0], &[2.1, 4.0, 9.0]) - 0.05).abs() < 1e-9);
        assert!(worst_off(&[2.0], &[f64::NAN]).is_infinite());
        assert!(worst_off(&[f64::NAN], &[2.0]).is_infinite());
    }
}
