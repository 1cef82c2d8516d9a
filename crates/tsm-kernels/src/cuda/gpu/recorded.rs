//! The launches of a step of so many streams and one form of frames, as one graph where they can be recorded.
//!
//! ```text
//! (bytes to planes), the fastest ways ─► launches ─┬─ each behind the one ahead ─► graph ─┐
//!                                                  └─ each beginning early ──────► graph ─┴─ the faster (overlap.rs)
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaFunction, CudaModule};

use super::graph::{self, Begin, Graph};
use super::overlap::Verdict;
use super::{Gpu, RESERVED, StepKind, doing, overlap, power_below};
use crate::cuda::args::Launch;
use crate::cuda::machine::MachineError;
use crate::cuda::ways::Scale;
use crate::frames::FrameForm;

/// A step of one kind.
pub(super) struct Recorded {
    /// The launches with the copy of the logits, unless graphs are switched off. It goes before the kernels it names.
    pub(super) graph: Option<Graph>,
    pub(super) launches: Vec<(CudaFunction, Launch)>,
}

impl Gpu {
    /// Looks the kernels up, and records the graph if there are graphs; says whether this kind is new. The frames and
    /// the table of memories of a step are on their way already: finding out what is fastest needs them.
    pub(super) fn record(&mut self, step: StepKind) -> Result<bool, MachineError> {
        if self.recorded.contains_key(&step) {
            return Ok(false);
        }
        let (streams, power) = (step.streams, power_below(step.streams));
        let normalising = self.normalising(step)?;
        if self.is_tuned && !self.tuned.contains_key(&power) {
            // The layers are tried on the planes of these frames.
            if let Some((function, launch)) = &normalising {
                graph::launch(function, launch, &self.stream).map_err(doing("normalising frames"))?;
            }
            self.tune(power)?;
        }
        let addresses = self.arena.as_ref().expect(RESERVED).addresses(&self.weights, &self.biases);
        let scale = Scale { pictures: streams, multiprocessors: self.multiprocessors };
        let stages = self.tuned.get(&power).map(|tuned| tuned.stages.clone());
        let stages = stages.unwrap_or_else(|| self.program.estimated(scale));
        let mut launches = Vec::with_capacity(stages.len() + 1);
        launches.extend(normalising);
        for stage in stages {
            let launch = self.program.launch(stage, scale, &addresses);
            launches.push((function(&self.module, &mut self.functions, &launch.kernel)?, launch));
        }
        let graph = if self.has_graphs { self.graph(step, &launches) } else { None };
        self.recorded.insert(step, Recorded { graph, launches });
        Ok(true)
    }

    /// What makes planes of frames of bytes.
    fn normalising(&mut self, step: StepKind) -> Result<Option<(CudaFunction, Launch)>, MachineError> {
        if step.form == FrameForm::Normalised {
            return Ok(None);
        }
        let addresses = self.arena.as_ref().expect(RESERVED).addresses(&self.weights, &self.biases);
        let launch = self.program.normalising(step.streams, &addresses).ok_or(MachineError::NoBytes)?;
        Ok(Some((function(&self.module, &mut self.functions, &launch.kernel)?, launch)))
    }

    /// The step of `launches` as a graph, unless it cannot be recorded.
    fn graph(&mut self, step: StepKind, launches: &[(CudaFunction, Launch)]) -> Option<Graph> {
        let streams = step.streams;
        let recorded = |begin| graph::record(&self.stream, || self.issue(streams, launches, begin));
        let behind = match recorded(Begin::Behind) {
            Ok(graph) => graph,
            // What another thread asks the GPU for may end a recording. One by one the launches do the same.
            Err(error) => {
                tracing::warn!("steps of {streams} streams go without a CUDA graph: {error}");
                return None;
            }
        };
        let power = StepKind { streams: power_below(streams), ..step };
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
