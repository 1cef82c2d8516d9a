//! A start that sees motion: weak directions of pretrained features make room for circuits that measure it.
//!
//! ```text
//! stem ─ … ─ stream 24 ──────── stream 32 ──── stream 64 ─ … ─ stream 320 ─ last ─ mean ─► features
//!  free:     light, its slopes  motion x, y    carried on      and motion        half waves of
//!  channels  and its change     and change                     against its       eight directions
//!            (from the shift)   |It+Ix|-|It-Ix|                surroundings
//! ```
//!
//! A temporal shift shows a block the features of the frame before, but weights that learned from single pictures do
//! nothing with them, and a few hundred clips do not teach it: what moves where has to be found by a product of change
//! and slope (Lucas and Kanade 1981; Reichardt's detector). That product is small in rectifiers, `|a + b| - |a - b|`
//! has its sign and the smaller one's size, so two inverted residuals can compute it. This file writes them into a
//! pretrained `MobileNetV2`:
//!
//! 1. `survey.rs`: what the streams between blocks carry, measured on training clips.
//! 2. `rebase.rs`: each stream in new coordinates, the ones that its readers need least given up; the function stays
//!    but for those (1 to 2 % of what the readers see). The folds that the shift moves are the free coordinates, so the
//!    shift takes nothing away from the pretrained features.
//! 3. `circuit.rs`: detectors in the hidden channels that matter least, carried to the features that vary least.
//!
//! Everything learns from there like any other weight, but for live batch norm, which would undo the scales. Without a
//! shift the circuits see no change and stay silent. Rewritten layers have their batch norm's scale in the weights.

use candle_core::{Result, Tensor};
use tsm_model::checkpoint::Weights;
use tsm_model::{Architecture, InputSpec, ModelSpec, ShiftKind};

use crate::network::TrainNetwork;

mod affine;
mod circuit;
mod rebase;
mod streams;
mod survey;

/// Training clips that the survey looks at: pictures enough for the covariance of 320 channels.
pub const SURVEY_CLIPS: usize = 48;

/// Of those, the clips that the circuits are levelled on.
const LEVEL_CLIPS: usize = 16;

/// What was done to the network.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionPaths {
    /// The largest part of what a stream's readers saw that was given up.
    pub most_given_up: f64,
    /// How much of the brightness the first stream knows (`R²`).
    pub brightness_known: f64,
    /// Whether anything changed from frame to frame: without a change the circuits are blind.
    pub sees_change: bool,
    /// Features that tell motion now.
    pub features: Vec<usize>,
}

/// Writes the circuits into `network`, which is of `spec`; `batches` are normalised pictures `[n * t, 3, h, w]` of
/// training clips, `t` frames each.
///
/// # Errors
/// If `network` is no `MobileNetV2`, there are no clips, or the device refuses.
pub fn put_in(
    network: &mut TrainNetwork,
    spec: &ModelSpec,
    batches: &[Tensor],
    t: usize,
) -> Result<MotionPaths> {
    let architecture = Architecture::of(spec);
    let streams = streams::of(&architecture, spec);
    if batches.is_empty() || t == 0 {
        candle_core::bail!("a start that sees motion needs clips to look at");
    }
    if streams.len() < 3 || architecture.last.is_none() {
        candle_core::bail!("a start that sees motion needs inverted residuals, as mobilenetv2 has them");
    }
    let found = survey::survey(network, &architecture, &streams, &spec.input, batches, t)?;
    let mut weights = Weights::new();
    for (name, tensor) in network.snapshot()? {
        weights.insert(name, tensor.to_device(&candle_core::Device::Cpu)?);
    }
    let (light, most_given_up) = rebase::rebase(&streams, &found, &mut weights)?;
    let mut clips = 0;
    let enough = batches.iter().take_while(|batch| {
        let wanted = clips < LEVEL_CLIPS;
        clips += batch.dims()[0] / t;
        wanted
    });
    let pictures = &batches[..enough.count()];
    // MIT's two-way shift shows the frame behind in its first fold, every other one the frame before.
    let blind = if spec.shift.kind == ShiftKind::Mit { t - 1 } else { 0 };
    let mut bench = circuit::Bench { network, architecture: &architecture, pictures, t, blind, weights };
    let circuit::Built { features, sees_change } = circuit::build(&mut bench, &streams, &found, &light)?;
    Ok(MotionPaths { most_given_up, brightness_known: found.light.known, sees_change, features })
}

/// Weights of red, green and blue in the brightness of a normalised picture (ITU-R BT.601), up to a constant.
fn brightness_weights(input: &InputSpec) -> [f32; 3] {
    let [r, g, b] = input.std;
    [0.299 * r, 0.587 * g, 0.114 * b]
}
