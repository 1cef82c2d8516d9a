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
    /// The moments of both sets together (Chan, Golub, LeVeque 1979).
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

/// `Σ f(values)` in lanes.
macro_rules! lane_sums {
    ($row:expr, |$value:ident| $term:expr) => {{
        let mut lanes = [0f32; LANES];
        let whole = $row.chunks_exact(LANES);
        let rest = whole.remainder();
        for chunk in whole {
            for (lane, &$value) in lanes.iter_mut().zip(chunk) {
                *lane += $term;
            }
        }
        for (lane, &$value) in lanes.iter_mut().zip(rest) {
            *lane += $term;
        }
        total(lanes)
    }};
}

for_each_level! {
    /// Number, mean and squares of `row`.
    pub(super) fn moments(row: &[f32]) -> Moments {
        let mut all = Moments::default();
        for block in row.chunks(BLOCK) {
            #[expect(clippy::cast_precision_loss, reason = "at most BLOCK")]
            let count = block.len() as f64;
            // The first value as origin keeps the digits where the mean is far from 0.
            let origin = block[0];
            let mean = f64::from(origin) + lane_sums!(block, |y| y - origin) / count;
            #[expect(clippy::cast_possible_truncation, reason = "rounding the centre is made up for below")]
            let centre = mean as f32;
            let squares = lane_sums!(block, |y| (y - centre) * (y - centre));
            let off = f64::from(centre) - mean;
            all = all.merge(Moments { count, mean, squares: (squares - off * off * count).max(0.0) });
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
