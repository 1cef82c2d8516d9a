//! The network that learns computes what the network that labels computes.

use candle_core::{Device, Tensor};
use tsm_model::checkpoint::{Checkpoint, Origin};
use tsm_model::motion_head::MotionReader;
use tsm_model::{Architecture, Backbone, Model, MotionFeatures, ShiftKind, ShiftPlace};
use tsm_train::network::{BatchNormMode, Depth, Pass, TrainNetwork};
use tsm_train::recipe::{Preset, Recipe};
use tsm_train::start::Start;

const T: usize = 4;

/// The largest difference of frame logits over the largest logit.
fn difference(
    backbone: Backbone,
    shift: ShiftKind,
    place: ShiftPlace,
    motion_features: MotionFeatures,
) -> f32 {
    let width = if backbone == Backbone::MobilenetV2 { 0.5 } else { 1.0 };
    let recipe = Recipe {
        backbone,
        width,
        shift,
        place,
        motion_features,
        size: 64,
        from_scratch: true,
        ..Preset::Few.recipe()
    };
    let classes: Vec<String> = (0..5).map(|class| class.to_string()).collect();
    let mut start = Start::of(&recipe, &classes, None).unwrap();
    let count = motion_features.count();
    if count > 0 {
        let weight = Tensor::randn(0f32, 1.0, (5, count), &Device::Cpu).unwrap();
        start.weights.insert(Architecture::MOTION_WEIGHT, weight);
    }
    let pictures = Tensor::randn(0f32, 1.0, (2 * T, 3, 64, 64), &Device::Cpu).unwrap();
    let mut network = TrainNetwork::new(&start.spec, &start.weights, false, &Device::Cpu).unwrap();
    let motion = (count > 0).then(|| {
        let values: Vec<f32> = pictures.flatten_all().unwrap().to_vec1().unwrap();
        let seen = MotionReader::new(&start.spec.input).read_clips(&values, T, [64, 64]);
        Tensor::from_vec(seen, (2 * T, count), &Device::Cpu).unwrap()
    });
    let pass = Pass {
        t: T,
        batch_norm: BatchNormMode::Frozen,
        depth: Depth::Whole,
        shift_strength: 1.0,
        feature_mask: None,
        motion: motion.as_ref(),
    };
    let trained = network.forward(&pictures, &pass).unwrap().reshape((2, T, 5)).unwrap();
    let checkpoint = Checkpoint { spec: start.spec, weights: start.weights, origin: Origin::Own };
    let mut model = Model::load(&checkpoint, Device::Cpu).unwrap();
    let clips = pictures.reshape((2, T, 3, 64, 64)).unwrap();
    let labelled = model.forward_clip(&clips).unwrap().segments;
    let most =
        |x: &Tensor| x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    most(&(trained - &labelled).unwrap()) / most(&labelled)
}

#[test]
fn every_shift_is_the_same_in_training_and_in_labelling() {
    for (backbone, shift, place) in [
        (Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres),
        (Backbone::MobilenetV2, ShiftKind::Paddle, ShiftPlace::Block),
        (Backbone::MobilenetV2, ShiftKind::None, ShiftPlace::Blockres),
        (Backbone::Resnet18, ShiftKind::Mit, ShiftPlace::Blockres),
        (Backbone::Resnet18, ShiftKind::Causal, ShiftPlace::Block),
        (Backbone::Resnet50, ShiftKind::Paddle, ShiftPlace::Blockres),
    ] {
        for motion in [MotionFeatures::None, MotionFeatures::Flow] {
            let off = difference(backbone, shift, place, motion);
            assert!(off < 1e-4, "{backbone} {shift:?} {place:?} {motion:?}: {off} of the largest logit");
        }
    }
}
