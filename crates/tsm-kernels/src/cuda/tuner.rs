//! Asks a machine which way of each layer is its fastest, and whether all ways say the same.
//!
//! ```text
//! layer by layer, on a real step's data:
//!   every way ─► output ─► what most say, the likeliest first ─┬─ another output, a NaN or none ─► it is refused
//!                                                              └─ this one ─► microseconds ─► the least is the layer's
//!   a depthwise convolution and its product: the sum of the two against the ways that do both at once
//! ```
//!
//! A stream that begins remembers zeros, so a way that takes another place of a memory for its own is not told from the
//! others here: `tsm selftest` does that.
//!
//! It walks through a step in order, so every layer sees the inputs that it will see, and a way that was never run on
//! this GPU is compared with others before it is trusted. Layers of one shape are asked once; who was refused for it is
//! told to every program that has such a layer.

use std::collections::HashMap;

use super::args::{Launch, LayerArgs};
use super::buffers::Addresses;
use super::machine::MachineError;
use super::program::{Element, Program};
use super::ways::{Scale, Stage, Way, Work};

/// What can run a launch and look at it.
pub(super) trait Bench {
    /// Runs it, and copies a part of its output out; always the same part. What it does not write is NaN.
    fn output(&mut self, launch: &Launch) -> Result<Vec<f32>, MachineError>;

    /// How long it takes, in microseconds, as one of many.
    fn micros(&mut self, launch: &Launch) -> Result<f32, MachineError>;
}

/// A plan, and the kernels that failed, or said something else than most others did: each once.
#[derive(Debug, Default)]
pub(super) struct Tuned {
    pub(super) stages: Vec<Stage>,
    pub(super) refused: Vec<String>,
}

/// A shape of a layer: its launch by the likeliest way, without addresses.
type Shape = (String, LayerArgs);

/// What was found for shapes.
pub(super) type Known = HashMap<Shape, Found>;

struct Tuner<'a, B> {
    program: &'a Program,
    scale: Scale,
    at: &'a Addresses,
    bench: &'a mut B,
    tuned: Tuned,
    known: &'a mut Known,
}

/// The best way for a piece of work.
#[derive(Debug, Clone, Copy)]
struct Best {
    stage: Stage,
    micros: f32,
}

/// What was found for a shape: the best way and its microseconds, unless all ways of a pair were refused; and who was.
#[derive(Debug, Clone)]
pub(super) struct Found {
    best: Option<(Way, f32)>,
    refused: Vec<String>,
    /// Whether it holds for other frames, too.
    is_sure: bool,
}

/// The fastest plan for a step of `scale.pictures` streams, whose frames and memories lie where `at` says. Shapes that
/// are in `known` are not asked about; others are there afterwards.
///
/// # Errors
/// If the machine fails.
pub(super) fn tune<B: Bench>(
    program: &Program,
    scale: Scale,
    at: &Addresses,
    bench: &mut B,
    known: &mut Known,
) -> Result<Tuned, MachineError> {
    let mut tuner = Tuner { program, scale, at, bench, tuned: Tuned::default(), known };
    let mut index = 0;
    while index < program.launch_count() {
        let first = tuner.best(Work::Layer(index), None)?;
        if !program.is_pair(index) {
            tuner.tuned.stages.push(first.stage);
            index += 1;
            continue;
        }
        let second = tuner.best(Work::Layer(index + 1), None)?;
        let both = tuner.best(Work::Pair(index), Some(second.stage))?;
        if both.micros < first.micros + second.micros {
            tuner.tuned.stages.push(both.stage);
        } else {
            tuner.tuned.stages.extend([first.stage, second.stage]);
        }
        index += 2;
    }
    Ok(tuner.tuned)
}

