//! Our side of `benches/peers/run`: exports a network with made-up weights, or times its steps on demand.
//!
//! ```text
//! step_server export BACKBONE FOLDER        model.safetensors, network.json
//! step_server serve FOLDER THREADS BATCH    frames.f32 in the folder; each line of stdin, `N`, runs N steps
//!                                           first line of stdout: logits of the second step; then one a request: ms
//! ```

#![expect(clippy::print_stdout, reason = "the other side reads it")]
#![expect(clippy::disallowed_methods, reason = "it reads the clock")]

use std::io::BufRead;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tsm_model::architecture::{Block, ConvUnit, Shortcut};
use tsm_model::checkpoint::{Checkpoint, Origin, SpecOverrides, Storage, Weights};
use tsm_model::{
    Architecture, DType, Device, ExecutorChoice, Model, ModelSpec, PlanOptions, StreamState, Tensor,
};

type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["export", backbone, folder] => export(backbone, folder.as_ref()),
        ["serve", folder, threads, batch] => serve(folder.as_ref(), threads.parse()?, batch.parse()?),
        _ => Err("usage: step_server export BACKBONE FOLDER | serve FOLDER THREADS BATCH".into()),
    }
}

fn export(backbone: &str, folder: &Path) -> Result<(), Fault> {
    let spec = ModelSpec::new(backbone.parse()?, 400);
    let network = Architecture::of(&spec);
    std::fs::write(folder.join("network.json"), description(&spec, &network).to_string())?;
    let mut weights = Weights::default();
    for parameter in network.parameters() {
        let fan_in: usize = parameter.shape.iter().skip(1).product();
        let count: usize = parameter.shape.iter().product();
        let scale = (6.0 / f64::from(u32::try_from(fan_in.max(1))?)).sqrt();
        let (centre, spread) = match parameter.name.rsplit('.').next() {
            Some("running_mean" | "bias") => (0.0, 0.1),
            _ if parameter.shape.len() == 1 => (0.9, 0.1),
            _ => (0.0, scale),
        };
        let tensor = Tensor::rand(centre - spread, centre + spread, count, &Device::Cpu)?;
        let tensor = tensor.to_dtype(DType::F32)?.reshape(parameter.shape)?;
        weights.insert(parameter.name, tensor);
    }
    Checkpoint { spec, weights, origin: Origin::Own }
        .save(&folder.join("model.safetensors"), Storage::F32)?;
    Ok(())
}

fn serve(folder: &Path, threads: NonZeroUsize, batch: usize) -> Result<(), Fault> {
    let checkpoint = Checkpoint::open(&folder.join("model.safetensors"), &SpecOverrides::default())?;
    let choice = ExecutorChoice::Fastest(PlanOptions { threads, ..PlanOptions::default() });
    let mut model = Model::load_with(&checkpoint, Device::Cpu, DType::F32, choice)?;
    drop(checkpoint);
    let bytes = std::fs::read(folder.join("frames.f32"))?;
    let frames: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let frames = &frames[..batch * frames.len() / 8];
    let mut states: Vec<StreamState> = (0..batch).map(|_| model.fresh_state()).collect();
    let mut logits = vec![0.0; batch * model.spec().classes.len()];
    let mut millis = |steps: usize, logits: &mut [f32]| -> Result<Vec<f64>, Fault> {
        let mut all = Vec::with_capacity(steps);
        let mut borrowed: Vec<&mut StreamState> = states.iter_mut().collect();
        for _ in 0..steps {
            let began = Instant::now();
            model.step(frames, &mut borrowed, logits)?;
            all.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(all)
    };
    millis(2, &mut logits)?;
    println!("{}", json!(logits));
    for line in std::io::stdin().lock().lines() {
        println!("{}", json!(millis(line?.trim().parse()?, &mut logits)?));
    }
    Ok(())
}

/// The network for a program that knows none: its layers in order, folds included.
fn description(spec: &ModelSpec, network: &Architecture) -> Value {
    let block = |block: &Block| {
        let fold = spec.shift.folds(block.in_channels()).first.len();
        json!({
            "fold": if block.is_shifted { fold } else { 0 },
            "convs": block.convs.iter().map(conv).collect::<Vec<_>>(),
            "shortcut": match &block.shortcut {
                Shortcut::Absent => Value::Null,
                Shortcut::Identity => json!("identity"),
                Shortcut::Projection(unit) => conv(unit),
            },
            "activation": format!("{:?}", block.activation),
        })
    };
    json!({
        "size": spec.input.size_px,
        "stem": conv(&network.stem),
        "pool": network.has_stem_pool,
        "blocks": network.blocks.iter().map(block).collect::<Vec<_>>(),
        "last": network.last.as_ref().map(conv),
        "linear": network.linear,
        "classes": network.classes,
        "multiply_adds": network.multiply_adds(spec.input.size_px),
    })
}

fn conv(unit: &ConvUnit) -> Value {
    json!({
        "conv": unit.conv, "norm": unit.norm, "kernel": unit.kernel, "stride": unit.stride,
        "padding": unit.padding, "groups": unit.groups, "activation": format!("{:?}", unit.activation),
    })
}
