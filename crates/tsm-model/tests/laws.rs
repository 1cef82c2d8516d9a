//! What must hold for any weights: streaming is the causal clip, streams do not see each other,
//! the future does not reach back.

use proptest::prelude::*;
use tsm_model::{
    Backbone, Device, Model, ModelSpec, MotionFeatures, ShiftKind, ShiftPlace, StepError, StreamState, Tensor,
};

use crate::made_up::{Numbers, model, on_both, spec};

const SIZE: usize = 32;
const FRAME: usize = 3 * SIZE * SIZE;
const CLASSES: usize = 7;

/// Logits of each frame of a stream, from a fresh state.
fn streamed(model: &mut Model, frames: &[f32]) -> Vec<f32> {
    let mut state = model.fresh_state();
    let mut logits = vec![0.0; frames.len() / FRAME * CLASSES];
    for (frame, row) in frames.chunks_exact(FRAME).zip(logits.chunks_exact_mut(CLASSES)) {
        model.step(frame, &mut [&mut state], row).unwrap();
    }
    logits
}

fn clip(model: &mut Model, frames: &[f32]) -> Vec<f32> {
    let t = frames.len() / FRAME;
    let clip = Tensor::from_slice(frames, (1, t, 3, SIZE, SIZE), &Device::Cpu).unwrap();
    model.forward_clip(&clip).unwrap().segments.flatten_all().unwrap().to_vec1().unwrap()
}

/// Within 1e-4 of the largest logit.
#[track_caller]
fn assert_close(a: &[f32], b: &[f32]) {
    let largest = a.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && off <= 1e-4 * largest, "{off} off, largest logit {largest}");
}

#[test]
fn streaming_equals_the_causal_clip_for_every_backbone_and_place() {
    for backbone in Backbone::ALL {
        for place in [ShiftPlace::Blockres, ShiftPlace::Block] {
            for mut model in on_both(&spec(backbone, ShiftKind::Causal, place, SIZE), 1) {
                let frames = Numbers::new(7).take(4 * FRAME);
                assert_close(&clip(&mut model, &frames), &streamed(&mut model, &frames));
            }
        }
    }
}

/// A network that weighs motion as well.
fn seeing_motion(backbone: Backbone, kind: ShiftKind) -> ModelSpec {
    let spec = spec(backbone, kind, ShiftPlace::Blockres, SIZE);
    ModelSpec { motion_features: MotionFeatures::Flow, ..spec }
}

#[test]
fn motion_streams_as_it_does_in_a_clip() {
    for (backbone, kind) in [
        (Backbone::MobilenetV2, ShiftKind::Causal),
        (Backbone::MobilenetV2, ShiftKind::None),
        (Backbone::Resnet18, ShiftKind::Causal),
    ] {
        let spec = seeing_motion(backbone, kind);
        let blind = ModelSpec { motion_features: MotionFeatures::None, ..spec.clone() };
        for (mut model, mut blind) in on_both(&spec, 1).into_iter().zip(on_both(&blind, 1)) {
            let frames = Numbers::new(7).take(4 * FRAME);
            let (seen, unseen) = (streamed(&mut model, &frames), streamed(&mut blind, &frames));
            assert_close(&clip(&mut model, &frames), &seen);
            assert_eq!(seen[..CLASSES], unseen[..CLASSES], "the first frame has no motion");
            assert_ne!(seen[CLASSES..], unseen[CLASSES..]);
        }
    }
}

