//! The executor for NVIDIA GPUs: a network as one list of launches, several streams a step, f32 or f16.
//!
//! ```text
//! load   Architecture + Weights ─ builder.rs ─► tsm_kernels::cuda::Program ─► Machine (a GPU; the host in tests)
//! step   frames ─► device ─ one graph of launches ─► logits
//!                              ▲ │
//!                  now of each │ │ spare of each stream; once all went well the two change places
//! ```
//!
//! A step reads a stream's memory and writes another, so it can fail without having changed anything and blocks of
//! the GPU never meet. A stream takes its two at its first two steps and keeps them, over resets as well. Whole clips
//! go to [`CandleExecutor`], made when the first clip comes.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tsm_kernels::cuda::{Element, Machine, MachineError, Program};
use tsm_kernels::frames::{FrameMemory, Frames};

use crate::architecture::Architecture;
use crate::candle_executor::CandleExecutor;
use crate::checkpoint::Checkpoint;
use crate::device::ComputeError;
use crate::executor::{
    ClipLogits, Executor, ExecutorId, StateBody, StateTensor, StepError, StreamState, check_lengths,
};
use crate::spec::ModelSpec;

mod builder;

use builder::Builder;

/// A network on a machine `M`.
pub struct CudaExecutor<M: Machine> {
    id: ExecutorId,
    checkpoint: Checkpoint,
    machine: M,
    /// `[fold, h, w]` of each shifted block, and where it lies in a memory.
    folds: Vec<([usize; 3], usize)>,
    zeros: Arc<M::Folds>,
    /// What a state reports: elements that are remembered, in bytes.
    state_bytes: usize,
    device: Device,
    dtype: DType,
    /// What evaluates clips, from the first one on.
    clips: Option<CandleExecutor>,
}

/// What one stream remembers.
struct Folds<F> {
    /// What the last step left, if there was one. After a reset it is nothing but the spare of the step after the next.
    last: Option<Arc<F>>,
    /// Where the next step leaves its own; nobody else's once [`Folds::with_spare`] was called.
    spare: Option<Arc<F>>,
    /// Whether the next step is a first one, which reads zeros.
    is_fresh: bool,
    /// Shared by all streams of the executor, so never a spare.
    zeros: Arc<F>,
    bytes: usize,
}

impl<F: Send + Sync + 'static> StateBody for Folds<F> {
    fn reset(&mut self) {
        self.is_fresh = true;
    }

    fn boxed_clone(&self) -> Box<dyn StateBody> {
        // A memory that two states hold is not written any more: each takes a spare of its own.
        let last = if self.is_fresh { None } else { self.last.clone() };
        let (is_fresh, zeros) = (self.is_fresh, Arc::clone(&self.zeros));
        Box::new(Self { last, spare: None, is_fresh, zeros, bytes: self.bytes })
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<F> Folds<F> {
    /// Of a stream that has seen nothing.
    fn fresh(zeros: Arc<F>, bytes: usize) -> Self {
        Self { last: None, spare: None, is_fresh: true, zeros, bytes }
    }

    /// What the next step reads.
    fn now(&self) -> &F {
        match &self.last {
            Some(last) if !self.is_fresh => last,
            _ => &self.zeros,
        }
    }

    /// What the next step reads, and what it writes, if there is a spare.
    fn memories(&self) -> Option<(&F, &F)> {
        Some((self.now(), self.spare.as_deref()?))
    }

    /// Makes sure that there is a spare which nobody else holds.
    fn with_spare<E>(&mut self, zeros: impl FnOnce() -> Result<F, E>) -> Result<(), E> {
        if self.spare.as_mut().is_none_or(|spare| Arc::get_mut(spare).is_none()) {
            self.spare = Some(Arc::new(zeros()?));
        }
        Ok(())
    }

    /// After a step: what it left is what counts now.
    fn turn(&mut self) {
        std::mem::swap(&mut self.last, &mut self.spare);
        self.is_fresh = false;
    }
}

/// The type a program stores its tensors in, for those that it knows.
pub(crate) const fn element(dtype: DType) -> Option<Element> {
    match dtype {
        DType::F32 => Some(Element::F32),
        DType::F16 => Some(Element::F16),
        _ => None,
    }
}

impl<M: Machine> CudaExecutor<M> {
    /// Makes the program of `checkpoint` and hands it to `machine`.
    ///
    /// `device` and `dtype` are those of whole clips, which Candle evaluates.
    ///
    /// # Errors
    /// [`ComputeError`] if a tensor is missing, `dtype` is neither f32 nor f16, or the machine refuses.
    pub fn new(
        checkpoint: &Checkpoint,
        device: Device,
        dtype: DType,
        machine: impl FnOnce(Program) -> Result<M, MachineError>,
    ) -> Result<Self, ComputeError> {
        let Some(element) = element(dtype) else {
            return Err(
                candle_core::Error::Msg(format!("no CUDA kernels for {dtype:?}; use f32 or f16")).into()
            );
        };
        let spec = &checkpoint.spec;
        let architecture = Architecture::of(spec);
        let (program, places) = Builder::new(spec, &checkpoint.weights, element).program(&architecture)?;
        let machine = machine(program).map_err(compute)?;
        let shapes = architecture.state_shapes(&spec.shift, spec.input.size_px);
        let folds: Vec<([usize; 3], usize)> = shapes.into_iter().zip(places).collect();
        let floats: usize = folds.iter().map(|(shape, _)| shape.iter().product::<usize>()).sum();
        let zeros = Arc::new(machine.zeros().map_err(compute)?);
        Ok(Self {
            id: ExecutorId::unique(),
            checkpoint: checkpoint.clone(),
            machine,
            folds,
            zeros,
            state_bytes: floats * element.bytes(),
            device,
            dtype,
            clips: None,
        })
    }
}

impl<M: Machine> CudaExecutor<M> {
    /// Runs a step of `frames`, or of those that the machine has; the states move on if it goes well.
    fn run(
        &mut self,
        frames: Option<Frames<'_>>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        for (index, state) in states.iter_mut().enumerate() {
            let Some(folds) = state.body_mut::<Folds<M::Folds>>(self.id) else {
                return Err(StepError::ForeignState { index });
            };
            folds.with_spare(|| self.machine.zeros()).map_err(compute)?;
        }
        if states.is_empty() {
            return Ok(());
        }
        let memories = |stream: usize| {
            let folds = states[stream].body::<Folds<M::Folds>>(self.id);
            folds
                .and_then(Folds::memories)
                .expect("checked and given a spare above, and nothing took it away")
        };
        match frames {
            Some(frames) => self.machine.step(frames, states.len(), &memories, logits),
            None => self.machine.step_again(states.len(), &memories, logits),
        }
        .map_err(compute)?;
        for state in states.iter_mut() {
            if let Some(folds) = state.advance::<Folds<M::Folds>>(self.id) {
                folds.turn();
            }
        }
        Ok(())
    }
}

