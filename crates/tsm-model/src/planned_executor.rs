//! The fast executor: one network planned for one picture size on the CPU, in f32.
//!
//! ```text
//! load   Architecture + Weights ─ plan.rs ─► steps: packed weights, layouts, slots of the arena
//! step   frames ─► arena ─ steps, each over all threads ─► logits
//!                   ▲ └─ shift: a stream's fold changes places with this frame's
//!                   └─ grows with the first batch of a size; nothing is allocated after
//! ```
//!
//! Its outputs are those of [`CandleExecutor`] but for the order of sums. Whole clips go to that one, made when the
//! first clip comes: clips have any size and may shift both ways, a plan has one size and one frame at a time.

use std::fmt;
use std::num::NonZeroUsize;

use candle_core::{DType, Device, Tensor};
use tsm_kernels::blocked::{Team, planar_from_state};
use tsm_kernels::cpu_level::CpuLevel;
use tsm_kernels::frames::{Frames, NormalisedFrames};

use crate::architecture::Architecture;
use crate::candle_executor::CandleExecutor;
use crate::checkpoint::{Checkpoint, Weights};
use crate::device::ComputeError;
use crate::executor::{
    ClipLogits, Executor, ExecutorId, StateBody, StateTensor, StepError, StreamState, check_lengths,
    normalised,
};
use crate::spec::ModelSpec;

mod arena;
mod builder;
mod plan;

use plan::Plan;

/// How a planned executor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// Threads of a step, the caller included. Where another executor runs the network, such as a GPU's, at most so
    /// many read motion.
    pub threads: NonZeroUsize,
    /// Which instructions the kernels use.
    pub level: CpuLevel,
    /// Whether whole clips are evaluated besides.
    pub clips: Clips,
}

/// What [`Executor::forward_clip`] of a planned executor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clips {
    /// Evaluates them, for which the checkpoint's tensors are kept.
    #[default]
    Evaluated,
    /// Refuses them: whoever only steps has the memory of the tensors back.
    Refused,
}

impl PlanOptions {
    /// Threads that a plan is made for at most: more only get in each other's way.
    pub const MOST_THREADS: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");
}

impl Default for PlanOptions {
    /// As many threads as `RAYON_NUM_THREADS` says (Candle's heed it as well), [`Self::MOST_THREADS`] at most, else as
    /// there are cores; the best instructions that `TSM_CPU` allows.
    fn default() -> Self {
        let wish = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
        let wish = wish.map(|threads: NonZeroUsize| threads.min(Self::MOST_THREADS));
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { threads: wish.unwrap_or_else(cores), level: CpuLevel::detected(), clips: Clips::default() }
    }
}

/// What a plan computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanElement {
    /// 32-bit floats.
    F32,
}

impl PlanElement {
    /// The element of a data type, if there are kernels for it.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::F32),
            _ => None,
        }
    }
}

/// Evaluates a network by a plan made for it.
pub struct PlannedExecutor {
    id: ExecutorId,
    /// Without its weights where clips are refused.
    checkpoint: Checkpoint,
    clips_are: Clips,
    plan: Plan,
    team: Team,
    /// `[fold, h, w]` of each shifted block.
    state_shapes: Vec<[usize; 3]>,
    normalised: NormalisedFrames,
    /// What evaluates clips, from the first one on.
    clips: Option<CandleExecutor>,
}

/// The folds of the last frame, one behind the other, as [`tsm_kernels::blocked`] keeps them.
#[derive(Debug, Clone)]
pub(crate) struct Folds {
    values: Vec<f32>,
}

impl StateBody for Folds {
    fn reset(&mut self) {
        self.values.fill(0.0);
    }

    fn boxed_clone(&self) -> Box<dyn StateBody> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

impl PlannedExecutor {
    /// Plans the network of `checkpoint` for its input size.
    ///
    /// The checkpoint's tensors are kept (shared, not copied) for [`Executor::forward_clip`], unless `options` refuse
    /// clips.
    ///
    /// # Errors
    /// [`ComputeError`] if a tensor is missing.
    pub fn new(
        checkpoint: &Checkpoint,
        element: PlanElement,
        options: PlanOptions,
    ) -> Result<Self, ComputeError> {
        // Where another element needs kernels of its own.
        let PlanElement::F32 = element;
        let (spec, mut checkpoint) = (&checkpoint.spec, checkpoint.clone());
        let architecture = Architecture::of(spec);
        let team = Team::new(options.threads.get());
        let plan = Plan::new(&architecture, spec, &checkpoint.weights, options.level, team.parts())?;
        if options.clips == Clips::Refused {
            checkpoint.weights = Weights::new();
        }
        let is_moved = |[fold, ..]: &[usize; 3]| *fold > 0 || spec.shift.is_streamable();
        let state_shapes = architecture.state_shapes(&spec.shift, spec.input.size_px);
        let state_shapes = state_shapes.into_iter().filter(is_moved).collect();
        let (id, clips_are) = (ExecutorId::unique(), options.clips);
        let normalised = NormalisedFrames::default();
        Ok(Self { id, checkpoint, clips_are, plan, team, state_shapes, normalised, clips: None })
    }
}

impl fmt::Debug for PlannedExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spec, parts) = (self.spec(), self.team.parts());
        f.debug_struct("PlannedExecutor").field("spec", spec).field("parts", &parts).finish_non_exhaustive()
    }
}

impl Executor for PlannedExecutor {
    fn spec(&self) -> &ModelSpec {
        &self.checkpoint.spec
    }

    fn multiply_adds(&self) -> usize {
        self.plan.multiply_adds
    }

    fn fresh_state(&self) -> StreamState {
        let floats = self.state_shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        StreamState::new(self.id, Box::new(Folds { values: vec![0.0; floats] }))
    }

    fn step(
        &mut self,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        check_lengths(self.spec(), frames, states.len(), logits)?;
        if let Some(index) = states.iter().position(|state| state.body::<Folds>(self.id).is_none()) {
            return Err(StepError::ForeignState { index });
        }
        if states.is_empty() {
            return Ok(());
        }
        let frames = normalised(&self.checkpoint.spec, frames, &mut self.normalised);
        // Nothing below can fail, so the states may change as the frame passes.
        self.plan.run(&mut self.team, frames, logits, &mut |stream, range, change| {
            if let Some(folds) = states[stream].body_mut::<Folds>(self.id) {
                change(&mut folds.values[range]);
            }
        });
        for state in states.iter_mut() {
            state.advance::<Folds>(self.id);
        }
        Ok(())
    }

    fn team(&mut self) -> Option<&mut Team> {
        Some(&mut self.team)
    }

    fn forward_clip(&mut self, clips: &Tensor) -> Result<ClipLogits, StepError> {
        if self.clips_are == Clips::Refused {
            return Err(StepError::ClipsRefused);
        }
        let executor = match &mut self.clips {
            Some(executor) => executor,
            none => none.insert(CandleExecutor::new(&self.checkpoint, Device::Cpu, DType::F32)?),
        };
        executor.forward_clip(clips)
    }

    fn export_state(&self, state: &StreamState) -> Result<Vec<StateTensor>, StepError> {
        let folds = state.body::<Folds>(self.id).ok_or(StepError::ForeignState { index: 0 })?;
        let mut rest = folds.values.as_slice();
        let tensors = self.state_shapes.iter().map(|&[c, h, w]| {
            let (own, others) = rest.split_at(c * h * w);
            rest = others;
            let mut values = vec![0.0; own.len()];
            planar_from_state(own, c, h * w, &mut values);
            StateTensor { shape: [1, c, h, w], values }
        });
        Ok(tensors.collect())
    }
}
