//! Milliseconds a step: `cargo bench -p tsm-model --bench step`
//!
//! MobileNetV2 at 224x224 with made-up weights (the time does not depend on them), 1 and 8 streams.
//! The floor is 0.30 G multiply-adds a frame over what the cores can do.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::Instant;

use tsm_model::checkpoint::{Checkpoint, Origin, Weights};
use tsm_model::{Architecture, Backbone, Device, Model, ModelSpec, StreamState, Tensor};

const STEPS: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = ModelSpec::new(Backbone::MobilenetV2, 400);
    let multiply_adds = Architecture::of(&spec).multiply_adds(spec.input.size_px);
    let mut model = Model::load(&made_up(spec)?, Device::Cpu)?;
    let cores = std::thread::available_parallelism()?;
    println!("mobilenetv2, 224x224, f32, {cores} cores, {multiply_adds} multiply-adds a frame");
    for streams in [1, 8] {
        let mut millis = step_millis(&mut model, streams)?;
        millis.sort_by(f64::total_cmp);
        let (best, median) = (millis[0], millis[millis.len() / 2]);
        println!("{streams} streams: best {best:.2} ms, median {median:.2} ms a step");
    }
    Ok(())
}

fn step_millis(model: &mut Model, streams: usize) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let frames = vec![0.1; streams * 3 * 224 * 224];
    let mut logits = vec![0.0; streams * model.spec().classes.len()];
    let mut states: Vec<StreamState> = (0..streams).map(|_| model.fresh_state()).collect();
    let mut millis = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        let mut borrowed: Vec<&mut StreamState> = states.iter_mut().collect();
        let began = Instant::now();
        model.step(&frames, &mut borrowed, &mut logits)?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(millis)
}

/// Weights that keep activations finite.
fn made_up(spec: ModelSpec) -> Result<Checkpoint, Box<dyn std::error::Error>> {
    let mut weights = Weights::default();
    for parameter in Architecture::of(&spec).parameters() {
        let value = if parameter.shape.len() > 1 { 0.01f32 } else { 1.0 };
        let count = parameter.shape.iter().product();
        weights.insert(parameter.name, Tensor::from_vec(vec![value; count], parameter.shape, &Device::Cpu)?);
    }
    Ok(Checkpoint { spec, weights, origin: Origin::Own })
}
