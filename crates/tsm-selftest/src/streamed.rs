//! A model that is fed frame by frame.

use tsm_model::{Model, StreamState};

use crate::error::SelftestError;

/// Logits of each frame of one stream, one row after another; the state moves on.
pub(crate) fn streamed(
    model: &mut Model,
    state: &mut StreamState,
    frames: &[f32],
) -> Result<Vec<f32>, SelftestError> {
    let (frame, classes) = (frame_len(model), model.spec().classes.len());
    let mut logits = vec![0.0; frames.len() / frame * classes];
    for (frame, row) in frames.chunks_exact(frame).zip(logits.chunks_exact_mut(classes)) {
        model.step(frame, &mut [state], row)?;
    }
    Ok(logits)
}

/// As [`streamed`], from a fresh state.
pub(crate) fn streamed_afresh(model: &mut Model, frames: &[f32]) -> Result<Vec<f32>, SelftestError> {
    let mut state = model.fresh_state();
    streamed(model, &mut state, frames)
}

/// Values of one frame.
pub(crate) fn frame_len(model: &Model) -> usize {
    3 * model.spec().input.size_px * model.spec().input.size_px
}
