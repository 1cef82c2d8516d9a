//! What a step costs: frames on the host in, logits on the host out; and from frames on the device on, where they stay.

use std::time::Duration;

use serde::Serialize;
use tsm_model::checkpoint::Checkpoint;
use tsm_model::{Device, Model, StreamState};

use crate::clock::now;
use crate::error::SelftestError;
use crate::made_up;
use crate::memory;
use crate::plan::DataType;
use crate::step_times::StepTimes;

/// Steps before the first that counts: memory is taken, kernels are loaded, clocks rise.
const WARM_UP_STEPS: usize = 3;

/// Steps at least, however slow.
const FEWEST_STEPS: usize = 5;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// The network.
    pub network: String,
    /// Side of its pictures.
    pub size_px: usize,
    /// What it computes in.
    pub data_type: DataType,
    /// Streams of a step.
    pub streams: usize,
    /// How long the row took, with loading the network and making frames up.
    pub secs: f64,
    /// What was measured, or why nothing was.
    #[serde(flatten)]
    pub measured: Measured,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Measured {
    /// Steps were run.
    Measured {
        /// Steps that count.
        steps: usize,
        /// The median.
        p50_millis: f64,
        /// One in a hundred is slower.
        p99_millis: f64,
        /// The median from frames on the device to logits on the host, where frames stay on one.
        on_device_p50_millis: Option<f64>,
        /// Frames of all streams together.
        frames_hz: f64,
    },
    /// There is not enough memory: no fault.
    Skipped {
        /// What is missing.
        reason: String,
    },
    /// It should have run.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// Measures steps of `streams` streams for about `span`.
pub(crate) fn measure(
    checkpoint: &Checkpoint,
    device: &Device,
    data_type: DataType,
    streams: usize,
    span: Duration,
) -> Measured {
    if let Some(reason) = memory::too_many(memory::host_bytes(&checkpoint.spec, streams, device.is_cpu())) {
        return Measured::Skipped { reason };
    }
    match steps(checkpoint, device, data_type, streams, span) {
        Ok((millis, on_device)) => figures(millis, on_device, streams),
        Err(error) if error.is_out_of_memory() => {
            Measured::Skipped { reason: format!("the device is too small: {error}") }
        }
        Err(error) => Measured::Failed { reason: error.to_string() },
    }
}

fn steps(
    checkpoint: &Checkpoint,
    device: &Device,
    data_type: DataType,
    streams: usize,
    span: Duration,
) -> Result<(Vec<f64>, Vec<f64>), SelftestError> {
    let mut model = Model::load_as(checkpoint, device.clone(), data_type.dtype())?;
    let mut frames = model.frame_memory(streams);
    let input = &checkpoint.spec.input;
    let bytes = made_up::bytes(61, streams * 3 * input.pixels());
    frames.write_rgb(&bytes, input.pixels(), input.mean, input.std);
    let mut logits = vec![0.0; streams * checkpoint.spec.classes.len()];
    let mut states: Vec<StreamState> = (0..streams).map(|_| model.fresh_state()).collect();
    let mut borrowed: Vec<&mut StreamState> = states.iter_mut().collect();
    for _ in 0..WARM_UP_STEPS {
        model.step(&frames, &mut borrowed, &mut logits)?;
    }
    let (mut millis, start) = (Vec::new(), now());
    while millis.len() < FEWEST_STEPS || start.elapsed() < span {
        let began = now();
        model.step(&frames, &mut borrowed, &mut logits)?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let (mut on_device, start) = (Vec::new(), now());
    while on_device.len() < FEWEST_STEPS || start.elapsed() < span / 2 {
        let began = now();
        if !model.step_again(&mut borrowed, &mut logits)? {
            break;
        }
        on_device.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok((millis, on_device))
}

fn figures(millis: Vec<f64>, on_device: Vec<f64>, streams: usize) -> Measured {
    let Some(times) = StepTimes::of(millis) else {
        return Measured::Failed { reason: "no step was measured".to_owned() };
    };
    Measured::Measured {
        steps: times.steps(),
        p50_millis: times.percentile(50),
        p99_millis: times.percentile(99),
        on_device_p50_millis: StepTimes::of(on_device).map(|times| times.percentile(50)),
        frames_hz: times.frames_hz(streams),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_sorted_steps() {
        let millis = (0..100).rev().map(f64::from).collect();
        let Measured::Measured { steps, p50_millis, p99_millis, on_device_p50_millis, frames_hz } =
            figures(millis, vec![3.0, 1.0, 2.0], 2)
        else {
            panic!("nothing measured");
        };
        assert_eq!((steps, p50_millis, p99_millis), (100, 50.0, 99.0));
        assert_eq!(on_device_p50_millis, Some(2.0));
        assert!((frames_hz - 200.0 / 4.95).abs() < 1e-9);
    }
}
