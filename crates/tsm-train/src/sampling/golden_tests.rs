//! Every sampler against `golden/sampling.json`, and laws over random clips. Tests only.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::draws::Draws;
use crate::shared_data::shared;

/// Every draw the smallest.
struct Lowest;
/// Every draw the largest.
struct Highest;

impl Draw for Lowest {
    fn below(&mut self, _n: usize) -> usize {
        0
    }
}

impl Draw for Highest {
    fn below(&mut self, n: usize) -> usize {
        n.saturating_sub(1)
    }
}

/// The cases of one system; calls `check(frames, segments, field)`, where `field` gives 0-based indices.
fn for_each_case(
    system: &str,
    [frames, segments, length]: [&str; 3],
    check: impl Fn(usize, usize, &dyn Fn(&str, u64) -> Option<Vec<usize>>),
) {
    let Some(path) = shared("golden/sampling.json") else { return };
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = golden[system]["cases"].as_array().unwrap();
    let number = |case: &Value, name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
    let mut checked = 0;
    for case in cases {
        if case.get(length).is_some_and(|length| length != 1) {
            continue;
        }
        let field = |name: &str, base: u64| {
            let indices = case.get(name)?.as_array()?;
            Some(
                indices
                    .iter()
                    .map(|index| usize::try_from(index.as_u64().unwrap() - base).unwrap())
                    .collect(),
            )
        };
        check(number(case, frames), number(case, segments), &field);
        checked += 1;
    }
    assert!(checked > 50, "{system}: {checked} cases");
}

#[track_caller]
fn same(found: &[usize], expected: Option<Vec<usize>>, what: &str, frames: usize, segments: usize) {
    if let Some(expected) = expected {
        assert_eq!(found, expected, "{what}: {frames} frames, {segments} segments");
    }
}

#[test]
fn mit_samples_are_the_references() {
    let rule = UniformRule::Mit;
    for_each_case("mit", ["num_frames", "num_segments", "new_length"], |n, s, golden| {
        same(&uniform::train(rule, n, s, &mut Lowest), golden("train_lo", 1), "train_lo", n, s);
        same(&uniform::train(rule, n, s, &mut Highest), golden("train_hi", 1), "train_hi", n, s);
        same(&uniform::validate(rule, n, s), golden("val", 1), "val", n, s);
        same(&uniform::test(rule, n, s), golden("test", 1), "test", n, s);
        let pts = vec![Duration::ZERO; n];
        let twice =
            Sampling::Uniform(rule).evaluate(Phase::Test, Timeline { pts: &pts }, s, ClipCount::Twice);
        same(&twice, golden("test_twice", 1), "twice", n, s);
        for (mut draw, name) in [(Box::new(Lowest) as Box<dyn Draw>, "lo"), (Box::new(Highest), "hi")] {
            let dense = dense::one(n, s, &mut *draw);
            same(&dense, golden(&format!("train_dense_{name}"), 1), "train_dense", n, s);
            same(&dense, golden(&format!("val_dense_{name}"), 1), "val_dense", n, s);
        }
        same(&dense::ten(n, s), golden("test_dense10", 1), "dense10", n, s);
    });
}

#[test]
fn paddle_samples_are_the_references() {
    let rule = UniformRule::PaddleV151;
    for_each_case("paddle_v151", ["num_frames", "seg_num", "seglen"], |n, s, golden| {
        same(&uniform::train(rule, n, s, &mut Lowest), golden("train_lo", 0), "train_lo", n, s);
        same(&uniform::train(rule, n, s, &mut Highest), golden("train_hi", 0), "train_hi", n, s);
        for name in ["valid_test_infer_pkl", "valid_test_infer_mp4"] {
            same(&uniform::test(rule, n, s), golden(name, 0), name, n, s);
            same(&uniform::validate(rule, n, s), golden(name, 0), name, n, s);
        }
    });
}

#[test]
fn paddlevideo_samples_are_the_references() {
    let rule = UniformRule::PaddleVideo;
    for_each_case("paddlevideo_2x_select_left", ["num_frames", "num_seg", "-"], |n, s, golden| {
        for (kind, base) in [("frame", 1), ("video", 0)] {
            let (lowest, highest) = (format!("train_{kind}_lo"), format!("train_{kind}_hi"));
            same(&uniform::train(rule, n, s, &mut Lowest), golden(&lowest, base), &lowest, n, s);
            same(&uniform::train(rule, n, s, &mut Highest), golden(&highest, base), &highest, n, s);
            let valid = format!("valid_{kind}");
            same(&uniform::validate(rule, n, s), golden(&valid, base), &valid, n, s);
        }
    });
}

#[test]
fn mmaction_samples_are_the_references() {
    let rule = UniformRule::MmAction;
    for_each_case("mmaction2", ["total_frames", "num_clips", "-"], |n, s, golden| {
        same(&uniform::train(rule, n, s, &mut Lowest), golden("train_lo", 0), "train_lo", n, s);
        same(&uniform::train(rule, n, s, &mut Highest), golden("train_hi", 0), "train_hi", n, s);
        same(&uniform::test(rule, n, s), golden("test", 0), "test", n, s);
        let twice = [uniform::test(rule, n, s), uniform::second(n, s)].concat();
        same(&twice, golden("test_twice", 0), "twice", n, s);
        same(&dense::ten(n, s), golden("test_dense10", 0), "dense10", n, s);
    });
}

fn samplings() -> impl Strategy<Value = Sampling> {
    prop_oneof![
        Just(Sampling::Uniform(UniformRule::Mit)),
        Just(Sampling::Uniform(UniformRule::PaddleV151)),
        Just(Sampling::Uniform(UniformRule::PaddleVideo)),
        Just(Sampling::Uniform(UniformRule::MmAction)),
        Just(Sampling::Dense),
        (1.0_f64..300.0)
            .prop_map(|interval_millis| Sampling::FixedInterval { interval_millis, short: ShortClip::Loop }),
    ]
}

proptest! {
    #[test]
    fn every_index_is_a_frame_of_the_clip(
        sampling in samplings(), frames in 1_usize..200, segments in 1_usize..33, seed: u64,
    ) {
        let pts: Vec<Duration> = (0..200).take(frames).map(|i| Duration::from_millis(i * 33)).collect();
        let clip = Timeline { pts: &pts };
        let train = sampling.train(clip, segments, &mut Draws::for_clip(seed, 0, 0));
        prop_assert_eq!(train.len(), segments);
        prop_assert!(train.iter().all(|index| *index < frames), "{:?}", train);
        for clips in [ClipCount::One, ClipCount::Twice, ClipCount::DenseTen] {
            for phase in [Phase::Validate, Phase::Test] {
                let indices = sampling.evaluate(phase, clip, segments, clips);
                prop_assert_eq!(indices.len(), segments * clips.count());
                prop_assert!(indices.iter().all(|index| *index < frames), "{:?}", indices);
            }
        }
    }
}
