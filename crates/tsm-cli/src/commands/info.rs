//! `tsm info`: what a model is and what it costs.

use serde_json::json;
use tsm_model::motion_head::MotionMemory;
use tsm_model::{Architecture, ModelSpec, MotionFeatures, ShiftKind};

use crate::args::InfoArgs;
use crate::exit_code::{Exit, Failure};
use crate::model_source::{self, ModelSource};
use crate::talk;

/// What a network of this description costs.
struct Cost {
    parameters: usize,
    multiply_adds: usize,
    state_bytes: usize,
}

/// Prints the model's description.
///
/// # Errors
/// A file that is no model.
pub(crate) fn run(args: &InfoArgs) -> Result<Exit, Failure> {
    let source = args.file.clone().map_or_else(|| model_source::source(&args.model), ModelSource::File);
    let checkpoint = model_source::open_from(&source, &model_source::overrides(&args.model)?)?;
    let spec = &checkpoint.spec;
    let cost = cost(spec);
    let text = if args.json { as_json(&source, spec, &cost)? } else { as_text(&source, spec, &cost) };
    talk::result(&text)?;
    Ok(Exit::Done)
}

fn cost(spec: &ModelSpec) -> Cost {
    let (network, size) = (Architecture::of(spec), spec.input.size_px);
    Cost {
        parameters: network.parameter_count(),
        multiply_adds: network.multiply_adds(size),
        state_bytes: if spec.shift.is_streamable() { state_bytes(spec, &network) } else { 0 },
    }
}

/// Bytes that a stream's state has: folds of a shift, and the memory of motion.
fn state_bytes(spec: &ModelSpec, network: &Architecture) -> usize {
    let size = spec.input.size_px;
    let shapes = network.state_shapes(&spec.shift, size);
    let floats: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
    let motion_bytes = match spec.motion_features {
        MotionFeatures::None => 0,
        MotionFeatures::Flow => MotionMemory::new(size, size).bytes(),
    };
    floats * size_of::<f32>() + motion_bytes
}

/// The model in a few words: `mobilenetv2 x1, causal shift 1/8 in 10 blocks, flow, 224 px, 27 classes`.
pub(crate) fn one_line(spec: &ModelSpec) -> String {
    let ModelSpec { backbone, width, shift, motion_features, input, classes, .. } = spec;
    let shift = match shift.kind {
        ShiftKind::None => "no shift".to_owned(),
        kind => format!("{} shift 1/{} in {} blocks", kind.name(), shift.div, shift.blocks.len()),
    };
    let motion = match motion_features {
        MotionFeatures::None => "",
        MotionFeatures::Flow => ", flow",
    };
    format!("{backbone} x{width}, {shift}{motion}, {} px, {} classes", input.size_px, classes.len())
}

fn as_text(source: &ModelSource, spec: &ModelSpec, cost: &Cost) -> String {
    let Cost { parameters, multiply_adds, state_bytes } = cost;
    let interval = spec.sampling.frame_interval_millis;
    let mut lines = vec![
        format!("{source}: {}", one_line(spec)),
        format!("  parameters       {parameters}"),
        format!("  multiply-adds    {multiply_adds} a frame"),
        format!("  state            {state_bytes} bytes a stream"),
        format!("  segments         {}", spec.shift.segments),
        format!("  frame interval   {interval:.1} ms ({:.1} frames/s)", 1000.0 / interval),
        format!("  classes          {}", few(&spec.classes)),
    ];
    for (topic, text) in &spec.provenance {
        let mut rows = text.trim_end().lines();
        match (rows.next(), text.trim_end().contains('\n')) {
            (Some(first), true) => {
                lines.push(format!("  {topic}"));
                lines.extend(std::iter::once(first).chain(rows).map(|row| format!("    {row}")));
            }
            (row, _) => lines.push(format!("  {topic:<16} {}", row.unwrap_or_default())),
        }
    }
    lines.iter().map(|line| talk::escaped(line)).collect::<Vec<_>>().join("\n")
}

/// The first few names.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 40;
    let between = if names.iter().any(|name| name.contains(',')) { "; " } else { ", " };
    let dots = if names.len() > SHOWN { format!("{between}…") } else { String::new() };
    names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(between) + &dots
}

fn as_json(source: &ModelSource, spec: &ModelSpec, cost: &Cost) -> Result<String, Failure> {
    let mut object = serde_json::to_value(spec)?;
    object["model"] = json!(source.to_string());
    object["class_count"] = json!(spec.classes.len());
    object["parameters"] = json!(cost.parameters);
    object["multiply_adds"] = json!(cost.multiply_adds);
    object["state_bytes"] = json!(cost.state_bytes);
    Ok(object.to_string())
}

#[cfg(test)]
mod tests {
    use tsm_model::{Backbone, ShiftPlace, ShiftSpec};

    use super::*;

    #[test]
    fn only_a_network_that_can_label_a_stream_has_a_state() {
        let bytes = |kind, motion_features| {
            let shift = ShiftSpec::new(kind, ShiftPlace::Blockres, 8, 8, Backbone::MobilenetV2);
            cost(&ModelSpec { shift, motion_features, ..ModelSpec::new(Backbone::MobilenetV2, 3) })
                .state_bytes
        };
        let motion_bytes = MotionMemory::new(224, 224).bytes();
        for (features, more) in [(MotionFeatures::None, 0), (MotionFeatures::Flow, motion_bytes)] {
            assert_eq!([ShiftKind::Mit, ShiftKind::Paddle].map(|kind| bytes(kind, features)), [0, 0]);
            assert_eq!(bytes(ShiftKind::None, features), more);
            // The folds of ten blocks.
            assert_eq!(bytes(ShiftKind::Causal, features), 108_192 + more);
        }
    }
}
