//! The layer on motion: histograms of the optical flow since the previous frame, weighed beside the network's features.
//!
//! ```text
//! frame [3, h, w] ─┬─ Executor ─ features ─ linear ───────────────────────────────┬─ + ─► logits
//!                  └─ MotionReader ─ flow ─ histograms h ─┬─ h ───────────┬─ weight ┘
//!                          ▲                              └─ |h - usual| ─┘
//!                          └─ MotionMemory, a stream each: the previous frame in grey,
//!                                                          usual = 0.8 usual + 0.2 h
//! ```
//!
//! The second half of the features tells how motion changes: a hand that waves goes to and fro, a fall happens once.
//! Behind each half stands a 1 where it is known, by whose weight a frame without a past says nothing instead of
//! "nothing moves".
//!
//! A linear layer on features and motion together is the sum of two, so the network knows nothing of it, and any
//! executor runs it, on whatever threads (`streams.rs`). It looks back alone: a clip and a stream of its frames have
//! the same logits. The first frame of a stream has no motion, the second no change of it. It is for few clips, which
//! teach a shift between pretrained features little; the idea of a second stream that sees flow is Simonyan's and
//! Zisserman's (2014).
//!
//! It knows no time: a flow is that between two frames, however far apart they lie. Who knows when they were taken says
//! so with [`StreamState::forget_motion`].

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use tsm_kernels::flow::{self, FlowEstimator, Grey, Histograms, Pyramid};
use tsm_kernels::frames::Frames;

use crate::architecture::Architecture;
use crate::checkpoint::Checkpoint;
use crate::device::ComputeError;
use crate::executor::{ClipLogits, Executor, StepError, StreamState, check_lengths};
use crate::preprocess::InputSpec;
use crate::spare_threads::SpareThreads;
use crate::spec::MotionFeatures;

mod streams;

use streams::Streams;

/// Numbers of one flow.
const OF_FLOW: usize = flow::FEATURES;

/// Numbers that tell the motion of a frame: [`HALVES`] one behind the other.
pub const FEATURES: usize = 2 * (OF_FLOW + 1);

/// What features are known together: the flow's own, and how far each is from what was usual. The last of each half is
/// 1 where the half is known, and all of it 0 where it is not.
pub const HALVES: [Range<usize>; 2] = [0..OF_FLOW + 1, OF_FLOW + 1..FEATURES];

/// Part of what was usual that stays so at each frame: it is what the last five or so showed, whatever their rate; less
/// than half a second at 12 frames a second.
const USUAL_KEPT: f32 = 0.8;

/// What came before a frame of a stream, as far as motion is concerned.
#[derive(Debug, Clone, Default)]
pub struct MotionMemory {
    /// The previous frame in grey.
    previous: Pyramid,
    /// `[OF_FLOW]`.
    usual: Vec<f32>,
    /// Frames seen since it was made or forgot; two make a first flow.
    frames: usize,
}

impl MotionMemory {
    /// That of a stream of frames of `height` x `width` that has seen nothing.
    pub fn new(height: usize, width: usize) -> Self {
        let [rows, columns] = Grey::shape(height, width);
        Self { previous: Pyramid::zeros(rows, columns), usual: vec![0.0; OF_FLOW], frames: 0 }
    }

    /// Forgets everything: the motion of the next frame is unknown, as before the first one.
    pub const fn forget(&mut self) {
        self.frames = 0;
    }

    /// Bytes of what is remembered.
    pub fn bytes(&self) -> usize {
        self.previous.bytes() + size_of_val(self.usual.as_slice())
    }
}

/// Reads motion off normalised frames, one after another.
#[derive(Debug, Clone)]
pub struct MotionReader {
    grey: Grey,
    estimator: FlowEstimator,
    histograms: Histograms,
    /// Changes places with the memory that a frame was read with.
    next: MotionMemory,
}

