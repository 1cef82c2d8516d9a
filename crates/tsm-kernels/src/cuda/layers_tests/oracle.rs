//! What a layer means: plain loops in f64, one output after the other.

use half::f16;

use crate::bias_activation::Activation;
use crate::cuda::program::{ConvLayer, Element, Fold};

/// `[pictures, height, width, channels]`; and for each value the sum of what its terms amount to, which bounds what
/// rounding makes of it.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) shape: [usize; 4],
    pub(super) values: Vec<f64>,
    pub(super) sizes: Vec<f64>,
    /// As it was given, for a memory.
    given: Vec<f32>,
}

/// A generator of numbers in -1..1 that `element` can hold; the same seed, the same numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    state: u64,
    element: Element,
}

impl Numbers {
    pub(super) fn new(seed: u64, element: Element) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, element }
    }

    pub(super) fn take(&mut self, count: usize) -> Vec<f32> {
        std::iter::repeat_with(|| self.next()).take(count).collect()
    }

    fn next(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let value = f32::from(u16::try_from(self.state >> 48).unwrap()) / 32768.0 - 1.0;
        match self.element {
            Element::F32 => value,
            Element::F16 => f16::from_f32(value).to_f32(),
        }
    }
}

impl Tensor {
    /// Of given values: nothing was added up.
    pub(super) fn given(shape: [usize; 4], values: Vec<f32>) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of {shape:?}");
        let wide = |value: &f32| f64::from(*value);
        let sizes = values.iter().map(|value| wide(value).abs()).collect();
        Self { shape, values: values.iter().map(wide).collect(), sizes, given: values }
    }

    /// Of what `output` says of each place: a value and its size.
    fn made(shape: [usize; 4], output: impl Fn([usize; 4]) -> (f64, f64)) -> Self {
        let [_, height, width, channels] = shape;
        let count = shape.iter().product();
        let place = |at: usize| {
            let pixel = at / channels;
            [pixel / (height * width), pixel / width % height, pixel % width, at % channels]
        };
        let (values, sizes) = (0..count).map(|at| output(place(at))).unzip();
        Self { shape, values, sizes, given: Vec::new() }
    }

    /// The values that were given, channels innermost.
    pub(super) fn as_given(&self) -> &[f32] {
        &self.given
    }

    /// The same with each channel in a plane of its own, as frames are.
    pub(super) fn planar(&self) -> Vec<f32> {
        let [pictures, height, width, channels] = self.shape;
        let plane = height * width;
        let picture = |picture: usize| &self.given[picture * plane * channels..][..plane * channels];
        let channel =
            |of: usize| (0..channels).flat_map(move |c| picture(of).iter().skip(c).step_by(channels));
        (0..pictures).flat_map(channel).copied().collect()
    }

    /// Without their signs.
    pub(super) fn without_negatives(self) -> Self {
        Self::given(self.shape, self.given.into_iter().map(f32::abs).collect())
    }

    fn at(&self, [picture, y, x, channel]: [usize; 4]) -> (f64, f64) {
        let [_, height, width, channels] = self.shape;
        let at = ((picture * height + y) * width + x) * channels + channel;
        (self.values[at], self.sizes[at])
    }

    /// The pixel of a padded picture, none in the padding.
    fn inside(&self, [picture, y, x, channel]: [usize; 4], padding: usize) -> Option<(f64, f64)> {
        let [_, height, width, _] = self.shape;
        let (y, x) = (y.checked_sub(padding)?, x.checked_sub(padding)?);
        (y < height && x < width).then(|| self.at([picture, y, x, channel]))
    }

    /// With the first channels of each picture out of its stream's memory.
    pub(super) fn shifted(&self, fold: Fold, memories: &[Vec<f32>]) -> Self {
        let [_, _, width, _] = self.shape;
        Self::made(self.shape, |place @ [picture, y, x, channel]| {
            if channel >= fold.channels {
                return self.at(place);
            }
            let remembered = memories[picture][fold.at + (y * width + x) * fold.channels + channel];
            (remembered.into(), remembered.abs().into())
        })
    }
}

/// The convolution of `x`, plus bias and residual, activated.
pub(super) fn conv(x: &Tensor, layer: &ConvLayer<'_>, residual: Option<&Tensor>) -> Tensor {
    let &ConvLayer { weight, bias, kernel, stride, padding, is_depthwise, activation } = layer;
    let [pictures, height, width, channels] = x.shape;
    let side = |length: usize| (length + 2 * padding - kernel) / stride + 1;
    let depth = if is_depthwise { kernel * kernel } else { channels * kernel * kernel };
    Tensor::made([pictures, side(height), side(width), bias.len()], |place @ [picture, oy, ox, o]| {
        let bias = f64::from(bias[o]);
        let (more, more_size) = residual.map_or((0.0, 0.0), |residual| residual.at(place));
        let (mut sum, mut size) = (bias + more, bias.abs() + more_size);
        for tap in 0..depth {
            let (c, dy, dx) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
            let from = [picture, oy * stride + dy, ox * stride + dx, if is_depthwise { o } else { c }];
            let Some((value, value_size)) = x.inside(from, padding) else { continue };
            let weight = f64::from(weight[o * depth + tap]);
            sum += weight * value;
            size += weight.abs() * value_size;
        }
        let activated = match activation {
            Activation::None => sum,
            Activation::Relu => sum.max(0.0),
            Activation::Relu6 => sum.clamp(0.0, 6.0),
        };
        (activated, size)
    })
}

/// The largest of each 3x3 pixels at every second place.
pub(super) fn max_pool(x: &Tensor) -> Tensor {
    let [pictures, height, width, channels] = x.shape;
    Tensor::made([pictures, height.div_ceil(2), width.div_ceil(2), channels], |[picture, oy, ox, c]| {
        let window = (0..9).filter_map(|tap| x.inside([picture, oy * 2 + tap / 3, ox * 2 + tap % 3, c], 1));
        window.reduce(|most, next| if next.0 > most.0 { next } else { most }).expect("its middle is inside")
    })
}

/// The mean of each picture.
pub(super) fn mean(x: &Tensor) -> Tensor {
    let [pictures, height, width, channels] = x.shape;
    let pixels = height * width;
    let count = f64::from(u32::try_from(pixels).unwrap());
    Tensor::made([pictures, 1, 1, channels], |[picture, _, _, c]| {
        let all = (0..pixels).map(|pixel| x.at([picture, pixel / width, pixel % width, c]));
        let (sum, size) = all.fold((0.0, 0.0), |(sum, size), next| (sum + next.0, size + next.1));
        (sum / count, size / count)
    })
}
