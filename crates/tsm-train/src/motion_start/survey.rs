//! What the streams carry, measured on clips: the network as it is, without a shift.
//!
//! ```text
//! clips ─► network ─┬─ after every block ────► mean, covariance of its stream
//!                   ├─ after every depthwise ► how much each hidden channel adds to the projection
//!                   ├─ first stream, pixels ─► which combination of channels is the brightness
//!                   └─ features ─────────────► how much each varies from clip to clip
//! ```

use candle_core::{Result, Tensor};
use nalgebra::{Cholesky, DMatrix, DMatrixView, DVector};
use tsm_model::checkpoint::Weights;
use tsm_model::{Architecture, InputSpec};

use super::affine::Affine;
use super::streams::{Stream, depthwise};
use crate::counts::float;
use crate::network::{BatchNormMode, Depth, Pass, Site, TrainNetwork};

/// What is added to the diagonal of a covariance, as a part of its mean variance.
const RIDGE: f64 = 1e-6;

/// A low pass along one side, wide enough for a stride of 4.
const LOW_PASS: [f32; 5] = [1.0 / 12.0, 3.0 / 12.0, 4.0 / 12.0, 3.0 / 12.0, 1.0 / 12.0];

/// All that is known.
#[derive(Debug)]
pub(super) struct Survey {
    /// Of each stream.
    pub(super) streams: Vec<Moments>,
    /// Of each block: what its hidden channels add to the projection's variance.
    pub(super) importance: Vec<Vec<f64>>,
    /// Of each block: the means of its hidden channels.
    pub(super) hidden_means: Vec<Vec<f64>>,
    /// The brightness in the first stream.
    pub(super) light: Light,
    /// Variance of each feature from clip to clip.
    pub(super) feature_variance: Vec<f64>,
}

/// The combination of channels that follows the brightness best.
#[derive(Debug)]
pub(super) struct Light {
    /// A weight a channel.
    pub(super) weights: DVector<f64>,
    /// The part of the brightness's variance that it explains.
    pub(super) known: f64,
    /// Standard deviation of the brightness.
    pub(super) spread: f64,
}

/// Sums over many vectors.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    count: f64,
    sum: DVector<f64>,
    square: DMatrix<f64>,
}

impl Moments {
    fn empty(channels: usize) -> Self {
        Self { count: 0.0, sum: DVector::zeros(channels), square: DMatrix::zeros(channels, channels) }
    }

    /// Takes in the pixels of one picture, `[c, pixels]`.
    fn add(&mut self, picture: &[f64], pixels: usize) {
        // Row after row of a channel is a column of the matrix.
        let view = DMatrixView::from_slice(picture, pixels, self.sum.len());
        self.count += float(pixels);
        self.sum += view.row_sum_tr();
        self.square += view.tr_mul(&view);
    }

    pub(super) fn mean(&self) -> DVector<f64> {
        &self.sum / self.count.max(1.0)
    }

    pub(super) fn covariance(&self) -> DMatrix<f64> {
        let mean = self.mean();
        &self.square / self.count.max(1.0) - &mean * mean.transpose()
    }
}

/// Looks at `batches` of normalised pictures `[n * t, 3, h, w]`.
///
/// # Errors
/// If shapes do not fit, or the device refuses.
pub(super) fn survey(
    network: &mut TrainNetwork,
    architecture: &Architecture,
    streams: &[Stream],
    input: &InputSpec,
    batches: &[Tensor],
    t: usize,
) -> Result<Survey> {
    let mut taken = Taken {
        streams: streams.iter().map(|stream| Moments::empty(stream.channels)).collect(),
        hidden: vec![Vec::new(); architecture.blocks.len()],
        light: Moments::empty(streams[0].channels + 1),
        features: Vec::new(),
    };
    for pictures in batches {
        let pass = Pass {
            t,
            batch_norm: BatchNormMode::Frozen,
            depth: Depth::Head,
            shift_strength: 0.0,
            feature_mask: None,
            motion: None,
        };
        let light = brightness(pictures, super::brightness_weights(input))?;
        let features = network.watched(pictures, &pass, &mut |site, map| match site {
            Site::Block(index) => taken.block(streams, index, &map.to_tensor()?, &light),
            Site::Depthwise(index) => taken.hidden(index, &map.to_tensor()?),
        })?;
        let (rows, width) = features.dims2()?;
        taken.features.extend(features.reshape((rows / t, t, width))?.mean(1)?.to_vec2::<f32>()?);
    }
    taken.close(network, architecture)
}

/// What passes add to.
struct Taken {
    streams: Vec<Moments>,
    /// Count, sum and sum of squares of each hidden channel.
    hidden: Vec<Vec<[f64; 3]>>,
    light: Moments,
    features: Vec<Vec<f32>>,
}

impl Taken {
    fn block(&mut self, streams: &[Stream], index: usize, map: &Tensor, light: &Brightness) -> Result<()> {
        let Some(stream) = streams.iter().position(|stream| stream.blocks.contains(&index)) else {
            return Ok(());
        };
        let (n, c, h, w) = map.dims4()?;
        let values: Vec<f64> = map.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
        for (picture, values) in values.chunks(c * h * w).enumerate() {
            self.streams[stream].add(values, h * w);
            if index == streams[0].blocks[0] && n == light.pictures {
                let with_light = [values, &light.sampled(picture, [h, w])].concat();
                self.light.add(&with_light, h * w);
            }
        }
        Ok(())
    }

