//! What training does to one row of one channel: normalise and activate, moments, masks and sums.
//!
//! ```text
//! forward    y ─ moments ─► mean, M2            y ─ activate ─► z = act((y - centre) * scale + shift)
//! backward   dz, y ─ mask_and_sum ─► g = dz where the activation let through;  Σ g, Σ g (y - centre)
//!            g, y ─ correct ─► dy = a g + b (y - centre) + c
//! ```
//!
//! Rows are pieces of one channel, hundreds to thousands of floats. Sums run in [`LANES`] lanes of f32 over
//! at most [`BLOCK`] values and in f64 above that, so that they neither depend on threads nor lose digits.
#![allow(unsafe_code, reason = "bodies compiled for a level run behind a proof of it")]

use super::level::{LANES, for_each_level};
use crate::bias_activation::Activation;

/// Values summed up in f32 before f64 takes over.
const BLOCK: usize = 2048;

/// What a batch normalisation does to one channel: `act((y - centre) * scale + shift)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    pub(super) centre: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
}

/// Number, mean and sum of squared differences from the mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Moments {
    /// The moments of both sets together (Chan, Golub and others, 1979).
    pub(super) fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let delta = other.mean - self.mean;
        let weight = other.count / count;
        Self {
            count,
            mean: self.mean + delta * weight,
            squares: self.squares + other.squares + delta * delta * self.count * weight,
        }
    }
}

/// `Σ g` and `Σ g (y - centre)` of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct GradientSums {
    pub(super) plain: f64,
    pub(super) centred: f64,
}

