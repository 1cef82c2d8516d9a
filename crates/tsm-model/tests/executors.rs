//! The planned executor gives what Candle's gives: any network, width, size, fold, batch, order of streams.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use tsm_kernels::cpu_level::CpuLevel;
use tsm_model::{
    Backbone, Clips, DType, Device, ExecutorChoice, Model, ModelSpec, PlanOptions, ShiftKind, ShiftPlace,
    StepError, StreamState, Tensor,
};

use crate::made_up::{Numbers, checkpoint, spec};

const CLASSES: usize = 7;

fn planned(spec: ModelSpec, seed: u64, threads: usize, level: CpuLevel) -> Model {
    let options =
        PlanOptions { threads: NonZeroUsize::new(threads).unwrap(), level, ..PlanOptions::default() };
    let choice = ExecutorChoice::Fastest(options);
    Model::load_with(&checkpoint(spec, seed), Device::Cpu, DType::F32, choice).unwrap()
}

pub(crate) fn reference(spec: ModelSpec, seed: u64) -> Model {
    Model::load_with(&checkpoint(spec, seed), Device::Cpu, DType::F32, ExecutorChoice::Candle).unwrap()
}

/// Within `part` of the largest.
#[track_caller]
fn assert_close(ours: &[f32], theirs: &[f32], part: f32) {
    let largest = theirs.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    let off = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(ours.len() == theirs.len() && off <= part * largest, "{off} off, largest {largest}");
}

/// Some steps of some of three streams, one of which is reset on the way; logits and states must agree.
fn check(ours: Model, theirs: Model, seed: u64) {
    check_within(1e-4, ours, theirs, seed);
}

/// As [`check`], with values within `part` of the largest.
pub(crate) fn check_within(part: f32, mut ours: Model, mut theirs: Model, seed: u64) {
    let size = ours.spec().input.size_px;
    let frame = 3 * size * size;
    let mut our_states: Vec<StreamState> = (0..3).map(|_| ours.fresh_state()).collect();
    let mut their_states: Vec<StreamState> = (0..3).map(|_| theirs.fresh_state()).collect();
    let mut numbers = Numbers::new(seed);
    for streams in [vec![0], vec![2, 0], vec![0, 1, 2], vec![1]] {
        let frames = numbers.take(streams.len() * frame);
        let step = |model: &mut Model, states: &mut [StreamState]| {
            let mut all: Vec<Option<&mut StreamState>> = states.iter_mut().map(Some).collect();
            let mut chosen: Vec<&mut StreamState> = streams.iter().map(|&i| all[i].take().unwrap()).collect();
            let mut logits = vec![f32::NAN; streams.len() * CLASSES];
            model.step(&frames, &mut chosen, &mut logits).unwrap();
            logits
        };
        assert_close(&step(&mut ours, &mut our_states), &step(&mut theirs, &mut their_states), part);
        if streams.len() == 2 {
            our_states[2].reset();
            their_states[2].reset();
        }
    }
    for (our, their) in our_states.iter().zip(&their_states) {
        // Halves take half the bytes.
        assert!(our.bytes() == their.bytes() || 2 * our.bytes() == their.bytes());
        assert_eq!(our.age_steps(), their.age_steps());
        let (our, their) = (ours.export_state(our).unwrap(), theirs.export_state(their).unwrap());
        assert_eq!(our.len(), their.len());
        for (our, their) in our.iter().zip(&their) {
            assert_eq!(our.shape, their.shape);
            assert_close(&our.values, &their.values, part);
        }
    }
}

#[test]
fn every_backbone_and_place_agrees_with_candle() {
    for backbone in Backbone::ALL {
        for (kind, place) in [
            (ShiftKind::Causal, ShiftPlace::Blockres),
            (ShiftKind::Causal, ShiftPlace::Block),
            (ShiftKind::None, ShiftPlace::Blockres),
        ] {
            let spec = spec(backbone, kind, place, 32);
            let ours = planned(spec.clone(), 5, 2, CpuLevel::detected());
            check(ours, reference(spec, 5), 8);
        }
    }
}

