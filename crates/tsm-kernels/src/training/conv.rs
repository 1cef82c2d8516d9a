//! Convolution with all channels together, forward and backward, as matrix products over strips of pixels.
//!
//! ```text
//!             strip of x ─ read (normalise) ─ patches ─► [ci k k, strip] ─┐
//! forward     w [co, ci k k] ─────────────────────────────────────────────┴─► y [co, strip], its moments
//! backward    dy [co, strip] ─┬─ x patchesᵀ ──► dw, one sum a group of strips, then added up in order
//!                             └─ wᵀ ──► d patches ─ put back ─► dx, masked and summed for the norm of x
//! ```
//!
//! Strips are small enough to stay in a core's cache between these steps, and their number depends on the shapes
//! alone: neither do the sums depend on threads. A 1x1 filter at stride 1 needs no patches. No dilation, no
//! groups, no bias: the batch normalisation behind it has one.

#![allow(unsafe_code, reason = "strips of one array are written side by side")]

mod patches;

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use self::patches::{ConvShape, Strip};
use super::buffer::Buffer;
use super::candle_way;
use super::feature_map::{Dims, FeatureMap, Host, Values};
use super::graph::{self, Gradient, GradientCell};
use super::matmul::{Matrix, MatrixMut, Onto, Planes, product};
use super::rows::{self, GradientSums, Moments};
use crate::cpu_level::CpuLevel;

/// Convolves `x` `[n, ci, h, w]` with `weight` `[co, ci, k, k]`; gives `[n, co, h', w']`,
/// `h' = (h + 2 padding - k) / stride + 1`.
///
/// Gradients of both; that of `x` is left out where nothing before it wants one.
///
/// # Errors
/// If the shapes do not fit each other, the filter does not fit into the padded picture, or the devices or data
/// types differ.
pub fn conv2d(x: &FeatureMap, weight: &Tensor, stride: usize, padding: usize) -> Result<FeatureMap> {
    let dims = x.dims();
    let (out_channels, in_channels, kernel, kernel_width) = weight.dims4()?;
    let fits = in_channels == dims.c && kernel == kernel_width && kernel > 0 && stride > 0;
    if !fits || kernel > dims.h + 2 * padding || kernel > dims.w + 2 * padding {
        bail!(
            "conv2d: x is {x:?}, so weight must be [co, {}, k, k], no larger than x with padding {padding}, with a stride above 0, but it is {:?} with stride {stride}",
            dims.c,
            weight.dims()
        )
    }
    match x.values() {
        Values::Candle(tensor) => {
            let y = candle_way::conv2d(tensor, weight, stride, padding, 1)?;
            let (n, c, h, w) = y.dims4()?;
            Ok(FeatureMap::candle(Dims { n, c, h, w }, y))
        }
        Values::Host(host) => {
            let shape = ConvShape::new(dims, out_channels, kernel, stride, padding);
            on_host(Arc::clone(host), weight, shape)
        }
    }
}

fn on_host(x: Arc<Host>, weight: &Tensor, shape: ConvShape) -> Result<FeatureMap> {
    let floats = graph::parameter(weight)?;
    let (values, moments) = forward(&x, &floats, &shape);
    let cell = Arc::new(GradientCell::default());
    let (gradient, token) = (Arc::clone(&cell), x.token.clone());
    let (wants_weight, weight_shape) = (weight.track_op(), weight.shape().clone());
    let token = graph::token("conv2d", [&token, weight, &graph::blank()?], move || {
        let dy = gradient.take()?;
        let (dx, dw, sums) = backward(&x, &floats, &dy, &shape, wants_weight);
        if let Some(dx) = dx {
            let gradient = Gradient { values: Arc::new(dx), correction: None, sums };
            x.cell.leave(gradient, shape.x.c);
        }
        let dw = dw.map(|dw| Tensor::from_vec(dw, weight_shape, &Device::Cpu)).transpose()?;
        Ok([Some(graph::blank()?), dw, None])
    })?;
    Ok(FeatureMap::host(shape.y, Host::plain(values, Some(moments), token, cell)))
}

fn forward(x: &Host, weight: &[f32], shape: &ConvShape) -> (Buffer, Vec<Moments>) {
    let level = CpuLevel::detected();
    let mut y = Buffer::new(shape.y.len());
    let planes = Planes::new(&mut y);
    let pitch = shape.y.row();
    let moments: Vec<Vec<Moments>> = shape
        .strips()
        .into_par_iter()
        .map(|strip| {
            let mut scratch = Buffer::new(shape.patch_rows() * strip.len);
            let patches = shape.patches(level, x, strip, &mut scratch);
            // SAFETY: strips share no column, and each is one task's.
            let mut out = unsafe { planes.matrix(strip.first, shape.y.c, strip.len, pitch) };
            let weight = Matrix::new(weight, shape.y.c, shape.patch_rows(), shape.patch_rows());
            product(level, &mut out, Onto::Replace, weight, patches);
            (0..shape.y.c).map(|channel| rows::moments(level, out.row(channel))).collect()
        })
        .collect();
    (y, in_order(&moments, shape.y.c, Moments::merge))
}

/// Merges what each strip found of each channel, strip by strip.
fn in_order<T: Copy + Default>(strips: &[Vec<T>], channels: usize, merge: impl Fn(T, T) -> T) -> Vec<T> {
    let mut all = vec![T::default(); channels];
    for strip in strips {
        for (all, &part) in all.iter_mut().zip(strip) {
            *all = merge(*all, part);
        }
    }
    all
}

