//! Whether a description holds together, before a network is made of it.
//!
//! Every number that the other rooms divide by, allocate by or multiply into shapes is checked here.

use std::ops::RangeInclusive;

use crate::architecture::Architecture;
use crate::shift::ShiftKind;
use crate::spec::{Backbone, ModelSpec};

/// The widest picture a model may ask for, in pixels.
const MAX_SIDE_PX: usize = 8192;

/// The largest divisor of a fold: more than any block has channels.
pub const MAX_SHIFT_DIV: usize = 1 << 20;

/// The most frames of a clip.
pub const MAX_SEGMENTS: usize = 1024;

/// From a thousand frames a second to a frame in a quarter of an hour.
const INTERVALS_MILLIS: RangeInclusive<f64> = 1.0..=1_000_000.0;

/// The longest memory of a decision: an hour at 12 frames a second.
const MAX_DECISION_FRAMES: usize = 50_000;

/// Field, value and allowed values of the first thing that is wrong.
pub(super) fn check(spec: &ModelSpec) -> Result<(), String> {
    check_network(spec)?;
    check_shift(spec)?;
    check_input(spec)?;
    if spec.classes.is_empty() {
        return Err("it has no classes".to_owned());
    }
    if !(spec.temperature.is_finite() && spec.temperature > 0.0) {
        return Err(format!("temperature is {}, it must be above 0", spec.temperature));
    }
    let interval = spec.sampling.frame_interval_millis;
    if !INTERVALS_MILLIS.contains(&interval) {
        let (least, most) = (INTERVALS_MILLIS.start(), INTERVALS_MILLIS.end());
        return Err(format!("frame_interval_millis is {interval}, it must be {least} to {most}"));
    }
    for (name, value) in [("window", spec.decision.window), ("confirm", spec.decision.confirm)] {
        if let Some(value) = value.filter(|value| !(1..=MAX_DECISION_FRAMES).contains(value)) {
            return Err(format!("decision.{name} is {value}, it must be 1 to {MAX_DECISION_FRAMES}"));
        }
    }
    Ok(())
}

fn check_network(spec: &ModelSpec) -> Result<(), String> {
    let is_mobilenet = spec.backbone == Backbone::MobilenetV2;
    if is_mobilenet && !(0.01..=8.0).contains(&spec.width) {
        return Err(format!("width is {}, it must be 0.01 to 8", spec.width));
    }
    #[expect(clippy::float_cmp, reason = "1 is exact, and anything else is a mistake")]
    if !is_mobilenet && spec.width != 1.0 {
        return Err(format!("width is {}, only mobilenetv2 has one", spec.width));
    }
    Ok(())
}

fn check_shift(spec: &ModelSpec) -> Result<(), String> {
    let shift = &spec.shift;
    let least = if matches!(shift.kind, ShiftKind::Mit | ShiftKind::Paddle) { 2 } else { 1 };
    if !(least..=MAX_SHIFT_DIV).contains(&shift.div) {
        return Err(format!("shift_div is {}, it must be {least} to {MAX_SHIFT_DIV}", shift.div));
    }
    if !(1..=MAX_SEGMENTS).contains(&shift.segments) {
        return Err(format!("segments is {}, it must be 1 to {MAX_SEGMENTS}", shift.segments));
    }
    let network = Architecture::of(&ModelSpec { classes: Vec::new(), ..spec.clone() });
    let mut blocks = network.blocks.iter().map(|block| &block.name);
    for name in &shift.blocks {
        // One pass over both: the list has the network's order and no repetition.
        if !blocks.any(|block| block == name) {
            let name = super::error::shown(name);
            return Err(format!("shifted block `{name}` is no block of {} or out of order", spec.backbone));
        }
    }
    Ok(())
}

fn check_input(spec: &ModelSpec) -> Result<(), String> {
    let input = &spec.input;
    if input.size_px == 0 || !input.size_px.is_multiple_of(32) || input.size_px > MAX_SIDE_PX {
        return Err(format!("size_px is {}, it must be a multiple of 32 up to {MAX_SIDE_PX}", input.size_px));
    }
    if !(input.size_px..=2 * MAX_SIDE_PX).contains(&input.short_side_px) {
        let (short, size) = (input.short_side_px, input.size_px);
        return Err(format!("short_side_px is {short}, it must be {size} to {}", 2 * MAX_SIDE_PX));
    }
    if !input.mean.iter().all(|mean| mean.is_finite()) {
        return Err(format!("mean is {:?}, it must be finite", input.mean));
    }
    if !input.std.iter().all(|std| std.is_finite() && *std > 0.0) {
        return Err(format!("std is {:?}, it must be above 0", input.std));
    }
    Ok(())
}
