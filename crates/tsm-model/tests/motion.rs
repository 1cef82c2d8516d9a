//! Motion of several streams is read on several threads: no bit shows it, and no stream sees another.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tsm_kernels::blocked::Team;
use tsm_model::motion_head::{FEATURES, MotionReader};
use tsm_model::{
    Architecture, Backbone, Model, ModelSpec, MotionFeatures, ShiftKind, ShiftPlace, StreamState,
};

use crate::made_up::{Numbers, checkpoint, spec};
use crate::still::{Mood, Still};

const SIZE: usize = 64;
const FRAME: usize = 3 * SIZE * SIZE;
const CLASSES: usize = 7;
/// More than any test has threads, and no multiple of them.
const STREAMS: usize = 11;
const STEPS: usize = 4;

/// Who runs the network: with threads of its own, or without as on a GPU.
#[derive(Debug, Clone, Copy)]
enum Threads {
    OfTheExecutor(usize),
    Beside(usize),
}

fn seeing_motion() -> ModelSpec {
    let spec = spec(Backbone::MobilenetV2, ShiftKind::Causal, ShiftPlace::Blockres, SIZE);
    ModelSpec { motion_features: MotionFeatures::Flow, ..spec }
}

fn model(threads: Threads) -> (Model, Arc<Mood>) {
    let (team, most) = match threads {
        Threads::OfTheExecutor(threads) => (Some(Team::new(threads)), 1),
        Threads::Beside(threads) => (None, threads),
    };
    let still = Still::new(&seeing_motion(), team);
    let mood = Arc::clone(&still.mood);
    let checkpoint = checkpoint(seeing_motion(), 1);
    let model = Model::seeing_motion(Box::new(still), &checkpoint, NonZeroUsize::new(most).unwrap()).unwrap();
    (model, mood)
}

/// A clip of its own for each stream.
fn videos() -> Vec<Vec<f32>> {
    (1..).take(STREAMS).map(|seed| Numbers::new(seed).take(STEPS * FRAME)).collect()
}

/// What motion says of each frame of a stream, without a model.
fn said(video: &[f32]) -> Vec<f32> {
    let weight = checkpoint(seeing_motion(), 1).weights.get(Architecture::MOTION_WEIGHT).unwrap().clone();
    let weight: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
    let motion = MotionReader::new(&seeing_motion().input).read_clips(video, STEPS, [SIZE, SIZE]);
    let weigh = |features: &[f32]| -> Vec<f32> {
        let rows = weight.chunks_exact(FEATURES);
        rows.map(|row| row.iter().zip(features).map(|(weight, feature)| weight * feature).sum()).collect()
    };
    motion.chunks_exact(FEATURES).flat_map(weigh).collect()
}

/// The `t`-th step of the streams of `videos`.
fn step(model: &mut Model, states: &mut [StreamState], videos: &[Vec<f32>], t: usize) -> Vec<f32> {
    let mut logits = vec![f32::NAN; states.len() * CLASSES];
    model.step(&frames(videos, t), &mut states.iter_mut().collect::<Vec<_>>(), &mut logits).unwrap();
    logits
}

fn frames(videos: &[Vec<f32>], t: usize) -> Vec<f32> {
    videos.iter().flat_map(|video| &video[t * FRAME..][..FRAME]).copied().collect()
}

#[test]
fn no_bit_depends_on_the_number_of_threads_or_of_streams() {
    let videos = videos();
    let said: Vec<Vec<f32>> = videos.iter().map(|video| said(video)).collect();
    for count in 1..6 {
        for threads in [Threads::OfTheExecutor(count), Threads::Beside(count)] {
            let (mut model, _) = model(threads);
            // One model for all: fewer and more streams follow each other.
            for n in [1, 2, 3, STREAMS, 5] {
                let mut states: Vec<StreamState> = (0..n).map(|_| model.fresh_state()).collect();
                for t in 0..STEPS {
                    let logits = step(&mut model, &mut states, &videos[..n], t);
                    let expected: Vec<f32> =
                        said[..n].iter().flat_map(|said| &said[t * CLASSES..][..CLASSES]).copied().collect();
                    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    // Added to logits of zero, which makes zero of minus zero.
                    let expected: Vec<f32> = expected.iter().map(|value| 0.0 + value).collect();
                    assert_eq!(bits(&logits), bits(&expected), "{threads:?}, {n} streams, frame {t}");
                }
            }
        }
    }
}

#[test]
fn a_streams_memory_stays_its_own_wherever_it_stands_in_a_step() {
    let videos = videos();
    for threads in [Threads::OfTheExecutor(3), Threads::Beside(3)] {
        let (mut model, _) = model(threads);
        let mut states: Vec<StreamState> = videos.iter().map(|_| model.fresh_state()).collect();
        let mut videos: Vec<&Vec<f32>> = videos.iter().collect();
        for t in 0..STEPS {
            let now: Vec<Vec<f32>> = videos.iter().map(|video| (*video).clone()).collect();
            let logits = step(&mut model, &mut states, &now, t);
            for (video, logits) in now.iter().zip(logits.chunks_exact(CLASSES)) {
                assert_eq!(logits, &said(video)[t * CLASSES..][..CLASSES], "{threads:?}, frame {t}");
            }
            states.rotate_left(4);
            videos.rotate_left(4);
        }
    }
}

#[test]
fn a_step_that_failed_beside_motion_leaves_all_states_as_they_were() {
    let videos = videos();
    for threads in [Threads::OfTheExecutor(3), Threads::Beside(1), Threads::Beside(3)] {
        let (mut model, mood) = model(threads);
        let mut states: Vec<StreamState> = videos.iter().map(|_| model.fresh_state()).collect();
        let mut all = Vec::new();
        for t in 0..STEPS {
            mood.fails.store(true, Ordering::Relaxed);
            // Of other frames, such that what they leave would show.
            let others = frames(&videos, (t + 1) % STEPS);
            let mut logits = vec![0.0; STREAMS * CLASSES];
            let mut borrowed: Vec<&mut StreamState> = states.iter_mut().collect();
            assert!(model.step(&others, &mut borrowed, &mut logits).is_err());
            mood.fails.store(false, Ordering::Relaxed);
            all.push(step(&mut model, &mut states, &videos, t));
        }
        for (stream, video) in videos.iter().enumerate() {
            let own: Vec<f32> =
                all.iter().flat_map(|logits| &logits[stream * CLASSES..][..CLASSES]).copied().collect();
            assert_eq!(own, said(video), "{threads:?}, stream {stream}");
        }
        assert!(states.iter().all(|state| state.age_steps() == 4));
    }
}

#[test]
fn a_state_that_a_panic_left_behind_has_forgotten_motion() {
    let videos = videos();
    let (mut model, mood) = model(Threads::Beside(2));
    let mut states: Vec<StreamState> = videos.iter().map(|_| model.fresh_state()).collect();
    let bytes = states[0].bytes();
    for t in 0..2 {
        step(&mut model, &mut states, &videos, t);
    }
    mood.panics.store(true, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(|| step(&mut model, &mut states, &videos, 2)));
    assert!(result.is_err());
    mood.panics.store(false, Ordering::Relaxed);
    for t in 0..STEPS {
        let logits = step(&mut model, &mut states, &videos, t);
        for (video, logits) in videos.iter().zip(logits.chunks_exact(CLASSES)) {
            assert_eq!(logits, &said(video)[t * CLASSES..][..CLASSES], "as from a fresh state");
        }
    }
    assert!(states.iter().all(|state| state.bytes() == bytes));
}
