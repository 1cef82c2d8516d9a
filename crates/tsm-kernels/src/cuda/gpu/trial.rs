//! The GPU as the tuner's bench: a launch's output, and its time among others of its kind.
//!
//! ```text
//! output   y, partial sums = NaN ─ launch ─ stretches all over y ─► host
//! time     launch once, by the clock's events; if that was short, many launches as one graph
//! ```
//!
//! In a graph launches follow each other as fast as they will in a step. One by one, those of small layers would all
//! take as long as the driver needs to ask for them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaFunction, CudaModule, CudaStream, DriverError};
use half::f16;

use super::memory::DeviceMemory;
use super::{Arena, doing, function, graph, launch};
use crate::cuda::args::Launch;
use crate::cuda::machine::MachineError;
use crate::cuda::program::Element;
use crate::cuda::tuner::Bench;

/// Values that are looked at in one stretch: enough to meet several tiles.
const STRETCH: usize = 1 << 14;

/// Stretches of an output at most: each is a copy that is waited for.
const STRETCHES: usize = 8;

/// How long a launch is repeated for: the events tell half microseconds apart.
const REPEATED_MICROS: f32 = 150.0;
/// At least, and at most, so often.
const REPEATS: [u16; 2] = [2, 24];

/// Runs launches on a GPU whose memory is that of a step.
pub(super) struct Trial<'a> {
    stream: &'a Arc<CudaStream>,
    module: &'a Arc<CudaModule>,
    functions: &'a mut HashMap<String, CudaFunction>,
    slots: &'a [DeviceMemory],
    partial: &'a DeviceMemory,
    element: Element,
    has_graphs: bool,
}

impl<'a> Trial<'a> {
    /// On `stream`, in the memories of `arena`.
    pub(super) fn new(
        stream: &'a Arc<CudaStream>,
        module: &'a Arc<CudaModule>,
        functions: &'a mut HashMap<String, CudaFunction>,
        arena: &'a Arena,
        element: Element,
        has_graphs: bool,
    ) -> Self {
        let (slots, partial) = (arena.slots.as_slice(), &arena.partial);
        Self { stream, module, functions, slots, partial, element, has_graphs }
    }
}

impl Bench for Trial<'_> {
    fn output(&mut self, data: &Launch) -> Result<Vec<f32>, MachineError> {
        let function = function(self.module, self.functions, &data.kernel)?;
        let slot = self.slots.iter().find(|slot| slot.address() == data.args.y && slot.bytes() > 0);
        let slot = slot.ok_or_else(|| MachineError::Driver {
            doing: "trying a kernel",
            source: format!("{} writes to no slot", data.kernel).into(),
        })?;
        let element = if data.args.is_f32_out != 0 { Element::F32 } else { self.element };
        let values = usize::try_from(i64::from(data.args.rows) * i64::from(data.args.out_c)).unwrap_or(0);
        let run = || -> Result<Vec<f32>, DriverError> {
            slot.fill(0xFF, 0..values * element.bytes())?;
            self.partial.fill(0xFF, 0..self.partial.bytes())?;
            launch(&function, data, self.stream)?;
            let mut seen = Vec::with_capacity(STRETCHES * STRETCH);
            for Range { start, end } in stretches(values) {
                match element {
                    Element::F32 => seen.extend(slot.read::<f32>(start, end - start)?),
                    Element::F16 => {
                        seen.extend(slot.read::<f16>(start, end - start)?.into_iter().map(f16::to_f32));
                    }
                }
            }
            Ok(seen)
        };
        run().map_err(doing("trying a kernel"))
    }

    fn micros(&mut self, data: &Launch) -> Result<f32, MachineError> {
        let timing = doing("timing a kernel");
        let function = function(self.module, self.functions, &data.kernel)?;
        let once = || launch(&function, data, self.stream);
        let alone = graph::timed(self.stream, once).map_err(&timing)?;
        let [least, most] = REPEATS;
        let repeats =
            (least..most).find(|repeats| f32::from(*repeats) * alone >= REPEATED_MICROS).unwrap_or(most);
        let issue = || (0..repeats).try_for_each(|_| once());
        if !self.has_graphs || repeats == least {
            let micros = graph::timed(self.stream, issue).map_err(&timing)?;
            return Ok((micros / f32::from(repeats)).min(alone));
        }
        let Ok(graph) = graph::record(self.stream, || issue().map_err(&timing)) else {
            // Another thread of this process asked the GPU for something that no recording survives.
            return Ok((graph::timed(self.stream, issue).map_err(&timing)? / f32::from(repeats)).min(alone));
        };
        let mut fastest = alone;
        for _ in 0..2 {
            fastest = fastest
                .min(graph::timed(self.stream, || graph.launch()).map_err(&timing)? / f32::from(repeats));
        }
        Ok(fastest)
    }
}

/// What is looked at of `values` values: all, or stretches at equal distances from the first to the last.
fn stretches(values: usize) -> impl Iterator<Item = Range<usize>> {
    let count = values.div_ceil(STRETCH).clamp(1, STRETCHES);
    let length = STRETCH.min(values.div_ceil(count));
    (0..count).map(move |index| {
        let start = (values - length) * index / (count - 1).max(1);
        start..start + length
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_all_of_a_small_output_and_both_ends_of_a_large_one() {
        for values in
            [0, 1, 1000, STRETCH, STRETCH + 1, STRETCHES * STRETCH - 1, STRETCHES * STRETCH + 1, 1 << 24]
        {
            let seen: Vec<_> = stretches(values).collect();
            assert_eq!((seen[0].start, seen[seen.len() - 1].end), (0, values));
            if values <= STRETCHES * STRETCH {
                assert!(seen.windows(2).all(|pair| pair[1].start <= pair[0].end), "{values}: {seen:?}");
            }
            assert!(seen.len() <= STRETCHES && seen.iter().all(|one| one.len() <= STRETCH));
        }
    }
}
