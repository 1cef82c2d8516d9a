//! Depthwise convolution: every channel is convolved with a square filter of its own.
//!
//! ```text
//! x [c, h, w] ── one plane ──► padded plane ─┬─ avx2: eight outputs of a row a turn ─┬─► y [c, h', w']
//!                              (zeros around)└─ scalar: the meaning ─────────────────┘
//! ```
//!
//! The meaning: `y = Σ w · x` over the taps row by row, starting from 0, each step a fused multiply-add;
//! pixels outside the picture are zeros that take part in the sum (so an infinite weight at the border
//! gives NaN, as in any zero-padded convolution). All paths add in this order and are equal to the bit.
//!
//! It knows neither batches nor threads: [`crate::candle_ops`] splits over both. No dilation, no bias.

#[cfg(target_arch = "x86_64")]
mod avx2;

use crate::cpu_level::CpuLevel;

/// The sizes of one depthwise convolution of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthwiseShape {
    /// Channels of the input, the filters and the output.
    pub channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Side of the square filter, at least 1.
    pub kernel: usize,
    /// Input pixels from one output to the next, at least 1.
    pub stride: usize,
    /// Zeros on each of the four sides.
    pub padding: usize,
}

impl DepthwiseShape {
    /// Rows of the output; 0 where the filter does not fit.
    pub fn out_height(&self) -> usize {
        self.out_side(self.height)
    }

    /// Columns of the output; 0 where the filter does not fit.
    pub fn out_width(&self) -> usize {
        self.out_side(self.width)
    }

    fn out_side(&self, side: usize) -> usize {
        (side + 2 * self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1)
    }

    fn check(&self, x: &[f32], weight: &[f32], y: &[f32]) {
        let in_len = self.channels * self.height * self.width;
        let out_len = self.channels * self.out_height() * self.out_width();
        assert!(self.kernel > 0 && self.stride > 0, "depthwise: zero kernel or stride");
        assert_eq!(x.len(), in_len, "depthwise: x does not fit {self:?}");
        assert_eq!(
            weight.len(),
            self.channels * self.kernel * self.kernel,
            "depthwise: weight does not fit {self:?}"
        );
        assert_eq!(y.len(), out_len, "depthwise: y does not fit {self:?}");
    }
}

/// Convolves one picture `x` `[c, h, w]` with `weight` `[c, k, k]` into `y` `[c, h', w']`, all contiguous.
///
/// Any size, also pictures smaller than the filter; fast for 3x3 filters with stride 1 or 2.
///
/// # Panics
/// If a slice does not have the length that `shape` gives it, or kernel or stride is 0.
pub fn depthwise_conv2d(shape: &DepthwiseShape, x: &[f32], weight: &[f32], y: &mut [f32]) {
    depthwise_conv2d_at(CpuLevel::detected(), shape, x, weight, y);
}