#[test]
fn motion_is_each_streams_own_and_forgotten_with_its_state() {
    for mut model in on_both(&seeing_motion(Backbone::MobilenetV2, ShiftKind::None), 1) {
        let videos = [11, 12].map(|seed| Numbers::new(seed).take(3 * FRAME));
        let alone = videos.each_ref().map(|video| streamed(&mut model, video));
        let mut states = [model.fresh_state(), model.fresh_state()];
        for t in 0..3 {
            let frames: Vec<f32> =
                videos.iter().flat_map(|video| video[t * FRAME..][..FRAME].to_vec()).collect();
            let mut logits = vec![0.0; 2 * CLASSES];
            model.step(&frames, &mut states.iter_mut().collect::<Vec<_>>(), &mut logits).unwrap();
            for (alone, row) in alone.iter().zip(logits.chunks_exact(CLASSES)) {
                assert_close(&alone[t * CLASSES..][..CLASSES], row);
            }
        }
        let [mut state, _] = states;
        let mut row = |state: &mut StreamState, at: usize| {
            let mut logits = vec![0.0; CLASSES];
            model.step(&videos[0][at * FRAME..][..FRAME], &mut [state], &mut logits).unwrap();
            logits
        };
        let mut twin = state.clone();
        assert_eq!(row(&mut state, 0), row(&mut twin, 0));
        state.reset();
        let (first, second) = (row(&mut state, 0), row(&mut state, 1));
        assert_close(&alone[0][..CLASSES], &first);
        assert_close(&alone[0][CLASSES..][..CLASSES], &second);
        assert_ne!(row(&mut twin, 2), row(&mut state, 2), "the twin remembers another frame");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn streaming_equals_the_causal_clip_for_any_network_and_length(
        t in 1usize..12,
        seed: u64,
        div in 2usize..9,
        // The larger ones take seconds a case; they have their turn above.
        backbone in prop::sample::select(vec![Backbone::MobilenetV2, Backbone::Resnet18, Backbone::Resnet50]),
        place in prop::sample::select(vec![ShiftPlace::Blockres, ShiftPlace::Block]),
    ) {
        let mut spec = spec(backbone, ShiftKind::Causal, place, SIZE);
        spec.shift.div = div;
        for mut model in on_both(&spec, seed) {
            let frames = Numbers::new(seed ^ 3).take(t * FRAME);
            assert_close(&clip(&mut model, &frames), &streamed(&mut model, &frames));
        }
    }

    #[test]
    fn a_batch_of_streams_equals_the_streams_alone(seed: u64, n in 2usize..5) {
        for mut model in on_both(&spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE), 1) {
        let videos: Vec<Vec<f32>> = (0..n as u64).map(|i| Numbers::new(seed ^ i).take(3 * FRAME)).collect();
        let mut states: Vec<StreamState> = videos.iter().map(|_| model.fresh_state()).collect();
        let mut batched = vec![Vec::new(); n];
        for t in 0..3 {
            let frames: Vec<f32> =
                videos.iter().flat_map(|video| video[t * FRAME..(t + 1) * FRAME].to_vec()).collect();
            let mut logits = vec![0.0; n * CLASSES];
            model.step(&frames, &mut states.iter_mut().collect::<Vec<_>>(), &mut logits).unwrap();
            for (rows, row) in batched.iter_mut().zip(logits.chunks_exact(CLASSES)) {
                rows.extend_from_slice(row);
            }
        }
        for (video, rows) in videos.iter().zip(&batched) {
            assert_close(&streamed(&mut model, video), rows);
        }
        }
    }
}

#[test]
fn a_later_frame_does_not_move_an_earlier_output() {
    for mut model in on_both(&spec(Backbone::Resnet18, ShiftKind::Causal, ShiftPlace::Blockres, SIZE), 1) {
        let mut frames = Numbers::new(5).take(5 * FRAME);
        let before = clip(&mut model, &frames);
        frames[4 * FRAME..].fill(3.0);
        let after = clip(&mut model, &frames);
        assert_eq!(before[..4 * CLASSES], after[..4 * CLASSES]);
        assert_ne!(before[4 * CLASSES..], after[4 * CLASSES..]);
    }
}

#[test]
fn an_earlier_frame_moves_a_later_output() {
    for mut model in on_both(&spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE), 1) {
        let mut frames = Numbers::new(5).take(2 * FRAME);
        let before = streamed(&mut model, &frames);
        frames[..FRAME].fill(0.5);
        let after = streamed(&mut model, &frames);
        assert_ne!(before[CLASSES..], after[CLASSES..]);
    }
}