impl<B: Bench> Tuner<'_, B> {
    /// The fastest of the ways of `work` whose output is that of `right`, or else what most of them say. Its output is
    /// there afterwards, for the next layer.
    fn best(&mut self, work: Work, right: Option<Stage>) -> Result<Best, MachineError> {
        let ways = self.program.ways(work, self.scale);
        let shape = shape(&self.launch(Stage { work, way: ways[0] }));
        let found = match self.known.get(&shape) {
            Some(known) => known.clone(),
            None => self.ask(work, &ways, right)?,
        };
        for kernel in &found.refused {
            if !self.tuned.refused.contains(kernel) {
                self.tuned.refused.push(kernel.clone());
            }
        }
        let stage = found.best.map(|(way, _micros)| Stage { work, way });
        // A pair whose ways were all refused leaves its outputs to the two launches.
        let Some(stage) = stage.or(right) else {
            return Err(MachineError::AllRefused(found.refused.join(", ")));
        };
        let micros = found.best.map_or(f32::INFINITY, |(_way, micros)| micros);
        if found.is_sure {
            self.known.insert(shape, found);
        }
        self.bench.output(&self.launch(stage))?;
        Ok(Best { stage, micros })
    }

    /// Runs all `ways`, and times those that agree. Where what they are run on has no numbers as its answer, the first
    /// that runs is as good as any, and a pair's two launches as one.
    fn ask(&mut self, work: Work, ways: &[Way], right: Option<Stage>) -> Result<Found, MachineError> {
        let element = self.program.element();
        let wanted = right.map(|right| self.bench.output(&self.launch(right))).transpose()?;
        if wanted.as_ref().is_some_and(|wanted| !are_numbers(wanted)) {
            return Ok(Found { best: None, refused: Vec::new(), is_sure: false });
        }
        let (outputs, mut refused) = self.outputs(work, ways);
        if right.is_none() && !outputs.is_empty() && !outputs.iter().any(|(_way, output)| are_numbers(output))
        {
            let best = outputs.first().map(|(way, _output)| (*way, f32::INFINITY));
            return Ok(Found { best, refused, is_sure: false });
        }
        let (outputs, silent): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|(_way, output)| are_numbers(output));
        for (way, _output) in silent {
            let kernel = self.launch(Stage { work, way }).kernel;
            refused.push(format!("{kernel} (not all of its outputs are numbers)"));
        }
        let wanted =
            wanted.or_else(|| said_by_most(&outputs, element).map(<[f32]>::to_vec)).unwrap_or_default();
        let mut best: Option<(Way, f32)> = None;
        for (way, output) in outputs {
            let launch = self.launch(Stage { work, way });
            if !agree(&wanted, &output, element) {
                refused.push(launch.kernel);
                continue;
            }
            match self.bench.micros(&launch) {
                Ok(micros) if best.is_none_or(|(_way, least)| micros < least) => best = Some((way, micros)),
                Ok(_slower) => {}
                Err(error) => refused.push(format!("{} ({error})", launch.kernel)),
            }
        }
        Ok(Found { best, refused, is_sure: true })
    }

    /// What each of `ways` says, and those that fail.
    fn outputs(&mut self, work: Work, ways: &[Way]) -> (Vec<(Way, Vec<f32>)>, Vec<String>) {
        let (mut outputs, mut refused) = (Vec::with_capacity(ways.len()), Vec::new());
        for way in ways.iter().copied() {
            let launch = self.launch(Stage { work, way });
            match self.bench.output(&launch) {
                Ok(output) => outputs.push((way, output)),
                Err(error) => refused.push(format!("{} ({error})", launch.kernel)),
            }
        }
        (outputs, refused)
    }

    fn launch(&self, stage: Stage) -> Launch {
        self.program.launch(stage, self.scale, self.at)
    }
}

/// Which layers are asked about once. No address counts: another program, or another batch, has its memory elsewhere.
fn shape(launch: &Launch) -> Shape {
    let args = LayerArgs {
        x: 0,
        weight: 0,
        bias: 0,
        depthwise_weight: 0,
        depthwise_bias: 0,
        y: 0,
        residual: u64::from(launch.args.residual != 0),
        partial: 0,
        counters: 0,
        streams: 0,
        fold_in_at: 0,
        fold_out_at: 0,
        ..launch.args
    };
    (launch.kernel.clone(), args)
}

/// Whether all are numbers. An output that was never written is none; several kernels that write nothing would agree,
/// so they have no vote. A model that has no numbers to say, such as one that is too large for halves, is not theirs to
/// judge.
fn are_numbers(output: &[f32]) -> bool {
    !output.iter().any(|value| value.is_nan())
}

/// The output that most others agree with; of several such the first, which is the likeliest way's.
fn said_by_most(outputs: &[(Way, Vec<f32>)], element: Element) -> Option<&[f32]> {
    let (_way, first) = outputs.first()?;
    if outputs.iter().all(|(_way, output)| agree(first, output, element)) {
        return Some(first);
    }
    let agreeing = |one: &[f32]| outputs.iter().filter(|(_way, output)| agree(one, output, element)).count();
    let (_count, most) = outputs
        .iter()
        .map(|(_way, output)| (agreeing(output), output.as_slice()))
        .reduce(|most, next| if next.0 > most.0 { next } else { most })?;
    Some(most)
}

/// Whether two ways made the same outputs, but for the order of sums and rounding.
fn agree(wanted: &[f32], found: &[f32], element: Element) -> bool {
    let part = match element {
        Element::F32 => 1e-3,
        Element::F16 => 2e-2,
    };
    // Beside an infinity any difference would be small.
    let finite = wanted.iter().map(|value| value.abs()).filter(|value| value.is_finite());
    let largest = finite.fold(0.0, f32::max);
    // By their bits infinities agree, which have no difference.
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(a, b)| (a - b).abs() <= part * largest || a.to_bits() == b.to_bits())
}

#[cfg(test)]
mod tests;
