//! The launches of a step of one batch size, as one graph where they can be recorded.
//!
//! ```text
//! the fastest ways ─► launches ─┬─ each behind the one ahead ─► graph ─┐
//!                               └─ each beginning early ──────► graph ─┴─ the faster (overlap.rs)
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaFunction, CudaModule};

use super::graph::{self, Begin, Graph};
use super::overlap::Verdict;
use super::{Gpu, RESERVED, doing, overlap, power_below};
use crate::cuda::args::Launch;
use crate::cuda::machine::MachineError;
use crate::cuda::ways::Scale;

/// A step of one batch size.
pub(super) struct Recorded {
    /// The launches with the copy of the logits, unless graphs are switched off. It goes before the kernels it names.
    pub(super) graph: Option<Graph>,
    pub(super) launches: Vec<(CudaFunction, Launch)>,
}

impl Gpu {
    /// Looks the kernels up, and records the graph if there are graphs; says whether this size is new. The frames and
    /// the table of memories of a step are on their way already: finding out what is fastest needs them.
    pub(super) fn record(&mut self, streams: usize) -> Result<bool, MachineError> {
        if self.recorded.contains_key(&streams) {
            return Ok(false);
        }
        let power = power_below(streams);
        if self.is_tuned && !self.tuned.contains_key(&power) {
            self.tune(power)?;
        }
        let addresses = self.arena.as_ref().expect(RESERVED).addresses(&self.weights, &self.biases);
        let scale = Scale { pictures: streams, multiprocessors: self.multiprocessors };
        let stages = self.tuned.get(&power).map(|tuned| tuned.stages.clone());
        let stages = stages.unwrap_or_else(|| self.program.estimated(scale));
        let mut launches = Vec::with_capacity(stages.len());
        for stage in stages {
            let launch = self.program.launch(stage, scale, &addresses);
            launches.push((function(&self.module, &mut self.functions, &launch.kernel)?, launch));
        }
        let graph = if self.has_graphs { self.graph(streams, &launches) } else { None };
        self.recorded.insert(streams, Recorded { graph, launches });
        Ok(true)
    }

    /// The step of `launches` as a graph, unless it cannot be recorded.
    fn graph(&mut self, streams: usize, launches: &[(CudaFunction, Launch)]) -> Option<Graph> {
        let recorded = |begin| graph::record(&self.stream, || self.issue(streams, launches, begin));
        let behind = match recorded(Begin::Behind) {
            Ok(graph) => graph,
            // What another thread asks the GPU for may end a recording. One by one the launches do the same.
            Err(error) => {
                tracing::warn!("steps of {streams} streams go without a CUDA graph: {error}");
                return None;
            }
        };
        let power = power_below(streams);
        if !self.has_overlap || self.overlaps.get(&power) == Some(&false) || !overlap::is_possible(launches) {
            return Some(behind);
        }
        let early = match recorded(Begin::Early) {
            Ok(graph) => graph,
            Err(error) => {
                tracing::debug!("steps of {streams} streams: launches cannot begin early: {error}");
                return Some(behind);
            }
        };
        if self.overlaps.contains_key(&power) {
            return Some(early);
        }
        let (arena, logits) = (self.arena.as_ref().expect(RESERVED), streams * self.program.classes());
        let pays = match overlap::compare(&self.stream, arena, logits, [&behind, &early]) {
            Ok(verdict) => {
                if verdict == Verdict::Disagrees {
                    tracing::warn!("steps of {streams} streams: launches that begin early gave other logits");
                }
                verdict == Verdict::Pays
            }
            Err(error) => {
                tracing::warn!("steps of {streams} streams: launches cannot begin early: {error}");
                false
            }
        };
        self.overlaps.insert(power, pays);
        Some(if pays { early } else { behind })
    }

    /// Launches, and copies the logits back; waits for nothing. The first launch is behind what is on the stream.
    pub(super) fn issue(
        &self,
        streams: usize,
        launches: &[(CudaFunction, Launch)],
        begin: Begin,
    ) -> Result<(), MachineError> {
        for (index, (function, data)) in launches.iter().enumerate() {
            let begin = if index == 0 { Begin::Behind } else { begin };
            graph::launch_at(function, data, &self.stream, begin).map_err(doing("launching a kernel"))?;
        }
        let bytes = streams * self.program.classes() * size_of::<f32>();
        self.arena.as_ref().expect(RESERVED).fetch_logits(bytes)
    }
}

/// A kernel by its name.
pub(super) fn function(
    module: &Arc<CudaModule>,
    known: &mut HashMap<String, CudaFunction>,
    kernel: &str,
) -> Result<CudaFunction, MachineError> {
    if let Some(function) = known.get(kernel) {
        return Ok(function.clone());
    }
    let found = module
        .load_function(kernel)
        .map_err(|error| MachineError::NoKernel(format!("{kernel} ({error})")))?;
    Ok(known.entry(kernel.to_owned()).or_insert(found).clone())
}
