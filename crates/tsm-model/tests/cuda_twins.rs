//! The CUDA executor without a GPU: its launches run by the kernels' host twins give what Candle gives.

use proptest::prelude::*;
use tsm_kernels::cuda::Twins;
use tsm_kernels::normalise::planar_from_rgb;
use tsm_model::{
    Backbone, CudaExecutor, DType, Device, FrameForm, Frames, Model, ModelSpec, ShiftKind, ShiftPlace,
};

use crate::executors::{check_within, reference};
use crate::ledger;
use crate::made_up::{checkpoint, spec};

/// Rounding to halves between layers, in a network of tens of them.
const HALVES: f32 = 0.05;

/// On a GPU of so many multiprocessors: the fewer, the larger the tiles and the fewer the splits.
fn twins(spec: ModelSpec, seed: u64, dtype: DType, multiprocessors: usize) -> Model {
    let machine = |program| Ok(Twins::new(program, multiprocessors));
    let executor = CudaExecutor::new(&checkpoint(spec, seed), Device::Cpu, dtype, machine).unwrap();
    Model::with_executor(Box::new(executor))
}

#[test]
fn every_backbone_and_place_agrees_with_candle() {
    for backbone in Backbone::ALL {
        for (kind, place, dtype, part) in [
            (ShiftKind::Causal, ShiftPlace::Blockres, DType::F32, 1e-4),
            (ShiftKind::Causal, ShiftPlace::Block, DType::F32, 1e-4),
            (ShiftKind::None, ShiftPlace::Blockres, DType::F32, 1e-4),
            (ShiftKind::Causal, ShiftPlace::Blockres, DType::F16, HALVES),
        ] {
            let spec = spec(backbone, kind, place, 32);
            check_within(part, twins(spec.clone(), 5, dtype, 132), reference(spec, 5), 8);
        }
    }
}

/// The same, with the way of each layer drawn from those that a GPU chooses among; all of them are compared, too.
fn tuned_twins(spec: ModelSpec, seed: u64, dtype: DType, multiprocessors: usize) -> Model {
    let machine = |program| Ok(Twins::new(program, multiprocessors).tuned(seed));
    let executor = CudaExecutor::new(&checkpoint(spec, seed), Device::Cpu, dtype, machine).unwrap();
    Model::with_executor(Box::new(executor))
}

#[test]
fn all_ways_of_a_layer_agree_with_each_other_and_with_candle() {
    for (backbone, place, dtype, part) in [
        (Backbone::MobilenetV2, ShiftPlace::Blockres, DType::F32, 1e-4),
        (Backbone::MobilenetV2, ShiftPlace::Block, DType::F16, HALVES),
        (Backbone::Resnet18, ShiftPlace::Block, DType::F32, 1e-4),
        (Backbone::Resnet18, ShiftPlace::Blockres, DType::F16, HALVES),
    ] {
        let spec = spec(backbone, ShiftKind::Causal, place, 32);
        check_within(part, tuned_twins(spec.clone(), 6, dtype, 132), reference(spec, 6), 5);
    }
}

#[test]
fn large_pictures_agree_with_candle() {
    for multiprocessors in [8, 132] {
        let mut spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 224);
        spec.width = 1.0;
        check_within(1e-4, twins(spec.clone(), 3, DType::F32, multiprocessors), reference(spec, 3), 4);
    }
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
        multiprocessors in prop::sample::select(vec![1usize, 14, 132]),
    ) {
        let mut spec = spec(backbone, ShiftKind::Causal, place, size);
        spec.width = if backbone == Backbone::MobilenetV2 { width } else { 1.0 };
        spec.shift.div = div;
        check_within(1e-4, twins(spec.clone(), seed, DType::F32, multiprocessors), reference(spec, seed), seed ^ 9);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn any_choice_of_ways_agrees_with_candle(
        seed: u64,
        width in prop::sample::select(vec![0.35, 0.5, 1.0]),
        place in prop::sample::select(vec![ShiftPlace::Blockres, ShiftPlace::Block]),
        div in 1usize..17,
        multiprocessors in prop::sample::select(vec![1usize, 14, 132]),
    ) {
        let mut spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, place, 32);
        spec.width = width;
        spec.shift.div = div;
        check_within(1e-4, tuned_twins(spec.clone(), seed, DType::F32, multiprocessors), reference(spec, seed), seed ^ 9);
    }
}

/// Frames of bytes, and what a CPU makes of them.
fn bytes_and_numbers(spec: &ModelSpec, streams: usize, seed: u8) -> (Vec<u8>, Vec<f32>) {
    let values = 3 * spec.input.pixels();
    let rgb: Vec<u8> = (seed..=255).cycle().step_by(7).take(streams * values).collect();
    let mut numbers = vec![0.0; rgb.len()];
    for (rgb, frame) in rgb.chunks_exact(values).zip(numbers.chunks_exact_mut(values)) {
        planar_from_rgb(rgb, spec.input.mean, spec.input.std, frame);
    }
    (rgb, numbers)
}

