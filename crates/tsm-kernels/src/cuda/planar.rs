//! The launches of `cuda/planar.cuh`: operations on candle's planar tensors, as data.

#![cfg_attr(
    not(any(feature = "cuda", test)),
    expect(dead_code, reason = "candle's tensors on a GPU alone need them")
)]

use crate::bias_activation::Activation;
use crate::depthwise::DepthwiseShape;

use super::args::{Launch, LayerArgs, int};
use super::program::activation_number;

/// Threads of a block, as `PLANAR_THREADS` there.
const THREADS: usize = 256;

/// What candle stores a tensor as; sums are f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    F32,
    F16,
    Bf16,
}

impl Stored {
    const fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// Which way a depthwise convolution is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// `x [n, c, in]`, filter `[c, k, k]` to `[n, c, out]`.
    Forward,
    /// Gradient `[n, c, out]`, filter to the gradient of the input.
    Input,
    /// `x`, gradient to the gradient of the filter.
    Filter,
}

/// What is added before the activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addend {
    /// `[c]`.
    Bias,
    /// As `x`.
    Residual,
}

/// One pass over `pictures` pictures; `from` are the addresses of its two inputs, `to` of its output.
pub(crate) fn depthwise(
    shape: &DepthwiseShape,
    pass: Pass,
    pictures: usize,
    from: [u64; 2],
    to: u64,
    stored: Stored,
) -> Launch {
    let [input, output] = planes(shape);
    let maps = pictures * shape.channels;
    let (name, rows, blocks) = match pass {
        Pass::Forward => ("planar_depthwise", maps * output, (maps * output).div_ceil(THREADS)),
        Pass::Input => ("planar_depthwise_input", maps * input, (maps * input).div_ceil(THREADS)),
        Pass::Filter => {
            let taps = shape.channels * shape.kernel * shape.kernel;
            ("planar_depthwise_filter", taps, taps)
        }
    };
    let args = LayerArgs {
        x: from[0],
        weight: from[1],
        y: to,
        pictures: int(pictures),
        in_h: int(shape.height),
        in_w: int(shape.width),
        in_c: int(shape.channels),
        out_h: int(shape.out_height()),
        out_w: int(shape.out_width()),
        out_c: int(shape.channels),
        kernel: int(shape.kernel),
        stride: int(shape.stride),
        padding: int(shape.padding),
        rows: int(rows),
        ..LayerArgs::default()
    };
    launch(name, blocks, args, stored)
}

/// `x [n, c, plane]` and an addend, activated; `[pictures, channels, plane]` in `dims`.
pub(crate) fn sum(
    dims: [usize; 3],
    addend: Addend,
    activation: Activation,
    from: [u64; 2],
    to: u64,
    stored: Stored,
) -> Launch {
    let [pictures, channels, plane] = dims;
    let rows = pictures * channels * plane;
    let (weight, residual) = match addend {
        Addend::Bias => (from[1], 0),
        Addend::Residual => (0, from[1]),
    };
    let args = LayerArgs {
        x: from[0],
        weight,
        residual,
        y: to,
        pictures: int(pictures),
        in_h: 1,
        in_w: int(plane),
        in_c: int(channels),
        rows: int(rows),
        activation: activation_number(activation),
        ..LayerArgs::default()
    };
    launch("planar_sum", rows.div_ceil(THREADS), args, stored)
}

/// The shift of a step: `x [n, c, plane]` and the cache `[n, fold, plane]` to the shifted `x` and the new cache.
///
/// Moves bits, so what has the width of `element` may come as it.
pub(crate) fn shift(
    [pictures, channels, plane]: [usize; 3],
    fold: usize,
    [x, cache]: [u64; 2],
    [shifted, next]: [u64; 2],
    stored: Stored,
) -> Launch {
    let rows = pictures * channels * plane;
    let args = LayerArgs {
        x,
        residual: cache,
        y: shifted,
        partial: next,
        pictures: int(pictures),
        in_h: 1,
        in_w: int(plane),
        in_c: int(channels),
        fold_in: int(fold),
        rows: int(rows),
        ..LayerArgs::default()
    };
    launch("planar_shift", rows.div_ceil(THREADS), args, stored)
}

