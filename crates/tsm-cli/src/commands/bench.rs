//! `tsm bench`: what a step costs on this machine.
//!
//! ```text
//! model ─ load ─► step, step, … for a few seconds ─► p50, p99, frames/s │ beside them: memory, state, the floor
//! ```
//!
//! The floor is the plan's multiply-adds over what the kernels do on one core with everything in the nearest cache,
//! times the threads that run at once: no plan that makes all of them can be faster, and the share tells how close
//! this one comes. Optical flow is no part of the plan: where a model looks at it, the times hold it and the floor
//! does not, so the share is smaller than the plan's own.

use std::time::{Duration, Instant};

use serde_json::json;
use tsm_kernels::bias_activation::Activation;
use tsm_kernels::blocked::{Conv, Filter, Inputs, Layout, Places, Team};
use tsm_kernels::cpu_level::CpuLevel;
use tsm_model::{ExecutorChoice, Model, MotionFeatures, PlanOptions, StreamState};
use tsm_selftest::{Machine, StepTimes};

use crate::args::BenchArgs;
use crate::exit_code::{Exit, Failure};
use crate::model_source;
use crate::talk;

/// How long steps are run for: long enough for a p99 of a small network.
const MEASURED: Duration = Duration::from_secs(3);

/// Steps before the first that counts: caches fill, the arena grows, the clock of the CPU rises.
const WARM_UP_STEPS: usize = 5;

/// Steps at least, however slow.
const FEWEST_STEPS: usize = 10;

/// What was measured.
struct Figures {
    /// Every step, in order.
    millis: Vec<f64>,
    p50_millis: f64,
    p99_millis: f64,
    /// From frames on the device to logits on the host, where frames stay on one.
    on_device_p50_millis: Option<f64>,
    frames_hz: f64,
    resident_bytes: Option<u64>,
    state_bytes: usize,
    motion_features: MotionFeatures,
    /// On a processor; a GPU's is in ARCHITECTURE.md. Without optical flow, which the times hold.
    floor_millis: Option<f64>,
}

/// Prints what a step costs.
///
/// # Errors
/// A model that cannot be used, or that cannot label a stream.
pub(crate) fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    let checkpoint = model_source::open_for_streams(&args.model)?;
    let mut options = PlanOptions::default();
    options.threads = args.threads.unwrap_or(options.threads);
    let choice = ExecutorChoice::Fastest(options);
    let device = args.device.open()?;
    let (dtype, precision) = (args.data_type.dtype(), args.data_type.name());
    let (is_cpu, machine) = (device.is_cpu(), Machine::of(&device));
    let mut model = Model::load_with(&checkpoint, device, dtype, choice)?;
    drop(checkpoint);
    let (batch, threads) = (args.batch.get(), options.threads.get());
    let figures = measure(&mut model, batch, is_cpu.then_some(threads))?;
    let source = model_source::source(&args.model);
    let title = format!("{source}: {}", super::info::one_line(model.spec()));
    let text = if args.json {
        json!({
            "model": source.to_string(), "machine": machine, "precision": precision, "cpu": options.level.name(),
            "threads": threads, "batch": batch,
            "p50_millis": figures.p50_millis, "p99_millis": figures.p99_millis,
            "on_device_p50_millis": figures.on_device_p50_millis, "frames_hz": figures.frames_hz,
            "resident_bytes": figures.resident_bytes, "state_bytes": figures.state_bytes,
            "floor_millis": figures.floor_millis, "floor_share": figures.floor_millis.map(|floor| floor / figures.p50_millis),
            "ms": figures.millis,
        })
        .to_string()
    } else {
        as_text(&title, &machine, batch, threads, &figures)
    };
    talk::result(&text)?;
    Ok(Exit::Done)
}

