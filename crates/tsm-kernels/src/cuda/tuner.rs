//! Asks a machine which way of each layer is its fastest, and whether all ways say the same.
//!
//! ```text
//! layer by layer, on a real step's data:
//!   every way ─► output ─► what most say, the likeliest first ─┬─ another output, or none ─► this way is refused
//!                                                              └─ this one ─► microseconds ─► the least is the layer's
//!   a depthwise convolution and its product: the sum of the two against the ways that do both at once
//! ```
//!
//! It walks through a step in order, so every layer sees the inputs that it will see, and a way that was never run on
//! this GPU is compared with others before it is trusted. Layers of one shape are asked once.

use std::collections::HashMap;

use super::args::{Launch, LayerArgs};
use super::buffers::Addresses;
use super::machine::MachineError;
use super::program::{Element, Program};
use super::ways::{Scale, Stage, Way, Work};

/// What can run a launch and look at it.
pub(super) trait Bench {
    /// Runs it, and copies a part of its output out; always the same part.
    fn output(&mut self, launch: &Launch) -> Result<Vec<f32>, MachineError>;

    /// How long it takes, in microseconds, as one of many.
    fn micros(&mut self, launch: &Launch) -> Result<f32, MachineError>;
}

/// A plan, and the kernels that failed, or said something else than most others did.
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

/// The best stage for a piece of work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    stage: Stage,
    micros: f32,
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
    fn best(&mut self, work: Work, right: Option<Stage>) -> Result<Found, MachineError> {
        let ways = self.program.ways(work, self.scale);
        let shape = shape(&self.launch(Stage { work, way: ways[0] }));
        let found = if let Some(known) = self.known.get(&shape) {
            Found { stage: Stage { work, way: known.stage.way }, ..*known }
        } else {
            let found = self.ask(work, ways, right)?;
            self.known.insert(shape, found);
            found
        };
        // A pair whose ways were all refused leaves its outputs to the two launches.
        let last = if found.micros.is_finite() { found.stage } else { right.unwrap_or(found.stage) };
        self.bench.output(&self.launch(last))?;
        Ok(found)
    }

    /// Runs all `ways`, and times those that agree.
    fn ask(&mut self, work: Work, ways: Vec<Way>, right: Option<Stage>) -> Result<Found, MachineError> {
        let element = self.program.element();
        let wanted = right.map(|right| self.bench.output(&self.launch(right))).transpose()?;
        let mut outputs = Vec::with_capacity(ways.len());
        for way in ways {
            let stage = Stage { work, way };
            let launch = self.launch(stage);
            match self.bench.output(&launch) {
                Ok(output) => outputs.push((stage, output)),
                Err(error) => self.tuned.refused.push(format!("{} ({error})", launch.kernel)),
            }
        }
        let wanted =
            wanted.or_else(|| said_by_most(&outputs, element).map(<[f32]>::to_vec)).unwrap_or_default();
        let mut found: Option<Found> = None;
        for (stage, output) in outputs {
            let launch = self.launch(stage);
            if !agree(&wanted, &output, element) {
                self.tuned.refused.push(launch.kernel);
                continue;
            }
            match self.bench.micros(&launch) {
                Ok(micros) if found.is_none_or(|found| micros < found.micros) => {
                    found = Some(Found { stage, micros });
                }
                Ok(_slower) => {}
                Err(error) => self.tuned.refused.push(format!("{} ({error})", launch.kernel)),
            }
        }
        let none = Found { stage: Stage { work, way: Way::Only }, micros: f32::INFINITY };
        match (found, right) {
            (Some(found), _) => Ok(found),
            // Its output is left to another stage.
            (None, Some(_)) => Ok(none),
            (None, None) => Err(MachineError::NoKernel(self.tuned.refused.join(", "))),
        }
    }

    fn launch(&self, stage: Stage) -> Launch {
        self.program.launch(stage, self.scale, self.at)
    }
}

fn shape(launch: &Launch) -> Shape {
    let args = LayerArgs {
        x: 0,
        weight: 0,
        bias: 0,
        depthwise_weight: 0,
        depthwise_bias: 0,
        y: 0,
        residual: u64::from(launch.args.residual != 0),
        fold_in_at: 0,
        fold_out_at: 0,
        ..launch.args
    };
    (launch.kernel.clone(), args)
}

/// The output that most others agree with; of several such the first, which is the likeliest way's.
fn said_by_most(outputs: &[(Stage, Vec<f32>)], element: Element) -> Option<&[f32]> {
    let (_stage, first) = outputs.first()?;
    if outputs.iter().all(|(_stage, output)| agree(first, output, element)) {
        return Some(first);
    }
    let agreeing =
        |one: &[f32]| outputs.iter().filter(|(_stage, output)| agree(one, output, element)).count();
    let (_count, most) = outputs
        .iter()
        .map(|(_stage, output)| (agreeing(output), output.as_slice()))
        .reduce(|most, next| if next.0 > most.0 { next } else { most })?;
    Some(most)
}

/// Whether two ways made the same outputs, but for the order of sums and rounding.
fn agree(wanted: &[f32], found: &[f32], element: Element) -> bool {
    let part = match element {
        Element::F32 => 1e-3,
        Element::F16 => 2e-2,
    };
    let largest = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(a, b)| (a - b).abs() <= part * largest || a.to_bits() == b.to_bits())
}