    fn hidden(&mut self, index: usize, map: &Tensor) -> Result<()> {
        let (_, c, h, w) = map.dims4()?;
        let own = &mut self.hidden[index];
        own.resize(c, [0.0; 3]);
        for (row, values) in map.flatten_all()?.to_vec1::<f32>()?.chunks(h * w).enumerate() {
            let sums = &mut own[row % c];
            for value in values {
                let value = f64::from(*value);
                *sums = [sums[0] + 1.0, sums[1] + value, sums[2] + value * value];
            }
        }
        Ok(())
    }

    fn close(self, network: &TrainNetwork, architecture: &Architecture) -> Result<Survey> {
        let mut weights = Weights::new();
        for (name, tensor) in network.snapshot()? {
            weights.insert(name, tensor.to_device(&candle_core::Device::Cpu)?);
        }
        let mut importance = Vec::new();
        for (block, sums) in architecture.blocks.iter().zip(&self.hidden) {
            let project = block.convs.last().filter(|_| depthwise(block).is_some());
            let Some(project) = project else {
                importance.push(Vec::new());
                continue;
            };
            let matrix = Affine::read(project, &weights)?.matrix;
            let variance = |[count, sum, square]: &[f64; 3]| square / count - (sum / count).powi(2);
            let added = sums.iter().map(variance).zip(matrix.column_iter());
            importance.push(added.map(|(variance, column)| variance * column.norm_squared()).collect());
        }
        Ok(Survey {
            streams: self.streams,
            hidden_means: self
                .hidden
                .iter()
                .map(|sums| sums.iter().map(|[n, sum, _]| sum / n).collect())
                .collect(),
            importance,
            light: light(&self.light)?,
            feature_variance: variances(&self.features),
        })
    }
}

/// The brightness as a combination of the other channels of `moments`, whose last one it is.
fn light(moments: &Moments) -> Result<Light> {
    let all = moments.covariance();
    let c = all.nrows() - 1;
    let mut own = all.view((0, 0), (c, c)).into_owned();
    let along = all.view((0, c), (c, 1)).column(0).into_owned();
    let least = own.trace() / float(c) * RIDGE;
    for k in 0..c {
        own[(k, k)] += least;
    }
    let Some(solved) = Cholesky::new(own) else {
        candle_core::bail!("the first features do not vary; give clips that show something");
    };
    let weights = solved.solve(&along);
    let variance = all[(c, c)];
    let known = if variance > 0.0 { weights.dot(&along) / variance } else { 0.0 };
    Ok(Light { weights, known, spread: variance.max(0.0).sqrt() })
}

/// Brightness of pictures, low-passed.
struct Brightness {
    pictures: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Brightness {
    /// One picture's at the places of a stream of `[h, w]`: output `i` of stride 2 with one zero around lies over
    /// input `2 i`.
    fn sampled(&self, picture: usize, [h, w]: [usize; 2]) -> Vec<f64> {
        let own = &self.values[picture * self.height * self.width..][..self.height * self.width];
        let step = [self.height / h.max(1), self.width / w.max(1)];
        let at = |y: usize, x: usize| {
            let (y, x) = ((y * step[0]).min(self.height - 1), (x * step[1]).min(self.width - 1));
            f64::from(own[y * self.width + x])
        };
        (0..h).flat_map(|y| (0..w).map(move |x| at(y, x))).collect()
    }
}

/// The brightness of normalised pictures `[n, 3, h, w]`, up to a constant.
fn brightness(pictures: &Tensor, [r, g, b]: [f32; 3]) -> Result<Brightness> {
    let (n, _, height, width) = pictures.dims4()?;
    let planes = pictures.flatten_all()?.to_vec1::<f32>()?;
    let mut values = Vec::with_capacity(n * height * width);
    for picture in planes.chunks(3 * height * width) {
        let (red, rest) = picture.split_at(height * width);
        let (green, blue) = rest.split_at(height * width);
        let light: Vec<f32> = red
            .iter()
            .zip(green)
            .zip(blue)
            .map(|((red, green), blue)| r * red + g * green + b * blue)
            .collect();
        let rows = low_passed(&light, width, |y, x| y * width + x, [height, width]);
        values.extend(low_passed(&rows, height, |x, y| y * width + x, [width, height]));
    }
    Ok(Brightness { pictures: n, height, width, values })
}

/// Low-passes along the second index of `place`, `length` long; the border repeats.
fn low_passed(
    values: &[f32],
    length: usize,
    place: impl Fn(usize, usize) -> usize,
    [outer, inner]: [usize; 2],
) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for a in 0..outer {
        for b in 0..inner {
            let taps = LOW_PASS.iter().enumerate().map(|(tap, weight)| {
                let at = (b + tap).saturating_sub(LOW_PASS.len() / 2).min(length - 1);
                weight * values[place(a, at)]
            });
            out[place(a, b)] = taps.sum();
        }
    }
    out
}

/// Variance of each column.
fn variances(rows: &[Vec<f32>]) -> Vec<f64> {
    let n = float(rows.len().max(1));
    let columns = rows.first().map_or(0, Vec::len);
    let variance = |column: usize| {
        let values = rows.iter().map(|row| f64::from(row[column]));
        let mean = values.clone().sum::<f64>() / n;
        values.map(|value| (value - mean).powi(2)).sum::<f64>() / n
    };
    (0..columns).map(variance).collect()
}
