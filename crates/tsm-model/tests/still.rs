//! An executor whose network says nothing: what a model says with it is what it weighs of motion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tsm_kernels::blocked::Team;
use tsm_model::executor::{ExecutorId, StateBody};
use tsm_model::{ClipLogits, Executor, Frames, ModelSpec, StateTensor, StepError, StreamState, Tensor};

/// Logits of zeros, and nothing to remember.
pub(crate) struct Still {
    pub(crate) spec: ModelSpec,
    pub(crate) id: ExecutorId,
    /// Threads of its own, or none as on a GPU.
    pub(crate) team: Option<Team>,
    pub(crate) mood: Arc<Mood>,
}

/// How the next step ends, if not well.
#[derive(Default)]
pub(crate) struct Mood {
    pub(crate) fails: AtomicBool,
    pub(crate) panics: AtomicBool,
}

struct Nothing;

impl StateBody for Nothing {
    fn reset(&mut self) {}

    fn boxed_clone(&self) -> Box<dyn StateBody> {
        Box::new(Self)
    }

    fn bytes(&self) -> usize {
        0
    }
}

impl Still {
    pub(crate) fn new(spec: &ModelSpec, team: Option<Team>) -> Self {
        Self { spec: spec.clone(), id: ExecutorId::unique(), team, mood: Arc::default() }
    }
}

impl Executor for Still {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn fresh_state(&self) -> StreamState {
        StreamState::new(self.id, Box::new(Nothing))
    }

    fn step(
        &mut self,
        _frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        assert!(!self.mood.panics.load(Ordering::Relaxed), "a driver's bug");
        if self.mood.fails.load(Ordering::Relaxed) {
            return Err(StepError::NotStreamable);
        }
        logits.fill(0.0);
        for state in states {
            state.advance::<Nothing>(self.id);
        }
        Ok(())
    }

    fn team(&mut self) -> Option<&mut Team> {
        self.team.as_mut()
    }

    fn forward_clip(&mut self, _clips: &Tensor) -> Result<ClipLogits, StepError> {
        Err(StepError::ClipsRefused)
    }

    fn export_state(&self, _state: &StreamState) -> Result<Vec<StateTensor>, StepError> {
        Ok(Vec::new())
    }
}
