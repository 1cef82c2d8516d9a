//! The floor on paper: how fast a step could be on a GPU, from the network's own costs. Nothing is measured here.
//!
//! `cargo run --release --locked --example gpu_floor` prints the table of ARCHITECTURE.md.
//!
//! A layer takes at least its arithmetic at the card's peak, and at least its bytes at the memory's rate: weights once
//! a step, inputs and outputs once a stream. The layers follow one another, and each is a launch.

#![expect(clippy::print_stdout, reason = "an example prints")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]

use tsm_model::architecture::LayerCost;
use tsm_model::{Architecture, Backbone, ModelSpec};

/// What the maker says a card does (dense, no sparsity).
struct Card {
    name: &'static str,
    /// Terabytes a second of its memory.
    memory: f64,
    /// Tera multiply-adds and adds a second outside the tensor cores, in f32.
    f32: f64,
    /// The same in the tensor cores, in f16.
    f16: f64,
}

const CARDS: [Card; 3] = [
    Card { name: "H200 SXM", memory: 4.8, f32: 67.0, f16: 989.0 },
    Card { name: "L4", memory: 0.3, f32: 30.3, f16: 121.0 },
    Card { name: "Jetson AGX Orin", memory: 0.205, f32: 5.3, f16: 42.5 },
];

/// Microseconds between the starts of two small kernels of a CUDA graph: an assumption, from NVIDIA's own posts.
const LAUNCH_MICROS: f64 = 1.3;

/// Launches and copies that are no layer's: frames in, the head's mean, logits out, and the stem's pool of a `ResNet`.
fn other_launches(backbone: Backbone) -> usize {
    if backbone == Backbone::MobilenetV2 { 3 } else { 4 }
}

fn main() {
    println!("| network | streams | type | launches | GFLOP | MB | H200 SXM | L4 | Jetson AGX Orin |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for backbone in [Backbone::MobilenetV2, Backbone::Resnet50] {
        let spec = ModelSpec::new(backbone, 400);
        let apart = Architecture::of(&spec).layer_costs(spec.input.size_px);
        let (fused, others) = (fused(&apart), other_launches(backbone));
        for streams in [1, 64] {
            for (data_type, bytes) in [("f32", 4.0), ("f16", 2.0)] {
                let columns = format!("{streams} | {data_type}");
                println!("| {backbone} | {columns} | {} |", row(&apart, others, streams, bytes));
                if fused.len() < apart.len() {
                    println!("| … fused | {columns} | {} |", row(&fused, others, streams, bytes));
                }
            }
        }
    }
    let rows = CARDS.each_ref().map(|card| {
        let Card { name, memory, f32, f16 } = card;
        format!("{name}: {memory} TB/s, {f32} TFLOPS f32, {f16} TFLOPS f16")
    });
    println!("\n{}; {LAUNCH_MICROS} us a launch", rows.join("; "));
}

/// Launches, GFLOP, MB, and the floor of each card.
fn row(layers: &[LayerCost], others: usize, streams: usize, bytes: f64) -> String {
    let launches = layers.len() + others;
    let flops: f64 = layers.iter().map(|layer| flops(layer, streams)).sum();
    let traffic: f64 = layers.iter().map(|layer| values(layer, streams) * bytes).sum();
    let [a, b, c] =
        CARDS.each_ref().map(|card| in_words(floor_micros(layers, card, streams, bytes, launches)));
    format!("{launches} | {:.1} | {:.0} | {a} | {b} | {c}", flops / 1e9, traffic / 1e6)
}

/// The same layers where every 3x3 depthwise convolution is made by the one behind it, and never written down.
fn fused(layers: &[LayerCost]) -> Vec<LayerCost> {
    let mut fused: Vec<LayerCost> = Vec::new();
    let mut before: Option<&LayerCost> = None;
    for layer in layers {
        let is_depthwise = layer.multiply_adds == 9 * layer.outputs;
        if is_depthwise {
            before = Some(layer);
            continue;
        }
        let mut layer = layer.clone();
        if let Some(depthwise) = before.take() {
            layer.multiply_adds += depthwise.multiply_adds;
            layer.weights += depthwise.weights;
            layer.inputs = layer.inputs - depthwise.outputs + depthwise.inputs;
        }
        fused.push(layer);
    }
    fused
}

fn flops(layer: &LayerCost, streams: usize) -> f64 {
    2.0 * (layer.multiply_adds * streams) as f64
}

fn values(layer: &LayerCost, streams: usize) -> f64 {
    (layer.weights + (layer.inputs + layer.outputs) * streams) as f64
}

/// The work of all layers, or the launches, whichever is longer: the next kernel starts while one works.
fn floor_micros(layers: &[LayerCost], card: &Card, streams: usize, bytes: f64, launches: usize) -> f64 {
    let peak = if bytes > 2.0 { card.f32 } else { card.f16 };
    let work = layers.iter().map(|layer| {
        // Tera a second is mega a microsecond.
        let arithmetic = flops(layer, streams) / (peak * 1e6);
        let memory = values(layer, streams) * bytes / (card.memory * 1e6);
        arithmetic.max(memory).max(LAUNCH_MICROS)
    });
    work.sum::<f64>() + (launches - layers.len()) as f64 * LAUNCH_MICROS
}

fn in_words(micros: f64) -> String {
    if micros < 1000.0 { format!("{micros:.0} us") } else { format!("{:.1} ms", micros / 1000.0) }
}