/// [`depthwise_conv2d`] on a given level, for tests and benches.
///
/// # Panics
/// As [`depthwise_conv2d`].
pub fn depthwise_conv2d_at(
    level: CpuLevel,
    shape: &DepthwiseShape,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
) {
    shape.check(x, weight, y);
    if y.is_empty() {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(cpu) = crate::cpu_level::Avx2::at(level)
        && avx2::fits(shape)
    {
        avx2::depthwise_conv2d(cpu, shape, x, weight, y);
        return;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = level;
    scalar(shape, x, weight, y);
}

fn scalar(shape: &DepthwiseShape, x: &[f32], weight: &[f32], y: &mut [f32]) {
    let mut padded = PaddedPlane::new(shape, 0);
    let taps = shape.kernel * shape.kernel;
    let out_plane = shape.out_height() * shape.out_width();
    for (c, (y, w)) in y.chunks_exact_mut(out_plane).zip(weight.chunks_exact(taps)).enumerate() {
        padded.fill(x, c);
        for (oy, y_row) in y.chunks_exact_mut(shape.out_width()).enumerate() {
            for (ox, out) in y_row.iter_mut().enumerate() {
                let mut sum = 0.0;
                for (ky, w_row) in w.chunks_exact(shape.kernel).enumerate() {
                    let row = padded.row(oy * shape.stride + ky);
                    for (&value, &w) in row[ox * shape.stride..].iter().zip(w_row) {
                        sum = w.mul_add(value, sum);
                    }
                }
                *out = sum;
            }
        }
    }
}

/// One plane with its zeros around it; the zeros are written once, the pixels channel by channel.
struct PaddedPlane {
    samples: Vec<f32>,
    padded_width: usize,
    height: usize,
    width: usize,
    padding: usize,
}

impl PaddedPlane {
    /// Room for a plane of `shape`; `slack` more zeros at its end, for reads of whole vectors.
    fn new(shape: &DepthwiseShape, slack: usize) -> Self {
        let padded_width = shape.width + 2 * shape.padding;
        let padded_height = shape.height + 2 * shape.padding;
        Self {
            samples: vec![0.0; padded_width * padded_height + slack],
            padded_width,
            height: shape.height,
            width: shape.width,
            padding: shape.padding,
        }
    }

    /// Takes in channel `c` of `x`.
    fn fill(&mut self, x: &[f32], c: usize) {
        let plane = &x[c * self.height * self.width..][..self.height * self.width];
        let first = self.padding * self.padded_width;
        let rows = self.samples[first..].chunks_exact_mut(self.padded_width);
        for (padded, row) in rows.zip(plane.chunks_exact(self.width)) {
            padded[self.padding..][..self.width].copy_from_slice(row);
        }
    }

    /// Everything from the first sample of padded row `y` on, to the end of the slack.
    fn row(&self, y: usize) -> &[f32] {
        &self.samples[y * self.padded_width..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output(level: CpuLevel, shape: &DepthwiseShape, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; shape.channels * shape.out_height() * shape.out_width()];
        depthwise_conv2d_at(level, shape, x, weight, &mut y);
        y
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        // Which NaN comes out of two NaNs is the CPU's choice; that it is one is ours.
        let canonical = |&v: &f32| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() };
        values.iter().map(canonical).collect()
    }

    #[test]
    fn a_known_picture_gives_known_sums() {
        let shape = DepthwiseShape { channels: 1, height: 2, width: 3, kernel: 3, stride: 1, padding: 1 };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let weight = [0.0, 1.0, 0.0, 1.0, 10.0, 1.0, 0.0, 1.0, 0.0];
        for level in CpuLevel::available() {
            let expected = bits(&[16.0, 29.0, 38.0, 46.0, 62.0, 68.0]);
            assert_eq!(bits(&output(level, &shape, &x, &weight)), expected, "{level}");
        }
    }

    #[test]
    fn a_filter_larger_than_the_padded_picture_gives_nothing() {
        let shape = DepthwiseShape { channels: 2, height: 1, width: 1, kernel: 3, stride: 1, padding: 0 };
        assert!(output(CpuLevel::detected(), &shape, &[1.0; 2], &[1.0; 18]).is_empty());
    }

    #[test]
    fn zeros_around_the_picture_take_part_in_the_sum() {
        let shape = DepthwiseShape { channels: 1, height: 1, width: 9, kernel: 3, stride: 1, padding: 1 };
        let mut weight = [1.0; 9];
        weight[0] = f32::INFINITY;
        for level in CpuLevel::available() {
            assert!(output(level, &shape, &[1.0; 9], &weight).iter().all(|y| y.is_nan()));
        }
    }

    fn special() -> impl Strategy<Value = f32> {
        prop_oneof![
            20 => -4f32..4.0,
            1 => prop_oneof![Just(0.0), Just(-0.0), Just(f32::NAN), Just(f32::INFINITY), Just(f32::MIN_POSITIVE)],
        ]
    }

    prop_compose! {
        fn case()(channels in 1usize..4, height in 1usize..20, width in 1usize..40,
                  kernel in prop_oneof![4 => Just(3usize), 1 => 1usize..6], stride in 1usize..4, padding in 0usize..3)
                 (x in proptest::collection::vec(special(), channels * height * width),
                  weight in proptest::collection::vec(special(), channels * kernel * kernel),
                  shape in Just(DepthwiseShape { channels, height, width, kernel, stride, padding }))
                 -> (DepthwiseShape, Vec<f32>, Vec<f32>) { (shape, x, weight) }
    }

    proptest! {
        #[test]
        fn every_level_is_bit_equal_to_scalar((shape, x, weight) in case()) {
            let expected = bits(&output(CpuLevel::Scalar, &shape, &x, &weight));
            for level in CpuLevel::available() {
                prop_assert_eq!(&bits(&output(level, &shape, &x, &weight)), &expected, "{}", level);
            }
        }
    }
}