impl MotionReader {
    /// For frames that were normalised as `input` says.
    pub fn new(input: &InputSpec) -> Self {
        Self {
            grey: Grey::new(input.mean, input.std),
            estimator: FlowEstimator::default(),
            histograms: Histograms::default(),
            next: MotionMemory::default(),
        }
    }

    /// As [`Self::new`], with all the room that [`Self::look`] takes for frames of this size.
    fn with_room(input: &InputSpec, [height, width]: [usize; 2]) -> Self {
        let mut reader = Self::new(input);
        let still = MotionMemory::new(height, width).previous;
        let flow = reader.estimator.flow(&still, &still);
        reader.histograms.describe(flow, &mut [0.0; OF_FLOW]);
        reader
    }

    /// Writes the motion from the frame that `memory` holds to `frame` `[3, height, width]` into `out` `[FEATURES]`,
    /// zeros where it holds none, and lets it hold `frame`.
    ///
    /// # Panics
    /// If a length is another, or `memory` is of frames of another size.
    pub fn read(
        &mut self,
        memory: &mut MotionMemory,
        frame: &[f32],
        [height, width]: [usize; 2],
        out: &mut [f32],
    ) {
        let mut next = std::mem::take(&mut self.next);
        self.look(memory, frame, [height, width], &mut next, out);
        self.next = std::mem::replace(memory, next);
    }

    /// As [`Self::read`], but leaves what `before` holds and makes `after` what is remembered from `frame` on.
    fn look(
        &mut self,
        before: &MotionMemory,
        frame: &[f32],
        [height, width]: [usize; 2],
        after: &mut MotionMemory,
        out: &mut [f32],
    ) {
        self.grey.of(frame, height, width, &mut after.previous);
        out.fill(0.0);
        let (flow, change) = out.split_at_mut(HALVES[0].end);
        let (own, is_known) = flow.split_at_mut(OF_FLOW);
        if before.frames > 0 {
            let flow = self.estimator.flow(&before.previous, &after.previous);
            self.histograms.describe(flow, own);
            is_known.fill(1.0);
        }
        // Zeros before the first flow, which is usual at first.
        after.usual.clear();
        after.usual.extend_from_slice(own);
        if before.frames > 1 {
            let (change, is_known) = change.split_at_mut(OF_FLOW);
            is_known.fill(1.0);
            for (((usual, before), own), change) in
                after.usual.iter_mut().zip(&before.usual).zip(&*own).zip(change)
            {
                *change = (own - before).abs();
                *usual = USUAL_KEPT * before + (1.0 - USUAL_KEPT) * own;
            }
        }
        after.frames = before.frames.saturating_add(1);
    }

    /// Motion of clips `[n, t, 3, height, width]`, normalised: `[n, t, FEATURES]`. The first frame of each has none.
    ///
    /// # Panics
    /// If `clips` is no whole number of clips.
    pub fn read_clips(&mut self, clips: &[f32], t: usize, [height, width]: [usize; 2]) -> Vec<f32> {
        let frame = 3 * height * width;
        assert!(clips.len().is_multiple_of(t * frame), "read_clips: no whole number of clips");
        let mut out = vec![0.0; clips.len() / frame * FEATURES];
        let mut memory = MotionMemory::new(height, width);
        for (clip, out) in clips.chunks_exact(t * frame).zip(out.chunks_exact_mut(t * FEATURES)) {
            memory.forget();
            for (frame, out) in clip.chunks_exact(frame).zip(out.chunks_exact_mut(FEATURES)) {
                self.read(&mut memory, frame, [height, width], out);
            }
        }
        out
    }
}

/// The layer and what it reads with.
#[derive(Debug)]
pub(crate) struct MotionHead {
    /// Reads clips.
    reader: MotionReader,
    layer: Layer,
    streams: Streams,
}

/// What motion is weighed by.
#[derive(Debug)]
struct Layer {
    input: InputSpec,
    classes: usize,
    /// `[classes, FEATURES]`.
    weight: Vec<f32>,
}

