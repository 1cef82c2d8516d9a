//! Each operation's output and gradients against PyTorch's (`scripts/training_goldens.py`).

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{Device, Result, Tensor, Var};

use super::*;
use crate::bias_activation::Activation;

/// What PyTorch gave, by 'case/name'.
fn goldens() -> HashMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/training.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn assert_close(what: &str, ours: &Tensor, expected: &Tensor) {
    assert_eq!(ours.dims(), expected.dims(), "{what}");
    let floats = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (ours, expected) = (floats(ours), floats(expected));
    let scale = expected.iter().fold(1f32, |max, v| max.max(v.abs()));
    for (i, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
        // Both sum up a few hundred f32 in their own order.
        assert!((ours - expected).abs() <= 1e-5 * scale, "{what}[{i}]: {ours} is not {expected}");
    }
}

/// Runs `operation` on the case's inputs (`names`, those of statistics last) and compares all.
fn check(case: &str, names: &[&str], operation: impl Fn(&FeatureMap, &[Tensor]) -> Result<Tensor>) {
    let goldens = goldens();
    let golden =
        |name: &str| goldens.get(&format!("{case}/{name}")).unwrap_or_else(|| panic!("{case}/{name}"));
    let inputs: Vec<Var> = names.iter().map(|name| Var::from_tensor(golden(name)).unwrap()).collect();
    let tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
    let y = operation(&FeatureMap::from_tensor(&tensors[0]).unwrap(), &tensors[1..]).unwrap();
    assert_close(&format!("{case}/y"), &y, golden("y"));
    let gradients = (&y * golden("dy")).unwrap().sum_all().unwrap().backward().unwrap();
    let wanted = names.iter().zip(&inputs).filter(|(name, _)| !["mean", "variance"].contains(name));
    for (name, input) in wanted {
        let gradient = gradients.get(input).expect("a gradient");
        assert_close(&format!("{case}/d_{name}"), gradient, golden(&format!("d_{name}")));
    }
}

#[test]
fn convolutions_are_pytorchs() {
    for (case, stride, padding) in [
        ("conv_1x1", 1, 0),
        ("conv_1x1_stride_2", 2, 0),
        ("conv_3x3", 1, 1),
        ("conv_3x3_stride_2_odd", 2, 1),
        ("conv_3x3_stride_2_even", 2, 1),
        ("conv_7x7_stride_2", 2, 3),
    ] {
        check(case, &["x", "weight"], |x, t| conv2d(x, &t[0], stride, padding)?.to_tensor());
    }
    for (case, stride) in [("depthwise", 1), ("depthwise_stride_2_odd", 2), ("depthwise_stride_2_even", 2)] {
        check(case, &["x", "weight"], |x, t| depthwise3x3(x, &t[0], stride)?.to_tensor());
    }
}

#[test]
fn batch_norms_are_pytorchs() {
    for (case, activation) in [
        ("live_norm", Activation::None),
        ("live_norm_relu", Activation::Relu),
        ("live_norm_relu6", Activation::Relu6),
    ] {
        check(case, &["x", "weight", "bias"], |x, t| {
            batch_norm_train(x, &t[0], &t[1], 1e-5, activation)?.0.to_tensor()
        });
    }
    for (case, activation) in
        [("frozen_norm_relu", Activation::Relu), ("frozen_norm_relu6", Activation::Relu6)]
    {
        check(case, &["x", "weight", "bias", "mean", "variance"], |x, t| {
            batch_norm_frozen(x, [&t[0], &t[1]], [&t[2], &t[3]], 1e-5, activation)?.to_tensor()
        });
    }
}

#[test]
fn pools_and_sums_are_pytorchs() {
    check("mean_pool", &["x"], |x, _| global_average_pool(x));
    check("add_relu", &["x", "other"], |x, t| {
        add(x, &FeatureMap::from_tensor(&t[0])?, Activation::Relu)?.to_tensor()
    });
    // Many pixels are the same 0 behind the activation: the first one has the gradient.
    check("max_pool", &["x"], |x, _| {
        let nothing = FeatureMap::from_tensor(&Tensor::zeros_like(&x.to_tensor()?)?)?;
        max_pool_3x3_s2_p1(&add(x, &nothing, Activation::Relu)?)?.to_tensor()
    });
}

#[test]
fn shifts_are_pytorchs() {
    let shifts: [(&str, Range<usize>, Range<usize>); 3] =
        [("shift_causal", 0..1, 0..0), ("shift_mit", 1..2, 0..1), ("shift_paddle", 0..2, 2..5)];
    for (case, from_past, from_future) in shifts {
        let shift = TemporalShift { from_past, from_future };
        check(case, &["x"], |x, _| temporal_shift(x, 4, &shift)?.to_tensor());
    }
}