/// What one group of strips adds to the gradients.
struct GroupSums {
    weight: Option<Buffer>,
    x: Vec<GradientSums>,
}

type Backward = (Option<Buffer>, Option<Vec<f32>>, Vec<GradientSums>);

fn backward(x: &Host, weight: &[f32], dy: &Gradient, shape: &ConvShape, wants_weight: bool) -> Backward {
    let mut dx = x.wants_gradient().then(|| Buffer::new(shape.x.len()));
    let planes = dx.as_mut().map(|dx| Planes::new(dx));
    let groups: Vec<GroupSums> = shape
        .groups()
        .into_par_iter()
        .map(|strips| group_backward(x, weight, dy, shape, wants_weight, planes, &strips))
        .collect();
    let dw = wants_weight.then(|| weight_sum(&groups, weight.len()));
    let sums: Vec<Vec<GradientSums>> = groups.into_iter().map(|group| group.x).collect();
    let normed = x.norm.is_some();
    let sums = if normed { in_order(&sums, shape.x.c, GradientSums::merge) } else { Vec::new() };
    (dx, dw, sums)
}

/// The groups' sums, added up group by group.
fn weight_sum(groups: &[GroupSums], len: usize) -> Vec<f32> {
    /// Weights that a thread takes at a time.
    const PART: usize = 16 * 1024;
    let level = CpuLevel::detected();
    let mut sum = vec![0.0; len];
    sum.par_chunks_mut(PART).enumerate().for_each(|(i, sum)| {
        for part in groups.iter().filter_map(|group| group.weight.as_ref()) {
            rows::add(level, sum, &part[i * PART..][..sum.len()]);
        }
    });
    sum
}

fn group_backward(
    x: &Host,
    weight: &[f32],
    dy: &Gradient,
    shape: &ConvShape,
    wants_weight: bool,
    dx: Option<Planes<'_>>,
    strips: &[Strip],
) -> GroupSums {
    let level = CpuLevel::detected();
    let mut dw = wants_weight.then(|| Buffer::new(weight.len()));
    let mut sums: Vec<Vec<GradientSums>> = Vec::new();
    if let Some(dx) = &dx
        && !shape.is_pointwise()
    {
        shape.clear(dx, strips);
    }
    for (i, &strip) in strips.iter().enumerate() {
        let mut dy_scratch = Buffer::new(if dy.correction.is_some() { shape.y.c * strip.len } else { 0 });
        let dy_strip = gradient_strip(level, dy, shape, strip, &mut dy_scratch);
        if let Some(dw) = &mut dw {
            let mut scratch = Buffer::new(shape.patch_rows() * strip.len);
            let patches = shape.patches(level, x, strip, &mut scratch);
            let mut dw = MatrixMut::dense(dw, shape.y.c, shape.patch_rows());
            let onto = if i == 0 { Onto::Replace } else { Onto::Add };
            product(level, &mut dw, onto, dy_strip, patches.transposed());
        }
        let Some(dx) = &dx else { continue };
        let weight = Matrix::new(weight, shape.y.c, shape.patch_rows(), shape.patch_rows()).transposed();
        if shape.is_pointwise() {
            // SAFETY: strips share no column, and each is one task's.
            let mut dx = unsafe { dx.matrix(strip.first, shape.x.c, strip.len, shape.x.row()) };
            product(level, &mut dx, Onto::Replace, weight, dy_strip);
            sums.extend(mask_strip(level, x, shape, strip, &mut dx));
        } else {
            let mut d_patches = Buffer::new(shape.patch_rows() * strip.len);
            let mut to = MatrixMut::dense(&mut d_patches, shape.patch_rows(), strip.len);
            product(level, &mut to, Onto::Replace, weight, dy_strip);
            shape.put_back(level, strip, &d_patches, dx);
        }
    }
    if let Some(dx) = &dx
        && !shape.is_pointwise()
    {
        sums.extend(shape.mask_pictures(level, x, strips, dx));
    }
    GroupSums { weight: dw, x: in_order(&sums, shape.x.c, GradientSums::merge) }
}

/// `dy` `[co, strip]`.
fn gradient_strip<'a>(
    level: CpuLevel,
    dy: &'a Gradient,
    shape: &ConvShape,
    strip: Strip,
    scratch: &'a mut Buffer,
) -> Matrix<'a> {
    let pitch = shape.y.row();
    if dy.correction.is_none() {
        return Matrix::new(&dy.values[strip.first..], shape.y.c, strip.len, pitch);
    }
    for (channel, row) in scratch.chunks_exact_mut(strip.len).enumerate() {
        dy.row(level, channel, channel * pitch + strip.first, row);
    }
    Matrix::new(scratch, shape.y.c, strip.len, strip.len)
}

/// Masks a strip of `dx` for the normalisation that `x` is read through; `None` if there is none.
fn mask_strip(
    level: CpuLevel,
    x: &Host,
    shape: &ConvShape,
    strip: Strip,
    dx: &mut MatrixMut<'_>,
) -> Option<Vec<GradientSums>> {
    let norm = x.norm.as_ref()?;
    let sums = norm.affines.iter().enumerate().map(|(channel, &affine)| {
        let y = &x.values[channel * shape.x.row() + strip.first..][..strip.len];
        rows::mask_and_sum(level, dx.row(channel), y, affine, norm.activation)
    });
    Some(sums.collect())
}
