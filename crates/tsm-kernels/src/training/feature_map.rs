//! The activations between two layers in training.
//!
//! ```text
//! Tensor [n, c, h, w] ─ from_tensor ─► FeatureMap ─ conv2d ─► FeatureMap ─ batch_norm ─► … ─ to_tensor ─► Tensor
//!                                      on the CPU in f32: [c, n, h, w], beside candle's graph (graph.rs)
//!                                      elsewhere:         a tensor, and candle's own operations
//! ```
//!
//! The picture index stands second in memory, so that a channel is one long row: a 1x1 convolution is one matrix
//! product, a batch statistic one sum, a temporal shift a copy of planes.
//!
//! A batch normalisation writes nothing: it gives the same memory with a note of what to do on reading. The next layer
//! does it while it has the values in its hands.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::buffer::Buffer;
use super::graph::{self, Gradient, GradientCell};
use super::rows::{self, Affine, Moments};
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;

/// Activations `[n, c, h, w]` in a differentiable computation.
///
/// Cheap to clone. `Tensor::backward` of a loss made from one reaches the parameters and the tensor that it was made
/// from; it runs once for each forward pass, because what the operations saved goes on the way.
#[derive(Clone)]
pub struct FeatureMap {
    dims: Dims,
    values: Values,
}

/// `[n, c, h, w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dims {
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

impl Dims {
    /// Values of one channel, over all pictures.
    pub(super) fn row(self) -> usize {
        self.n * self.h * self.w
    }

    /// Values of one channel of one picture.
    pub(super) fn plane(self) -> usize {
        self.h * self.w
    }

    /// All values.
    pub(super) fn len(self) -> usize {
        self.c * self.row()
    }
}

#[derive(Clone)]
pub(super) enum Values {
    /// On another device or in another data type: candle computes.
    Candle(Tensor),
    /// Ours.
    Host(Arc<Host>),
}

/// An activation in our memory.
pub(super) struct Host {
    /// `[c, n, h, w]`, before `norm`.
    pub(super) values: Arc<Buffer>,
    /// What a reader does to each value.
    pub(super) norm: Option<Norm>,
    /// Of each channel of `values`, if whoever made them took them on the way.
    pub(super) moments: Option<Vec<Moments>>,
    /// Its place in candle's graph.
    pub(super) token: Tensor,
    /// Where the gradient of the activation as read (after `norm`) comes together.
    pub(super) cell: Arc<GradientCell>,
}

/// A batch normalisation that waits for a reader.
pub(super) struct Norm {
    pub(super) affines: Vec<Affine>,
    pub(super) activation: Activation,
}

impl Host {
    /// Values that are read as they are.
    pub(super) fn plain(
        values: Buffer,
        moments: Option<Vec<Moments>>,
        token: Tensor,
        cell: Arc<GradientCell>,
    ) -> Self {
        Self { values: Arc::new(values), norm: None, moments, token, cell }
    }

    /// Values of channel `channel` from `first` on, as many as `scratch` holds, as a reader sees them.
    pub(super) fn read<'a>(
        &'a self,
        level: CpuLevel,
        channel: usize,
        first: usize,
        scratch: &'a mut [f32],
    ) -> &'a [f32] {
        let values = &self.values[first..first + scratch.len()];
        let Some(norm) = &self.norm else { return values };
        rows::activate(level, scratch, values, norm.affines[channel], norm.activation);
        scratch
    }

    /// Whether a backward pass wants the gradient of this activation.
    pub(super) fn wants_gradient(&self) -> bool {
        self.token.track_op()
    }

    /// Leaves the gradient of the activation as read: it is masked and summed up for the normalisation here.
    pub(super) fn leave_gradient(&self, dims: Dims, values: Arc<Buffer>) {
        let Some(norm) = &self.norm else {
            let gradient = Gradient { values, correction: None, sums: Vec::new() };
            return self.cell.leave(gradient, dims.c);
        };
        let level = CpuLevel::detected();
        if norm.activation == Activation::None {
            let sums = values
                .par_chunks(dims.row().max(1))
                .zip(self.values.par_chunks(dims.row().max(1)))
                .zip(&norm.affines)
                .map(|((g, y), affine)| rows::sums(level, g, y, affine.centre))
                .collect();
            return self.cell.leave(Gradient { values, correction: None, sums }, dims.c);
        }
        let mut values = Arc::try_unwrap(values).unwrap_or_else(|shared| {
            let mut copy = Buffer::new(shared.len());
            copy.copy_from_slice(&shared);
            copy
        });
        let sums = values
            .par_chunks_mut(dims.row().max(1))
            .enumerate()
            .map(|(channel, row)| {
                let y = &self.values[channel * dims.row()..][..row.len()];
                rows::mask_and_sum(level, row, y, norm.affines[channel], norm.activation)
            })
            .collect();
        self.cell.leave(Gradient { values: Arc::new(values), correction: None, sums }, dims.c);
    }
}