#[test]
fn frames_of_bytes_have_the_bits_of_normalised_ones() {
    for dtype in [DType::F32, DType::F16] {
        let mut spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 32);
        spec.input.mean = [0.1, 0.5, 0.9];
        let mut model = twins(spec.clone(), 8, dtype, 132);
        let classes = spec.classes.len();
        let mut states: Vec<_> = (0..4).map(|_| model.fresh_state()).collect();
        let (ours, theirs) = states.split_at_mut(2);
        let (mut ours, mut theirs): (Vec<_>, Vec<_>) =
            (ours.iter_mut().collect(), theirs.iter_mut().collect());
        for frame in 0..3 {
            let (rgb, numbers) = bytes_and_numbers(&spec, 2, frame);
            let [mut found, mut expected] = [vec![0.0; 2 * classes], vec![0.0; 2 * classes]];
            model.step(Frames::Rgb(&rgb), &mut ours, &mut found).unwrap();
            model.step(&numbers, &mut theirs, &mut expected).unwrap();
            assert_eq!(found, expected, "{dtype:?}, frame {frame}");
        }
    }
}

#[test]
fn frames_that_are_there_are_stepped_again_and_warming_up_changes_nothing() {
    let spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 32);
    let (mut warm, mut cold) =
        (tuned_twins(spec.clone(), 4, DType::F32, 132), twins(spec.clone(), 4, DType::F32, 132));
    assert!(warm.warm_up(3).unwrap());
    let (rgb, numbers) = bytes_and_numbers(&spec, 2, 3);
    let mut frames = warm.frame_memory(2);
    assert_eq!(frames.frames().form(), FrameForm::Rgb);
    frames.write_rgb(&rgb, 32 * 32, spec.input.mean, spec.input.std);
    let classes = warm.spec().classes.len();
    let [mut ours, mut expected] = [vec![0.0; 2 * classes], vec![0.0; 2 * classes]];
    let mut states: Vec<_> = [&warm, &warm, &cold, &cold].map(Model::fresh_state).into_iter().collect();
    let mut states: Vec<_> = states.iter_mut().collect();
    let (of_warm, of_cold) = states.split_at_mut(2);
    for turn in 0..3 {
        if turn == 0 {
            warm.step(&frames, of_warm, &mut ours).unwrap();
        } else {
            assert!(warm.step_again(of_warm, &mut ours).unwrap());
        }
        cold.step(&numbers, of_cold, &mut expected).unwrap();
        let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!(ours.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-4 * largest), "step {turn}");
    }
    let refused = warm.step_again(&mut of_warm[..1], &mut ours[..classes]).unwrap_err();
    assert!(refused.to_string().contains("frames"), "{refused}");
    assert_eq!(of_warm[0].age_steps(), 3);
}

/// What happens to one of several streams.
#[derive(Debug, Clone, Copy)]
enum Event {
    Reset(usize),
    /// The second becomes what the first is.
    Clone(usize, usize),
    /// Those of this one and all behind it.
    Steps(usize),
}

fn event(streams: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..streams).prop_map(Event::Reset),
        (0..streams, 0..streams).prop_map(|(from, to)| Event::Clone(from, to)),
        (0..streams).prop_map(Event::Steps),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    // The machine of the ledger refuses steps that write what another stream has, or the zeros.
    #[test]
    fn streams_that_are_cloned_and_reset_never_share_a_memory_that_is_written(
        events in prop::collection::vec(event(4), 1..60),
    ) {
        let spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, 32);
        let (executor, _memories) = ledger::executor(&spec);
        let mut model = Model::with_executor(Box::new(executor));
        let frames = vec![0.0; 4 * 3 * 32 * 32];
        let mut logits = vec![0.0; 4 * spec.classes.len()];
        let mut states: Vec<_> = (0..4).map(|_| model.fresh_state()).collect();
        for event in events {
            match event {
                Event::Reset(stream) => states[stream].reset(),
                Event::Clone(from, to) => states[to] = states[from].clone(),
                Event::Steps(first) => {
                    let mut stepped: Vec<_> = states[first..].iter_mut().collect();
                    let n = stepped.len();
                    let (frames, logits) = (&frames[..n * 3 * 32 * 32], &mut logits[..n * spec.classes.len()]);
                    model.step(frames, &mut stepped, logits).unwrap();
                }
            }
            for state in &states {
                let steps = f32::from(u16::try_from(state.age_steps()).unwrap());
                let remembered = model.export_state(state).unwrap();
                prop_assert!(remembered.iter().all(|fold| fold.values.iter().all(|value| value.to_bits() == steps.to_bits())));
            }
        }
    }
}
