//! A step takes nothing from the allocator once the arena has grown. A program of its own: the count is the
//! process's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::NonZeroUsize;

use tsm_kernels::allocations::CountingAllocator;
use tsm_model::{
    Backbone, DType, Device, ExecutorChoice, Model, ModelSpec, MotionFeatures, PlanOptions, ShiftKind,
    ShiftPlace,
};

#[expect(dead_code, reason = "shared with the other tests")]
mod made_up;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

#[test]
fn a_step_allocates_nothing_once_the_arena_has_grown() {
    let networks = [
        (Backbone::MobilenetV2, MotionFeatures::None),
        (Backbone::MobilenetV2, MotionFeatures::Flow),
        (Backbone::Resnet18, MotionFeatures::None),
        (Backbone::Resnet50, MotionFeatures::None),
    ];
    for (backbone, motion_features) in networks {
        let spec = made_up::spec(backbone, ShiftKind::Causal, ShiftPlace::Blockres, 64);
        let spec = ModelSpec { motion_features, ..spec };
        let checkpoint = made_up::checkpoint(spec, 1);
        let options = PlanOptions { threads: NonZeroUsize::new(2).unwrap(), ..PlanOptions::default() };
        let choice = ExecutorChoice::Fastest(options);
        let mut model = Model::load_with(&checkpoint, Device::Cpu, DType::F32, choice).unwrap();
        let (mut first, mut second) = (model.fresh_state(), model.fresh_state());
        let frames = vec![0.1; 2 * 3 * 64 * 64];
        let mut logits = vec![0.0; 2 * 7];
        // Twice: the second time the threads have slept and been woken as well.
        for _ in 0..2 {
            model.step(&frames, &mut [&mut first, &mut second], &mut logits).unwrap();
        }
        let before = ALLOCATOR.count();
        for _ in 0..5 {
            model.step(&frames, &mut [&mut first, &mut second], &mut logits).unwrap();
            model.step(&frames[..3 * 64 * 64], &mut [&mut first], &mut logits[..7]).unwrap();
        }
        assert_eq!(ALLOCATOR.count() - before, 0, "{backbone}, {motion_features:?}");
    }
}