impl FeatureMap {
    /// Takes in `x` `[n, c, h, w]`, with its gradient if it has one.
    ///
    /// Our operations compute on it where it is f32 on the CPU, candle's elsewhere.
    ///
    /// # Errors
    /// If `x` has not four dimensions.
    pub fn from_tensor(x: &Tensor) -> Result<Self> {
        let (n, c, h, w) = x.dims4()?;
        let dims = Dims { n, c, h, w };
        if !x.device().is_cpu() || x.dtype() != DType::F32 {
            return Ok(Self::candle(dims, x.clone()));
        }
        let mut values = Buffer::new(dims.len());
        graph::with_floats(x, |floats| exchange(floats, &mut values, n, c, dims.plane()))?;
        let cell = Arc::new(GradientCell::default());
        let gradient = Arc::clone(&cell);
        let blank = graph::blank()?;
        let token = graph::token("feature_map", [x, &blank, &blank], move || {
            let values = gradient.take()?.corrected(c);
            Ok([Some(tensor_nchw(&values, dims)?), None, None])
        })?;
        Ok(Self::host(dims, Host::plain(values, None, token, cell)))
    }

    /// The activations as a tensor `[n, c, h, w]` in candle's graph.
    ///
    /// # Errors
    /// If candle refuses.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let plain = self.settled()?;
        let (dims, host) = match &plain.values {
            Values::Candle(x) => return Ok(x.clone()),
            Values::Host(host) => (plain.dims, Arc::clone(host)),
        };
        let mut values = vec![0.0; dims.len()];
        exchange(&host.values, &mut values, dims.c, dims.n, dims.plane());
        let blank = graph::blank()?;
        let token = host.token.clone();
        let shape = Shape::from((dims.n, dims.c, dims.h, dims.w));
        graph::node("feature_map", [&token, &blank, &blank], (values, shape), move |gradient| {
            let mut values = Buffer::new(dims.len());
            graph::with_floats(gradient, |floats| {
                exchange(floats, &mut values, dims.n, dims.c, dims.plane());
            })?;
            host.leave_gradient(dims, Arc::new(values));
            Ok([Some(graph::blank()?), None, None])
        })
    }

    /// `(n, c, h, w)`.
    pub fn dims4(&self) -> (usize, usize, usize, usize) {
        (self.dims.n, self.dims.c, self.dims.h, self.dims.w)
    }

    pub(super) fn dims(&self) -> Dims {
        self.dims
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn candle(dims: Dims, x: Tensor) -> Self {
        Self { dims, values: Values::Candle(x) }
    }

    pub(super) fn host(dims: Dims, host: Host) -> Self {
        Self { dims, values: Values::Host(Arc::new(host)) }
    }

    /// The same activations with no normalisation waiting, for readers that do not make one.
    pub(super) fn settled(&self) -> Result<Self> {
        let Values::Host(host) = &self.values else { return Ok(self.clone()) };
        if host.norm.is_none() {
            return Ok(self.clone());
        }
        let (dims, level) = (self.dims, CpuLevel::detected());
        let mut values = Buffer::new(dims.len());
        values.par_chunks_mut(dims.row().max(1)).enumerate().for_each(|(channel, row)| {
            // `read` fills the scratch it is given: there is a normalisation.
            host.read(level, channel, channel * dims.row(), row);
        });
        let cell = Arc::new(GradientCell::default());
        let (gradient, from) = (Arc::clone(&cell), Arc::clone(host));
        let blank = graph::blank()?;
        let token = graph::token("settled", [&host.token, &blank, &blank], move || {
            let values = gradient.take()?.corrected(dims.c);
            from.leave_gradient(dims, values);
            Ok([Some(graph::blank()?), None, None])
        })?;
        Ok(Self::host(dims, Host::plain(values, None, token, cell)))
    }
}

impl fmt::Debug for FeatureMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dims { n, c, h, w } = self.dims;
        let kind = if matches!(self.values, Values::Host(_)) { "ours" } else { "candle" };
        write!(f, "FeatureMap[{n}, {c}, {h}, {w}; {kind}]")
    }
}

/// `[outer, inner, plane]` to `[inner, outer, plane]`.
fn exchange(from: &[f32], to: &mut [f32], outer: usize, inner: usize, plane: usize) {
    if plane == 0 {
        return;
    }
    to.par_chunks_exact_mut(plane).enumerate().for_each(|(i, to)| {
        let (row, column) = (i / outer, i % outer);
        to.copy_from_slice(&from[(column * inner + row) * plane..][..plane]);
    });
}

/// The tensor `[n, c, h, w]` of values `[c, n, h, w]`.
fn tensor_nchw(values: &[f32], dims: Dims) -> Result<Tensor> {
    let mut floats = vec![0.0; dims.len()];
    exchange(values, &mut floats, dims.c, dims.n, dims.plane());
    Tensor::from_vec(floats, (dims.n, dims.c, dims.h, dims.w), &candle_core::Device::Cpu)
}
