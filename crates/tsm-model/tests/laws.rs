//! What must hold for any weights: streaming is the causal clip, streams do not see each other,
//! the future does not reach back.

use proptest::prelude::*;
use tsm_kernels::normalise::planar_from_rgb;
use tsm_model::motion_head::{self, MotionReader};
use tsm_model::{
    Architecture, Backbone, Device, Frames, Model, ModelSpec, MotionFeatures, ShiftKind, ShiftPlace,
    StepError, StreamState, Tensor,
};

use crate::made_up::{Numbers, checkpoint, model, on_both, spec};

const SIZE: usize = 32;
const FRAME: usize = 3 * SIZE * SIZE;
const CLASSES: usize = 7;

/// Logits of each frame of a stream, from a fresh state.
fn streamed(model: &mut Model, frames: &[f32]) -> Vec<f32> {
    let mut state = model.fresh_state();
    frames.chunks_exact(frame_len(model)).flat_map(|frame| row(model, &mut state, frame)).collect()
}

/// Logits of a stream's next frame.
fn row(model: &mut Model, state: &mut StreamState, frame: &[f32]) -> Vec<f32> {
    let mut logits = vec![0.0; CLASSES];
    model.step(frame, &mut [state], &mut logits).unwrap();
    logits
}

fn clip(model: &mut Model, frames: &[f32]) -> Vec<f32> {
    let side = model.spec().input.size_px;
    clip_of(model, frames, [side, side])
}

/// Logits of each frame of a clip of any size.
fn clip_of(model: &mut Model, frames: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let t = frames.len() / (3 * height * width);
    let clip = Tensor::from_slice(frames, (1, t, 3, height, width), &Device::Cpu).unwrap();
    model.forward_clip(&clip).unwrap().segments.flatten_all().unwrap().to_vec1().unwrap()
}

