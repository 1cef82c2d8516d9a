//! Whether the launches of a step begin before those ahead of them have ended.
//!
//! ```text
//! behind   ── launch ──┤ ── launch ──┤
//! early    ── launch ──┤
//!             ─ places, weights ─ wait ┤ ── launch ──┤
//! ```
//!
//! GPUs of 9.0 and newer can (CUDA calls it programmatic dependent launch). Where one stream's launches are short,
//! their beginnings are a good part of a step; in a large batch blocks that wait only take places. So the first step of
//! a power of two of streams is recorded both ways, and the faster counts, if the logits are the same to the bit.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::{CUevent_flags, CUfunction_attribute_enum};
use cudarc::driver::{CudaFunction, CudaStream, DriverError};

use super::arena::Arena;
use super::graph::Graph;
use crate::cuda::args::Launch;

/// The first compute capability, as PTX counts, whose code waits by itself.
const FIRST_PTX: i32 = 90;

/// Times that each of the two runs, unless that takes longer than this.
const ROUNDS: usize = 6;
const MOST_MICROS: f32 = 20_000.0;

/// Whether the code of all `launches` is for GPUs that can: older code would not wait.
pub(super) fn is_possible(launches: &[(CudaFunction, Launch)]) -> bool {
    let version = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_PTX_VERSION;
    launches
        .iter()
        .all(|(function, _data)| function.get_attribute(version).is_ok_and(|version| version >= FIRST_PTX))
}

/// Whether the recording whose launches begin `early` is the faster one and says what the other says.
pub(super) fn pays(
    stream: &Arc<CudaStream>,
    arena: &Arena,
    logits: usize,
    [behind, early]: [&Graph; 2],
) -> Result<bool, DriverError> {
    let mut micros = [f32::INFINITY; 2];
    let (mut wanted, mut spent): (Option<Vec<u32>>, f32) = (None, 0.0);
    for _ in 0..ROUNDS {
        for (graph, least) in [behind, early].into_iter().zip(&mut micros) {
            let (took, found) = run(stream, arena, logits, graph)?;
            (*least, spent) = (least.min(took), spent + took);
            if *wanted.get_or_insert_with(|| found.clone()) != found {
                tracing::warn!("launches of a step do not overlap: other logits came of it");
                return Ok(false);
            }
        }
        if spent > MOST_MICROS {
            break;
        }
    }
    let [of_behind, of_early] = micros;
    tracing::debug!(behind_micros = of_behind, early_micros = of_early, "a step recorded in two ways");
    Ok(of_early < of_behind)
}

/// Microseconds of a step, and the bits of its logits.
fn run(
    stream: &Arc<CudaStream>,
    arena: &Arena,
    logits: usize,
    graph: &Graph,
) -> Result<(f32, Vec<u32>), DriverError> {
    let event = || stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
    let (start, end) = (event()?, event()?);
    // What the run before has left would pass for this one's, for a launch that reads too early.
    arena.forget()?;
    start.record(stream)?;
    graph.launch()?;
    end.record(stream)?;
    end.synchronize()?;
    let mut found = vec![0.0; logits];
    arena.read_logits(&mut found);
    Ok((start.elapsed_ms(&end)? * 1000.0, found.into_iter().map(f32::to_bits).collect()))
}
