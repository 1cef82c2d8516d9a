//! The detectors: hidden channels of inverted residuals that measure motion and hand it on.
//!
//! ```text
//! block 2 of stream 1   L ±, now      ─ slope in x, y ─► Ix, Iy
//!                       L ±, now      ─ as is ─────────► takes L away ┐
//!                       L now - past ± ─ low pass ─────► It ──────────┴─ over L's place
//! first of stream 2     It ± Ix, ±    ─ low pass ──────► |It + Ix| - |It - Ix| = motion in x; y alike;  |It|
//! first of the others   motion ±      ─ low pass or as is ─► motion
//! first of the last     motion ±      ─ as is; minus its surroundings ─► motion, motion against them
//! last convolution      motion along 8 directions, over 3 thresholds ─► features
//! ```
//!
//! `±` are two rectified channels, one for each sign: outside the picture is zero for both, which is the mean
//! brightness. What a depthwise convolution makes of them may be negative and is lifted by `LIFT` over the rectifier.

use candle_core::{Result, Tensor};
use tsm_model::checkpoint::Weights;
use tsm_model::{Architecture, architecture::ConvUnit};

use super::affine::{put, read, set_channels};
use super::streams::{CIRCUIT, Stream, depthwise};
use super::survey::Survey;
use crate::network::{BatchNormMode, Depth, Pass, Site, TrainNetwork};

/// The middle of `ReLU6`: what a signed value is lifted by to pass it.
const LIFT: f64 = 3.0;

/// A 3x3 kernel, row by row.
type Kernel = [f64; 9];

const AS_IS: Kernel = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
const LOW_PASS: Kernel = [
    1.0 / 16.0,
    2.0 / 16.0,
    1.0 / 16.0,
    2.0 / 16.0,
    4.0 / 16.0,
    2.0 / 16.0,
    1.0 / 16.0,
    2.0 / 16.0,
    1.0 / 16.0,
];
/// Sobel's operators, such that a brightness of spread 1 has slopes of about spread 1.
const SLOPE_X: Kernel = [-0.5, 0.0, 0.5, -1.0, 0.0, 1.0, -0.5, 0.0, 0.5];
const SLOPE_Y: Kernel = [-0.5, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0, 0.5];
const AGAINST_SURROUNDINGS: Kernel = {
    let ninth = 1.0 / 9.0;
    [-ninth, -ninth, -ninth, -ninth, 1.0 - ninth, -ninth, -ninth, -ninth, -ninth]
};

/// Spreads below this, of a brightness of spread 1, are rounding: nothing moves, or there is no shift.
const LEAST_SPREAD: f64 = 0.02;

/// Where a feature's half wave begins, in spreads of the motion.
const THRESHOLDS: [f64; 3] = [0.0, 0.7, 1.5];

/// A diagonal is as long as a side.
const DIAGONAL: f64 = 0.7;

/// Channels of the first stream: the brightness, of now and, through the shift, of the frame before.
const LIGHT: usize = 0;
/// The change takes the brightness's place.
const CHANGE: usize = 0;
const SLOPES: [usize; 2] = [1, 2];
/// Channels of later streams.
const MOTIONS: [usize; 2] = [0, 1];
const AMOUNT: usize = 2;
/// Channels of the last stream, behind those.
const AGAINST: [usize; 2] = [CIRCUIT, CIRCUIT + 1];

/// One hidden channel of an inverted residual.
struct Unit {
    /// What it reads of the stream.
    reads: Vec<(usize, f64)>,
    /// Its depthwise kernel.
    kernel: Kernel,
    /// What it is lifted by behind it.
    lift: f64,
    /// Where it is added, and how much.
    adds: (usize, f64),
}

/// A network under construction.
pub(super) struct Bench<'a> {
    pub(super) network: &'a mut TrainNetwork,
    pub(super) architecture: &'a Architecture,
    /// Clips that spreads are taken from, a batch each.
    pub(super) pictures: &'a [Tensor],
    /// Frames of a clip.
    pub(super) t: usize,
    /// The frame of a clip that has no neighbour to compare with.
    pub(super) blind: usize,
    pub(super) weights: Weights,
}