#[test]
fn a_large_picture_in_bands_agrees_with_candle_on_every_level() {
    let mut spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 224);
    spec.width = 1.0;
    for level in CpuLevel::available() {
        check(planned(spec.clone(), 3, 2, level), reference(spec.clone(), 3), 4);
    }
}

#[test]
fn winograds_tiles_of_both_sides_agree_with_candle_on_every_level() {
    // 40x40 in tiles of four, 20x20 in tiles of two; with a patch and a residual in the smaller network.
    for backbone in [Backbone::Resnet18, Backbone::Resnet50] {
        let spec = spec(backbone, ShiftKind::Causal, ShiftPlace::Blockres, 160);
        for level in CpuLevel::available() {
            let ours = planned(spec.clone(), 3, 2, level);
            assert!(ours.multiply_adds() < ours.architecture().multiply_adds(160));
            check(ours, reference(spec.clone(), 3), 4);
        }
    }
}

#[test]
fn a_plan_counts_the_multiply_adds_that_it_makes() {
    let made = |backbone| {
        let spec = spec(backbone, ShiftKind::Causal, ShiftPlace::Blockres, 224);
        let model = planned(spec, 1, 1, CpuLevel::detected());
        (model.multiply_adds(), model.architecture().multiply_adds(224))
    };
    let (mobilenet, of_the_definition) = made(Backbone::MobilenetV2);
    assert_eq!(mobilenet, of_the_definition);
    // 3x3 filters on 56x56 and 28x28 take a quarter of the products, on 14x14 four ninths.
    let (resnet, of_the_definition) = made(Backbone::Resnet50);
    let whole = 56 * 56 * 64 * 64 * 9;
    assert_eq!(of_the_definition - resnet, 6 * whole / 4 * 3 + 5 * whole / 9 * 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn any_small_network_agrees_with_candle(
        seed: u64,
        backbone in prop::sample::select(vec![Backbone::MobilenetV2, Backbone::Resnet18, Backbone::Resnet50]),
        width in prop::sample::select(vec![0.35, 0.5, 1.0, 1.4]),
        size in prop::sample::select(vec![32usize, 64, 96, 160]),
        place in prop::sample::select(vec![ShiftPlace::Blockres, ShiftPlace::Block]),
        div in 1usize..17,
        threads in 1usize..4,
    ) {
        let mut spec = spec(backbone, ShiftKind::Causal, place, size);
        spec.width = if backbone == Backbone::MobilenetV2 { width } else { 1.0 };
        spec.shift.div = div;
        check(planned(spec.clone(), seed, threads, CpuLevel::detected()), reference(spec, seed), seed ^ 9);
    }
}

#[test]
fn a_state_of_the_other_executor_is_refused() {
    let spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 32);
    let (mut ours, mut theirs) = (planned(spec.clone(), 1, 1, CpuLevel::detected()), reference(spec, 1));
    let (mut our, mut their) = (ours.fresh_state(), theirs.fresh_state());
    let frame = vec![0.5; 3 * 32 * 32];
    let error = ours.step(&frame, &mut [&mut their], &mut [0.0; CLASSES]);
    assert!(matches!(error, Err(StepError::ForeignState { index: 0 })), "{error:?}");
    let error = theirs.step(&frame, &mut [&mut our], &mut [0.0; CLASSES]);
    assert!(matches!(error, Err(StepError::ForeignState { index: 0 })), "{error:?}");
}

#[test]
fn a_network_for_streams_alone_steps_as_ever_and_refuses_clips() {
    let spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 32);
    let choice = ExecutorChoice::Fastest(PlanOptions { clips: Clips::Refused, ..PlanOptions::default() });
    let load = || Model::load_with(&checkpoint(spec.clone(), 2), Device::Cpu, DType::F32, choice).unwrap();
    check(load(), reference(spec.clone(), 2), 6);
    let clip = Tensor::zeros((1, 2, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(load().forward_clip(&clip), Err(StepError::ClipsRefused)));
}
