//! Milliseconds a step: `cargo bench -p tsm-model --bench step`
//!
//! MobileNetV2 and ResNet-50 at 224x224 with made-up weights (the time does not depend on them), 1 and 8 streams,
//! 1 and 2 threads. Blocks of steps of all cases are run in turn, so that a busy machine is busy for all of them;
//! the best and the median of each are printed.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::num::NonZeroUsize;
use std::time::Instant;

use tsm_kernels::allocations::CountingAllocator;
use tsm_model::checkpoint::{Checkpoint, Origin, Weights};
use tsm_model::{
    Architecture, Backbone, DType, Device, ExecutorChoice, Model, ModelSpec, PlanOptions, StreamState, Tensor,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const ROUNDS: usize = 8;

/// What a block of steps takes about.
const BLOCK_MILLIS: f64 = 150.0;

type Fault = Box<dyn std::error::Error>;

struct Case {
    name: String,
    model: Model,
    states: Vec<StreamState>,
    frames: Vec<f32>,
    logits: Vec<f32>,
    millis: Vec<f64>,
    allocations: usize,
}

fn main() -> Result<(), Fault> {
    let mut cases = Vec::new();
    for backbone in [Backbone::MobilenetV2, Backbone::Resnet50] {
        let spec = ModelSpec::new(backbone, 400);
        let checkpoint = made_up(spec)?;
        for (threads, streams) in [(1, 1), (2, 1), (1, 8), (2, 8)] {
            cases.push(Case::new(&checkpoint, threads, streams)?);
        }
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.run_block()?;
        }
    }
    for case in &mut cases {
        case.millis.sort_by(f64::total_cmp);
        let (best, median) = (case.millis[0], case.millis[case.millis.len() / 2]);
        println!(
            "{}: best {best:.2} ms, median {median:.2} ms a step, {} allocations in {} steps",
            case.name,
            case.allocations,
            case.millis.len()
        );
    }
    Ok(())
}

impl Case {
    fn new(checkpoint: &Checkpoint, threads: usize, streams: usize) -> Result<Self, Fault> {
        let threads = NonZeroUsize::new(threads).ok_or("no threads")?;
        let choice = ExecutorChoice::Fastest(PlanOptions { threads, ..PlanOptions::default() });
        let model = Model::load_with(checkpoint, Device::Cpu, DType::F32, choice)?;
        let spec = model.spec();
        let name = format!("{}, {threads} threads, {streams} streams", spec.backbone);
        let frames = vec![0.1; streams * 3 * spec.input.size_px * spec.input.size_px];
        let logits = vec![0.0; streams * spec.classes.len()];
        let states = (0..streams).map(|_| model.fresh_state()).collect();
        let mut case = Self { name, model, states, frames, logits, millis: Vec::new(), allocations: 0 };
        case.step()?; // the arena grows
        Ok(case)
    }

    fn run_block(&mut self) -> Result<(), Fault> {
        let mut spent = 0.0;
        while spent < BLOCK_MILLIS {
            let (millis, allocations) = self.step()?;
            self.millis.push(millis);
            self.allocations += allocations;
            spent += millis;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(f64, usize), Fault> {
        let mut borrowed: Vec<&mut StreamState> = self.states.iter_mut().collect();
        let before = ALLOCATOR.count();
        let began = Instant::now();
        self.model.step(&self.frames, &mut borrowed, &mut self.logits)?;
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        Ok((millis, ALLOCATOR.count() - before))
    }
}

/// Weights that keep activations finite.
fn made_up(spec: ModelSpec) -> Result<Checkpoint, Fault> {
    let mut weights = Weights::default();
    for parameter in Architecture::of(&spec).parameters() {
        let value = if parameter.shape.len() > 1 { 0.01f32 } else { 1.0 };
        let count = parameter.shape.iter().product();
        weights.insert(parameter.name, Tensor::from_vec(vec![value; count], parameter.shape, &Device::Cpu)?);
    }
    Ok(Checkpoint { spec, weights, origin: Origin::Own })
}
