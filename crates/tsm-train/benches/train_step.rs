//! One training step of MobileNetV2 as the issue of speed states it: 2 clips of 8 frames at 224x224.
//!
//! `cargo bench -p tsm-train --bench train_step`; PyTorch beside it: `scripts/bench_training.py`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::Instant;

use candle_core::{Device, Tensor};
use tsm_model::MotionFeatures;
use tsm_train::draws::Draws;
use tsm_train::frame_shares::FrameShares;
use tsm_train::learner::{Learner, LearnerSpec, Lesson};
use tsm_train::loss::{LossSpec, targets};
use tsm_train::network::{BatchNormMode, Depth};
use tsm_train::optimiser::{Method, OptimiserSpec};
use tsm_train::parameter_groups::GroupPreset;
use tsm_train::recipe::{Preset, Recipe};
use tsm_train::start::Start;

const CLIPS: usize = 2;
const SEGMENTS: usize = 8;
const STEPS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for batch_norm in [BatchNormMode::Train, BatchNormMode::Frozen] {
        for size in [224, 160] {
            measure(batch_norm, size)?;
        }
    }
    Ok(())
}

fn measure(batch_norm: BatchNormMode, size: usize) -> Result<(), Box<dyn std::error::Error>> {
    let motion_features = MotionFeatures::None;
    let recipe = Recipe { from_scratch: true, size, motion_features, ..Preset::Few.recipe() };
    let classes: Vec<String> = (0..21).map(|class| class.to_string()).collect();
    let start = Start::of(&recipe, &classes, None)?;
    let spec = LearnerSpec {
        optimiser: OptimiserSpec {
            method: Method::Sgd,
            momentum: 0.9,
            weight_decay: 1e-4,
            clip_norm: Some(20.0),
        },
        groups: GroupPreset::Plain,
        head: start.head,
        head_lr: 10.0,
        batch_norm,
        dropout: 0.5,
        loss: LossSpec {
            label_smoothing: 0.1,
            frame_loss: 0.0,
            teacher_share: 0.0,
            teacher_temperature: 1.0,
            class_weights: Vec::new(),
        },
        average: 0.0,
    };
    let mut learner = Learner::new(&start.spec, &start.weights, spec, &Device::Cpu)?;
    let pictures = Tensor::randn(0f32, 1.0, (CLIPS * SEGMENTS, 3, size, size), &Device::Cpu)?;
    let targets = targets(&[0, 1], classes.len(), 0.1, &Device::Cpu)?;
    let mut millis = Vec::new();
    for step in 0..STEPS {
        let begun = Instant::now();
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
        learner.study(lesson, 1.0)?;
        learner.step(Depth::Whole, 0.001)?;
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    millis.drain(..2);
    millis.sort_by(f64::total_cmp);
    let (best, median) = (millis[0], millis[millis.len() / 2]);
    println!(
        "mobilenetv2 {CLIPS}x{SEGMENTS}x{size}x{size} {batch_norm:?}: best {best:.0} ms, median {median:.0} ms, peak {} MiB",
        peak_mib()
    );
    Ok(())
}

/// Most memory that the process has held.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}
