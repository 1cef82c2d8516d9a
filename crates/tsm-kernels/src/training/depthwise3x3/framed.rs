//! Planes with zeros around them, in an order that makes every tap of a 3x3 filter the plane at another offset.
//!
//! ```text
//! stride 1    rows of w + 2, a row of zeros above and below:      y[i] = Σ w[ky, kx] x[i + ky (w + 2) + kx]
//! stride 2    four planes, even and odd rows and columns apart:   y[i] = Σ w[ky, kx] x[plane(ky, kx) + …]
//! ```
//!
//! Sums come out in the same rows, with a few columns that mean nothing. One loop of whole vectors covers a
//! plane of 7x7 as well as one of 112x112. Taps add up row by row from the first; all levels are equal to the bit.
#![allow(unsafe_code, reason = "bodies compiled for a level run behind a proof of it")]

use crate::cpu_level::CpuLevel;
use crate::training::feature_map::Dims;
use crate::training::level::for_each_level;

/// Outputs of one turn: nine sums of so many fit into the registers.
const LANES: usize = 16;

/// How the planes of one convolution are framed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) x: Dims,
    pub(super) y: Dims,
    stride: usize,
    /// Length of a framed row.
    pitch: usize,
    /// At stride 2, floats of each of the four planes.
    phase: usize,
}

impl Frame {
    /// For planes of `x` with padding 1; `stride` is 1 or 2.
    pub(super) fn new(x: Dims, stride: usize) -> Self {
        let y = Dims { h: x.h.div_ceil(stride), w: x.w.div_ceil(stride), ..x };
        let pitch = if stride == 1 { x.w + 2 } else { y.w + 1 };
        Self { x, y, stride, pitch, phase: (y.h + 1) * pitch }
    }

    /// Floats of sums over output rows, in whole vectors.
    pub(super) fn framed_y(&self) -> usize {
        (self.y.h * self.pitch).next_multiple_of(LANES)
    }

    /// Floats of a framed plane of `x`, and what the last vector reads beyond it.
    pub(super) fn framed_x(&self) -> usize {
        let planes = if self.stride == 1 { (self.x.h + 2) * self.pitch } else { 4 * self.phase };
        planes + 2 * self.pitch + 2 * LANES
    }

    /// Floats of a framed plane of `dy`.
    pub(super) fn framed_dy(&self) -> usize {
        (self.y.h + 4) * self.pitch + 2 * LANES
    }

    /// Floats of a framed plane of `dx`: at stride 2 each of the four planes in whole vectors.
    pub(super) fn framed_dx(&self) -> usize {
        if self.stride == 1 { self.framed_y() } else { 4 * self.phase.next_multiple_of(LANES) }
    }

    /// Where the framed plane of `x` holds what tap `tap` of output 0 sees.
    fn offsets(&self) -> [usize; 9] {
        std::array::from_fn(|tap| {
            let (ky, kx) = (tap / 3, tap % 3);
            if self.stride == 1 {
                ky * self.pitch + kx
            } else {
                (ky % 2 * 2 + kx % 2) * self.phase + ky / 2 * self.pitch + kx / 2
            }
        })
    }

    /// Puts a plane of `x` into its frame, whose zeros are there already.
    pub(super) fn frame_x(&self, level: CpuLevel, pixels: &[f32], framed: &mut [f32]) {
        for (iy, row) in pixels.chunks_exact(self.x.w).enumerate() {
            if self.stride == 1 {
                framed[(iy + 1) * self.pitch + 1..][..row.len()].copy_from_slice(row);
                continue;
            }
            // Padded row `iy + 1`; its odd columns are the row's even ones.
            let first = (iy + 1) % 2 * 2 * self.phase + iy.div_ceil(2) * self.pitch;
            let (even, odd) = framed[first..].split_at_mut(self.phase);
            deal(level, row, &mut odd[..row.len().div_ceil(2)], &mut even[1..][..row.len() / 2]);
        }
    }

    /// Puts a plane of `dy` into its frame: one column and one row of zeros before it.
    pub(super) fn frame_dy(&self, gradients: &[f32], framed: &mut [f32]) {
        for (oy, row) in gradients.chunks_exact(self.y.w).enumerate() {
            framed[(oy + 1) * self.pitch + 1..][..row.len()].copy_from_slice(row);
        }
    }

    /// The sums of all outputs.
    pub(super) fn forward(&self, level: CpuLevel, framed: &[f32], filter: &[f32; 9], sums: &mut [f32]) {
        taps(level, sums, framed, self.offsets(), *filter);
    }

