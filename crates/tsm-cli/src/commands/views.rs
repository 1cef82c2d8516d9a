//! The view flags of `eval` and `infer` as an evaluation's view.

use tsm_model::ModelSpec;
use tsm_model::spec::SamplingKind;
use tsm_train::crop::EvalCrops;
use tsm_train::loader::EvalView;
use tsm_train::sampling::{ClipCount, Phase, Sampling, ShortClip, UniformRule};

use crate::args::offline::{ClipSamplingArg, ViewArgs};

/// The view that the flags ask for, else as the model was trained.
pub(super) fn view(args: &ViewArgs, spec: &ModelSpec) -> EvalView {
    let fixed = Sampling::FixedInterval {
        interval_millis: spec.sampling.frame_interval_millis,
        short: ShortClip::default(),
    };
    let rule = match spec.sampling.kind {
        SamplingKind::UniformPaddle => UniformRule::PaddleV151,
        _ => UniformRule::Mit,
    };
    let uniform = Sampling::Uniform(rule);
    let (sampling, clips) = match (args.sampling, spec.sampling.kind) {
        (Some(ClipSamplingArg::Twice), _) => (uniform, ClipCount::Twice),
        (Some(ClipSamplingArg::Dense), _) | (None, SamplingKind::Dense) => {
            (Sampling::Dense, ClipCount::DenseTen)
        }
        (Some(ClipSamplingArg::FixedInterval), _) | (None, SamplingKind::FixedInterval) => {
            (fixed, ClipCount::One)
        }
        (Some(ClipSamplingArg::Uniform), _)
        | (None, SamplingKind::Uniform | SamplingKind::UniformPaddle | SamplingKind::Unknown) => {
            (uniform, ClipCount::One)
        }
    };
    let crops = match args.crops.as_str() {
        "3" => EvalCrops::ThreeFullRes,
        "5" => EvalCrops::Five,
        "10" => EvalCrops::Ten,
        _ => EvalCrops::Centre,
    };
    EvalView { sampling, phase: Phase::Test, segments: spec.shift.segments, clips, crops }
}
