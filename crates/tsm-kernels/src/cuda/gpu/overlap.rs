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
use cudarc::driver::sys::CUfunction_attribute_enum;
use cudarc::driver::{CudaFunction, CudaStream, DriverError};

use super::arena::Arena;
use super::graph::{Graph, timed};
use crate::cuda::args::Launch;

/// The first compute capability, as PTX counts, whose code waits by itself.
const FIRST_PTX: i32 = 90;

/// Times that each of the two runs.
const ROUNDS: usize = 6;
/// No further round begins once all together have taken so long.
const MOST_SPENT_MICROS: f32 = 20_000.0;

/// Whether the code of all `launches` is for GPUs that can: older code would not wait.
pub(super) fn is_possible(launches: &[(CudaFunction, Launch)]) -> bool {
    let version = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_PTX_VERSION;
    launches
        .iter()
        .all(|(function, _data)| function.get_attribute(version).is_ok_and(|version| version >= FIRST_PTX))
}

/// How a step whose launches begin early compares with one whose launches begin behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Faster, with the same logits.
    Pays,
    /// Not faster.
    DoesNotPay,
    /// Other logits came of it.
    Disagrees,
}

/// Compares two recordings of a step.
pub(super) fn compare(
    stream: &Arc<CudaStream>,
    arena: &Arena,
    logits: usize,
    [behind, early]: [&Graph; 2],
) -> Result<Verdict, DriverError> {
    // The first runs warm up: their time does not count.
    let (_micros, wanted) = run(stream, arena, logits, behind)?;
    if run(stream, arena, logits, early)?.1 != wanted {
        return Ok(Verdict::Disagrees);
    }
    let (mut micros, mut spent) = ([f32::INFINITY; 2], 0.0);
    for _ in 0..ROUNDS {
        for (graph, least) in [behind, early].into_iter().zip(&mut micros) {
            let (took, found) = run(stream, arena, logits, graph)?;
            (*least, spent) = (least.min(took), spent + took);
            if found != wanted {
                return Ok(Verdict::Disagrees);
            }
        }
        if spent > MOST_SPENT_MICROS {
            break;
        }
    }
    let [of_behind, of_early] = micros;
    tracing::debug!(behind_micros = of_behind, early_micros = of_early, "a step recorded in two ways");
    Ok(if of_early < of_behind { Verdict::Pays } else { Verdict::DoesNotPay })
}

/// Microseconds of a step, and the bits of its logits.
fn run(
    stream: &Arc<CudaStream>,
    arena: &Arena,
    logits: usize,
    graph: &Graph,
) -> Result<(f32, Vec<u32>), DriverError> {
    // What the run before has left would pass for this one's, for a launch that reads too early.
    arena.forget()?;
    let micros = timed(stream, || graph.launch())?;
    let mut found = vec![0.0; logits];
    arena.read_logits(&mut found);
    Ok((micros, found.into_iter().map(f32::to_bits).collect()))
}