    /// Takes the outputs from their framed rows.
    pub(super) fn unframe_y(&self, sums: &[f32], y: &mut [f32]) {
        for (y, sums) in y.chunks_exact_mut(self.y.w).zip(sums.chunks_exact(self.pitch)) {
            y.copy_from_slice(&sums[..y.len()]);
        }
    }

    /// The nine sums of `dy` times what the tap saw.
    pub(super) fn weight_gradient(&self, level: CpuLevel, framed_x: &[f32], framed_dy: &[f32]) -> [f64; 9] {
        // From the first output on; where a row of `x` goes on beyond its outputs, `dy` is 0.
        let dy = &framed_dy[self.pitch + 1..][..self.framed_y()];
        dots(level, dy, framed_x, self.offsets())
    }

    /// The gradient of the padded plane of `x`, framed.
    pub(super) fn backward(
        &self,
        level: CpuLevel,
        framed_dy: &[f32],
        filter: &[f32; 9],
        framed_dx: &mut [f32],
    ) {
        if self.stride == 1 {
            let turned = std::array::from_fn(|tap| filter[8 - tap]);
            return taps(level, framed_dx, framed_dy, self.offsets(), turned);
        }
        // Pixel (2a + py, 2b + px) was seen by the taps of its parity: output (a - ky / 2, b - kx / 2).
        let at = |ky: usize, kx: usize| (1 - ky / 2) * self.pitch + 1 - kx / 2;
        let w = |ky: usize, kx: usize| filter[ky * 3 + kx];
        let mut phases = framed_dx.chunks_exact_mut(self.phase.next_multiple_of(LANES));
        let mut phase = || phases.next().expect("four planes");
        let four = [(0, 0), (0, 2), (2, 0), (2, 2)];
        taps(level, phase(), framed_dy, four.map(|(ky, kx)| at(ky, kx)), four.map(|(ky, kx)| w(ky, kx)));
        taps(level, phase(), framed_dy, [at(0, 1), at(2, 1)], [w(0, 1), w(2, 1)]);
        taps(level, phase(), framed_dy, [at(1, 0), at(1, 2)], [w(1, 0), w(1, 2)]);
        taps(level, phase(), framed_dy, [at(1, 1)], [w(1, 1)]);
    }

    /// Takes the gradient of `x` from its frame.
    pub(super) fn unframe_dx(&self, level: CpuLevel, framed: &[f32], dx: &mut [f32]) {
        let phase = self.phase.next_multiple_of(LANES);
        for (iy, row) in dx.chunks_exact_mut(self.x.w).enumerate() {
            if self.stride == 1 {
                row.copy_from_slice(&framed[iy * self.pitch..][..row.len()]);
                continue;
            }
            let first = (iy + 1) % 2 * 2 * phase + iy.div_ceil(2) * self.pitch;
            let (even, odd) = (&framed[first..], &framed[first + phase..]);
            join(level, row, &odd[..row.len().div_ceil(2)], &even[1..][..row.len() / 2]);
        }
    }
}

for_each_level! {
    /// Every second value to `first`, the others to `second`.
    fn deal(row: &[f32], first: &mut [f32], second: &mut [f32]) {
        for ((first, second), pair) in first.iter_mut().zip(second.iter_mut()).zip(row.chunks_exact(2)) {
            *first = pair[0];
            *second = pair[1];
        }
        if first.len() > second.len() {
            first[second.len()] = row[2 * second.len()];
        }
    }
}

for_each_level! {
    /// What [`deal`] took apart.
    fn join(row: &mut [f32], first: &[f32], second: &[f32]) {
        for ((pair, &first), &second) in row.chunks_exact_mut(2).zip(first).zip(second) {
            pair[0] = first;
            pair[1] = second;
        }
        if first.len() > second.len() {
            row[2 * second.len()] = first[second.len()];
        }
    }
}

for_each_level! {
    /// `to[i] = Σ weights[k] from[offsets[k] + i]`, for whole vectors of `to`.
    fn taps<const TAPS: usize>(to: &mut [f32], from: &[f32], offsets: [usize; TAPS], weights: [f32; TAPS]) {
        let from = offsets.map(|offset| &from[offset..][..to.len()]);
        for (block, to) in to.chunks_exact_mut(LANES).enumerate() {
            let mut sums = [0f32; LANES];
            for (from, weight) in from.iter().zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(&from[block * LANES..][..LANES]) {
                    *sum += weight * value;
                }
            }
            to.copy_from_slice(&sums);
        }
    }
}

