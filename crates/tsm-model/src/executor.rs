//! The seam under the step: whoever runs a network, runs it through [`Executor`].
//!
//! ```text
//!  Model ── dyn Executor ──┬─ CandleExecutor   any device; the reference
//!                          ├─ PlannedExecutor  CPU, f32: packed weights, one arena
//!                          └─ CudaExecutor     GPU, f32 and f16: one graph of launches
//!  caller ── owns one StreamState a stream ── made and understood by its executor alone
//! ```
//!
//! Frames and logits cross the seam as plain slices, so that an executor without allocation can
//! stand behind it; frames as normalised numbers or as bytes, in whichever form its memory for them
//! has ([`Executor::frame_memory`]). Nothing above knows how a state looks inside.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;
use tsm_kernels::blocked::Team;
use tsm_kernels::frames::{FrameMemory, Frames, NormalisedFrames};

use crate::architecture::Architecture;
use crate::device::ComputeError;
use crate::motion_head::MotionMemory;
use crate::spec::ModelSpec;

/// Which executor made a state; no two executors of a process share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorId(u64);

impl ExecutorId {
    /// A number that no other executor of this process has.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What an executor keeps for one stream, behind [`StreamState`].
pub trait StateBody: Any + Send {
    /// Back to zeros, as before the first frame.
    fn reset(&mut self);
    /// A copy: what either becomes, the other does not.
    fn boxed_clone(&self) -> Box<dyn StateBody>;
    /// Bytes of remembered features.
    fn bytes(&self) -> usize;
}

/// What one stream remembers between frames: the moved channels of every shifted block and, where the model looks at
/// motion, the previous frame in grey and what motion was usual.
///
/// Made by [`Executor::fresh_state`] and understood by that executor alone; another one refuses it.
pub struct StreamState {
    owner: ExecutorId,
    age_steps: u64,
    body: Box<dyn StateBody>,
    /// The previous frame in grey and what motion was usual, where the model looks at motion.
    motion: Option<MotionMemory>,
}

impl StreamState {
    /// Wraps what `owner` keeps for a stream that has seen nothing.
    pub fn new(owner: ExecutorId, body: Box<dyn StateBody>) -> Self {
        Self { owner, age_steps: 0, body, motion: None }
    }

    /// The same, remembering motion as well.
    pub(crate) fn with_motion(self, memory: MotionMemory) -> Self {
        Self { motion: Some(memory), ..self }
    }

    /// Whether it remembers motion.
    pub(crate) const fn has_motion(&self) -> bool {
        self.motion.is_some()
    }

    /// What it remembers of motion.
    pub(crate) const fn motion_mut(&mut self) -> Option<&mut MotionMemory> {
        self.motion.as_mut()
    }

    /// Forgets everything: the next step is a first one.
    pub fn reset(&mut self) {
        self.body.reset();
        self.forget_motion();
        self.age_steps = 0;
    }

    /// Forgets the previous frame and what motion was usual, where the model looks at motion: that of the next frame is
    /// unknown, as a first one's. The shifted features and the count of steps stay. For a frame that the flow since the
    /// previous one says nothing of, since frames between them are missing.
    pub fn forget_motion(&mut self) {
        self.motion.iter_mut().for_each(MotionMemory::forget);
    }

    /// Steps since it was made or reset.
    pub fn age_steps(&self) -> u64 {
        self.age_steps
    }

    /// Bytes of remembered features, and of the previous frame in grey and what motion was usual where the model looks
    /// at motion.
    pub fn bytes(&self) -> usize {
        self.body.bytes() + self.motion.as_ref().map_or(0, MotionMemory::bytes)
    }

    /// The executor's own part, if `owner` made it and it is a `B`.
    pub fn body<B: StateBody>(&self, owner: ExecutorId) -> Option<&B> {
        if self.owner != owner {
            return None;
        }
        let body: &dyn Any = self.body.as_ref();
        body.downcast_ref()
    }

    /// As [`Self::body`], to be made ready for a step, or changed by one that can no longer fail; [`Self::advance`]
    /// counts it.
    pub fn body_mut<B: StateBody>(&mut self, owner: ExecutorId) -> Option<&mut B> {
        if self.owner != owner {
            return None;
        }
        let body: &mut dyn Any = self.body.as_mut();
        body.downcast_mut()
    }

    /// As [`Self::body_mut`], and counts the step.
    pub fn advance<B: StateBody>(&mut self, owner: ExecutorId) -> Option<&mut B> {
        if self.owner != owner {
            return None;
        }
        self.age_steps += 1;
        self.body_mut(owner)
    }
}

impl Clone for StreamState {
    fn clone(&self) -> Self {
        let Self { owner, age_steps, body, motion } = self;
        Self { owner: *owner, age_steps: *age_steps, body: body.boxed_clone(), motion: motion.clone() }
    }
}

impl fmt::Debug for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, age_steps, .. } = self;
        write!(f, "StreamState({owner:?}, {age_steps} steps, {} bytes)", self.bytes())
    }
}

/// One remembered fold, copied out for comparison: row-major `[1, c, h, w]`.
#[derive(Debug, Clone, PartialEq)]
pub struct StateTensor {
    /// `[1, c, h, w]`.
    pub shape: [usize; 4],
    /// The values.
    pub values: Vec<f32>,
}