impl Layer {
    /// Height and width of a stream's frames.
    const fn size_px(&self) -> [usize; 2] {
        [self.input.size_px; 2]
    }

    /// The memory of a stream that has seen nothing.
    fn fresh_memory(&self) -> MotionMemory {
        let [height, width] = self.size_px();
        MotionMemory::new(height, width)
    }

    /// Writes what `features` `[FEATURES]` say into `logits` `[classes]`.
    fn weigh(&self, features: &[f32], logits: &mut [f32]) {
        for (logit, weights) in logits.iter_mut().zip(self.weight.chunks_exact(FEATURES)) {
            *logit = weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum();
        }
    }
}

impl MotionHead {
    /// That of `checkpoint`, if it has one.
    ///
    /// # Errors
    /// [`ComputeError`] if its tensor is missing or has another shape.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Option<Self>, ComputeError> {
        let Checkpoint { spec, weights, .. } = checkpoint;
        if spec.motion_features == MotionFeatures::None {
            return Ok(None);
        }
        let (tensor, classes) = (Architecture::MOTION_WEIGHT, spec.classes.len());
        let weight = weights.get(tensor).ok_or(ComputeError::MissingTensor { tensor })?;
        let needed = [classes, FEATURES];
        if weight.dims() != needed {
            let (found, needed) = (weight.dims().to_vec(), needed.to_vec());
            return Err(ComputeError::TensorShape { tensor, found, needed });
        }
        let weight = weight.flatten_all()?.to_vec1()?;
        let layer = Layer { input: spec.input.clone(), classes, weight };
        Ok(Some(Self { reader: MotionReader::new(&spec.input), layer, streams: Streams::default() }))
    }

    /// The memory of a stream that has seen nothing.
    pub(crate) fn fresh_memory(&self) -> MotionMemory {
        self.layer.fresh_memory()
    }

    /// Whether all `states` remember motion, as those do that a model with such a layer has made.
    ///
    /// # Errors
    /// [`StepError::ForeignState`] of the first that does not.
    fn check(states: &[&mut StreamState]) -> Result<(), StepError> {
        match states.iter().position(|state| !state.has_motion()) {
            Some(index) => Err(StepError::ForeignState { index }),
            None => Ok(()),
        }
    }

    /// Labels the next frame of each of n streams by `executor`, and adds what motion says to the logits. Motion is
    /// read on the executor's threads or, where it has none, meanwhile on `spare` ones.
    ///
    /// # Errors
    /// [`StepError`]; the states are then as before.
    pub(crate) fn step(
        &mut self,
        executor: &mut dyn Executor,
        spare: &mut SpareThreads,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        // Before any state moves on.
        Self::check(states)?;
        check_lengths(executor.spec(), frames, states.len(), logits)?;
        self.streams.step(&self.layer, executor, spare, frames, states, logits)
    }

    /// `logits` with what motion says of `clips` `[n, t, 3, h, w]`.
    ///
    /// # Errors
    /// If candle refuses.
    pub(crate) fn add_to_clips(
        &mut self,
        clips: &Tensor,
        logits: &ClipLogits,
    ) -> candle_core::Result<ClipLogits> {
        let (n, t, _, h, w) = clips.dims5()?;
        let values: Vec<f32> =
            clips.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let features =
            Tensor::from_vec(self.reader.read_clips(&values, t, [h, w]), (n * t, FEATURES), &Device::Cpu)?;
        let weight = Tensor::from_slice(&self.layer.weight, (self.layer.classes, FEATURES), &Device::Cpu)?;
        let own = features.matmul(&weight.t()?)?.reshape(logits.segments.shape())?;
        let own = own.to_device(logits.segments.device())?.to_dtype(logits.segments.dtype())?;
        let segments = (&logits.segments + own)?;
        Ok(ClipLogits { consensus: segments.mean(1)?, segments })
    }
}

#[cfg(test)]
mod tests;