/// Values of a picture's channel, of the input and of the output.
pub(crate) fn planes(shape: &DepthwiseShape) -> [usize; 2] {
    [shape.height * shape.width, shape.out_height() * shape.out_width()]
}

fn launch(name: &str, blocks: usize, args: LayerArgs, stored: Stored) -> Launch {
    let grid = [u32::try_from(int(blocks)).unwrap_or(0), 1, 1];
    Launch { kernel: format!("{name}_{}", stored.suffix()), grid, threads: 256, args }
}

#[cfg(test)]
#[cfg(feature = "cuda-host-twins")]
mod tests {
    use candle_core::{DType, Device, Tensor, Var};
    use half::bf16;
    use proptest::prelude::*;

    use super::*;
    use crate::cuda::Element;
    use crate::cuda::twins::{HostMemory, run};

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn memory(tensor: &Tensor) -> HostMemory {
        HostMemory::of_floats(&numbers(tensor), Element::F32)
    }

    fn check(launch: impl FnOnce(u64) -> Launch, expected: &Tensor) {
        let expected = numbers(expected);
        let y = HostMemory::of_floats(&vec![f32::NAN; expected.len()], Element::F32);
        run(&launch(y.address())).unwrap();
        let bytes = y.bytes();
        let ours = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        for (ours, theirs) in ours.zip(&expected) {
            assert!((ours - theirs).abs() <= 1e-4 * theirs.abs().max(1.0), "{ours} instead of {theirs}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn depthwise_and_its_gradients_are_candles(
            n in 1usize..4,
            c in 1usize..6,
            side in 3usize..18,
            kernel in prop::sample::select(vec![1usize, 3, 5]),
            stride in 1usize..3,
        ) {
            let padding = kernel / 2;
            let shape = DepthwiseShape { channels: c, height: side, width: side, kernel, stride, padding };
            let random = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
            let x = Var::from_tensor(&random(&[n, c, side, side])).unwrap();
            let weight = Var::from_tensor(&random(&[c, 1, kernel, kernel])).unwrap();
            let y = x.conv2d(&weight, padding, stride, 1, c).unwrap();
            let gradient = random(y.dims());
            let gradients = (&y * &gradient).unwrap().sum_all().unwrap().backward().unwrap();
            let [x_at, weight_at, gradient_at] = [&memory(&x), &memory(&weight), &memory(&gradient)];
            let pass = |pass, from: [&HostMemory; 2], to| {
                depthwise(&shape, pass, n, from.map(HostMemory::address), to, Stored::F32)
            };
            check(|to| pass(Pass::Forward, [x_at, weight_at], to), &y);
            check(|to| pass(Pass::Input, [gradient_at, weight_at], to), gradients.get(&x).unwrap());
            check(|to| pass(Pass::Filter, [x_at, gradient_at], to), gradients.get(&weight).unwrap());
        }

        #[test]
        fn bfloat16_is_rounded_as_candle_rounds(n in 1usize..3, c in 1usize..5, side in 3usize..12, stride in 1usize..3) {
            let random = |shape: &[usize]| {
                let values = Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
                values.to_dtype(DType::BF16).unwrap()
            };
            let wide = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
            let bytes = |tensor: &Tensor| -> Vec<u8> {
                let values: Vec<bf16> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            };
            let shape = DepthwiseShape { channels: c, height: side, width: side, kernel: 3, stride, padding: 1 };
            let (x, weight) = (random(&[n, c, side, side]), random(&[c, 1, 3, 3]));
            let [x_at, weight_at] = [&x, &weight].map(|tensor| HostMemory::of_bytes(&bytes(tensor)));
            let wanted = wide(&x).conv2d(&wide(&weight), 1, stride, 1, c).unwrap();
            let y_at = HostMemory::of_bytes(&vec![0xFF; 2 * wanted.elem_count()]);
            let from = [x_at.address(), weight_at.address()];
            run(&depthwise(&shape, Pass::Forward, n, from, y_at.address(), Stored::Bf16)).unwrap();
            let ours = y_at.bytes();
            for (ours, wanted) in ours.as_chunks().0.iter().zip(numbers(&wanted)) {
                let ours = bf16::from_le_bytes(*ours).to_f32();
                // Half of the last of eight bits, and what another order of the sum makes.
                prop_assert!((ours - wanted).abs() <= wanted.abs() / 256.0 + 1e-5, "{} instead of {}", ours, wanted);
            }
            // One operand, so no order of sums: to the bit.
            let plus = random(&[n, c, side, side]);
            let sum_at = HostMemory::of_bytes(&vec![0xFF; bytes(&x).len()]);
            let plus_at = HostMemory::of_bytes(&bytes(&plus));
            let from = [x_at.address(), plus_at.address()];
            let dims = [n, c, side * side];
            run(&sum(dims, Addend::Residual, Activation::Relu, from, sum_at.address(), Stored::Bf16)).unwrap();
            let wanted = (wide(&x) + wide(&plus)).unwrap().relu().unwrap().to_dtype(DType::BF16).unwrap();
            prop_assert_eq!(&sum_at.bytes()[..bytes(&wanted).len()], &bytes(&wanted)[..]);
        }

        #[test]
        fn sums_are_candles(n in 1usize..4, c in 1usize..6, plane in 1usize..700) {
            let random = |shape: &[usize]| Tensor::randn(0f32, 4.0, shape, &Device::Cpu).unwrap();
            let (x, other, bias) = (random(&[n, c, plane]), random(&[n, c, plane]), random(&[c]));
            let with_bias = x.broadcast_add(&bias.reshape((1, c, 1)).unwrap()).unwrap().relu().unwrap();
            let with_other = (&x + &other).unwrap().clamp(0f32, 6f32).unwrap();
            let dims = [n, c, plane];
            let [x_at, other_at, bias_at] = [&memory(&x), &memory(&other), &memory(&bias)];
            let from = |second: &HostMemory| [x_at.address(), second.address()];
            check(|to| sum(dims, Addend::Bias, Activation::Relu, from(bias_at), to, Stored::F32), &with_bias);
            check(|to| sum(dims, Addend::Residual, Activation::Relu6, from(other_at), to, Stored::F32), &with_other);
        }

        #[test]
        fn the_shift_of_a_step_is_the_cpus(
            n in 1usize..4, c in 1usize..9, fold in 0usize..9, h in 1usize..20, w in 1usize..20, halves: bool,
        ) {
            let fold = fold % (c + 1);
            let (element, stored) = if halves { (Element::F16, Stored::F16) } else { (Element::F32, Stored::F32) };
            let dtype = if halves { DType::F16 } else { DType::F32 };
            let random = |shape: &[usize]| {
                Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
            };
            let (x, cache) = (random(&[n, c, h, w]), random(&[n, fold, h, w]));
            let (shifted, next) = crate::candle_ops::shift_and_cache(&x, &cache).unwrap();
            let of = |tensor: &Tensor| {
                HostMemory::of_floats(&numbers(&tensor.to_dtype(DType::F32).unwrap()), element)
            };
            let (x_at, cache_at) = (of(&x), of(&cache));
            let blank = |tensor: &Tensor| HostMemory::of_floats(&vec![f32::NAN; tensor.elem_count()], element);
            let (shifted_at, next_at) = (blank(&shifted), blank(&next));
            let to = [shifted_at.address(), next_at.address()];
            let from = [x_at.address(), cache_at.address()];
            run(&shift([n, c, h * w], fold, from, to, stored)).unwrap();
            prop_assert_eq!(shifted_at.bytes(), of(&shifted).bytes());
            prop_assert_eq!(next_at.bytes(), of(&next).bytes());
        }
    }
}