#[test]
fn a_reset_state_is_a_fresh_one_and_a_clone_goes_its_own_way() {
    for mut model in on_both(&spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE), 1) {
        let frames = Numbers::new(9).take(2 * FRAME);
        let (first, second) = frames.split_at(FRAME);
        let mut state = model.fresh_state();
        let mut row = |state: &mut StreamState, frame: &[f32]| {
            let mut logits = vec![0.0; CLASSES];
            model.step(frame, &mut [state], &mut logits).unwrap();
            logits
        };
        row(&mut state, first);
        let mut twin = state.clone();
        assert_eq!(row(&mut state, second), row(&mut twin, second));
        state.reset();
        assert_eq!(state.age_steps(), 0);
        assert_eq!(twin.age_steps(), 2);
        assert_ne!(row(&mut state, second), row(&mut twin, second));
        assert_eq!(state.bytes(), twin.bytes());
    }
}

#[test]
fn another_networks_state_is_refused_and_the_others_stay_as_they_were() {
    let theirs = model(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE);
    for mut ours in on_both(theirs.spec(), 1) {
        let (mut own, mut foreign) = (ours.fresh_state(), theirs.fresh_state());
        ours.step(&Numbers::new(4).take(FRAME), &mut [&mut own], &mut [0.0; CLASSES]).unwrap();
        let before = ours.export_state(&own).unwrap();
        assert!(before.iter().any(|tensor| tensor.values.iter().any(|value| *value != 0.0)));
        let error = ours.step(&vec![0.0; 2 * FRAME], &mut [&mut own, &mut foreign], &mut [0.0; 2 * CLASSES]);
        assert!(matches!(error, Err(StepError::ForeignState { index: 1 })), "{error:?}");
        assert_eq!(own.age_steps(), 1);
        assert_eq!(ours.export_state(&own).unwrap(), before);
        assert!(matches!(ours.export_state(&foreign), Err(StepError::ForeignState { .. })));
    }
}

#[test]
fn frames_of_another_size_are_refused() {
    for mut model in on_both(&spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE), 1) {
        let mut state = model.fresh_state();
        model.step(&Numbers::new(4).take(FRAME), &mut [&mut state], &mut [0.0; CLASSES]).unwrap();
        let before = model.export_state(&state).unwrap();
        let error = model.step(&[0.0; 5], &mut [&mut state], &mut [0.0; CLASSES]);
        assert!(matches!(error, Err(StepError::Length { what: "frames", found: 5, .. })), "{error:?}");
        let error = model.step(&[0.0; FRAME], &mut [&mut state], &mut [0.0; 3]);
        assert!(matches!(error, Err(StepError::Length { what: "logits", found: 3, .. })), "{error:?}");
        assert_eq!((state.age_steps(), model.export_state(&state).unwrap()), (1, before));
    }
}

#[test]
fn a_two_way_network_labels_clips_and_refuses_streams() {
    let mut model = model(Backbone::Resnet18, ShiftKind::Mit, ShiftPlace::Blockres, SIZE);
    let frames = Numbers::new(3).take(4 * FRAME);
    assert_eq!(clip(&mut model, &frames).len(), 4 * CLASSES);
    let mut state = model.fresh_state();
    let error = model.step(&frames[..FRAME], &mut [&mut state], &mut [0.0; CLASSES]);
    assert!(matches!(error, Err(StepError::NotStreamable)), "{error:?}");
}

#[test]
fn a_clip_may_have_any_multiple_of_32_and_nothing_else() {
    for mut model in on_both(&spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE), 1) {
        let clip = |h, w| Tensor::zeros((1, 1, 3, h, w), tsm_model::DType::F32, &Device::Cpu).unwrap();
        assert!(model.forward_clip(&clip(64, 96)).is_ok());
        assert!(matches!(model.forward_clip(&clip(40, 64)), Err(StepError::ClipShape { .. })));
    }
}
