//! A model ready to label: a checkpoint on a device.
//!
//! ```text
//! file ─ Checkpoint::open ─► Checkpoint ─ Model::load ─► Model ─┬─ step         stream by stream
//!                                                               └─ forward_clip whole clips
//! ```
//!
//! Where the checkpoint has a layer on motion, it looks at the same frames beside the executor, and adds its logits.

use std::num::NonZeroUsize;

use candle_core::{DType, Device, Tensor};
use tsm_kernels::blocked::Team;
use tsm_kernels::frames::{FrameMemory, Frames};

use crate::architecture::Architecture;
use crate::candle_executor::CandleExecutor;
use crate::checkpoint::Checkpoint;
use crate::device::ComputeError;
use crate::executor::{ClipLogits, Executor, StateTensor, StepError, StreamState};
use crate::motion_head::MotionHead;
use crate::planned_executor::{PlanElement, PlanOptions, PlannedExecutor};
use crate::spare_threads::SpareThreads;
use crate::spec::ModelSpec;

/// Who runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorChoice {
    /// The fastest that can, for a network that streams: the planned one on the CPU for every [`PlanElement`], that
    /// of our own kernels on a GPU in f32 and f16; Candle for all others.
    Fastest(PlanOptions),
    /// Candle's operations: the reference, on any device.
    Candle,
}

impl ExecutorChoice {
    /// Threads at most for what frames need besides the network, where the executor has none of its own.
    fn threads(self) -> NonZeroUsize {
        match self {
            Self::Fastest(options) => options.threads,
            Self::Candle => PlanOptions::default().threads,
        }
    }
}

impl Default for ExecutorChoice {
    /// The fastest, with default options.
    fn default() -> Self {
        Self::Fastest(PlanOptions::default())
    }
}

/// A network with its weights on a device.
pub struct Model {
    executor: Box<dyn Executor>,
    motion: Option<MotionHead>,
    spare: SpareThreads,
    architecture: Architecture,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("spec", self.spec()).finish_non_exhaustive()
    }
}

impl Model {
    /// Puts `checkpoint` on `device`, computing in f32.
    ///
    /// # Errors
    /// [`ComputeError`] if the device refuses or runs out of memory, or a tensor is missing or of another shape.
    pub fn load(checkpoint: &Checkpoint, device: Device) -> Result<Self, ComputeError> {
        Self::load_as(checkpoint, device, DType::F32)
    }

    /// As [`Self::load`], computing in `dtype`.
    ///
    /// # Errors
    /// [`ComputeError`] if the device refuses, lacks the type or runs out of memory.
    pub fn load_as(checkpoint: &Checkpoint, device: Device, dtype: DType) -> Result<Self, ComputeError> {
        Self::load_with(checkpoint, device, dtype, ExecutorChoice::default())
    }

    /// As [`Self::load_as`], run by the executor of `choice`.
    ///
    /// # Errors
    /// As [`Self::load_as`].
    pub fn load_with(
        checkpoint: &Checkpoint,
        device: Device,
        dtype: DType,
        choice: ExecutorChoice,
    ) -> Result<Self, ComputeError> {
        #[cfg(feature = "cuda")]
        if matches!(choice, ExecutorChoice::Fastest(_))
            && let Device::Cuda(gpu) = &device
            && checkpoint.spec.shift.is_streamable()
            && crate::cuda_executor::element(dtype).is_some()
        {
            let context = gpu.cuda_stream();
            let on_gpu = |program| tsm_kernels::cuda::Gpu::new(&context, program);
            let executor =
                crate::cuda_executor::CudaExecutor::new(checkpoint, device.clone(), dtype, on_gpu)?;
            return Self::seeing_motion(Box::new(executor), checkpoint, choice.threads());
        }
        let can_plan = device.is_cpu() && checkpoint.spec.shift.is_streamable();
        let executor: Box<dyn Executor> = match (choice, PlanElement::of(dtype)) {
            (ExecutorChoice::Fastest(options), Some(element)) if can_plan => {
                Box::new(PlannedExecutor::new(checkpoint, element, options)?)
            }
            _ => Box::new(CandleExecutor::new(checkpoint, device, dtype)?),
        };
        Self::seeing_motion(executor, checkpoint, choice.threads())
    }

    /// A model that another executor runs, and that weighs motion besides, where `checkpoint` has a layer for it: on
    /// the executor's own threads if it has some, else beside it on `threads` at most, the caller included; see
    /// [`Self::team`].
    ///
    /// # Errors
    /// [`ComputeError`] if that layer is missing or of another shape.
    pub fn seeing_motion(
        executor: Box<dyn Executor>,
        checkpoint: &Checkpoint,
        threads: NonZeroUsize,
    ) -> Result<Self, ComputeError> {
        let (motion, spare) = (MotionHead::of(checkpoint)?, SpareThreads::new(threads));
        Ok(Self { motion, spare, ..Self::with_executor(executor) })
    }