/// Frames of which no two pixels beside each other are alike: what is tried on them says something.
fn fill_with_made_up(frames: &mut FrameMemory) {
    let levels = (0u8..251).cycle().map(|level| level.wrapping_mul(97));
    match frames {
        FrameMemory::Rgb(bytes) => bytes.iter_mut().zip(levels).for_each(|(byte, level)| *byte = level),
        FrameMemory::Normalised(values) => {
            values.iter_mut().zip(levels).for_each(|(value, level)| *value = f32::from(level) / 64.0 - 2.0);
        }
    }
}

fn compute(error: MachineError) -> ComputeError {
    candle_core::Error::wrap(error).into()
}

impl<M: Machine> fmt::Debug for CudaExecutor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, dtype, .. } = self;
        f.debug_struct("CudaExecutor")
            .field("spec", self.spec())
            .field("dtype", dtype)
            .field("machine", machine)
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Executor for CudaExecutor<M> {
    fn spec(&self) -> &ModelSpec {
        &self.checkpoint.spec
    }

    fn fresh_state(&self) -> StreamState {
        let folds = Folds::fresh(Arc::clone(&self.zeros), self.state_bytes);
        StreamState::new(self.id, Box::new(folds))
    }

    fn step(
        &mut self,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        check_lengths(self.spec(), frames, states.len(), logits)?;
        self.run(Some(frames), states, logits)
    }

    fn step_again(&mut self, states: &mut [&mut StreamState], logits: &mut [f32]) -> Result<bool, StepError> {
        self.run(None, states, logits).map(|()| true)
    }

    fn frame_memory(&self, streams: usize) -> FrameMemory {
        self.machine.frame_memory(streams)
    }

    fn warm_up(&mut self, streams: usize) -> Result<bool, StepError> {
        let mut frames = self.frame_memory(streams);
        fill_with_made_up(&mut frames);
        let mut logits = vec![0.0; streams * self.spec().classes.len()];
        let mut states: Vec<StreamState> = (0..streams).map(|_| self.fresh_state()).collect();
        let mut states: Vec<&mut StreamState> = states.iter_mut().collect();
        self.step(frames.frames(), &mut states, &mut logits)?;
        Ok(true)
    }

    fn forward_clip(&mut self, clips: &Tensor) -> Result<ClipLogits, StepError> {
        let executor = match &mut self.clips {
            Some(executor) => executor,
            none => none.insert(CandleExecutor::new(&self.checkpoint, self.device.clone(), self.dtype)?),
        };
        executor.forward_clip(clips)
    }

    fn export_state(&self, state: &StreamState) -> Result<Vec<StateTensor>, StepError> {
        let folds = state.body::<Folds<M::Folds>>(self.id).ok_or(StepError::ForeignState { index: 0 })?;
        let memory = self.machine.read(folds.now()).map_err(compute)?;
        let tensors = self.folds.iter().map(|&([c, h, w], at)| {
            let pixels = &memory[at..at + c * h * w];
            let values = (0..c).flat_map(|channel| pixels.iter().skip(channel).step_by(c)).copied().collect();
            StateTensor { shape: [1, c, h, w], values }
        });
        Ok(tensors.collect())
    }
}