/// What was built.
pub(super) struct Built {
    /// The features that tell motion.
    pub(super) features: Vec<usize>,
    /// Whether anything changes from frame to frame.
    pub(super) sees_change: bool,
}

/// Builds all circuits into the rebased weights of `bench` and leaves its network with them.
///
/// # Errors
/// If the network has no room for them, or the device refuses.
pub(super) fn build(
    bench: &mut Bench<'_>,
    streams: &[Stream],
    found: &Survey,
    light: &[f64],
) -> Result<Built> {
    let [first, second, later @ ..] = streams else { candle_core::bail!("the network has too few stages") };
    let (Some(gradient), Some(energy)) = (first.blocks.get(1), second.blocks.first()) else {
        candle_core::bail!("the first stage has no block that sees the frame before");
    };
    bench.put(*gradient, found, &slopes_and_change(light))?;
    let spreads = bench.spreads(*gradient, &[CHANGE, SLOPES[0], SLOPES[1]])?;
    bench.put(*energy, found, &motion(&spreads))?;
    bench.level(*energy, &[MOTIONS[0], MOTIONS[1], AMOUNT])?;
    for (index, stream) in later.iter().enumerate() {
        let is_last = index + 1 == later.len();
        let block = stream.blocks[0];
        let stride = depthwise(&bench.architecture.blocks[block]).map_or(1, |unit| unit.stride);
        let kernel = if stride > 1 { LOW_PASS } else { AS_IS };
        let mut units = carried(kernel);
        let mut written = vec![MOTIONS[0], MOTIONS[1], AMOUNT];
        if is_last {
            units.extend(against_surroundings());
            written.extend(AGAINST);
        }
        bench.put(block, found, &units)?;
        bench.level(block, &written)?;
    }
    let features = bench.features(found)?;
    bench.load()?;
    Ok(Built { features, sees_change: spreads[0] >= LEAST_SPREAD })
}

/// A linear combination and its negative, as two rectified channels whose difference is added to `to`.
fn both_signs(reads: &[(usize, f64)], kernel: Kernel, lift: f64, to: usize, gain: f64) -> [Unit; 2] {
    let negative = reads.iter().map(|(channel, weight)| (*channel, -weight)).collect();
    [
        Unit { reads: reads.to_vec(), kernel, lift, adds: (to, gain) },
        Unit { reads: negative, kernel, lift, adds: (to, -gain) },
    ]
}

fn slopes_and_change(light: &[f64]) -> Vec<Unit> {
    let now: Vec<(usize, f64)> =
        light.iter().copied().enumerate().filter(|(_, weight)| *weight != 0.0).collect();
    let change: Vec<(usize, f64)> = now.iter().copied().chain([(LIGHT, -1.0)]).collect();
    let mut units = Vec::new();
    units.extend(both_signs(&now, SLOPE_X, LIFT, SLOPES[0], 1.0));
    units.extend(both_signs(&now, SLOPE_Y, LIFT, SLOPES[1], 1.0));
    units.extend(both_signs(&now, AS_IS, 0.0, LIGHT, -1.0));
    units.extend(both_signs(&change, LOW_PASS, 0.0, CHANGE, 1.0));
    units
}

/// Signed motion of each axis and the amount of change, from the spreads of change and slopes.
fn motion(spreads: &[f64]) -> Vec<Unit> {
    let gain = |k: usize| levelling(spreads[k]);
    let mut units = Vec::new();
    for axis in 0..2 {
        for (sign, weight) in [(1.0, 1.0), (-1.0, -1.0)] {
            let sum = [(CHANGE, gain(0)), (SLOPES[axis], sign * gain(axis + 1))];
            for mut unit in both_signs(&sum, LOW_PASS, 0.0, MOTIONS[axis], weight) {
                // The sum of both rectified signs is the absolute value.
                unit.adds.1 = weight;
                units.push(unit);
            }
        }
    }
    for mut unit in both_signs(&[(CHANGE, gain(0))], LOW_PASS, 0.0, AMOUNT, 1.0) {
        unit.adds.1 = 1.0;
        units.push(unit);
    }
    units
}