fn measure(model: &mut Model, batch: usize, threads: Option<usize>) -> Result<Figures, Failure> {
    let classes = model.spec().classes.len();
    let multiply_adds = model.multiply_adds() * batch;
    let mut frames = model.frame_memory(batch);
    let input = &model.spec().input;
    let levels: Vec<u8> = (0u8..251).cycle().take(frames.frames().len()).collect();
    frames.write_rgb(&levels, input.pixels(), input.mean, input.std);
    let mut logits = vec![0.0; batch * classes];
    let mut states: Vec<StreamState> = (0..batch).map(|_| model.fresh_state()).collect();
    let mut borrowed: Vec<&mut StreamState> = states.iter_mut().collect();
    for _ in 0..WARM_UP_STEPS {
        model.step(&frames, &mut borrowed, &mut logits)?;
    }
    let mut millis = Vec::new();
    let start = now();
    while start.elapsed() < MEASURED || millis.len() < FEWEST_STEPS {
        let began = now();
        model.step(&frames, &mut borrowed, &mut logits)?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let on_device_p50_millis = median_on_device(model, &mut borrowed, &mut logits)?;
    let times = StepTimes::of(millis.clone()).expect("FEWEST_STEPS is above 0");
    Ok(Figures {
        p50_millis: times.percentile(50),
        p99_millis: times.percentile(99),
        on_device_p50_millis,
        frames_hz: times.frames_hz(batch),
        resident_bytes: resident_bytes(),
        motion_features: model.spec().motion_features,
        state_bytes: borrowed.first().map_or(0, |state| state.bytes()),
        floor_millis: threads
            .map(|threads| lossless(multiply_adds) / (multiply_adds_a_milli() * lossless(at_once(threads)))),
        millis,
    })
}

/// The median of steps whose frames are on the device already; none where frames do not stay.
fn median_on_device(
    model: &mut Model,
    states: &mut [&mut StreamState],
    logits: &mut [f32],
) -> Result<Option<f64>, Failure> {
    let mut millis = Vec::new();
    let start = now();
    while start.elapsed() < MEASURED / 3 || millis.len() < FEWEST_STEPS {
        let began = now();
        if !model.step_again(states, logits)? {
            return Ok(None);
        }
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(StepTimes::of(millis).map(|times| times.percentile(50)))
}

/// Multiply-adds that one core does in a millisecond, with everything in its nearest cache: the best of many tries.
fn multiply_adds_a_milli() -> f64 {
    /// A tile's worth of pixels, and channels that fit the cache beside their weights.
    const PIXELS: usize = 14;
    const CHANNELS: [usize; 2] = [128, 32];
    const RUNS: usize = 50;
    const TRIES: usize = 200;
    let layout = |channels| Layout::blocked(channels, 1, PIXELS, 0);
    let [input, output] = CHANNELS.map(layout);
    let places = Places { input, output, residual: None, patch_blocks: 0 };
    let (weight, bias) = (vec![0.01; CHANNELS[0] * CHANNELS[1]], vec![0.0; CHANNELS[1]]);
    let conv = Conv::new(CpuLevel::detected(), places, Filter::POINTWISE, &weight, &bias, Activation::None);
    let (x, mut y, mut alone) = (vec![0.5; input.len()], vec![0.0; output.len()], Team::new(1));
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let began = now();
        for _ in 0..RUNS {
            conv.run(&mut alone, 1, Inputs { x: &x, patch: None, residual: None }, &mut y);
        }
        best = best.min(began.elapsed().as_secs_f64() * 1000.0);
    }
    lossless(RUNS * PIXELS * CHANNELS[0] * CHANNELS[1]) / best
}

/// Of so many threads those that this machine runs at once.
fn at_once(threads: usize) -> usize {
    std::thread::available_parallelism().map_or(threads, |cores| threads.min(cores.get()))
}

/// What the process keeps in memory, where the system says.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim();
    Some(kib.parse::<u64>().ok()? * 1024)
}

fn as_text(title: &str, machine: &Machine, batch: usize, threads: usize, figures: &Figures) -> String {
    let Figures {
        millis,
        p50_millis,
        p99_millis,
        on_device_p50_millis,
        frames_hz,
        state_bytes,
        motion_features,
        floor_millis,
        ..
    } = figures;
    let memory = figures
        .resident_bytes
        .map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB resident", bytes >> 20));
    let what = match motion_features {
        MotionFeatures::None => "",
        MotionFeatures::Flow => " without the optical flow",
    };
    let on_device = on_device_p50_millis.map_or_else(String::new, |millis| {
        format!("\n  on the device    p50 {millis:.3} ms from frames there to logits on the host")
    });
    let floor = floor_millis.map(|floor| {
        format!(
            "\n  floor            {floor:.2} ms{what}: a step does {:.0} % of what the processor can",
            100.0 * floor / p50_millis
        )
    });
    let text = [
        talk::escaped(title),
        format!("  machine          {}", machine.one_line()),
        format!(
            "  a step           p50 {p50_millis:.3} ms, p99 {p99_millis:.3} ms ({} steps){on_device}",
            millis.len()
        ),
        format!("  batch, threads   {batch}, {threads}"),
        format!("  rate             {frames_hz:.0} frames/s"),
        format!("  memory           {memory}"),
        format!("  state            {state_bytes} bytes a stream"),
    ]
    .join("\n");
    text + &floor.unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn lossless(count: usize) -> f64 {
    count as f64
}
