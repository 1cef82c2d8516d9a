//! What training makes smaller: cross entropy on soft targets, of the clip and of its frames.
//!
//! ```text
//! labels ─ one-hot ─ smoothing ─ mixing ─► targets [n, classes] ─┐
//! frame logits [n·t, classes] ─ frame shares ─► clip logits ─────┴─► cross entropy ─► loss []
//!                             └─ frame share ────────────────────────────┘
//! teachers' probabilities ─ teacher share ───────────────────────────────┘
//! ```
//!
//! Sources: TSN (arXiv 1608.00859, consensus), label smoothing (arXiv 1512.00567, section 7),
//! distillation (arXiv 1503.02531). It knows no network.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::{log_softmax, softmax};

use crate::frame_shares::FrameShares;

/// What the loss is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct LossSpec {
    /// Part of each target that is spread evenly over all classes, 0..1.
    pub label_smoothing: f64,
    /// Part of the loss that each frame's own logits have, 0 (only their mean counts) to 1.
    pub frame_loss: f64,
    /// Part of the loss that imitates the teachers, 0..=1.
    pub teacher_share: f64,
    /// Softens the teachers' and the student's probabilities.
    pub teacher_temperature: f64,
    /// Weight of each class; empty for equal weights.
    pub class_weights: Vec<f32>,
}

/// The targets `[n, classes]` of labels: ones, smoothed.
///
/// # Errors
/// If a tensor cannot be made on `device`.
pub fn targets(labels: &[usize], classes: usize, smoothing: f64, device: &Device) -> Result<Tensor> {
    #[expect(clippy::cast_precision_loss, reason = "classes are far below 2^53")]
    let off = smoothing / classes as f64;
    let on = 1.0 - smoothing + off;
    #[expect(clippy::cast_possible_truncation, reason = "targets are single precision")]
    let (on, off) = (on as f32, off as f32);
    let row = |label: &usize| (0..classes).map(|class| if class == *label { on } else { off }).collect();
    let rows: Vec<Vec<f32>> = labels.iter().map(row).collect();
    Tensor::from_vec(rows.concat(), (labels.len(), classes), device)
}

/// Cross entropy of `logits` `[n, classes]` to soft `targets` of the same shape, averaged over rows.
///
/// With class weights a row weighs what its targets' classes weigh and the sum is divided by all
/// weights, as torch does it.
///
/// # Errors
/// If the shapes differ.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, class_weights: &[f32]) -> Result<Tensor> {
    let log_probabilities = log_softmax(logits, D::Minus1)?;
    if class_weights.is_empty() {
        return (log_probabilities * targets)?.sum(D::Minus1)?.mean_all()?.neg();
    }
    let weights = Tensor::from_slice(class_weights, (1, class_weights.len()), targets.device())?;
    let weighted = targets.broadcast_mul(&weights)?;
    let loss = (log_probabilities * &weighted)?.sum_all()?.neg()?;
    loss / weighted.sum_all()?.to_scalar::<f32>().map(f64::from)?
}

/// The loss of a batch: frame logits `[n * t, classes]` against `targets` `[n, classes]`, each frame counting its
/// share, with the teachers' clip logits `[n, classes]` where there are any.
///
/// # Errors
/// If the shapes do not fit.
pub fn batch_loss(
    frame_logits: &Tensor,
    targets: &Tensor,
    shares: &FrameShares,
    teacher: Option<&Tensor>,
    spec: &LossSpec,
) -> Result<Tensor> {
    let (n, classes) = targets.dims2()?;
    let t = frame_logits.dim(0)? / n;
    let clip_logits = shares.mean(&frame_logits.reshape((n, t, classes))?)?;
    let mut loss = cross_entropy(&clip_logits, targets, &spec.class_weights)?;
    if spec.frame_loss > 0.0 {
        let frame_targets = shares.targets_of_frames(targets, t)?;
        let frames = cross_entropy(frame_logits, &frame_targets, &spec.class_weights)?;
        loss = ((loss * (1.0 - spec.frame_loss))? + (frames * spec.frame_loss)?)?;
    }
    if let Some(teacher) = teacher
        && spec.teacher_share > 0.0
    {
        let heat = spec.teacher_temperature;
        let wanted = softmax(&(teacher / heat)?, D::Minus1)?.detach();
        // The gradient of a softened cross entropy shrinks by the square of the temperature.
        let imitation = (cross_entropy(&(clip_logits / heat)?, &wanted, &[])? * (heat * heat))?;
        loss = ((loss * (1.0 - spec.teacher_share))? + (imitation * spec.teacher_share)?)?;
    }
    Ok(loss)
}

