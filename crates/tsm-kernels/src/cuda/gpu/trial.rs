//! The GPU as the tuner's bench: a launch's output, and its time among others of its kind.
//!
//! ```text
//! output   y = NaN ─ launch ─ the first and the last bytes of y ─► host
//! time     launch once, by the clock's events; if that was short, many launches as one graph
//! ```
//!
//! In a graph launches follow each other as fast as they will in a step. One by one, those of small layers would all
//! take as long as the driver needs to ask for them.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, CudaFunction, CudaModule, CudaStream, DriverError};
use half::f16;

use super::memory::DeviceMemory;
use super::{doing, function, graph, launch};
use crate::cuda::args::Launch;
use crate::cuda::machine::MachineError;
use crate::cuda::program::Element;
use crate::cuda::tuner::Bench;

/// Values of an output that are looked at, at its start and as many at its end.
const LOOKED_AT: usize = 1 << 16;

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
    element: Element,
    has_graphs: bool,
    start: CudaEvent,
    end: CudaEvent,
}

impl<'a> Trial<'a> {
    /// On `stream`, into `slots`.
    pub(super) fn new(
        stream: &'a Arc<CudaStream>,
        module: &'a Arc<CudaModule>,
        functions: &'a mut HashMap<String, CudaFunction>,
        slots: &'a [DeviceMemory],
        element: Element,
        has_graphs: bool,
    ) -> Result<Self, MachineError> {
        let event = || stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let (start, end) =
            (event().map_err(doing("making a clock"))?, event().map_err(doing("making a clock"))?);
        Ok(Self { stream, module, functions, slots, element, has_graphs, start, end })
    }

    /// Microseconds that the GPU takes for what `issue` asks for.
    fn timed(&self, issue: impl FnOnce() -> Result<(), DriverError>) -> Result<f32, DriverError> {
        self.start.record(self.stream)?;
        issue()?;
        self.end.record(self.stream)?;
        self.end.synchronize()?;
        Ok(self.start.elapsed_ms(&self.end)? * 1000.0)
    }
}

impl Bench for Trial<'_> {
    fn output(&mut self, data: &Launch) -> Result<Vec<f32>, MachineError> {
        let function = function(self.module, self.functions, &data.kernel)?;
        let slot = self.slots.iter().find(|slot| slot.address() == data.args.y && slot.bytes() > 0);
        let slot = slot.ok_or_else(|| MachineError::NoKernel(format!("{}, for no slot", data.kernel)))?;
        let element = if data.args.is_f32_out != 0 { Element::F32 } else { self.element };
        let values = usize::try_from(i64::from(data.args.rows) * i64::from(data.args.out_c)).unwrap_or(0);
        let looked_at = LOOKED_AT.min(values);
        let run = || -> Result<Vec<f32>, DriverError> {
            slot.fill(0xFF, values * element.bytes(), self.stream)?;
            launch(&function, data, self.stream)?;
            self.stream.synchronize()?;
            let mut seen = Vec::with_capacity(2 * looked_at);
            for from in [0, values - looked_at] {
                match element {
                    Element::F32 => seen.extend(slot.read_from::<f32>(from, looked_at)?),
                    Element::F16 => {
                        seen.extend(slot.read_from::<f16>(from, looked_at)?.into_iter().map(f16::to_f32));
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
        let alone = self.timed(once).map_err(&timing)?;
        let [least, most] = REPEATS;
        let repeats =
            (least..most).find(|repeats| f32::from(*repeats) * alone >= REPEATED_MICROS).unwrap_or(most);
        let issue = || (0..repeats).try_for_each(|_| once());
        if !self.has_graphs || repeats == least {
            let micros = self.timed(issue).map_err(&timing)?;
            return Ok((micros / f32::from(repeats)).min(alone));
        }
        let graph = graph::record(self.stream, || issue().map_err(&timing))?;
        let mut fastest = alone;
        for _ in 0..2 {
            fastest = fastest.min(self.timed(|| graph.launch()).map_err(&timing)? / f32::from(repeats));
        }
        Ok(fastest)
    }
}
