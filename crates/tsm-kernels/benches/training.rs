//! One training step of `MobileNetV2` through our operations and candle's autograd, and where its time goes.
//!
//! `cargo bench -p tsm-kernels --bench training [-- frames]`. Two clips of 8 frames of 224x224 (16 frames), live batch
//! norm, causal shift, mean over the segments, SGD with momentum. `scripts/bench_training.py` times PyTorch on the same
//! network. Prints every step and the best, then each kind of layer alone, forward and backward.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench measures and prints"
)]

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use tsm_kernels::bias_activation::Activation;
use tsm_kernels::cpu_level::CpuLevel;
use tsm_kernels::training::{
    FeatureMap, TemporalShift, add, batch_norm_train, conv2d, depthwise3x3, global_average_pool,
    max_pool_3x3_s2_p1, temporal_shift,
};

const SEGMENTS: usize = 8;
const CLASSES: usize = 21;
const STEPS: usize = 12;

/// Expansion, output channels, blocks, stride of the first one.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// A convolution and its batch norm.
struct Layer {
    filter: Var,
    weight: Var,
    bias: Var,
    stride: usize,
    activation: Activation,
}

impl Layer {
    fn new(shape: (usize, usize, usize, usize), stride: usize, activation: Activation) -> Result<Self> {
        let fan_out = (shape.0 * shape.2 * shape.3) as f64;
        Ok(Self {
            filter: Var::randn_f64(0.0, (2.0 / fan_out).sqrt(), shape, DType::F32, &Device::Cpu)?,
            weight: Var::ones(shape.0, DType::F32, &Device::Cpu)?,
            bias: Var::zeros(shape.0, DType::F32, &Device::Cpu)?,
            stride,
            activation,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap> {
        let (out, per_filter, kernel, _) = self.filter.dims4()?;
        let y = if per_filter == 1 && out > 1 {
            depthwise3x3(x, &self.filter, self.stride)?
        } else {
            conv2d(x, &self.filter, self.stride, kernel / 2)?
        };
        Ok(batch_norm_train(&y, &self.weight, &self.bias, 1e-5, self.activation)?.0)
    }

    fn parameters(&self) -> [&Var; 3] {
        [&self.filter, &self.weight, &self.bias]
    }
}

struct Block {
    layers: Vec<Layer>,
    residual: bool,
    shifts: bool,
}

impl Block {
    fn new(inputs: usize, outputs: usize, expansion: usize, stride: usize) -> Result<Self> {
        let hidden = inputs * expansion;
        let mut layers = Vec::new();
        if expansion > 1 {
            layers.push(Layer::new((hidden, inputs, 1, 1), 1, Activation::Relu6)?);
        }
        layers.push(Layer::new((hidden, 1, 3, 3), stride, Activation::Relu6)?);
        layers.push(Layer::new((outputs, hidden, 1, 1), 1, Activation::None)?);
        let residual = stride == 1 && inputs == outputs;
        Ok(Self { layers, residual, shifts: residual && expansion > 1 })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap> {
        let fold = x.dims4().1 / 8;
        let shift = TemporalShift { from_past: 0..fold, from_future: 0..0 };
        let mut y = if self.shifts { temporal_shift(x, SEGMENTS, &shift)? } else { x.clone() };
        for layer in &self.layers {
            y = layer.forward(&y)?;
        }
        if self.residual { add(x, &y, Activation::None) } else { Ok(y) }
    }
}

struct Network {
    first: Layer,
    blocks: Vec<Block>,
    last: Layer,
    classifier: Var,
}

impl Network {
    fn new() -> Result<Self> {
        let first = Layer::new((32, 3, 3, 3), 2, Activation::Relu6)?;
        let mut blocks = Vec::new();
        let mut inputs = 32;
        for (expansion, outputs, count, stride) in STAGES {
            for i in 0..count {
                blocks.push(Block::new(inputs, outputs, expansion, if i == 0 { stride } else { 1 })?);
                inputs = outputs;
            }
        }
        let last = Layer::new((1280, inputs, 1, 1), 1, Activation::Relu6)?;
        let classifier = Var::randn_f64(0.0, 0.01, (1280, CLASSES), DType::F32, &Device::Cpu)?;
        Ok(Self { first, blocks, last, classifier })
    }

    fn loss(&self, frames: &Tensor) -> Result<Tensor> {
        let mut x = self.first.forward(&FeatureMap::from_tensor(frames)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let features = global_average_pool(&self.last.forward(&x)?)?;
        let logits = features.matmul(&self.classifier)?.reshape(((), SEGMENTS, CLASSES))?.mean(1)?;
        // Cross entropy with class 0 for all.
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
        (shifted.exp()?.sum(1)?.log()? - shifted.narrow(1, 0, 1)?.squeeze(1)?)?.mean_all()
    }

    fn parameters(&self) -> Vec<&Var> {
        let blocks = self.blocks.iter().flat_map(|block| &block.layers);
        let layers = std::iter::once(&self.first).chain(blocks).chain([&self.last]);
        layers.flat_map(Layer::parameters).chain([&self.classifier]).collect()
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    format!("{model}, {} threads, level {}", rayon::current_num_threads(), CpuLevel::detected())
}

/// What all threads of the process have computed, in milliseconds (steps of 10 ms): unlike the clock it does not
/// count what other programs took.
fn cpu_millis() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// The most memory the process ever had, in MiB.
fn peak_memory_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) / 1024
}

fn steps(frames: usize) -> Result<()> {
    let network = Network::new()?;
    let parameters = network.parameters();
    let mut velocities: Vec<Option<Tensor>> = vec![None; parameters.len()];
    let frames = Tensor::randn(0f32, 1.0, (frames, 3, 224, 224), &Device::Cpu)?;
    println!("step   forward  backward  update    total   CPU ms");
    let mut best = f64::INFINITY;
    for step in 0..STEPS {
        let (start, cpu) = (Instant::now(), cpu_millis());
        let loss = network.loss(&frames)?;
        let forward = millis(start);
        let gradients = loss.backward()?;
        let backward = millis(start) - forward;
        for (parameter, velocity) in parameters.iter().zip(&mut velocities) {
            let gradient = gradients.get(parameter).expect("each parameter takes part");
            let new = match velocity.take() {
                Some(velocity) => ((velocity * 0.9)? + gradient)?,
                None => gradient.clone(),
            };
            parameter.set(&(parameter.as_tensor() - (&new * 0.001)?)?)?;
            *velocity = Some(new);
        }
        let total = millis(start);
        best = best.min(total);
        let update = total - forward - backward;
        println!(
            "{step:4}   {forward:7.1}  {backward:8.1}  {update:6.1}  {total:9.1}  {:7.0}   loss {:.4}",
            cpu_millis() - cpu,
            loss.to_scalar::<f32>()?
        );
    }
    println!("best {best:.1} ms, peak memory {} MiB", peak_memory_mib());
    Ok(())
}

/// Input `[n, c, h, w]` of an operation.
type Input = (usize, usize, usize, usize);

/// Best forward and backward of `run` and the two ends that it needs here, in milliseconds.
fn with_ends(input: Input, run: impl Fn(&FeatureMap) -> Result<FeatureMap>) -> Result<(f64, f64)> {
    let x = Var::randn(0f32, 1.0, input, &Device::Cpu)?;
    let one = Var::ones(input.1, DType::F32, &Device::Cpu)?;
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let map = FeatureMap::from_tensor(&x)?;
        let (map, _) = batch_norm_train(&map, &one, &one, 1e-5, Activation::Relu6)?;
        let start = Instant::now();
        let y = run(&map)?;
        best.0 = best.0.min(millis(start));
        let loss = global_average_pool(&y)?.sum_all()?;
        let start = Instant::now();
        loss.backward()?;
        best.1 = best.1.min(millis(start));
    }
    Ok(best)
}

/// Best forward and backward of `run`, less what the ends take without it.
fn operation(input: Input, run: impl Fn(&FeatureMap) -> Result<FeatureMap>) -> Result<(f64, f64)> {
    let ends = with_ends(input, |x| Ok(x.clone()))?;
    let all = with_ends(input, run)?;
    Ok((all.0, (all.1 - ends.1).max(0.0)))
}

/// A convolution with its picture: filters, inputs a filter sees, kernel, stride, input channels and side.
#[derive(Clone, Copy, PartialEq)]
struct Shape {
    out: usize,
    per_filter: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
    side: usize,
}

/// The network's convolutions in order.
fn shapes(network: &Network) -> Result<Vec<Shape>> {
    let blocks = network.blocks.iter().flat_map(|block| &block.layers);
    let mut side = 224;
    let mut shapes = Vec::new();
    for layer in std::iter::once(&network.first).chain(blocks).chain([&network.last]) {
        let (out, per_filter, kernel, _) = layer.filter.dims4()?;
        let channels = if per_filter == 1 { out } else { per_filter };
        shapes.push(Shape { out, per_filter, kernel, stride: layer.stride, channels, side });
        side = side.div_ceil(layer.stride);
    }
    Ok(shapes)
}

fn layers(frames: usize) -> Result<()> {
    let all = shapes(&Network::new()?)?;
    let mut lines: Vec<(Shape, usize, (f64, f64))> = Vec::new();
    for shape in &all {
        if lines.iter().any(|(seen, ..)| seen == shape) {
            continue;
        }
        let Shape { out, per_filter, kernel, stride, channels, side } = *shape;
        let w = Var::randn(0f32, 0.1, (out, per_filter, kernel, kernel), &Device::Cpu)?;
        let times = operation((frames, channels, side, side), |x| {
            if per_filter == 1 { depthwise3x3(x, &w, stride) } else { conv2d(x, &w, stride, kernel / 2) }
        })?;
        lines.push((*shape, all.iter().filter(|other| *other == shape).count(), times));
    }
    let sum: f64 = lines.iter().map(|(_, count, (f, b))| *count as f64 * (f + b)).sum();
    println!("\neach layer alone, its input read through a batch norm, ms of one");
    println!("                                    count  forward  backward  share");
    for (Shape { out, per_filter, kernel, stride, channels, side }, count, (f, b)) in lines {
        let kind = if per_filter == 1 { "depthwise" } else { "" };
        let share = 100.0 * count as f64 * (f + b) / sum;
        println!(
            "{kernel}x{kernel}/{stride} {channels:4} to {out:4} {side:3}x{side:<3} {kind:9}    {count}   {f:8.2}  {b:8.2}  {share:4.1}%"
        );
    }
    println!("all of them {sum:.1} ms");
    Ok(())
}

/// What `ResNet`-50 has besides.
fn resnet_layers(frames: usize) -> Result<()> {
    println!("\nResNet's                        forward  backward ms");
    for (ci, co, k, stride, side) in [
        (3, 64, 7, 2, 224),
        (64, 64, 3, 1, 56),
        (256, 512, 1, 2, 56),
        (256, 256, 3, 1, 14),
        (512, 512, 3, 1, 7),
    ] {
        let w = Var::randn(0f32, 0.1, (co, ci, k, k), &Device::Cpu)?;
        let (forward, backward) = operation((frames, ci, side, side), |x| conv2d(x, &w, stride, k / 2))?;
        println!("{k}x{k}/{stride} {ci:4} to {co:4}  {side:3}x{side:<3}   {forward:8.2}  {backward:8.2}");
    }
    let (forward, backward) = operation((frames, 64, 112, 112), max_pool_3x3_s2_p1)?;
    println!("max pool   64  112x112          {forward:8.2}  {backward:8.2}");
    Ok(())
}

fn main() -> Result<()> {
    let frames = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(2 * SEGMENTS);
    println!("cargo bench -p tsm-kernels --bench training    ({})", machine());
    println!("MobileNetV2, {frames} frames of 224x224 in clips of {SEGMENTS}\n");
    steps(frames)?;
    layers(frames)?;
    resnet_layers(frames)
}