/// Weights that make every class count alike: inverse to its clips, 1 on average.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "clip counts are small")]
pub fn balanced_weights(clips_by_class: &[usize]) -> Vec<f32> {
    let total: usize = clips_by_class.iter().sum();
    let classes = clips_by_class.len();
    let weight = |clips: &usize| (total as f64 / (classes as f64 * (*clips).max(1) as f64)) as f32;
    clips_by_class.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> LossSpec {
        LossSpec {
            label_smoothing: 0.0,
            frame_loss: 0.0,
            teacher_share: 0.0,
            teacher_temperature: 1.0,
            class_weights: Vec::new(),
        }
    }

    fn tensor(rows: &[[f32; 3]]) -> Tensor {
        Tensor::from_slice(&rows.concat(), (rows.len(), 3), &Device::Cpu).unwrap()
    }

    fn check(found: &Tensor, expected: f32) {
        let found = found.to_scalar::<f32>().unwrap();
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }

    /// log(1 + e^-1 + e^-2) and so on, by hand.
    #[test]
    fn hard_targets_give_the_usual_cross_entropy() {
        let logits = tensor(&[[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]);
        let targets = targets(&[0, 2], 3, 0.0, &Device::Cpu).unwrap();
        check(&cross_entropy(&logits, &targets, &[]).unwrap(), f32::midpoint(0.407_606, 1.098_612));
    }

    #[test]
    fn smoothing_spreads_its_part_over_all_classes() {
        let rows = targets(&[1], 3, 0.3, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert!((rows[0][0] - 0.1).abs() < 1e-6 && (rows[0][1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn class_weights_are_divided_out() {
        let logits = tensor(&[[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]);
        let targets = targets(&[0, 2], 3, 0.0, &Device::Cpu).unwrap();
        let weighted = cross_entropy(&logits, &targets, &[3.0, 1.0, 1.0]).unwrap();
        check(&weighted, (3.0 * 0.407_606 + 1.098_612) / 4.0);
        assert_eq!(balanced_weights(&[10, 30]), [2.0, 2.0 / 3.0]);
    }

    #[test]
    fn the_consensus_is_the_mean_of_the_frames_logits() {
        let frames = tensor(&[[4.0, 1.0, 0.0], [0.0, 1.0, 0.0]]);
        let (targets, even) = (targets(&[0], 3, 0.0, &Device::Cpu).unwrap(), FrameShares::default());
        check(&batch_loss(&frames, &targets, &even, None, &plain()).unwrap(), 0.407_606);
        let by_frame = LossSpec { frame_loss: 1.0, ..plain() };
        let expected = f32::midpoint(0.065_882, 1.551_445);
        check(&batch_loss(&frames, &targets, &even, None, &by_frame).unwrap(), expected);
    }

    #[test]
    fn frames_that_do_not_count_are_no_loss_by_clip_or_by_frame() {
        let frames = tensor(&[[4.0, 1.0, 0.0], [0.0, 9.0, 7.0]]);
        let targets = targets(&[0], 3, 0.0, &Device::Cpu).unwrap();
        let shares = FrameShares::new(&[1.0, 0.0], 2, &Device::Cpu).unwrap();
        for frame_loss in [0.0, 1.0] {
            let spec = LossSpec { frame_loss, ..plain() };
            check(&batch_loss(&frames, &targets, &shares, None, &spec).unwrap(), 0.065_882);
        }
    }

    #[test]
    fn a_teacher_that_agrees_asks_for_no_change() {
        let logits = candle_core::Var::from_tensor(&tensor(&[[2.0, 1.0, 0.0]])).unwrap();
        let spec = LossSpec { teacher_share: 1.0, teacher_temperature: 2.0, ..plain() };
        let targets = targets(&[1], 3, 0.0, &Device::Cpu).unwrap();
        let teacher = logits.as_detached_tensor();
        let even = FrameShares::default();
        let loss = batch_loss(logits.as_tensor(), &targets, &even, Some(&teacher), &spec).unwrap();
        let grads = loss.backward().unwrap();
        let moved: f32 = grads.get(&logits).unwrap().abs().unwrap().sum_all().unwrap().to_scalar().unwrap();
        assert!(moved < 1e-6, "gradient {moved}");
    }
}