    /// A model that another executor runs, on its threads and the caller's, and that sees no motion but what that
    /// executor does.
    pub fn with_executor(executor: Box<dyn Executor>) -> Self {
        let architecture = Architecture::of(executor.spec());
        Self { executor, motion: None, spare: SpareThreads::new(NonZeroUsize::MIN), architecture }
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        self.executor.spec()
    }

    /// Its layers.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Multiply-adds of a step for one frame; see [`Executor::multiply_adds`].
    pub fn multiply_adds(&self) -> usize {
        self.executor.multiply_adds()
    }

    /// A state for a stream that has seen nothing.
    pub fn fresh_state(&self) -> StreamState {
        let state = self.executor.fresh_state();
        match &self.motion {
            Some(head) => state.with_motion(head.fresh_memory()),
            None => state,
        }
    }

    /// Labels the next frame of each of n streams, normalised numbers or bytes; see [`Executor::step`].
    ///
    /// # Errors
    /// [`StepError`]; the states are then as before.
    pub fn step<'a>(
        &mut self,
        frames: impl Into<Frames<'a>>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        let frames = frames.into();
        match &mut self.motion {
            Some(head) => head.step(&mut *self.executor, &mut self.spare, frames, states, logits),
            None => self.executor.step(frames, states, logits),
        }
    }

    /// As [`Self::step`] with the frames of the last one, for measuring; see [`Executor::step_again`]. `false`, and
    /// nothing done, where frames do not stay on the device, and where the model looks at motion, which is read off
    /// frames on the host.
    ///
    /// # Errors
    /// [`StepError`], also where the last step was of another number of streams; the states are then as before.
    pub fn step_again(
        &mut self,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<bool, StepError> {
        if self.motion.is_some() { Ok(false) } else { self.executor.step_again(states, logits) }
    }

    /// Zeros for the frames of `streams` streams; see [`Executor::frame_memory`].
    pub fn frame_memory(&self, streams: usize) -> FrameMemory {
        self.executor.frame_memory(streams)
    }

    /// Gets ready for steps of `streams` streams; `false` where there is nothing to get ready; see
    /// [`Executor::warm_up`].
    ///
    /// # Errors
    /// [`StepError`].
    pub fn warm_up(&mut self, streams: usize) -> Result<bool, StepError> {
        self.executor.warm_up(streams)
    }

    /// Threads for what frames of `streams` streams need between steps, such as preparing them: the executor's, or
    /// where it has none some of the model's own. They may be more than there are streams.
    pub fn team(&mut self, streams: usize) -> &mut Team {
        match self.executor.team() {
            Some(team) => team,
            None => self.spare.team_for(streams),
        }
    }

    /// Labels whole clips `[n, t, 3, h, w]`; see [`Executor::forward_clip`].
    ///
    /// # Errors
    /// [`StepError`].
    pub fn forward_clip(&mut self, clips: &Tensor) -> Result<ClipLogits, StepError> {
        let logits = self.executor.forward_clip(clips)?;
        match &mut self.motion {
            Some(head) => Ok(head.add_to_clips(clips, &logits)?),
            None => Ok(logits),
        }
    }

    /// Copies a stream's state out for comparison, one tensor a shifted block, without what it remembers of motion.
    ///
    /// # Errors
    /// [`StepError::ForeignState`] if another network made it.
    pub fn export_state(&self, state: &StreamState) -> Result<Vec<StateTensor>, StepError> {
        self.executor.export_state(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Origin, Weights};
    use crate::spec::{Backbone, MotionFeatures};

    #[test]
    fn a_state_without_motion_is_refused_before_any_state_moves_on() {
        let mut spec = ModelSpec::new(Backbone::MobilenetV2, 3);
        spec.motion_features = MotionFeatures::Flow;
        spec.input.size_px = 32;
        let mut weights = Weights::new();
        for parameter in Architecture::of(&spec).parameters() {
            let zeros = Tensor::zeros(parameter.shape, DType::F32, &Device::Cpu).unwrap();
            weights.insert(parameter.name, zeros);
        }
        let checkpoint = Checkpoint { spec, weights, origin: Origin::Own };
        let mut model = Model::load(&checkpoint, Device::Cpu).unwrap();
        let (mut own, mut blind) = (model.fresh_state(), model.executor.fresh_state());
        let frames = vec![0.0; 2 * 3 * 32 * 32];
        let refused = model.step(&frames, &mut [&mut own, &mut blind], &mut [0.0; 2 * 3]);
        assert!(matches!(refused, Err(StepError::ForeignState { index: 1 })), "{refused:?}");
        assert_eq!([own, blind].map(|state| state.age_steps()), [0, 0]);
    }
}
