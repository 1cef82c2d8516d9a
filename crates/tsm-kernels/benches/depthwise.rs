//! Depthwise convolution, ours beside candle's grouped one, and 1x1 convolution as product beside candle's.
//!
//! `cargo bench -p tsm-kernels --bench depthwise`. Prints the best of many runs in milliseconds. The floor of a
//! layer is reading its input and writing its output once.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use std::hint::black_box;
use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use tsm_kernels::bias_activation::Activation;
use tsm_kernels::candle_ops;
use tsm_kernels::cpu_level::CpuLevel;

/// Channels, side and stride of `MobileNetV2`'s depthwise layers.
const LAYERS: [(usize, usize, usize); 8] = [
    (32, 112, 1),
    (96, 112, 2),
    (96, 56, 1),
    (192, 28, 1),
    (384, 14, 1),
    (576, 14, 1),
    (576, 14, 2),
    (960, 7, 1),
];

/// Inputs, outputs and side of some of its 1x1 layers.
const POINTWISE: [(usize, usize, usize); 6] =
    [(16, 96, 112), (96, 24, 56), (96, 96, 56), (384, 64, 14), (160, 960, 7), (960, 960, 7)];

fn best_millis(runs: usize, mut run: impl FnMut() -> Result<Tensor>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        black_box(run()?);
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let threads = rayon::current_num_threads();
    format!("{model}, {threads} threads, level {}", CpuLevel::detected())
}

fn main() -> Result<()> {
    println!("cargo bench -p tsm-kernels --bench depthwise    ({})", machine());
    for batch in [1, 8] {
        println!("\ndepthwise 3x3, batch {batch}          ours ms   candle ms");
        for (c, side, stride) in LAYERS {
            let x = Tensor::randn(0f32, 1.0, (batch, c, side, side), &Device::Cpu)?;
            let w = Tensor::randn(0f32, 1.0, (c, 1, 3, 3), &Device::Cpu)?;
            let ours = best_millis(200, || candle_ops::depthwise_conv2d(&x, &w, stride, 1))?;
            let candle = best_millis(5, || x.conv2d(&w, 1, stride, 1, c))?;
            println!("{c:4} channels {side:3}x{side:<3} stride {stride}   {ours:8.3}  {candle:9.3}");
        }
        println!("\n1x1, batch {batch}                    ours ms   candle ms");
        for (c, o, side) in POINTWISE {
            let x = Tensor::randn(0f32, 1.0, (batch, c, side, side), &Device::Cpu)?;
            let w = Tensor::randn(0f32, 1.0, (o, c, 1, 1), &Device::Cpu)?;
            let ours = best_millis(30, || candle_ops::pointwise_conv2d(&x, &w))?;
            let candle = best_millis(30, || x.conv2d(&w, 0, 1, 1, 1))?;
            println!("{c:4} to {o:4}   {side:3}x{side:<3}            {ours:8.3}  {candle:9.3}");
        }
        println!("\nbias and ReLU6, batch {batch}         ours ms   candle ms");
        for (c, side) in [(96, 112), (96, 56), (960, 7)] {
            let x = Tensor::randn(0f32, 1.0, (batch, c, side, side), &Device::Cpu)?;
            let b = Tensor::randn(0f32, 1.0, c, &Device::Cpu)?;
            let b4 = b.reshape((1, c, 1, 1))?;
            let ours = best_millis(100, || candle_ops::bias_activation(x.clone(), &b, Activation::Relu6))?;
            let candle = best_millis(30, || x.broadcast_add(&b4)?.clamp(0f32, 6f32))?;
            println!("{c:4} channels {side:3}x{side:<3}            {ours:8.3}  {candle:9.3}");
        }
    }
    Ok(())
}
