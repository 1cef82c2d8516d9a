//! What is known of motion frame by frame, and which layers are refused.

use super::*;
use crate::checkpoint::{Origin, Weights};
use crate::spec::{Backbone, ModelSpec};

const SQUARE: [usize; 2] = [64, 64];

/// A pattern that has moved by `(right, down)` pixels.
fn frame([height, width]: [usize; 2], (right, down): (f32, f32)) -> Vec<f32> {
    let place = |at: usize| f32::from(u16::try_from(at).unwrap());
    let value = move |x: f32, y: f32| (x * 0.2).sin() * (y * 0.17).cos() + (x * 0.1 + y * 0.13).sin();
    let row = move |y| (0..width).map(move |x| value(place(x) - right, place(y) - down));
    (0..3).flat_map(|_channel| (0..height).flat_map(row)).collect()
}

/// A stream whose motion is never the same twice.
fn stream() -> Vec<Vec<f32>> {
    [(0.0, 0.0), (2.0, 0.0), (5.0, 1.0), (4.0, 3.0), (4.0, 4.0), (1.0, 3.0)]
        .map(|at| frame(SQUARE, at))
        .into()
}

fn reader() -> MotionReader {
    MotionReader::new(&InputSpec::default())
}

/// Motion of the frames that follow on `memory`.
fn read(memory: &mut MotionMemory, frames: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut reader = reader();
    let mut motion = |frame: &Vec<f32>| {
        let mut out = vec![f32::NAN; FEATURES];
        reader.read(memory, frame, SQUARE, &mut out);
        out
    };
    frames.iter().map(&mut motion).collect()
}

fn fresh() -> MotionMemory {
    let [height, width] = SQUARE;
    MotionMemory::new(height, width)
}

#[test]
fn the_first_frame_has_no_motion_and_the_second_no_change_of_it() {
    let motion = read(&mut fresh(), &stream());
    let known = |motion: &Vec<f32>| HALVES.map(|half| motion[half.end - 1]);
    let flags: Vec<[f32; 2]> = motion.iter().map(known).collect();
    assert_eq!(flags, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]);
    for (motion, flags) in motion.iter().zip(flags) {
        for (half, is_known) in HALVES.into_iter().zip(flags) {
            let is_told = motion[half].iter().any(|feature| *feature != 0.0);
            assert_eq!(is_told, is_known > 0.0, "{motion:?}");
        }
    }
}

#[test]
fn what_is_usual_follows_the_flow_by_a_fifth_a_frame() {
    let motion = read(&mut fresh(), &stream());
    let mut usual = motion[1][..OF_FLOW].to_vec();
    for motion in &motion[2..] {
        let (flow, change) = motion.split_at(OF_FLOW + 1);
        for ((usual, own), change) in usual.iter_mut().zip(&flow[..OF_FLOW]).zip(change) {
            assert!((change - (own - *usual).abs()).abs() < 1e-5, "{change} of {own}, usual {usual}");
            *usual += 0.2 * (own - *usual);
        }
    }
}

#[test]
fn a_flow_is_that_of_its_two_frames_alone_to_the_bit() {
    let frames = stream();
    let streamed = read(&mut fresh(), &frames);
    for (pair, motion) in frames.windows(2).zip(&streamed[1..]) {
        let alone = read(&mut fresh(), pair).remove(1);
        assert_eq!(motion[..=OF_FLOW], alone[..=OF_FLOW]);
    }
    let clip = reader().read_clips(&frames.concat(), frames.len(), SQUARE);
    assert_eq!(clip, streamed.concat());
}

#[test]
fn what_was_forgotten_is_as_if_it_had_never_been_seen() {
    let frames = stream();
    let mut memory = fresh();
    read(&mut memory, &frames[..3]);
    memory.forget();
    assert_eq!(read(&mut memory, &frames[3..]), read(&mut fresh(), &frames[3..]));
}

#[test]
fn a_wide_clip_is_read_row_by_row() {
    let wide = [64, 96];
    let clip = [(0.0, 0.0), (2.0, 0.0)].map(|at| frame(wide, at)).concat();
    let motion = reader().read_clips(&clip, 2, wide);
    let by_direction = &motion[FEATURES..][..8];
    assert!(by_direction[1..].iter().all(|other| *other < 0.5 * by_direction[0]), "{by_direction:?}");
}

#[test]
fn a_layer_that_is_missing_or_of_another_shape_is_refused_with_both_shapes() {
    let head = |shape: Option<&[usize]>| {
        let spec =
            ModelSpec { motion_features: MotionFeatures::Flow, ..ModelSpec::new(Backbone::MobilenetV2, 3) };
        let mut weights = Weights::new();
        if let Some(shape) = shape {
            let tensor = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            weights.insert(Architecture::MOTION_WEIGHT, tensor);
        }
        let checkpoint = Checkpoint { spec, weights, origin: Origin::Own };
        MotionHead::of(&checkpoint)
    };
    assert!(head(Some(&[3, FEATURES])).unwrap().is_some());
    assert!(matches!(head(None), Err(ComputeError::MissingTensor { tensor: "motion.weight" })));
    for shape in [&[3, FEATURES - 1][..], &[2, FEATURES], &[FEATURES, 3], &[3 * FEATURES]] {
        match head(Some(shape)) {
            Err(ComputeError::TensorShape { found, needed, .. }) => {
                assert_eq!((found.as_slice(), needed.as_slice()), (shape, &[3, FEATURES][..]));
            }
            other => panic!("{shape:?}: {other:?}"),
        }
    }
}
