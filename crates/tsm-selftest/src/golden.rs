//! Outputs recorded from the reference (Candle's operations on a CPU in f32): a file of the repository,
//! inside the program.
//!
//! `tests/recorded.rs` holds them against the reference of today, which other tests hold against MIT's own recorded
//! outputs; `TSM_UPDATE_GOLDEN=1` writes them anew.

use serde::{Deserialize, Serialize};
use tsm_model::Model;
use tsm_model::executor::StateTensor;

use crate::error::SelftestError;
use crate::finding::{Finding, Off};
use crate::made_up;
use crate::plan::DataType;
use crate::streamed::streamed;

/// Frames recorded: the third has a past that has a past.
const FRAMES: usize = 3;

/// Side of the made-up networks' pictures.
pub const SIZE_PX: usize = 64;

/// Seed of the made-up networks' weights.
pub const SEED: u64 = 1;

/// The name of the built-in model in reports and in the recorded outputs.
pub const BUILT_IN: &str = "built-in model";

/// Of a made-up network's 400 logits every so many-th is recorded, so that the file stays small.
const STRIDE: usize = 8;

/// What a network said of [`made_up::frames`], and what it then remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Which network.
    pub network: String,
    /// Every few logits of each frame, one row after another.
    pub logits: Vec<f32>,
    /// Each state after the last frame: its sum and the sum of its magnitudes.
    pub states: Vec<[f64; 2]>,
}

/// The recorded outputs.
///
/// # Errors
/// [`SelftestError::Golden`] if they cannot be read.
pub fn recorded() -> Result<Vec<Recorded>, SelftestError> {
    Ok(serde_json::from_str(include_str!("../golden/recorded.json"))?)
}

/// What `model`, known as `network`, says now.
///
/// # Errors
/// If it cannot be evaluated.
pub fn record(model: &mut Model, network: &str) -> Result<Recorded, SelftestError> {
    let frames = made_up::frames(51, FRAMES, model.spec().input.size_px);
    let mut state = model.fresh_state();
    let logits = streamed(model, &mut state, &frames)?;
    let states = model.export_state(&state)?;
    Ok(Recorded {
        network: network.to_owned(),
        logits: logits.into_iter().step_by(STRIDE).collect(),
        states: states.iter().map(sums).collect(),
    })
}

fn sums(state: &StateTensor) -> [f64; 2] {
    let values = state.values.iter().map(|value| f64::from(*value));
    [values.clone().sum(), values.map(f64::abs).sum()]
}

/// Whether `model` says what was recorded of `network`.
pub(crate) fn matches_recorded(
    model: &mut Model,
    network: &str,
    data_type: DataType,
) -> Result<Finding, SelftestError> {
    let all = recorded()?;
    let Some(expected) = all.into_iter().find(|recorded| recorded.network == network) else {
        return Err(SelftestError::NotRecorded { network: network.to_owned() });
    };
    let found = record(model, network)?;
    let mut finding =
        Finding::of("recorded logit, states too", Off::between(&expected.logits, &found.logits), data_type);
    let state = states_apart(&expected.states, &found.states);
    finding.holds &= state <= data_type.tolerance();
    finding.got = format!("{}, states {state:.1e}", finding.got);
    Ok(finding)
}

/// The largest difference of the states' sums, as a part of the sum of magnitudes.
fn states_apart(expected: &[[f64; 2]], found: &[[f64; 2]]) -> f64 {
    if expected.len() != found.len() {
        return f64::INFINITY;
    }
    let apart = expected.iter().zip(found).flat_map(|(a, b)| {
        [(a[0] - b[0]).abs() / a[1].max(f64::MIN_POSITIVE), (a[1] - b[1]).abs() / a[1].max(f64::MIN_POSITIVE)]
    });
    apart.fold(0.0, |worst: f64, next| if next.is_nan() { f64::INFINITY } else { worst.max(next) })
}
