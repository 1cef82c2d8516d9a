//! Thousands of frames later a stream still says what it said.
//!
//! A causal network forgets: a fold is one frame old, so b shifted blocks reach back b frames and no further. Frames
//! that come round in a cycle therefore have the same logits in every round, once b have been seen; whatever a state
//! gathered by mistake would show as a difference that grows.

use tsm_model::Model;

use crate::error::SelftestError;
use crate::finding::{Finding, Off};
use crate::made_up;
use crate::plan::DataType;
use crate::streamed::{frame_len, streamed};

/// Frames of a round. Above one, so that a state that no longer moves on shows.
const ROUND: usize = 8;

/// Runs `frames` frames and compares each round with the first whole one.
pub(crate) fn no_drift(
    model: &mut Model,
    frames: usize,
    data_type: DataType,
) -> Result<Finding, SelftestError> {
    let pictures = made_up::frames(41, ROUND, model.spec().input.size_px);
    let reach = model.spec().shift.blocks.len();
    let mut state = model.fresh_state();
    for _ in 0..reach.div_ceil(ROUND) {
        streamed(model, &mut state, &pictures)?;
    }
    let expected = streamed(model, &mut state, &pictures)?;
    let (classes, len) = (model.spec().classes.len(), frame_len(model));
    let mut row = vec![0.0; classes];
    let mut off = Off::between(&expected, &expected);
    let moved = expected.chunks_exact(classes).skip(1).any(|next| next != &expected[..classes]);
    for frame in 0..frames {
        let place = frame % ROUND;
        model.step(&pictures[place * len..(place + 1) * len], &mut [&mut state], &mut row)?;
        off = off.and(Off::between(&expected[place * classes..(place + 1) * classes], &row));
    }
    let mut finding = Finding::of("logit", off, data_type);
    finding.holds &= moved;
    let still = if moved { "" } else { ", and no frame says something else than the first" };
    finding.got = format!("{} in {frames} frames{still}", finding.got);
    Ok(finding)
}