fn carried(kernel: Kernel) -> Vec<Unit> {
    let mut units: Vec<Unit> =
        MOTIONS.iter().flat_map(|axis| both_signs(&[(*axis, 1.0)], kernel, 0.0, *axis, 1.0)).collect();
    units.push(Unit { reads: vec![(AMOUNT, 1.0)], kernel, lift: 0.0, adds: (AMOUNT, 1.0) });
    units
}

fn against_surroundings() -> Vec<Unit> {
    let axes = MOTIONS.iter().zip(AGAINST);
    axes.flat_map(|(axis, to)| both_signs(&[(*axis, 1.0)], AGAINST_SURROUNDINGS, LIFT, to, 1.0)).collect()
}

impl Bench<'_> {
    /// Writes units into the hidden channels of a block that add least to its projection.
    fn put(&mut self, block: usize, found: &Survey, units: &[Unit]) -> Result<()> {
        let [expand, depthwise, project] = &self.architecture.blocks[block].convs[..] else {
            candle_core::bail!("block {block} is no inverted residual");
        };
        let hidden = weakest(&found.importance[block], units.len());
        if hidden.len() < units.len() {
            candle_core::bail!(
                "block {block} has {} hidden channels, the circuits need {}",
                hidden.len(),
                units.len()
            );
        }
        let rows = units.iter().zip(&hidden).map(|(unit, channel)| {
            let mut row = vec![0.0; expand.in_channels];
            for (from, weight) in &unit.reads {
                row[*from] += weight;
            }
            (*channel, row, 0.0)
        });
        set_channels(expand, &mut self.weights, &rows.collect::<Vec<_>>())?;
        let kernels =
            units.iter().zip(&hidden).map(|(unit, channel)| (*channel, unit.kernel.to_vec(), unit.lift));
        set_channels(depthwise, &mut self.weights, &kernels.collect::<Vec<_>>())?;
        self.put_projection(project, units, &hidden, &found.hidden_means[block])
    }

    /// The projection's columns of the units' channels; what lifts them is taken off its offset, and what they added on
    /// the mean before stays.
    fn put_projection(
        &mut self,
        project: &ConvUnit,
        units: &[Unit],
        hidden: &[usize],
        means: &[f64],
    ) -> Result<()> {
        let (kernel, bias) = (format!("{}.weight", project.conv), format!("{}.bias", project.norm));
        let mut columns = read(&self.weights, &kernel)?;
        let mut offsets = read(&self.weights, &bias)?;
        for (unit, channel) in units.iter().zip(hidden) {
            for out in 0..project.out_channels {
                let column = &mut columns[out * project.in_channels + channel];
                offsets[out] += *column * means[*channel];
                *column = 0.0;
            }
            let (to, gain) = unit.adds;
            columns[to * project.in_channels + channel] = gain;
            offsets[to] -= gain * unit.lift;
        }
        put(&mut self.weights, &kernel, columns, &project.weight_shape())?;
        put(&mut self.weights, &bias, offsets, &[project.out_channels])
    }

    /// Brings what a block writes to `channels` to spread 1.
    fn level(&mut self, block: usize, channels: &[usize]) -> Result<()> {
        let spreads = self.spreads(block, channels)?;
        let Some(project) = self.architecture.blocks[block].convs.last() else { return Ok(()) };
        let (kernel, bias) = (format!("{}.weight", project.conv), format!("{}.bias", project.norm));
        let mut columns = read(&self.weights, &kernel)?;
        let mut offsets = read(&self.weights, &bias)?;
        for (channel, spread) in channels.iter().zip(spreads) {
            let gain = levelling(spread);
            let row = &mut columns[channel * project.in_channels..(channel + 1) * project.in_channels];
            for weight in row {
                *weight *= gain;
            }
            offsets[*channel] *= gain;
        }
        put(&mut self.weights, &kernel, columns, &project.weight_shape())?;
        put(&mut self.weights, &bias, offsets, &[project.out_channels])
    }

    /// Standard deviations of a block's channels, but for the frame of each clip that has no neighbour.
    fn spreads(&mut self, block: usize, channels: &[usize]) -> Result<Vec<f64>> {
        self.load()?;
        let (t, blind) = (self.t, self.blind);
        let mut sums = vec![[0.0; 3]; channels.len()];
        let pass = Pass {
            t,
            batch_norm: BatchNormMode::Frozen,
            depth: Depth::Head,
            shift_strength: 1.0,
            feature_mask: None,
            motion: None,
        };
        for pictures in self.pictures {
            self.network.watched(pictures, &pass, &mut |site, map| {
                if matches!(site, Site::Block(index) if index == block) {
                    add_moments(&map.to_tensor()?, |frame| frame % t != blind, channels, &mut sums)?;
                }
                Ok(())
            })?;
        }
        let spread = |[count, sum, square]: [f64; 3]| {
            let count = count.max(1.0);
            (square / count - (sum / count).powi(2)).max(0.0).sqrt()
        };
        Ok(sums.into_iter().map(spread).collect())
    }

    /// Gives the network the weights as they are.
    fn load(&mut self) -> Result<()> {
        let values = self.weights.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        self.network.restore(&values.collect())
    }

    /// Half waves of motion along eight directions, and of its amount, as the features that varied least.
    fn features(&mut self, found: &Survey) -> Result<Vec<usize>> {
        let Some(last) = &self.architecture.last else {
            candle_core::bail!("the network has no last convolution")
        };
        let mut directions: Vec<Vec<(usize, f64)>> = Vec::new();
        for [x, y] in [MOTIONS, AGAINST] {
            let d = DIAGONAL;
            for (along_x, along_y) in
                [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (d, d), (-d, -d), (d, -d), (-d, d)]
            {
                directions.push(vec![(x, along_x), (y, along_y)]);
            }
        }
        directions.push(vec![(AMOUNT, 1.0)]);
        let features = weakest(&found.feature_variance, directions.len() * THRESHOLDS.len());
        let waves = directions.iter().flat_map(|reads| THRESHOLDS.map(|threshold| (reads, threshold)));
        let channels = waves.zip(&features).map(|((reads, threshold), feature)| {
            let mut row = vec![0.0; last.in_channels];
            for (from, weight) in reads {
                row[*from] += weight;
            }
            (*feature, row, -threshold)
        });
        let channels: Vec<_> = channels.collect();
        set_channels(last, &mut self.weights, &channels)?;
        Ok(features)
    }
}

/// What brings a spread to 1; rounding is not amplified from stage to stage.
fn levelling(spread: f64) -> f64 {
    if spread < LEAST_SPREAD { 1.0 } else { 1.0 / spread }
}

/// Adds count, sum and sum of squares of channels of those frames of `[n * t, c, h, w]` that `counts` takes.
fn add_moments(
    map: &Tensor,
    counts: impl Fn(usize) -> bool,
    channels: &[usize],
    sums: &mut [[f64; 3]],
) -> Result<()> {
    let (_, c, h, w) = map.dims4()?;
    let values = map.flatten_all()?.to_vec1::<f32>()?;
    for (_, picture) in values.chunks(c * h * w).enumerate().filter(|(frame, _)| counts(*frame)) {
        for (channel, sums) in channels.iter().zip(&mut *sums) {
            for value in &picture[channel * h * w..(channel + 1) * h * w] {
                let value = f64::from(*value);
                *sums = [sums[0] + 1.0, sums[1] + value, sums[2] + value * value];
            }
        }
    }
    Ok(())
}

/// The `count` places of least value, the first of equals first.
fn weakest(values: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order.truncate(count);
    order
}
