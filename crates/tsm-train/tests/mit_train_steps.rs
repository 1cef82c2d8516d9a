//! Four steps of MIT's own training code, repeated (`../shared/golden/mit-train-steps.safetensors`).

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use candle_core::{DType, Device, Tensor};
use tsm_model::checkpoint::{Checkpoint, Origin, SpecOverrides};
use tsm_model::{Model, ShiftKind};
use tsm_train::draws::Draws;
use tsm_train::frame_shares::FrameShares;
use tsm_train::learner::{Learner, LearnerSpec, Lesson};
use tsm_train::loss::{LossSpec, targets};
use tsm_train::network::{BatchNormMode, Depth};
use tsm_train::optimiser::{Method, OptimiserSpec};
use tsm_train::parameter_groups::{GroupPreset, HeadStart};

use crate::shared;

const CLIPS: usize = 4;
const SEGMENTS: usize = 8;

/// A run of the reference, and how far its numbers may be off.
struct Reference {
    name: &'static str,
    batch_norm: BatchNormMode,
    lr: f64,
    clip_norm: f64,
    loss: f64,
    grad_norm_relative: f64,
    logits: f64,
    parameters: f64,
}

fn start() -> Option<Checkpoint> {
    let golden = shared::folder("golden")?;
    let mut bytes = Vec::new();
    let packed = File::open(golden.join("mit-train-start-resnet18.pth.xz")).unwrap();
    xz2::read::XzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let overrides = SpecOverrides { shift: Some(ShiftKind::Mit), ..SpecOverrides::default() };
    Some(Checkpoint::from_bytes("start.pth", &bytes, &overrides).unwrap())
}

/// Frames as the network takes them: `[32, 3, 64, 64]`.
fn pictures(golden: &HashMap<String, Tensor>) -> Tensor {
    let x = golden["frames_u8"].to_dtype(DType::F32).unwrap().permute((0, 3, 1, 2)).unwrap();
    let constant =
        |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let x = (x / 255.0).unwrap().broadcast_sub(&constant([0.485, 0.456, 0.406])).unwrap();
    x.broadcast_div(&constant([0.229, 0.224, 0.225])).unwrap().contiguous().unwrap()
}

fn learner(checkpoint: &Checkpoint, reference: &Reference) -> Learner {
    let loss = LossSpec {
        label_smoothing: 0.0,
        frame_loss: 0.0,
        teacher_share: 0.0,
        teacher_temperature: 1.0,
        class_weights: Vec::new(),
    };
    let optimiser = OptimiserSpec {
        method: Method::Sgd,
        momentum: 0.9,
        weight_decay: 1e-4,
        clip_norm: Some(reference.clip_norm),
    };
    let spec = LearnerSpec {
        optimiser,
        groups: GroupPreset::Mit,
        head: HeadStart::New,
        head_lr: 1.0,
        batch_norm: reference.batch_norm,
        dropout: 0.0,
        loss,
        average: 0.0,
    };
    Learner::new(&checkpoint.spec, &checkpoint.weights, spec, &Device::Cpu).unwrap()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    f64::from(difference.to_scalar::<f32>().unwrap())
}

fn check(reference: &Reference) {
    let Some(checkpoint) = start() else {
        return;
    };
    let folder = shared::folder("golden").unwrap();
    let golden =
        candle_core::safetensors::load(folder.join("mit-train-steps.safetensors"), &Device::Cpu).unwrap();
    let expected = |field: &str| golden[&format!("{}.{field}", reference.name)].clone();
    let numbers = |field: &str| expected(field).to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    let labels: Vec<usize> = golden["labels"]
        .to_vec1::<i64>()
        .unwrap()
        .iter()
        .map(|label| usize::try_from(*label).unwrap())
        .collect();
    let targets = targets(&labels, 27, 0.0, &Device::Cpu).unwrap();
    let pictures = pictures(&golden);
    let mut learner = learner(&checkpoint, reference);
    let (losses, norms) = (numbers("loss"), numbers("grad_norm"));
    for step in 0..4 {
        let lesson = Lesson {
            pictures: &pictures,
            motion: None,
            targets: &targets,
            shares: &FrameShares::default(),
            teacher: None,
            depth: Depth::Whole,
            shift_strength: 1.0,
            draws: Draws::for_purpose(0, "none", 0),
        };
        let outcome = learner.study(lesson, 1.0).unwrap();
        if step == 0 {
            let found = Tensor::new(outcome.logits, &Device::Cpu).unwrap();
            let off = largest_difference(&found, &expected("logits_step0"));
            assert!(off < reference.logits, "{}: first logits {off} off", reference.name);
        }
        let off = (outcome.loss - losses[step]).abs();
        assert!(off < reference.loss, "{}: loss of step {step} {off} off", reference.name);
        let norm =
            learner.step(Depth::Whole, if step < 2 { reference.lr } else { reference.lr / 10.0 }).unwrap();
        let off = (norm / norms[step] - 1.0).abs();
        assert!(off < reference.grad_norm_relative, "{}: norm of step {step} {off} off", reference.name);
    }
    check_after(reference, &checkpoint, &learner, &golden, &pictures);
}

/// Parameters, statistics and logits after the four steps.
fn check_after(
    reference: &Reference,
    checkpoint: &Checkpoint,
    learner: &Learner,
    golden: &HashMap<String, Tensor>,
    pictures: &Tensor,
) {
    let weights = learner.best_weights().unwrap();
    let prefix = format!("{}.after.base_model.", reference.name);
    let mut compared = 0;
    for (name, expected) in golden.iter().filter_map(|(name, x)| Some((name.strip_prefix(&prefix)?, x))) {
        let own = name.replace(".net.", ".");
        let off = largest_difference(weights.get(&own).unwrap(), expected);
        assert!(off < reference.parameters, "{}: {name} {off} off", reference.name);
        compared += 1;
    }
    assert_eq!(compared, 12);
    let trained = Checkpoint { spec: checkpoint.spec.clone(), weights, origin: Origin::Own };
    let mut model = Model::load(&trained, Device::Cpu).unwrap();
    let clips = pictures.reshape((CLIPS, SEGMENTS, 3, 64, 64)).unwrap();
    let logits = model.forward_clip(&clips).unwrap().consensus;
    let off = largest_difference(&logits, &golden[&format!("{}.logits_eval_after", reference.name)]);
    assert!(off < reference.logits, "{}: logits after four steps {off} off", reference.name);
}

#[test]
fn steps_with_live_batch_norm_are_mits() {
    check(&Reference {
        name: "npb",
        batch_norm: BatchNormMode::Train,
        lr: 0.005,
        clip_norm: 20.0,
        loss: 1e-4,
        grad_norm_relative: 2e-2,
        logits: 3e-2,
        parameters: 5e-3,
    });
}

#[test]
fn steps_with_partial_batch_norm_are_mits() {
    check(&Reference {
        name: "pbn",
        batch_norm: BatchNormMode::Partial,
        lr: 0.001,
        clip_norm: 20.0,
        loss: 1e-4,
        grad_norm_relative: 1e-3,
        logits: 2e-3,
        parameters: 1e-5,
    });
}

#[test]
fn steps_with_clipped_gradients_are_mits() {
    check(&Reference {
        name: "clip1",
        batch_norm: BatchNormMode::Train,
        lr: 0.02,
        clip_norm: 1.0,
        loss: 3e-4,
        grad_norm_relative: 1e-2,
        logits: 5e-3,
        parameters: 1e-4,
    });
}
