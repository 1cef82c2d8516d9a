//! The learning rate over a run: what it is at each optimiser step.
//!
//! ```text
//! lr ┤   ____                       lr ┤  __
//!    │  /    |____                     │ /  ‾‾\_
//!    │ /          |____                │/       ‾\__
//!    └─warm-up──step──step─ epochs     └─warm-up──cosine─ epochs
//! ```
//!
//! Sources: MIT `main.py` (`adjust_learning_rate`), Paddle v1.5.1 `tsm.txt`. It changes no parameter.

use serde::{Deserialize, Serialize};

use crate::counts::float;

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Multiplied by `decay` at each epoch of `steps`.
    Step,
    /// Half a cosine down to zero, moved at every step.
    Cosine,
    /// Half a cosine, moved by whole epochs (MIT's `--lr_type cos`).
    CosineEpochs,
    /// Never.
    Constant,
}

/// The learning rate as a function of the time in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// How it falls.
    pub kind: ScheduleKind,
    /// The rate before any fall.
    pub lr: f64,
    /// Epochs of the run.
    pub epochs: usize,
    /// Epochs at which [`ScheduleKind::Step`] falls.
    pub steps: Vec<usize>,
    /// What it falls by there.
    pub decay: f64,
    /// Epochs over which the rate rises linearly from a tenth.
    pub warmup_epochs: f64,
}

/// Where warm-up starts, as a part of the full rate (`MMAction2`'s ratio).
const WARMUP_START: f64 = 0.1;

impl Schedule {
    /// The rate of optimiser step `step` of `steps_an_epoch` in `epoch`.
    pub fn at(&self, epoch: usize, step: usize, steps_an_epoch: usize) -> f64 {
        let time = float(epoch) + float(step) / float(steps_an_epoch.max(1));
        let fallen = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step => self.steps.iter().filter(|at| **at <= epoch).map(|_| self.decay).product(),
            ScheduleKind::Cosine => half_cosine(time / float(self.epochs.max(1))),
            ScheduleKind::CosineEpochs => half_cosine(float(epoch) / float(self.epochs.max(1))),
        };
        let warmed = if time < self.warmup_epochs {
            WARMUP_START + (1.0 - WARMUP_START) * time / self.warmup_epochs
        } else {
            1.0
        };
        self.lr * fallen * warmed
    }
}

fn half_cosine(part: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> Schedule {
        Schedule { kind, lr: 0.02, epochs: 50, steps: vec![20, 40], decay: 0.1, warmup_epochs: 0.0 }
    }

    fn check(schedule: &Schedule, at: (usize, usize), expected: f64) {
        let lr = schedule.at(at.0, at.1, 10);
        assert!((lr - expected).abs() < 1e-12, "at {at:?}: {lr}, not {expected}");
    }

    #[test]
    fn steps_fall_at_the_start_of_their_epoch() {
        let schedule = schedule(ScheduleKind::Step);
        check(&schedule, (19, 9), 0.02);
        check(&schedule, (20, 0), 0.002);
        check(&schedule, (49, 9), 0.0002);
    }

    #[test]
    fn mits_cosine_moves_by_whole_epochs_and_ours_by_steps() {
        check(&schedule(ScheduleKind::CosineEpochs), (25, 9), 0.01);
        check(&schedule(ScheduleKind::Cosine), (25, 0), 0.01);
        assert!(schedule(ScheduleKind::Cosine).at(25, 9, 10) < 0.01);
        assert!(schedule(ScheduleKind::Cosine).at(49, 9, 10) > 0.0);
    }

    #[test]
    fn warm_up_rises_from_a_tenth() {
        let warmed = Schedule { warmup_epochs: 5.0, ..schedule(ScheduleKind::Constant) };
        check(&warmed, (0, 0), 0.002);
        check(&warmed, (2, 5), 0.011);
        check(&warmed, (5, 0), 0.02);
    }
}
