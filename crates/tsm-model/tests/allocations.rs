//! A step takes nothing from the allocator once the arena has grown. A program of its own: the count is the
//! process's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::NonZeroUsize;

use tsm_kernels::allocations::CountingAllocator;
use tsm_model::{
    Backbone, DType, Device, ExecutorChoice, FrameForm, Frames, Model, ModelSpec, MotionFeatures,
    PlanOptions, ShiftKind, ShiftPlace, StreamState,
};

use still::Still;

#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
mod ledger;

#[expect(dead_code, reason = "shared with the other tests")]
mod made_up;

mod still;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const SIZE: usize = 64;
const FRAME: usize = 3 * SIZE * SIZE;

// One test, since what another does meanwhile would be counted.
#[test]
fn a_step_allocates_nothing_once_its_batch_size_was_seen() {
    let networks = [
        (Backbone::MobilenetV2, MotionFeatures::None),
        (Backbone::MobilenetV2, MotionFeatures::Flow),
        (Backbone::Resnet18, MotionFeatures::None),
        (Backbone::Resnet50, MotionFeatures::None),
    ];
    for (backbone, motion_features) in networks {
        let checkpoint = made_up::checkpoint(spec(backbone, motion_features), 1);
        let threads = NonZeroUsize::new(2).unwrap();
        let choice = ExecutorChoice::Fastest(PlanOptions { threads, ..PlanOptions::default() });
        let model = Model::load_with(&checkpoint, Device::Cpu, DType::F32, choice).unwrap();
        check(model, FrameForm::Normalised, &format!("{backbone}, {motion_features:?}"));
    }
    // Motion beside an executor that has no threads, as on a GPU.
    let spec = spec(Backbone::MobilenetV2, MotionFeatures::Flow);
    let checkpoint = made_up::checkpoint(spec.clone(), 1);
    for threads in [1, 3] {
        for form in [FrameForm::Normalised, FrameForm::Rgb] {
            let executor = Box::new(Still::new(&spec, None));
            let threads = NonZeroUsize::new(threads).unwrap();
            let model = Model::seeing_motion(executor, &checkpoint, threads).unwrap();
            check(model, form, &format!("{threads} threads beside a step of {form:?} frames"));
        }
    }
    #[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
    check_cuda_executor();
}

/// Neither the host nor the machine is asked for memory, whichever streams are reset in between.
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
fn check_cuda_executor() {
    use std::sync::atomic::Ordering;

    const STREAMS: usize = 3;
    let spec = spec(Backbone::MobilenetV2, MotionFeatures::None);
    let (executor, memories) = ledger::executor(&spec);
    let mut model = Model::with_executor(Box::new(executor));
    let frames = vec![0.1; STREAMS * FRAME];
    let mut logits = vec![0.0; STREAMS * spec.classes.len()];
    let mut states: Vec<StreamState> = (0..STREAMS).map(|_| model.fresh_state()).collect();
    let mut states: Vec<&mut StreamState> = states.iter_mut().collect();
    // A stream's first two steps take its two memories.
    for _ in 0..2 {
        model.step(&frames, &mut states, &mut logits).unwrap();
    }
    let before = (memories.load(Ordering::Relaxed), ALLOCATOR.count());
    for turn in 0..24 {
        // Each in another rhythm: before every step, before every second, before every third.
        for (stream, state) in states.iter_mut().enumerate() {
            if turn % (stream + 1) == 0 {
                state.reset();
            }
        }
        model.step(&frames, &mut states, &mut logits).unwrap();
        assert!(model.step_again(&mut states, &mut logits).unwrap());
    }
    assert_eq!((memories.load(Ordering::Relaxed), ALLOCATOR.count()), before, "memories, blocks of the host");
    assert_eq!(before.0, 1 + 2 * STREAMS, "two a stream beside the zeros");
}

fn spec(backbone: Backbone, motion_features: MotionFeatures) -> ModelSpec {
    let spec = made_up::spec(backbone, ShiftKind::Causal, ShiftPlace::Blockres, SIZE);
    ModelSpec { motion_features, ..spec }
}

/// Steps of one stream up to five.
fn check(mut model: Model, form: FrameForm, what: &str) {
    const STREAMS: usize = 5;
    let classes = model.spec().classes.len();
    let (values, bytes) = (vec![0.1; STREAMS * FRAME], vec![100; STREAMS * FRAME]);
    let frames = match form {
        FrameForm::Normalised => Frames::Normalised(&values),
        FrameForm::Rgb => Frames::Rgb(&bytes),
    };
    let mut logits = vec![0.0; STREAMS * classes];
    let mut states: Vec<StreamState> = (0..STREAMS).map(|_| model.fresh_state()).collect();
    let mut states: Vec<&mut StreamState> = states.iter_mut().collect();
    let mut step = |n: usize| {
        model.step(frames.first(n * FRAME), &mut states[..n], &mut logits[..n * classes]).unwrap();
    };
    // The largest twice: the second time the threads have slept and been woken as well.
    [1, 2, 3, 4, 5, 5].into_iter().for_each(&mut step);
    let before = ALLOCATOR.count();
    for _ in 0..5 {
        [5, 2, 1, 3].into_iter().for_each(&mut step);
    }
    assert_eq!(ALLOCATOR.count() - before, 0, "{what}");
}
