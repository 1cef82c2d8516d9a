//! The reference executor: plain Candle on any device.
//!
//! ```text
//! step, stream i, shifted block b:
//!     x [n, c, h, w] ──┬─ x[:, fold..] ────────────┐
//!                      │                           cat ─► convolutions
//!   state i, block b ──┼─ [1, fold, h, w] ─────────┘
//!                      └─ x[:, ..fold] ─► next state i, block b
//! ```
//!
//! Source: MIT's online demo network (`mobilenet_v2_tsm.py`), TSM section 4.2.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tsm_kernels::candle_ops;
use tsm_kernels::frames::{Frames, NormalisedFrames};

use crate::architecture::Architecture;
use crate::candle_network::CandleNetwork;
use crate::checkpoint::Checkpoint;
use crate::device::ComputeError;
use crate::executor::{
    ClipLogits, Executor, ExecutorId, StateBody, StateTensor, StepError, StreamState, check_lengths,
    normalised,
};
use crate::spec::ModelSpec;

/// Evaluates a network with Candle's own operations and those of `tsm-kernels`.
#[derive(Debug)]
pub struct CandleExecutor {
    id: ExecutorId,
    spec: ModelSpec,
    network: CandleNetwork,
    device: Device,
    zeros: Arc<[Tensor]>,
    normalised: NormalisedFrames,
}

/// The folds of the last frame, `[1, fold, h, w]` a shifted block.
struct Folds {
    now: Vec<Tensor>,
    /// What `now` is before the first frame; shared by all streams of the executor.
    zeros: Arc<[Tensor]>,
}

impl StateBody for Folds {
    fn reset(&mut self) {
        self.now.clone_from_slice(&self.zeros);
    }

    fn boxed_clone(&self) -> Box<dyn StateBody> {
        // Candle's tensors are not written after they are made, so sharing them is a copy.
        Box::new(Self { now: self.now.clone(), zeros: Arc::clone(&self.zeros) })
    }

    fn bytes(&self) -> usize {
        self.now.iter().map(|fold| fold.elem_count() * fold.dtype().size_in_bytes()).sum()
    }
}

impl CandleExecutor {
    /// Puts the network of `checkpoint` on `device`, computing in `dtype` (f32, or f16 and bf16
    /// where the device has them).
    ///
    /// # Errors
    /// [`ComputeError`] if the device refuses or runs out of memory.
    pub fn new(checkpoint: &Checkpoint, device: Device, dtype: DType) -> Result<Self, ComputeError> {
        let spec = checkpoint.spec.clone();
        let architecture = Architecture::of(&spec);
        let network =
            CandleNetwork::new(&architecture, spec.shift.place, &checkpoint.weights, &device, dtype)?;
        let zeros = architecture
            .state_shapes(&spec.shift, spec.input.size_px)
            .into_iter()
            .map(|[c, h, w]| Tensor::zeros((1, c, h, w), dtype, &device))
            .collect::<candle_core::Result<_>>()?;
        let normalised = NormalisedFrames::default();
        Ok(Self { id: ExecutorId::unique(), spec, network, device, zeros, normalised })
    }

    /// The n streams' folds of shifted block `block`, as `[n, fold, h, w]`.
    fn gather(&self, states: &[&mut StreamState], block: usize) -> candle_core::Result<Tensor> {
        let folds: Vec<&Tensor> =
            states.iter().filter_map(|state| state.body::<Folds>(self.id)?.now.get(block)).collect();
        Tensor::cat(&folds, 0)
    }

    /// One frame of each stream through the network: logits `[n, classes]` and the next folds by block.
    fn evaluate(
        &self,
        frames: &Tensor,
        states: &[&mut StreamState],
    ) -> candle_core::Result<(Tensor, Vec<Tensor>)> {
        let mut next = Vec::with_capacity(self.zeros.len());
        let mut shift = |block: usize, x: &Tensor| {
            let channels = x.dim(1)?;
            let fold = self.spec.shift.folds(channels).first.len();
            if fold == 0 {
                next.push(x.narrow(1, 0, 0)?);
                return Ok(x.clone());
            }
            let (shifted, left) = candle_ops::shift_and_cache(x, &self.gather(states, block)?)?;
            next.push(left);
            Ok(shifted)
        };
        let logits = self.network.forward(frames, &mut shift)?;
        Ok((logits, next))
    }
}

impl Executor for CandleExecutor {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn fresh_state(&self) -> StreamState {
        let folds = Folds { now: self.zeros.to_vec(), zeros: Arc::clone(&self.zeros) };
        StreamState::new(self.id, Box::new(folds))
    }

    fn step(
        &mut self,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        let n = states.len();
        check_lengths(&self.spec, frames, n, logits)?;
        if let Some(index) = states.iter().position(|state| state.body::<Folds>(self.id).is_none()) {
            return Err(StepError::ForeignState { index });
        }
        if n == 0 {
            return Ok(());
        }
        let size = self.spec.input.size_px;
        let frames = normalised(&self.spec, frames, &mut self.normalised);
        let frames = Tensor::from_slice(frames, (n, 3, size, size), &self.device)?;
        let (rows, next) = self.evaluate(&frames, states)?;
        let rows: Vec<f32> = rows.flatten_all()?.to_vec1()?;
        // Everything that can fail lies before the first change of a state.
        let mut split = Vec::with_capacity(n);
        for index in 0..n {
            let own = next.iter().map(|fold| fold.narrow(0, index, 1)?.force_contiguous());
            split.push(own.collect::<candle_core::Result<Vec<Tensor>>>()?);
        }
        for (state, folds) in states.iter_mut().zip(split) {
            if let Some(body) = state.advance::<Folds>(self.id) {
                body.now = folds;
            }
        }
        logits.copy_from_slice(&rows);
        Ok(())
    }

    fn forward_clip(&mut self, clips: &Tensor) -> Result<ClipLogits, StepError> {
        let [n, t, 3, h, w] = *clips.dims() else {
            return Err(StepError::ClipShape { found: clips.dims().to_vec() });
        };
        if n * t == 0 || h * w == 0 || h % 32 != 0 || w % 32 != 0 {
            return Err(StepError::ClipShape { found: clips.dims().to_vec() });
        }
        let pictures = clips.to_device(&self.device)?.reshape((n * t, 3, h, w))?;
        let shift = &self.spec.shift;
        let logits = self.network.forward(&pictures, &mut |_block, x| shift.apply(x, t))?;
        let segments = logits.reshape((n, t, self.spec.classes.len()))?;
        let consensus = segments.mean(1)?;
        Ok(ClipLogits { segments, consensus })
    }

    fn export_state(&self, state: &StreamState) -> Result<Vec<StateTensor>, StepError> {
        let folds = state.body::<Folds>(self.id).ok_or(StepError::ForeignState { index: 0 })?;
        let copied = folds.now.iter().map(|fold| {
            let (n, c, h, w) = fold.dims4()?;
            let values = fold.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            Ok(StateTensor { shape: [n, c, h, w], values })
        });
        copied.collect()
    }
}