for_each_level! {
    /// `Σ dy[i] from[offsets[k] + i]` over whole vectors of `dy`.
    fn dots(dy: &[f32], from: &[f32], offsets: [usize; 9]) -> [f64; 9] {
        let from = offsets.map(|offset| &from[offset..][..dy.len()]);
        let mut sums = [[0f32; LANES]; 9];
        for (block, dy) in dy.chunks_exact(LANES).enumerate() {
            for (sums, from) in sums.iter_mut().zip(&from) {
                for ((sum, &dy), &value) in sums.iter_mut().zip(dy).zip(&from[block * LANES..][..LANES]) {
                    *sum += dy * value;
                }
            }
        }
        sums.map(|lanes| lanes.iter().fold(0.0, |sum, &lane| sum + f64::from(lane)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, reason = "small numbers, and bits")]

    use super::*;
    use proptest::prelude::*;

    /// Output, gradient of the input and of the filter of one plane.
    fn all(level: CpuLevel, frame: &Frame, x: &[f32], dy: &[f32], filter: &[f32; 9]) -> [Vec<f32>; 3] {
        let (mut framed_x, mut framed_dy) = (vec![0.0; frame.framed_x()], vec![0.0; frame.framed_dy()]);
        let (mut sums, mut framed_dx) = (vec![f32::NAN; frame.framed_y()], vec![f32::NAN; frame.framed_dx()]);
        let (mut y, mut dx) = (vec![f32::NAN; frame.y.plane()], vec![f32::NAN; frame.x.plane()]);
        frame.frame_x(level, x, &mut framed_x);
        frame.frame_dy(dy, &mut framed_dy);
        frame.forward(level, &framed_x, filter, &mut sums);
        frame.unframe_y(&sums, &mut y);
        frame.backward(level, &framed_dy, filter, &mut framed_dx);
        frame.unframe_dx(level, &framed_dx, &mut dx);
        let dw = frame.weight_gradient(level, &framed_x, &framed_dy);
        [y, dx, dw.map(|w| w as f32).to_vec()]
    }

    fn bits(all: &[Vec<f32>; 3]) -> [Vec<u32>; 3] {
        all.clone().map(|values| values.iter().map(|v| v.to_bits()).collect())
    }

    /// The sums as the definition has them, in f64.
    fn defined(frame: &Frame, x: &[f32], dy: &[f32], filter: &[f32; 9]) -> [Vec<f64>; 3] {
        let mut sums = [vec![0.0; frame.y.plane()], vec![0.0; frame.x.plane()], vec![0.0; 9]];
        for i in 0..frame.y.plane() * 9 {
            let (tap, oy, ox) = (i % 9, i / 9 / frame.y.w, i / 9 % frame.y.w);
            let (iy, ix) = (oy * frame.stride + tap / 3, ox * frame.stride + tap % 3);
            if iy < 1 || ix < 1 || iy > frame.x.h || ix > frame.x.w {
                continue;
            }
            let at = (iy - 1) * frame.x.w + ix - 1;
            let (x, dy, w) = (f64::from(x[at]), f64::from(dy[i / 9]), f64::from(filter[tap]));
            sums[0][i / 9] += w * x;
            sums[1][at] += w * dy;
            sums[2][tap] += dy * x;
        }
        sums
    }

    proptest! {
        #[test]
        fn every_level_is_bit_equal_to_scalar_and_near_the_definition(
            h in 1usize..20, w in 1usize..40, stride in 1usize..3,
            values in proptest::collection::vec(-4f32..4.0, 20 * 40 * 2 + 9),
        ) {
            let frame = Frame::new(Dims { n: 1, c: 1, h, w }, stride);
            let (filter, rest) = values.split_first_chunk::<9>().unwrap();
            let (x, rest) = rest.split_at(frame.x.plane());
            let dy = &rest[..frame.y.plane()];
            let expected = all(CpuLevel::Scalar, &frame, x, dy, filter);
            for level in CpuLevel::available() {
                prop_assert_eq!(bits(&all(level, &frame, x, dy, filter)), bits(&expected), "{}", level);
            }
            for (ours, defined) in expected.iter().zip(defined(&frame, x, dy, filter)) {
                for (ours, defined) in ours.iter().zip(defined) {
                    // Up to 800 products of up to 16, in f32.
                    prop_assert!((f64::from(*ours) - defined).abs() < 1e-2, "{ours} {defined}");
                }
            }
        }
    }
}