/// What a clip evaluates to.
#[derive(Debug, Clone)]
pub struct ClipLogits {
    /// `[n, t, classes]`: one row a segment.
    pub segments: Tensor,
    /// `[n, classes]`: the mean over the segments.
    pub consensus: Tensor,
}

/// Why a step or a clip could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The state was made by another executor.
    #[error(
        "the state of stream {index} was made by another network; take one from this network's fresh_state"
    )]
    ForeignState {
        /// Its place in the batch.
        index: usize,
    },
    /// Frames, states and logits do not agree in number.
    #[error("{what} holds {found} values, but {streams} streams need {needed}")]
    Length {
        /// `frames` or `logits`.
        what: &'static str,
        /// Values given.
        found: usize,
        /// Values needed.
        needed: usize,
        /// Streams in this batch.
        streams: usize,
    },
    /// The network looks into the future.
    #[error(
        "a two-way shift needs frames that are still to come, so it cannot label a stream; use a causal model"
    )]
    NotStreamable,
    /// The network was loaded for streams alone.
    #[error("this network was loaded for streams alone; load it with `Clips::Evaluated`")]
    ClipsRefused,
    /// The clip has another shape.
    #[error("a clip must be [n, t, 3, h, w] with h and w multiples of 32, not {found:?}")]
    ClipShape {
        /// The shape given.
        found: Vec<usize>,
    },
    /// A tensor operation failed.
    #[error("the network could not be evaluated: {0}")]
    Compute(#[from] ComputeError),
}

impl From<candle_core::Error> for StepError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.into())
    }
}

/// Runs one network on one device.
pub trait Executor: Send {
    /// What it runs.
    fn spec(&self) -> &ModelSpec;

    /// Multiply-adds of a step for one frame as this executor makes them: those of the definition, where it has no
    /// shorter way.
    fn multiply_adds(&self) -> usize {
        let spec = self.spec();
        Architecture::of(spec).multiply_adds(spec.input.size_px)
    }

    /// A state for a stream that has seen nothing.
    fn fresh_state(&self) -> StreamState;

    /// Zeros for `streams` frames, in the form in which they come to the device soonest. Frames may lie anywhere, and
    /// be of either form; from here they come soonest.
    fn frame_memory(&self, streams: usize) -> FrameMemory {
        FrameMemory::normalised(streams * 3 * self.spec().input.pixels())
    }

    /// Does what the first step of `streams` streams would be slower for; `false` where that is nothing to speak of.
    ///
    /// # Errors
    /// [`StepError`], as that step would have.
    fn warm_up(&mut self, _streams: usize) -> Result<bool, StepError> {
        Ok(false)
    }

    /// Labels the next frame of each of n independent streams.
    ///
    /// `frames` is `[n, 3, size, size]`, normalised, row-major, or `[n, size, size, 3]` of bytes, which
    /// are normalised as the model's input says; `states` the n streams' states, which
    /// move on by one frame; `logits` `[n, classes]` is overwritten. The states are as before if it fails.
    ///
    /// # Errors
    /// [`StepError`]; see its cases.
    fn step(
        &mut self,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError>;

    /// As [`Self::step`] with the frames of the last step, of as many streams, where the device still has them: what a
    /// step costs without their way. `false`, and nothing done, where frames do not stay.
    ///
    /// # Errors
    /// [`StepError`]; the states are then as before.
    fn step_again(
        &mut self,
        _states: &mut [&mut StreamState],
        _logits: &mut [f32],
    ) -> Result<bool, StepError> {
        Ok(false)
    }

    /// The threads that its steps run on, for what else a step needs once they are idle; none where it has none of its
    /// own, and whatever a step needs besides can be done meanwhile.
    fn team(&mut self) -> Option<&mut Team> {
        None
    }

    /// Labels whole clips `[n, t, 3, h, w]`, normalised, any t, h and w multiples of 32.
    ///
    /// # Errors
    /// [`StepError::ClipShape`], or a failed operation.
    fn forward_clip(&mut self, clips: &Tensor) -> Result<ClipLogits, StepError>;

    /// Copies a state's folds out, one tensor a shifted block in network order. What it remembers of motion is not
    /// among them.
    ///
    /// # Errors
    /// [`StepError::ForeignState`] if it was made elsewhere.
    fn export_state(&self, state: &StreamState) -> Result<Vec<StateTensor>, StepError>;
}

/// `frames` as normalised numbers, for who takes nothing else; in the memory of `kept` if they are bytes.
pub(crate) fn normalised<'a>(
    spec: &ModelSpec,
    frames: Frames<'a>,
    kept: &'a mut NormalisedFrames,
) -> &'a [f32] {
    kept.of(frames, spec.input.pixels(), spec.input.mean, spec.input.std)
}

/// Checks the lengths that every step relies on.
pub(crate) fn check_lengths(
    spec: &ModelSpec,
    frames: Frames<'_>,
    streams: usize,
    logits: &[f32],
) -> Result<(), StepError> {
    let lengths = [
        ("frames", frames.len(), streams * 3 * spec.input.pixels()),
        ("logits", logits.len(), streams * spec.classes.len()),
    ];
    for (what, found, needed) in lengths {
        if found != needed {
            return Err(StepError::Length { what, found, needed, streams });
        }
    }
    if spec.shift.is_streamable() { Ok(()) } else { Err(StepError::NotStreamable) }
}
