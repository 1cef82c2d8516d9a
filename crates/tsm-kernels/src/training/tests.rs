//! Each operation's output and gradients: against candle's operations in f64, those against finite differences.
//!
//! Both go through the same public functions: f64 takes candle's way, f32 ours.

#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;
use crate::bias_activation::Activation;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

/// Values in -2..2 that depend on `seed` alone.
fn random(shape: &[usize], seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let len = shape.iter().product();
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0
        })
        .collect()
}

type Network<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

struct Outcome {
    y: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

fn wide(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// `Σ y · r` for fixed random `r`.
fn loss(y: &Tensor) -> Tensor {
    let r = Tensor::from_vec(random(y.dims(), 99), y.dims(), &Device::Cpu).unwrap();
    (y * r.to_dtype(y.dtype()).unwrap()).unwrap().sum_all().unwrap()
}

fn tensors(inputs: &[Vec<f64>], shapes: &[&[usize]], dtype: DType) -> Vec<Tensor> {
    let tensor = |(values, shape): (&Vec<f64>, &&[usize])| {
        Tensor::from_vec(values.clone(), *shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    inputs.iter().zip(shapes).map(tensor).collect()
}

fn outcome(inputs: &[Vec<f64>], shapes: &[&[usize]], dtype: DType, network: Network<'_>) -> Outcome {
    let inputs: Vec<Var> =
        tensors(inputs, shapes, dtype).iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let as_tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
    let y = network(&as_tensors).unwrap();
    let store = loss(&y).backward().unwrap();
    let gradients = inputs.iter().map(|var| wide(store.get(var).expect("a gradient"))).collect();
    Outcome { y: wide(&y), gradients }
}

fn assert_close(what: &str, ours: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |max: f64, v| max.max(v.abs()));
    for (i, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        assert!((ours - expected).abs() <= tolerance * scale, "{what}[{i}]: {ours} is not {expected}");
    }
}

/// Ours in f32 equals candle in f64, and candle's gradients equal the differences of its outputs.
fn check(what: &str, shapes: &[&[usize]], network: Network<'_>) {
    // As f32 holds them, so that both see the same numbers.
    let inputs: Vec<Vec<f64>> = shapes
        .iter()
        .zip(1..)
        .map(|(shape, seed)| random(shape, seed).into_iter().map(|v| f64::from(v as f32)).collect())
        .collect();
    let ours = outcome(&inputs, shapes, DType::F32, network);
    let candle = outcome(&inputs, shapes, DType::F64, network);
    assert_close(&format!("{what}: y"), &ours.y, &candle.y, 1e-5);
    for (i, (ours, candle)) in ours.gradients.iter().zip(&candle.gradients).enumerate() {
        assert_close(&format!("{what}: gradient {i}"), ours, candle, 2e-5);
        for element in (0..candle.len()).step_by(candle.len().div_ceil(7)) {
            let differences = difference(&inputs, shapes, network, (i, element));
            let scale = candle.iter().fold(1.0, |max: f64, v| max.max(v.abs()));
            let off = (differences - candle[element]).abs();
            assert!(
                off < 1e-6 * scale,
                "{what}: difference {i}[{element}] {differences} {}",
                candle[element]
            );
        }
    }
}

/// The slope of the loss in one element of one input, in f64.
fn difference(inputs: &[Vec<f64>], shapes: &[&[usize]], network: Network<'_>, at: (usize, usize)) -> f64 {
    const STEP: f64 = 1e-6;
    let at = |step: f64| {
        let mut inputs = inputs.to_vec();
        inputs[at.0][at.1] += step;
        loss(&network(&tensors(&inputs, shapes, DType::F64)).unwrap()).to_scalar::<f64>().unwrap()
    };
    (at(STEP) - at(-STEP)) / (2.0 * STEP)
}

fn map(x: &Tensor) -> FeatureMap {
    FeatureMap::from_tensor(x).unwrap()
}

#[test]
fn convolutions_have_the_gradients_of_their_differences() {
    for (n, ci, h, w, co, k, stride, padding) in [
        (3, 5, 7, 9, 4, 1, 1, 0),
        (2, 3, 8, 7, 6, 1, 2, 0),
        (2, 3, 9, 6, 4, 3, 1, 1),
        (2, 3, 15, 14, 4, 3, 2, 1),
        (2, 3, 14, 15, 4, 3, 2, 1),
        (1, 2, 14, 14, 3, 3, 2, 1),
        (2, 3, 17, 16, 2, 7, 2, 3),
        (1, 2, 3, 4, 2, 7, 1, 3),
        (17, 2, 5, 5, 3, 3, 1, 1),
        (1, 1, 1, 1, 1, 3, 2, 1),
    ] {
        let shapes: [&[usize]; 2] = [&[n, ci, h, w], &[co, ci, k, k]];
        check(&format!("conv2d {shapes:?} {stride} {padding}"), &shapes, &|t| {
            conv2d(&map(&t[0]), &t[1], stride, padding)?.to_tensor()
        });
    }
}

#[test]
fn convolutions_of_single_pixels_as_products_are_candles_convolution() {
    for (n, ci, h, w, co, stride) in [
        // A product a picture.
        (3, 5, 7, 9, 4, 1),
        (2, 3, 8, 7, 6, 2),
        (2, 3, 7, 8, 6, 2),
        (1, 3, 9, 9, 1, 2),
        (2, 1, 8, 5, 3, 3),
        // One product of all.
        (3, 5, 1, 1, 4, 1),
        (2, 9, 2, 1, 11, 1),
        (2, 9, 3, 2, 11, 2),
        (1, 9, 1, 1, 11, 2),
    ] {
        let shapes: [&[usize]; 2] = [&[n, ci, h, w], &[co, ci, 1, 1]];
        let what = format!("1x1 {shapes:?} {stride}");
        // f32 as well, which takes our own way elsewhere.
        check(&what, &shapes, &|t| candle_way::conv2d(&t[0], &t[1], stride, 0, 1));
        let inputs = [random(shapes[0], 1), random(shapes[1], 2)];
        let product =
            outcome(&inputs, &shapes, DType::F64, &|t| candle_way::conv2d(&t[0], &t[1], stride, 0, 1));
        let candle = outcome(&inputs, &shapes, DType::F64, &|t| {
            // Candle's own gradient fails where stride leaves a row or column over.
            let side = |side: usize| (side - 1) / stride * stride + 1;
            t[0].narrow(2, 0, side(h))?.narrow(3, 0, side(w))?.contiguous()?.conv2d(&t[1], 0, stride, 1, 1)
        });
        assert_close(&format!("{what}: y"), &product.y, &candle.y, 1e-12);
        for (product, candle) in product.gradients.iter().zip(&candle.gradients) {
            assert_close(&format!("{what}: gradient"), product, candle, 1e-12);
        }
    }
}

#[test]
fn a_large_convolution_of_many_strips_has_the_gradients_too() {
    for (ci, co, k, stride) in [(9, 8, 1, 1), (3, 5, 3, 2)] {
        let shapes: [&[usize]; 2] = [&[4, ci, 63, 70], &[co, ci, k, k]];
        check(&format!("conv2d {shapes:?}"), &shapes, &|t| {
            conv2d(&map(&t[0]), &t[1], stride, k / 2)?.to_tensor()
        });
    }
}

#[test]
fn depthwise_convolutions_have_the_gradients_of_their_differences() {
    for (n, c, h, w, stride) in [
        (2, 3, 7, 7, 1),
        (2, 3, 14, 15, 2),
        (1, 2, 15, 14, 2),
        (2, 2, 33, 20, 1),
        (3, 1, 1, 1, 2),
        (1, 2, 2, 1, 1),
    ] {
        let shapes: [&[usize]; 2] = [&[n, c, h, w], &[c, 1, 3, 3]];
        check(&format!("depthwise3x3 {shapes:?} {stride}"), &shapes, &|t| {
            depthwise3x3(&map(&t[0]), &t[1], stride)?.to_tensor()
        });
    }
}

#[test]
fn live_batch_norms_have_the_gradients_of_their_differences() {
    for activation in ACTIVATIONS {
        let shapes: [&[usize]; 3] = [&[3, 4, 5, 6], &[4], &[4]];
        check(&format!("batch_norm_train {activation:?}"), &shapes, &|t| {
            batch_norm_train(&map(&t[0]), &t[1], &t[2], 1e-5, activation)?.0.to_tensor()
        });
    }
}

#[test]
fn frozen_batch_norms_have_the_gradients_of_their_differences() {
    for activation in ACTIVATIONS {
        let shapes: [&[usize]; 3] = [&[3, 4, 5, 6], &[4], &[4]];
        check(&format!("batch_norm_frozen {activation:?}"), &shapes, &|t| {
            let statistic = |values: [f64; 4]| Tensor::new(&values, &Device::Cpu)?.to_dtype(t[0].dtype());
            let (mean, variance) = (statistic([0.5, -0.5, 0.0, 3.0])?, statistic([1.0, 0.25, 4.0, 0.5])?);
            batch_norm_frozen(&map(&t[0]), [&t[1], &t[2]], [&mean, &variance], 1e-5, activation)?.to_tensor()
        });
    }
}

#[test]
fn pools_have_the_gradients_of_their_differences() {
    for (h, w) in [(7, 8), (8, 7), (1, 1), (12, 12)] {
        let shapes: [&[usize]; 1] = [&[2, 3, h, w]];
        check(&format!("max pool {h}x{w}"), &shapes, &|t| max_pool_3x3_s2_p1(&map(&t[0]))?.to_tensor());
        check(&format!("mean pool {h}x{w}"), &shapes, &|t| global_average_pool(&map(&t[0])));
    }
}

fn shifted(past: Range<usize>, future: Range<usize>) -> TemporalShift {
    TemporalShift { from_past: past, from_future: future }
}

#[test]
fn shifts_have_the_gradients_of_their_differences() {
    for shift in [shifted(0..2, 2..4), shifted(3..5, 0..3), shifted(0..1, 0..0), shifted(0..0, 0..0)] {
        let shapes: [&[usize]; 1] = [&[8, 6, 2, 3]];
        for segments in [1, 4, 8] {
            check(&format!("{shift:?}"), &shapes, &|t| {
                temporal_shift(&map(&t[0]), segments, &shift)?.to_tensor()
            });
        }
    }
}

#[test]
fn a_shift_moves_what_it_says() {
    let x: Vec<f32> = (0u8..12).map(f32::from).collect();
    let x = Tensor::from_vec(x, (3, 4, 1, 1), &Device::Cpu).unwrap();
    let y = temporal_shift(&map(&x), 3, &shifted(0..1, 1..2)).unwrap().to_tensor().unwrap();
    let y: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(y, [0., 5., 2., 3., 0., 9., 6., 7., 4., 0., 10., 11.]);
}

#[test]
fn sums_have_the_gradients_of_their_differences() {
    for activation in ACTIVATIONS {
        let shapes: [&[usize]; 2] = [&[2, 3, 5, 4], &[2, 3, 5, 4]];
        check(&format!("add {activation:?}"), &shapes, &|t| {
            add(&map(&t[0]), &map(&t[1]), activation)?.to_tensor()
        });
        check("a sum with itself", &shapes[..1], &|t| {
            let x = map(&t[0]);
            add(&x, &x, activation)?.to_tensor()
        });
    }
}

/// Two inverted residuals with shift, strides and a shared residual: all operations read through normalisations.
fn small_network(t: &[Tensor]) -> Result<Tensor> {
    let norm = |x: &FeatureMap, i: usize, activation| {
        Ok::<_, candle_core::Error>(batch_norm_train(x, &t[i], &t[i + 1], 1e-5, activation)?.0)
    };
    let x = norm(&conv2d(&map(&t[0]), &t[1], 2, 1)?, 2, Activation::Relu6)?;
    let pooled = max_pool_3x3_s2_p1(&x)?;
    let y = temporal_shift(&pooled, 2, &shifted(0..1, 1..2))?;
    let y = norm(&conv2d(&y, &t[4], 1, 0)?, 5, Activation::Relu6)?;
    let y = norm(&depthwise3x3(&y, &t[7], 1)?, 8, Activation::Relu)?;
    let y = norm(&conv2d(&y, &t[10], 1, 0)?, 11, Activation::None)?;
    let sum = add(&pooled, &y, Activation::None)?;
    let y = norm(&depthwise3x3(&sum, &t[13], 2)?, 14, Activation::Relu6)?;
    // Read by two: their gradients meet behind the normalisation.
    let wide = add(&y, &conv2d(&y, &t[16], 1, 1)?, Activation::Relu)?;
    let strided = norm(&conv2d(&wide, &t[16], 1, 1)?, 14, Activation::None)?;
    global_average_pool(&strided)
}

#[test]
fn a_network_of_all_operations_has_the_gradients_of_its_differences() {
    let shapes: [&[usize]; 17] = [
        &[4, 3, 21, 18],
        &[4, 3, 3, 3],
        &[4],
        &[4],
        &[8, 4, 1, 1],
        &[8],
        &[8],
        &[8, 1, 3, 3],
        &[8],
        &[8],
        &[4, 8, 1, 1],
        &[4],
        &[4],
        &[4, 1, 3, 3],
        &[4],
        &[4],
        &[4, 4, 3, 3],
    ];
    check("network", &shapes, &small_network);
}

#[test]
fn batch_statistics_are_those_of_the_batch() {
    let values = random(&[3, 2, 4, 5], 7);
    let x = Tensor::from_vec(values, (3, 2, 4, 5), &Device::Cpu).unwrap();
    let offset = Tensor::new(&[1000f64, -3.0], &Device::Cpu).unwrap().reshape((1, 2, 1, 1)).unwrap();
    let x = x.broadcast_add(&offset).unwrap();
    let one = |dtype| Tensor::ones(2, dtype, &Device::Cpu).unwrap();
    let run = |dtype| {
        let x = map(&x.to_dtype(dtype).unwrap());
        batch_norm_train(&x, &one(dtype), &one(dtype), 1e-5, Activation::None).unwrap().1
    };
    let (ours, candle) = (run(DType::F32), run(DType::F64));
    assert_close("mean", &wide(&ours.mean), &wide(&candle.mean), 1e-6);
    assert_close("biased", &wide(&ours.biased_variance), &wide(&candle.biased_variance), 1e-4);
    assert_close("unbiased", &wide(&ours.unbiased_variance), &wide(&candle.unbiased_variance), 1e-4);
    let ratio = wide(&ours.unbiased_variance)[0] / wide(&ours.biased_variance)[0];
    assert!((ratio - 60.0 / 59.0).abs() < 1e-6);
}

#[test]
fn what_is_no_variable_gets_no_gradient() {
    let x = Tensor::ones((1, 2, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let filter = Tensor::ones((2, 2, 3, 3), DType::F32, &Device::Cpu).unwrap();
    let weight = Var::ones(2, DType::F32, &Device::Cpu).unwrap();
    let y = conv2d(&map(&x), &filter, 1, 1).unwrap();
    let (y, _) = batch_norm_train(&y, &weight, &weight, 1e-5, Activation::None).unwrap();
    let store = loss(&y.to_tensor().unwrap()).backward().unwrap();
    assert!(store.get(&weight).is_some() && store.get(&filter).is_none() && store.get(&x).is_none());
}

#[test]
fn a_second_backward_of_one_forward_is_refused() {
    let x = Var::ones((1, 2, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let loss = loss(&max_pool_3x3_s2_p1(&map(&x)).unwrap().to_tensor().unwrap());
    loss.backward().unwrap();
    let error = loss.backward().unwrap_err().to_string();
    assert!(error.contains("backward ran already"), "{error}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shapes: [&[usize]; 17] = [
        &[4, 3, 45, 38],
        &[4, 3, 3, 3],
        &[4],
        &[4],
        &[8, 4, 1, 1],
        &[8],
        &[8],
        &[8, 1, 3, 3],
        &[8],
        &[8],
        &[4, 8, 1, 1],
        &[4],
        &[4],
        &[4, 1, 3, 3],
        &[4],
        &[4],
        &[4, 4, 3, 3],
    ];
    let inputs: Vec<Vec<f64>> = shapes.iter().zip(1..).map(|(shape, seed)| random(shape, seed)).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let outcome = outcome(&inputs, &shapes, DType::F32, &small_network);
            let all = outcome.y.iter().chain(outcome.gradients.iter().flatten());
            all.map(|v| v.to_bits()).collect::<Vec<_>>()
        })
    };
    let alone = run(1);
    assert!((2..=5).all(|threads| run(threads) == alone));
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_both() {
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let x = map(&ones(&[2, 4, 6, 6]));
    let message = |error: candle_core::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    for (operation, error) in [
        ("conv2d", conv2d(&x, &ones(&[3, 5, 1, 1]), 1, 0).err()),
        ("conv2d", conv2d(&x, &ones(&[3, 4, 9, 9]), 1, 0).err()),
        ("conv2d", conv2d(&x, &ones(&[3, 4, 1, 1]), 0, 0).err()),
        ("depthwise3x3", depthwise3x3(&x, &ones(&[3, 1, 3, 3]), 1).err()),
        ("depthwise3x3", depthwise3x3(&x, &ones(&[4, 1, 3, 3]), 3).err()),
        ("batch_norm_train", batch_norm_train(&x, &ones(&[4]), &ones(&[3]), 1e-5, Activation::None).err()),
        ("temporal_shift", temporal_shift(&x, 3, &shifted(0..1, 1..2)).err()),
        ("temporal_shift", temporal_shift(&x, 2, &shifted(0..2, 1..3)).err()),
        ("temporal_shift", temporal_shift(&x, 2, &shifted(0..2, 2..5)).err()),
        ("add", add(&x, &map(&ones(&[2, 4, 6, 5])), Activation::None).err()),
    ] {
        let error = message(error.expect(operation));
        assert!(error.starts_with(operation) && error.contains("[2, 4, 6, 6"), "{error}");
    }
}
