//! This device says what the reference says on this CPU.

use tsm_model::checkpoint::Checkpoint;
use tsm_model::executor::StateTensor;
use tsm_model::{DType, Device, ExecutorChoice, Model};

use crate::error::SelftestError;
use crate::finding::{Finding, Off};
use crate::made_up;
use crate::plan::DataType;
use crate::streamed::{streamed, streamed_afresh};

/// Frames compared.
const FRAMES: usize = 4;

/// What Candle's operations on the CPU in f32 say of a network: the same for whatever type the device computes in.
#[derive(Debug)]
pub(crate) struct Reference {
    frames: Vec<f32>,
    logits: Vec<f32>,
    states: Vec<StateTensor>,
}

impl Reference {
    /// Has the reference compute.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Self, SelftestError> {
        let frames = made_up::frames(31, FRAMES, checkpoint.spec.input.size_px);
        let mut model = Model::load_with(checkpoint, Device::Cpu, DType::F32, ExecutorChoice::Candle)?;
        let mut state = model.fresh_state();
        let logits = streamed(&mut model, &mut state, &frames)?;
        Ok(Self { logits, states: model.export_state(&state)?, frames })
    }
}

/// Logits of every frame and the state after the last, against the reference's.
pub(crate) fn device_is_the_reference(
    model: &mut Model,
    reference: &Reference,
    data_type: DataType,
) -> Result<Finding, SelftestError> {
    let Reference { frames, logits: expected, states: expected_states } = reference;
    let mut found_state = model.fresh_state();
    let found = streamed(model, &mut found_state, frames)?;
    let logits = Off::between(expected, &found);
    // Each state has a size of its own, so each is judged by its own largest value.
    let found_states = model.export_state(&found_state)?;
    let worst_state = expected_states
        .iter()
        .zip(&found_states)
        .map(|(expected, found)| Off::between(&expected.values, &found.values))
        .max_by(|a, b| a.relative().total_cmp(&b.relative()))
        .unwrap_or(Off { difference: f64::INFINITY, largest: 0.0 });
    let mut finding = Finding::of("logit, states too", logits, data_type);
    finding.holds &= worst_state.relative() <= data_type.tolerance();
    finding.got = format!("{}, states {:.1e}", finding.got, worst_state.relative());
    // A second stream from a fresh state: what the first one left behind may not show.
    let afresh = Off::between(&found, &streamed_afresh(model, frames)?).relative();
    finding.holds &= afresh <= data_type.tolerance();
    finding.got = format!("{}, once more {afresh:.1e}", finding.got);
    Ok(finding)
}
