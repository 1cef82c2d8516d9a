//! Whether the launches of a step begin before those ahead of them have ended.
//!
//! ```text
//! behind   ── launch ──┤ ── launch ──┤
//! early    ── launch ──┤
//!             ─ places, weights ─ wait ┤ ── launch ──┤
//! ```
//!
//! GPUs of 9.0 and newer can (CUDA calls it programmatic dependent launch). Where one stream's launches are short,
//! their beginnings are a good part of a step; in a large batch blocks that wait only take places. So each batch size is
//! recorded both ways, and the faster counts, if the logits are the same to the bit.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::{CUevent_flags, CUfunction_attribute_enum};
use cudarc::driver::{CudaFunction, CudaStream, DriverError};

use super::doing;
use super::graph::Graph;
use super::memory::DeviceMemory;
use crate::cuda::args::Launch;
use crate::cuda::machine::MachineError;

/// The first compute capability, as PTX counts, whose code waits by itself.
const FIRST_PTX: i32 = 90;

/// Times that each of the two runs.
const ROUNDS: usize = 6;

/// Whether the code of all `launches` is for GPUs that can: older code would not wait.
pub(super) fn is_possible(launches: &[(CudaFunction, Launch)]) -> bool {
    let version = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_PTX_VERSION;
    launches
        .iter()
        .all(|(function, _data)| function.get_attribute(version).is_ok_and(|version| version >= FIRST_PTX))
}

/// Where the logits of a step are found.
pub(super) struct Logits<'a> {
    pub(super) on_device: &'a DeviceMemory,
    pub(super) count: usize,
    /// Copies out what came back.
    pub(super) read: &'a dyn Fn(&mut [f32]),
}

/// The faster of a step's two recordings, if both say the same, else the one that begins `behind`.
pub(super) fn faster(
    stream: &Arc<CudaStream>,
    logits: &Logits<'_>,
    behind: Graph,
    early: Graph,
) -> Result<Graph, MachineError> {
    let mut micros = [f32::INFINITY; 2];
    let mut wanted: Option<Vec<u32>> = None;
    for _ in 0..ROUNDS {
        for (graph, least) in [&behind, &early].into_iter().zip(&mut micros) {
            let (took, found) = run(stream, logits, graph).map_err(doing("comparing two recordings"))?;
            *least = least.min(took);
            if *wanted.get_or_insert_with(|| found.clone()) != found {
                tracing::warn!("launches of a step do not overlap: other logits came of it");
                return Ok(behind);
            }
        }
    }
    let [of_behind, of_early] = micros;
    tracing::debug!(behind_micros = of_behind, early_micros = of_early, "a step recorded in two ways");
    Ok(if of_early < of_behind { early } else { behind })
}

/// Microseconds of a step, and the bits of its logits.
fn run(stream: &Arc<CudaStream>, logits: &Logits<'_>, graph: &Graph) -> Result<(f32, Vec<u32>), DriverError> {
    let event = || stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
    let (start, end) = (event()?, event()?);
    // What the run before has left would pass for this one's.
    logits.on_device.fill(0xFF, logits.count * size_of::<f32>())?;
    start.record(stream)?;
    graph.launch()?;
    end.record(stream)?;
    end.synchronize()?;
    let mut found = vec![0.0; logits.count];
    (logits.read)(&mut found);
    Ok((start.elapsed_ms(&end)? * 1000.0, found.into_iter().map(f32::to_bits).collect()))
}
