//! What follows a convolution: a bias a channel, or a residual, and the activation, in one pass.
//!
//! ```text
//! x [c, plane] ─► + bias[c] ───────┐
//!                                  ├─► none | max(0, ·) | min(6, max(0, ·)) ─► x
//! x [len]      ─► + residual[len] ─┘
//! ```
//!
//! NaN stays NaN through every activation, so that a broken network shows (candle's own `relu` turns NaN
//! into 0); -0 stays -0. One sum and two selections an element: every path is equal to the bit.
#![allow(unsafe_code, reason = "the same body compiled for AVX2; entered only with an Avx2 proof")]

use crate::cpu_level::{Avx2, CpuLevel};

/// What is applied after a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The sum as it is.
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(6, max(0, x))`, as `MobileNetV2` has it.
    Relu6,
}

impl Activation {
    /// The activation of one value; NaN stays NaN.
    #[inline]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => relu(x),
            Self::Relu6 => relu6(x),
        }
    }
}

/// Adds `bias[c]` to each of the `plane_len` values of channel `c` of `x` `[c, plane]` and activates.
///
/// `x` may hold several pictures, `[n, c, plane]`: the biases are taken round and round.
///
/// # Panics
/// If `x` is not a whole number of pictures of `bias.len()` planes of `plane_len`.
pub fn bias_activation(x: &mut [f32], bias: &[f32], plane_len: usize, activation: Activation) {
    bias_activation_at(CpuLevel::detected(), x, bias, plane_len, activation);
}

/// [`bias_activation`] on a given level, for tests and benches.
///
/// # Panics
/// As [`bias_activation`].
pub fn bias_activation_at(
    level: CpuLevel,
    x: &mut [f32],
    bias: &[f32],
    plane_len: usize,
    activation: Activation,
) {
    let picture = bias.len() * plane_len;
    assert!(
        if picture == 0 { x.is_empty() } else { x.len().is_multiple_of(picture) },
        "bias_activation: {} values are not pictures of {} planes of {plane_len}",
        x.len(),
        bias.len(),
    );
    if x.is_empty() {
        return;
    }
    if let Some(cpu) = Avx2::at(level) {
        return bias_avx2(cpu, x, bias, plane_len, activation);
    }
    bias_body(x, bias, plane_len, activation);
}

/// Adds `residual` to `x`, element by element, and activates.
///
/// # Panics
/// If the two differ in length.
pub fn residual_activation(x: &mut [f32], residual: &[f32], activation: Activation) {
    residual_activation_at(CpuLevel::detected(), x, residual, activation);
}

/// [`residual_activation`] on a given level, for tests and benches.
///
/// # Panics
/// As [`residual_activation`].
pub fn residual_activation_at(level: CpuLevel, x: &mut [f32], residual: &[f32], activation: Activation) {
    assert_eq!(x.len(), residual.len(), "residual_activation: x and residual differ in length");
    if let Some(cpu) = Avx2::at(level) {
        return residual_avx2(cpu, x, residual, activation);
    }
    residual_body(x, residual, activation);
}

#[inline]
fn relu(x: f32) -> f32 {
    if 0.0 > x { 0.0 } else { x }
}

#[inline]
fn relu6(x: f32) -> f32 {
    let x = relu(x);
    if 6.0 < x { 6.0 } else { x }
}

#[inline]
fn bias_body(x: &mut [f32], bias: &[f32], plane_len: usize, activation: Activation) {
    for (plane, &bias) in x.chunks_exact_mut(plane_len).zip(bias.iter().cycle()) {
        match activation {
            Activation::None => plane.iter_mut().for_each(|x| *x += bias),
            Activation::Relu => plane.iter_mut().for_each(|x| *x = relu(*x + bias)),
            Activation::Relu6 => plane.iter_mut().for_each(|x| *x = relu6(*x + bias)),
        }
    }
}

#[inline]
fn residual_body(x: &mut [f32], residual: &[f32], activation: Activation) {
    let pairs = x.iter_mut().zip(residual);
    match activation {
        Activation::None => pairs.for_each(|(x, r)| *x += r),
        Activation::Relu => pairs.for_each(|(x, r)| *x = relu(*x + r)),
        Activation::Relu6 => pairs.for_each(|(x, r)| *x = relu6(*x + r)),
    }
}

#[cfg(target_arch = "x86_64")]
fn bias_avx2(_cpu: Avx2, x: &mut [f32], bias: &[f32], plane_len: usize, activation: Activation) {
    #[target_feature(enable = "avx2")]
    fn body(x: &mut [f32], bias: &[f32], plane_len: usize, activation: Activation) {
        bias_body(x, bias, plane_len, activation);
    }
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { body(x, bias, plane_len, activation) }
}

#[cfg(target_arch = "x86_64")]
fn residual_avx2(_cpu: Avx2, x: &mut [f32], residual: &[f32], activation: Activation) {
    #[target_feature(enable = "avx2")]
    fn body(x: &mut [f32], residual: &[f32], activation: Activation) {
        residual_body(x, residual, activation);
    }
    // SAFETY: an `Avx2` exists only where the CPU has AVX2.
    unsafe { body(x, residual, activation) }
}

#[cfg(not(target_arch = "x86_64"))]
use {bias_body_without_avx2 as bias_avx2, residual_body_without_avx2 as residual_avx2};

#[cfg(not(target_arch = "x86_64"))]
fn bias_body_without_avx2(_: Avx2, x: &mut [f32], bias: &[f32], plane_len: usize, act: Activation) {
    bias_body(x, bias, plane_len, act);
}

#[cfg(not(target_arch = "x86_64"))]
fn residual_body_without_avx2(_: Avx2, x: &mut [f32], residual: &[f32], act: Activation) {
    residual_body(x, residual, act);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

    #[test]
    fn each_channel_gets_its_own_bias_in_every_picture() {
        for level in CpuLevel::available() {
            let mut x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
            bias_activation_at(level, &mut x, &[-2.0, 1.0], 2, Activation::Relu6);
            assert_eq!(bits(&x), bits(&[0.0, 0.0, 3.0, 4.0, 2.0, 3.0, 6.0, 6.0]), "{level}");
        }
    }

    #[test]
    fn nan_stays_nan_and_infinity_is_cut() {
        assert!(ACTIVATIONS.iter().all(|a| a.apply(f32::NAN).is_nan()));
        assert!(Activation::Relu.apply(-0.0).is_sign_negative());
        assert_eq!(Activation::Relu6.apply(f32::INFINITY).to_bits(), 6f32.to_bits());
        assert_eq!(Activation::Relu.apply(f32::NEG_INFINITY).to_bits(), 0f32.to_bits());
    }

    #[test]
    fn nothing_at_all_is_fine() {
        bias_activation(&mut [], &[], 4, Activation::Relu);
        bias_activation(&mut [], &[1.0], 0, Activation::Relu);
        residual_activation(&mut [], &[], Activation::Relu);
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![10 => -9f32..9.0, 1 => Just(f32::NAN), 1 => Just(-0.0), 1 => Just(f32::INFINITY)]
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }).collect()
    }

    proptest! {
        #[test]
        fn every_level_is_bit_equal_to_scalar(
            x in proptest::collection::vec(value(), 0..70), bias in value(), act in 0usize..3,
        ) {
            let residual: Vec<f32> = x.iter().rev().copied().collect();
            for level in CpuLevel::available() {
                let mut sum = x.clone();
                bias_activation_at(level, &mut sum, &[bias], x.len(), ACTIVATIONS[act]);
                let expected: Vec<f32> = x.iter().map(|x| ACTIVATIONS[act].apply(x + bias)).collect();
                prop_assert_eq!(bits(&sum), bits(&expected));
                let mut sum = x.clone();
                residual_activation_at(level, &mut sum, &residual, ACTIVATIONS[act]);
                let expected: Vec<f32> =
                    x.iter().zip(&residual).map(|(x, r)| ACTIVATIONS[act].apply(x + r)).collect();
                prop_assert_eq!(bits(&sum), bits(&expected));
            }
        }
    }
}