impl GradientSums {
    pub(super) fn merge(self, other: Self) -> Self {
        Self { plain: self.plain + other.plain, centred: self.centred + other.centred }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the bodies")]
fn affine(y: f32, by: Affine) -> f32 {
    (y - by.centre) * by.scale + by.shift
}

/// Whether the activation's derivative is 1 at `z`; at its corners it is 0, as in PyTorch.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the bodies")]
fn passes(z: f32, activation: Activation) -> bool {
    match activation {
        Activation::None => true,
        Activation::Relu => z > 0.0,
        Activation::Relu6 => z > 0.0 && z < 6.0,
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the bodies")]
fn total(lanes: [f32; LANES]) -> f64 {
    lanes.iter().fold(0.0, |sum, &lane| sum + f64::from(lane))
}

for_each_level! {
    /// Number, mean and squares of `row`.
    pub(super) fn moments(row: &[f32]) -> Moments {
        let mut all = Moments::default();
        for block in row.chunks(BLOCK) {
            // One of the values as origin keeps the digits where the mean is far from 0.
            let origin = block[0];
            let (mut plain, mut squares) = ([0f32; LANES], [0f32; LANES]);
            for chunk in block.chunks(LANES) {
                for ((plain, squares), &y) in plain.iter_mut().zip(&mut squares).zip(chunk) {
                    let off = y - origin;
                    *plain += off;
                    *squares += off * off;
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "at most BLOCK")]
            let count = block.len() as f64;
            let (plain, squares) = (total(plain), total(squares));
            let mean = f64::from(origin) + plain / count;
            // NaN stays: `max` would take the 0.
            let squares = squares - plain * plain / count;
            all = all.merge(Moments { count, mean, squares: if squares < 0.0 { 0.0 } else { squares } });
        }
        all
    }
}

for_each_level! {
    /// `z = act((y - centre) * scale + shift)`.
    pub(super) fn activate(z: &mut [f32], y: &[f32], by: Affine, activation: Activation) {
        let pairs = z.iter_mut().zip(y);
        match activation {
            Activation::None => pairs.for_each(|(z, &y)| *z = affine(y, by)),
            Activation::Relu => pairs.for_each(|(z, &y)| *z = Activation::Relu.apply(affine(y, by))),
            Activation::Relu6 => pairs.for_each(|(z, &y)| *z = Activation::Relu6.apply(affine(y, by))),
        }
    }
}

/// One lane of [`mask_and_sum`].
macro_rules! mask_lanes {
    ($dz:expr, $y:expr, $by:expr, $activation:expr) => {{
        let (mut plain, mut centred) = ([0f32; LANES], [0f32; LANES]);
        for (dz, y) in $dz.chunks_mut(LANES).zip($y.chunks(LANES)) {
            if let (Ok(dz), Ok(y)) = (<&mut [f32; LANES]>::try_from(&mut *dz), <&[f32; LANES]>::try_from(y)) {
                for lane in 0..LANES {
                    let g = if passes(affine(y[lane], $by), $activation) { dz[lane] } else { 0.0 };
                    dz[lane] = g;
                    plain[lane] += g;
                    centred[lane] += g * (y[lane] - $by.centre);
                }
                continue;
            }
            for (lane, (dz, &y)) in dz.iter_mut().zip(y).enumerate() {
                let g = if passes(affine(y, $by), $activation) { *dz } else { 0.0 };
                *dz = g;
                plain[lane] += g;
                centred[lane] += g * (y - $by.centre);
            }
        }
        GradientSums { plain: total(plain), centred: total(centred) }
    }};
}

for_each_level! {
    /// Sets `dz` to 0 where the activation of `y` stood still, and sums up what is left.
    pub(super) fn mask_and_sum(dz: &mut [f32], y: &[f32], by: Affine, activation: Activation) -> GradientSums {
        let mut all = GradientSums::default();
        for (dz, y) in dz.chunks_mut(BLOCK).zip(y.chunks(BLOCK)) {
            all = all.merge(match activation {
                Activation::None => mask_lanes!(dz, y, by, Activation::None),
                Activation::Relu => mask_lanes!(dz, y, by, Activation::Relu),
                Activation::Relu6 => mask_lanes!(dz, y, by, Activation::Relu6),
            });
        }
        all
    }
}

/// The gradient of what a batch normalisation took in, out of that of what it gave: `a g + b (y - centre) + c`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Correction {
    pub(super) centre: f32,
    pub(super) a: f32,
    pub(super) b: f32,
    pub(super) c: f32,
}

for_each_level! {
    /// `dy = a g + b (y - centre) + c`.
    pub(super) fn correct(dy: &mut [f32], g: &[f32], y: &[f32], by: Correction) {
        for ((dy, &g), &y) in dy.iter_mut().zip(g).zip(y) {
            *dy = by.a * g + (by.b * (y - by.centre) + by.c);
        }
    }
}

for_each_level! {
    /// `to += from`.
    pub(super) fn add(to: &mut [f32], from: &[f32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }
}

for_each_level! {
    /// `sum = act(a + b)`.
    pub(super) fn sum(sum: &mut [f32], a: &[f32], b: &[f32], activation: Activation) {
        let all = sum.iter_mut().zip(a).zip(b);
        match activation {
            Activation::None => all.for_each(|((sum, a), b)| *sum = a + b),
            Activation::Relu => all.for_each(|((sum, a), b)| *sum = Activation::Relu.apply(a + b)),
            Activation::Relu6 => all.for_each(|((sum, a), b)| *sum = Activation::Relu6.apply(a + b)),
        }
    }
}

for_each_level! {
    /// `g = dz` where the activation that gave `z` let it through, else 0.
    pub(super) fn mask(g: &mut [f32], dz: &[f32], z: &[f32], activation: Activation) {
        let all = g.iter_mut().zip(dz).zip(z);
        match activation {
            Activation::None => all.for_each(|((g, &dz), _)| *g = dz),
            Activation::Relu => all.for_each(|((g, &dz), &z)| *g = if z > 0.0 { dz } else { 0.0 }),
            Activation::Relu6 => {
                all.for_each(|((g, &dz), &z)| *g = if z > 0.0 && z < 6.0 { dz } else { 0.0 });
            }
        }
    }
}

for_each_level! {
    /// `Σ g` and `Σ g (y - centre)`, for a normalisation without activation.
    pub(super) fn sums(g: &[f32], y: &[f32], centre: f32) -> GradientSums {
        let mut all = GradientSums::default();
        for (g, y) in g.chunks(BLOCK).zip(y.chunks(BLOCK)) {
            let (mut plain, mut centred) = ([0f32; LANES], [0f32; LANES]);
            for (g, y) in g.chunks(LANES).zip(y.chunks(LANES)) {
                for (((plain, centred), &g), &y) in plain.iter_mut().zip(&mut centred).zip(g).zip(y) {
                    *plain += g;
                    *centred += g * (y - centre);
                }
            }
            all = all.merge(GradientSums { plain: total(plain), centred: total(centred) });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "small numbers, and bits"
    )]

    use super::*;
    use crate::cpu_level::CpuLevel;
    use proptest::prelude::*;

    const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

    fn bits(values: &[f32]) -> Vec<u32> {
        // Which NaN comes out of two NaNs is the CPU's choice; that it is one is ours.
        values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
    }

    fn wide_bits(values: [f64; 2]) -> [u64; 2] {
        values.map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() })
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![30 => -9f32..9.0, 1 => Just(f32::NAN), 1 => Just(-0.0), 1 => Just(f32::INFINITY)]
    }

    /// Everything that this file computes of two rows, as bits.
    fn all(level: CpuLevel, a: &[f32], b: &[f32], by: Affine, activation: Activation) -> Vec<Vec<u32>> {
        let fresh = |run: &dyn Fn(&mut [f32])| {
            let mut row = a.to_vec();
            run(&mut row);
            bits(&row)
        };
        let correction = Correction { centre: by.centre, a: by.scale, b: by.shift, c: 0.25 };
        let narrow =
            |wide: [f64; 2]| wide_bits(wide).iter().flat_map(|w| [*w as u32, (w >> 32) as u32]).collect();
        let of = moments(level, a);
        let summed = sums(level, a, b, by.centre);
        let mut masked = a.to_vec();
        let masked_sums = mask_and_sum(level, &mut masked, b, by, activation);
        vec![
            fresh(&|row| activate(level, row, b, by, activation)),
            fresh(&|row| correct(level, row, a, b, correction)),
            fresh(&|row| add(level, row, b)),
            fresh(&|row| sum(level, row, a, b, activation)),
            fresh(&|row| mask(level, row, a, b, activation)),
            narrow([of.mean, of.squares]),
            narrow([summed.plain, summed.centred]),
            narrow([masked_sums.plain, masked_sums.centred]),
            bits(&masked),
        ]
    }

    proptest! {
        #[test]
        fn every_level_is_bit_equal_to_scalar(
            rows in proptest::collection::vec((value(), value()), 0..70),
            (centre, scale, shift) in (-2f32..2.0, -3f32..3.0, -3f32..6.0), activation in 0usize..3,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let by = Affine { centre, scale, shift };
            let expected = all(CpuLevel::Scalar, &a, &b, by, ACTIVATIONS[activation]);
            for level in CpuLevel::available() {
                prop_assert_eq!(&all(level, &a, &b, by, ACTIVATIONS[activation]), &expected, "{}", level);
            }
        }
    }

    #[test]
    fn long_rows_are_bit_equal_too() {
        let row =
            |seed: u32| (0u32..5000).map(|i| (i * 7919 + seed) as f32 % 101.0 / 10.0).collect::<Vec<_>>();
        let by = Affine { centre: 5.0, scale: 0.5, shift: 1.0 };
        let expected = all(CpuLevel::Scalar, &row(1), &row(2), by, Activation::Relu6);
        for level in CpuLevel::available() {
            assert_eq!(all(level, &row(1), &row(2), by, Activation::Relu6), expected, "{level}");
        }
    }

    #[test]
    fn moments_keep_their_digits_far_from_zero() {
        let row: Vec<f32> = (0..10_000).map(|i| 4096.0 + f32::from(u8::try_from(i % 3).unwrap())).collect();
        let Moments { count, mean, squares } = moments(CpuLevel::detected(), &row);
        assert!((mean - 4096.9999).abs() < 1e-6, "{mean}");
        assert!((squares / count - 0.666_699_99).abs() < 1e-6, "{squares}");
    }

    #[test]
    fn merged_moments_are_those_of_both() {
        let row: Vec<f32> = (0u8..200).map(|i| f32::from(i) * 0.1).collect();
        let level = CpuLevel::detected();
        let whole = moments(level, &row);
        let parts = row.chunks(33).map(|part| moments(level, part)).fold(Moments::default(), Moments::merge);
        assert!((whole.mean - parts.mean).abs() < 1e-6 && (whole.squares - parts.squares).abs() < 1e-3);
    }
}