/// Values of a frame.
fn frame_len(model: &Model) -> usize {
    3 * model.spec().input.size_px.pow(2)
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
fn seeing_motion(backbone: Backbone, kind: ShiftKind, size_px: usize) -> ModelSpec {
    let spec = spec(backbone, kind, ShiftPlace::Blockres, size_px);
    ModelSpec { motion_features: MotionFeatures::Flow, ..spec }
}

/// A network on both executors, each with its twin that does not see motion.
fn beside_blind(spec: &ModelSpec) -> impl Iterator<Item = (Model, Model)> {
    let blind = ModelSpec { motion_features: MotionFeatures::None, ..spec.clone() };
    on_both(spec, 1).into_iter().zip(on_both(&blind, 1))
}

#[test]
fn motion_streams_as_it_does_in_a_clip() {
    for (backbone, kind, size_px) in [
        (Backbone::MobilenetV2, ShiftKind::Causal, 32),
        (Backbone::MobilenetV2, ShiftKind::None, 32),
        (Backbone::Resnet18, ShiftKind::Causal, 32),
        // Flow is measured on pictures of 32, and of 48.
        (Backbone::MobilenetV2, ShiftKind::Causal, 64),
        (Backbone::MobilenetV2, ShiftKind::Causal, 96),
    ] {
        for (mut model, mut blind) in beside_blind(&seeing_motion(backbone, kind, size_px)) {
            let frames = Numbers::new(7).take(4 * frame_len(&model));
            let (seen, unseen) = (streamed(&mut model, &frames), streamed(&mut blind, &frames));
            assert_close(&clip(&mut model, &frames), &seen);
            assert_eq!(seen[..CLASSES], unseen[..CLASSES], "the first frame has no motion");
            assert_ne!(seen[CLASSES..], unseen[CLASSES..]);
        }
    }
}

#[test]
fn motion_of_a_wide_clip_is_weighed_beside_the_network() {
    let (spec, size) = (seeing_motion(Backbone::MobilenetV2, ShiftKind::Causal, 64), [64, 96]);
    let frames = Numbers::new(7).take(4 * 3 * 64 * 96);
    let motion = MotionReader::new(&spec.input).read_clips(&frames, 4, size);
    let weight = checkpoint(spec.clone(), 1).weights.get(Architecture::MOTION_WEIGHT).unwrap().clone();
    let weight: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
    let weigh = |features: &[f32]| -> Vec<f32> {
        let rows = weight.chunks_exact(motion_head::FEATURES);
        rows.map(|row| row.iter().zip(features).map(|(weight, feature)| weight * feature).sum()).collect()
    };
    let own: Vec<f32> = motion.chunks_exact(motion_head::FEATURES).flat_map(weigh).collect();
    assert!(own[..CLASSES].iter().all(|logit| *logit == 0.0) && own[CLASSES..].iter().all(|l| *l != 0.0));
    for (mut model, mut blind) in beside_blind(&spec) {
        let unseen = clip_of(&mut blind, &frames, size);
        let sum: Vec<f32> = unseen.iter().zip(&own).map(|(unseen, own)| unseen + own).collect();
        assert_close(&clip_of(&mut model, &frames, size), &sum);
    }
}

#[test]
fn a_clip_of_another_size_does_not_disturb_a_stream() {
    for mut model in on_both(&seeing_motion(Backbone::MobilenetV2, ShiftKind::Causal, 64), 1) {
        let frames = Numbers::new(7).take(4 * frame_len(&model));
        let undisturbed = streamed(&mut model, &frames);
        let mut state = model.fresh_state();
        for (frame, undisturbed) in
            frames.chunks_exact(frame_len(&model)).zip(undisturbed.chunks_exact(CLASSES))
        {
            clip_of(&mut model, &Numbers::new(8).take(2 * 3 * 96 * 32), [96, 32]);
            assert_eq!(row(&mut model, &mut state, frame), undisturbed);
        }
    }
}

#[test]
fn frames_of_bytes_have_the_bits_of_normalised_ones() {
    let blind = spec(Backbone::Resnet18, ShiftKind::Causal, ShiftPlace::Block, 32);
    for mut spec in [blind, seeing_motion(Backbone::MobilenetV2, ShiftKind::Causal, 64)] {
        (spec.input.mean, spec.input.std) = ([0.1, 0.5, 0.9], [0.2, 0.3, 0.4]);
        for mut model in on_both(&spec, 1) {
            let pixels = spec.input.pixels();
            let mut states: Vec<_> = (0..4).map(|_| model.fresh_state()).collect();
            let (ours, theirs) = states.split_at_mut(2);
            let mut normalised = vec![0.0; 2 * 3 * pixels];
            for frame in 0u8..3 {
                let rgb: Vec<u8> = (frame..=255).cycle().step_by(11).take(2 * 3 * pixels).collect();
                for (rgb, frame) in rgb.chunks_exact(3 * pixels).zip(normalised.chunks_exact_mut(3 * pixels))
                {
                    planar_from_rgb(rgb, spec.input.mean, spec.input.std, frame);
                }
                let [mut found, mut expected] = [vec![0.0; 2 * CLASSES], vec![0.0; 2 * CLASSES]];
                let mut stepped: Vec<_> = ours.iter_mut().collect();
                model.step(Frames::Rgb(&rgb), &mut stepped, &mut found).unwrap();
                let mut stepped: Vec<_> = theirs.iter_mut().collect();
                model.step(&normalised, &mut stepped, &mut expected).unwrap();
                assert_eq!(found, expected, "frame {frame}");
            }
            let short = model.step(Frames::Rgb(&[0; 5]), &mut [&mut ours[0]], &mut [0.0; CLASSES]);
            assert!(matches!(short, Err(StepError::Length { what: "frames", .. })), "{short:?}");
        }
    }
}

#[test]
fn forgotten_motion_is_unknown_at_the_next_frame_and_the_shift_goes_on() {
    for (mut model, mut blind) in beside_blind(&seeing_motion(Backbone::MobilenetV2, ShiftKind::Causal, 32)) {
        let frames = Numbers::new(7).take(4 * FRAME);
        let unseen = streamed(&mut blind, &frames);
        let mut state = model.fresh_state();
        for (index, (frame, unseen)) in
            frames.chunks_exact(FRAME).zip(unseen.chunks_exact(CLASSES)).enumerate()
        {
            if index == 2 {
                state.forget_motion();
            }
            let is_unknown = row(&mut model, &mut state, frame) == unseen;
            assert_eq!(is_unknown, index == 0 || index == 2, "frame {index}");
        }
        assert_eq!(state.age_steps(), 4);
    }
}

#[test]
fn a_refused_step_leaves_motion_as_it_was() {
    let spec = seeing_motion(Backbone::MobilenetV2, ShiftKind::Causal, 32);
    for (mut model, blind) in beside_blind(&spec) {
        let frames = Numbers::new(7).take(3 * FRAME);
        let (mut state, mut foreign) = (model.fresh_state(), blind.fresh_state());
        for frame in frames[..2 * FRAME].chunks_exact(FRAME) {
            row(&mut model, &mut state, frame);
        }
        let mut twin = state.clone();
        let last = &frames[2 * FRAME..];
        let (short, two) = (&last[..FRAME - 1], [last, last].concat());
        assert!(model.step(short, &mut [&mut state], &mut [0.0; CLASSES]).is_err());
        assert!(model.step(last, &mut [&mut state], &mut [0.0; CLASSES - 1]).is_err());
        let error = model.step(&two, &mut [&mut state, &mut foreign], &mut [0.0; 2 * CLASSES]);
        assert!(matches!(error, Err(StepError::ForeignState { index: 1 })), "{error:?}");
        assert_eq!(row(&mut model, &mut state, last), row(&mut model, &mut twin, last));
    }
}

#[test]
fn motion_is_each_streams_own_and_forgotten_with_its_state() {
    for mut model in on_both(&seeing_motion(Backbone::MobilenetV2, ShiftKind::None, SIZE), 1) {
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
