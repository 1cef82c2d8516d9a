//! 3x3 depthwise convolution, padding 1, stride 1 or 2, forward and backward, one channel a task.
//!
//! ```text
//!             x plane ─ read (normalise) ─► framed ─┬─ nine taps ──────────────► y, its moments
//! backward    dy plane ─ correct ─────────► framed ─┼─ nine taps, turned round ─► dx, masked and summed
//!                                                   └─ nine dot products with x ─► dw
//! ```
//!
//! A framed plane has zeros around it and stands in rows of one length, so that a tap is the plane read from another
//! offset, and one loop runs over all of it whatever its width ([`framed`]).

mod framed;

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use self::framed::Frame;
use super::buffer::Buffer;
use super::candle_way;
use super::feature_map::{FeatureMap, Host, Values};
use super::graph::{self, Gradient, GradientCell};
use super::matmul::Planes;
use super::rows::{self, GradientSums, Moments};
use crate::cpu_level::CpuLevel;

/// Convolves every channel of `x` `[n, c, h, w]` with its own filter of `weight` `[c, 1, 3, 3]`, padding 1.
///
/// Gives `[n, c, ceil(h / stride), ceil(w / stride)]`, for a stride of 1 or 2.
///
/// # Errors
/// If the weight does not fit `x`, the stride is another, a side is 0, or the devices or data types differ.
pub fn depthwise3x3(x: &FeatureMap, weight: &Tensor, stride: usize) -> Result<FeatureMap> {
    let dims = x.dims();
    if weight.dims() != [dims.c, 1, 3, 3] || !matches!(stride, 1 | 2) || dims.plane() == 0 {
        bail!(
            "depthwise3x3: x is {x:?}, so weight must be [{}, 1, 3, 3] with a stride of 1 or 2, but it is {:?} with stride {stride}",
            dims.c,
            weight.dims()
        )
    }
    let frame = Frame::new(dims, stride);
    match x.values() {
        Values::Candle(tensor) => {
            let y = candle_way::conv2d(tensor, weight, stride, 1, dims.c)?;
            Ok(FeatureMap::candle(frame.y, y))
        }
        Values::Host(host) => on_host(Arc::clone(host), weight, frame),
    }
}

fn on_host(x: Arc<Host>, weight: &Tensor, frame: Frame) -> Result<FeatureMap> {
    let filters = graph::parameter(weight)?;
    let (values, moments) = forward(&x, &filters, &frame);
    let cell = Arc::new(GradientCell::default());
    let (gradient, token) = (Arc::clone(&cell), x.token.clone());
    let weight_shape = weight.shape().clone();
    let token = graph::token("depthwise3x3", [&token, weight, &graph::blank()?], move || {
        let dy = gradient.take()?;
        let (dx, sums, dw) = backward(&x, &filters, &dy, &frame);
        if let Some(dx) = dx {
            let sums = if x.norm.is_some() { sums } else { Vec::new() };
            x.cell.leave(Gradient { values: Arc::new(dx), correction: None, sums }, frame.x.c);
        }
        Ok([Some(graph::blank()?), Some(Tensor::from_vec(dw, weight_shape, &Device::Cpu)?), None])
    })?;
    Ok(FeatureMap::host(frame.y, Host::plain(values, Some(moments), token, cell)))
}

fn forward(x: &Host, filters: &[f32], frame: &Frame) -> (Buffer, Vec<Moments>) {
    let level = CpuLevel::detected();
    let mut y = Buffer::new(frame.y.len());
    let (in_plane, out_plane) = (frame.x.plane(), frame.y.plane());
    let moments = y
        .par_chunks_mut(frame.y.row())
        .enumerate()
        .map(|(channel, y)| {
            let filter = filter_of(filters, channel);
            let (mut pixels, mut framed) = (Buffer::new(in_plane), Buffer::zeros(frame.framed_x()));
            let mut sums = Buffer::new(frame.framed_y());
            let mut moments = Moments::default();
            for (picture, y) in y.chunks_exact_mut(out_plane).enumerate() {
                let first = (channel * frame.x.n + picture) * in_plane;
                frame.frame_x(level, x.read(level, channel, first, &mut pixels), &mut framed);
                frame.forward(level, &framed, &filter, &mut sums);
                frame.unframe_y(&sums, y);
                moments = moments.merge(rows::moments(level, y));
            }
            moments
        })
        .collect();
    (y, moments)
}

fn filter_of(filters: &[f32], channel: usize) -> [f32; 9] {
    std::array::from_fn(|tap| filters[channel * 9 + tap])
}

type Backward = (Option<Buffer>, Vec<GradientSums>, Vec<f32>);

fn backward(x: &Host, filters: &[f32], dy: &Gradient, frame: &Frame) -> Backward {
    let mut dx = x.wants_gradient().then(|| Buffer::new(frame.x.len()));
    let planes = dx.as_mut().map(|dx| Planes::new(dx));
    let channels: Vec<(GradientSums, [f32; 9])> = (0..frame.x.c)
        .into_par_iter()
        .map(|channel| channel_backward(x, &filter_of(filters, channel), dy, frame, channel, planes))
        .collect();
    let (sums, dw): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
    (dx, sums, dw.concat())
}

#[expect(unsafe_code, reason = "channels of one array are written side by side")]
fn channel_backward(
    x: &Host,
    filter: &[f32; 9],
    dy: &Gradient,
    frame: &Frame,
    channel: usize,
    dx: Option<Planes<'_>>,
) -> (GradientSums, [f32; 9]) {
    let level = CpuLevel::detected();
    let (in_plane, out_plane) = (frame.x.plane(), frame.y.plane());
    let (mut pixels, mut framed_x) = (Buffer::new(in_plane), Buffer::zeros(frame.framed_x()));
    let (mut gradients, mut framed_dy) = (Buffer::new(out_plane), Buffer::zeros(frame.framed_dy()));
    let mut framed_dx = Buffer::new(frame.framed_dx());
    let (mut sums, mut dw) = (GradientSums::default(), [0f64; 9]);
    for picture in 0..frame.x.n {
        let first = (channel * frame.x.n + picture) * in_plane;
        let dy_first = (channel * frame.x.n + picture) * out_plane;
        frame.frame_x(level, x.read(level, channel, first, &mut pixels), &mut framed_x);
        frame.frame_dy(dy.row(level, channel, dy_first, &mut gradients), &mut framed_dy);
        let products = frame.weight_gradient(level, &framed_x, &framed_dy);
        dw.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
        let Some(dx) = &dx else { continue };
        // SAFETY: each task has the pictures of its channel alone, one after the other.
        let dx = unsafe { dx.part(first, in_plane) };
        frame.backward(level, &framed_dy, filter, &mut framed_dx);
        frame.unframe_dx(level, &framed_dx, dx);
        if let Some(norm) = &x.norm {
            let y = &x.values[first..first + in_plane];
            sums = sums.merge(rows::mask_and_sum(level, dx, y, norm.affines[channel], norm.activation));
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
    (sums, dw.map(|sum| sum as f32))
}
