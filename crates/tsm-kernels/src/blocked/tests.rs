//! Every operation against a plain loop over its definition, on every level this machine has.
//!
//! Values are of size 1, so a sum of `k` products differs between orders and roundings by about `k` times 1e-7 at
//! most; 1e-4 covers the longest sum here. Winograd's way adds roundings of its own: of two million outputs with 39
//! channels the worst was 5e-5 off.

use proptest::prelude::*;

use super::*;
use crate::bias_activation::Activation;
use crate::cpu_level::CpuLevel;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

/// Numbers in -1..1 that depend on the seed.
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, count: usize) -> Vec<f32> {
        let next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(self.0 >> 48).unwrap()) / 32768.0 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

/// A planar picture.
#[derive(Clone)]
struct Planar {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Planar {
    fn random(numbers: &mut Numbers, [channels, height, width]: [usize; 3]) -> Self {
        Self { channels, height, width, values: numbers.take(channels * height * width) }
    }

    /// The value at a place that may lie outside, where it is 0.
    fn at(&self, c: usize, y: Option<usize>, x: Option<usize>) -> f32 {
        match (y, x) {
            (Some(y), Some(x)) if y < self.height && x < self.width => {
                self.values[(c * self.height + y) * self.width + x]
            }
            _ => 0.0,
        }
    }

    fn stored(&self, layout: &Layout) -> Buffer {
        let mut stored = Buffer::zeros(layout.len());
        blocked_from_planar(&self.values, layout, &mut stored);
        stored
    }
}

/// The definition: `groups` 1, or as many as channels.
fn convolved(
    x: &Planar,
    filter: Filter,
    outputs: usize,
    groups: usize,
    weight: &[f32],
    bias: &[f32],
) -> Planar {
    let Filter { kernel, stride, padding } = filter;
    let side = |pixels: usize| (pixels + 2 * padding - kernel) / stride + 1;
    let (height, width, inputs) = (side(x.height), side(x.width), x.channels / groups);
    let mut values = Vec::new();
    for o in 0..outputs {
        for y in 0..height {
            for column in 0..width {
                let mut sum = bias[o];
                for i in 0..inputs {
                    for ky in 0..kernel {
                        for kx in 0..kernel {
                            let w = weight[((o * inputs + i) * kernel + ky) * kernel + kx];
                            let c = if groups == 1 { i } else { o };
                            let row = (y * stride + ky).checked_sub(padding);
                            sum += w * x.at(c, row, (column * stride + kx).checked_sub(padding));
                        }
                    }
                }
                values.push(sum);
            }
        }
    }
    Planar { channels: outputs, height, width, values }
}

/// Compares a blocked result, border and filling channels included.
#[track_caller]
fn assert_close(level: CpuLevel, blocked: &[f32], layout: &Layout, expected: &Planar) {
    let expected = expected.stored(layout);
    let off = blocked.iter().zip(expected.iter()).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, |worst: f32, off| if off.is_nan() { f32::INFINITY } else { worst.max(off) });
    assert!(off < 1e-4, "{level}: {off} off");
}

fn dirty(len: usize) -> Buffer {
    let mut buffer = Buffer::zeros(len);
    buffer.fill(f32::NAN);
    buffer
}

/// Two pictures one behind the other.
fn joined(layout: &Layout, all: &[Planar; 2]) -> Vec<f32> {
    all.each_ref().map(|x| x.stored(layout).to_vec()).concat()
}

/// The same, with their first blocks in patches of their own.
fn with_patch(layout: &Layout, patch_blocks: usize, all: &[Planar; 2]) -> (Vec<f32>, Vec<f32>) {
    let (mut x, mut patch) = (joined(layout, all), Vec::new());
    for x in x.chunks_exact_mut(layout.len()) {
        let (first, _) = x.split_at_mut(patch_blocks * layout.plane());
        patch.extend_from_slice(first);
        first.fill(f32::NAN); // what the patch stands in for is not read
    }
    (x, patch)
}

/// Two pictures through a convolution, with patch and residual, against the definition.
#[expect(clippy::too_many_arguments, reason = "each is drawn")]
fn check_conv(
    level: CpuLevel,
    seed: u64,
    shape: [usize; 3],
    outputs: usize,
    filter: Filter,
    threads: usize,
    [in_border, out_border]: [usize; 2],
    patch_part: usize,
    activation: Activation,
) {
    let mut numbers = Numbers(seed);
    let taps = filter.kernel * filter.kernel;
    let (weight, bias) = (numbers.take(outputs * shape[0] * taps), numbers.take(outputs));
    let pictures = [Planar::random(&mut numbers, shape), Planar::random(&mut numbers, shape)];
    let [channels, height, width] = shape;
    let input = Layout::blocked(channels, height, width, in_border + filter.padding);
    let plain = pictures.each_ref().map(|x| convolved(x, filter, outputs, 1, &weight, &bias));
    let output = Layout::blocked(outputs, plain[0].height, plain[0].width, out_border);
    let residual = Layout::blocked(outputs, plain[0].height, plain[0].width, 0);
    let added = plain.each_ref().map(|y| Planar::random(&mut numbers, [outputs, y.height, y.width]));
    let patch_blocks = input.blocks() * patch_part / 2;
    let places = Places { input, output, residual: Some(residual), patch_blocks };
    let conv = Conv::new(level, places, filter, &weight, &bias, activation);

    let (x, patch) = with_patch(&input, patch_blocks, &pictures);
    let added_blocked = joined(&residual, &added);
    let mut y = dirty(2 * output.len());
    let inputs = Inputs { x: &x, patch: Some(&patch), residual: Some(&added_blocked) };
    conv.run(&mut Team::new(threads), 2, inputs, &mut y);
    for ((y, plain), added) in y.chunks_exact(output.len()).zip(plain).zip(added) {
        let sums = plain.values.iter().zip(&added.values).map(|(a, b)| activation.apply(a + b));
        assert_close(level, y, &output, &Planar { values: sums.collect(), ..plain });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_convolution_is_its_definition(
        seed: u64, channels in 1usize..40, outputs in 1usize..75, height in 1usize..9, width in 1usize..32,
        kernel in prop::sample::select(vec![1usize, 3]), stride in 1usize..3, threads in 1usize..4,
        borders in [0usize..2, 0usize..2], patch_part in 0usize..3, act in 0usize..3,
    ) {
        let filter = Filter { kernel, stride, padding: kernel / 2 };
        for level in CpuLevel::available() {
            check_conv(
                level, seed, [channels, height, width], outputs, filter, threads, borders, patch_part,
                ACTIVATIONS[act],
            );
        }
    }

    #[test]
    fn winograds_way_is_the_definition(
        seed: u64, channels in 1usize..40, outputs in 1usize..75, height in 1usize..20, width in 1usize..40,
        side in prop::sample::select(vec![TileSide::Two, TileSide::Four]), border in 0usize..2, threads in 1usize..4,
        patch_part in 0usize..3, is_residual: bool, act in 0usize..3,
    ) {
        let (mut numbers, activation) = (Numbers(seed), ACTIVATIONS[act]);
        let (weight, bias) = (numbers.take(outputs * channels * 9), numbers.take(outputs));
        let pictures = [(); 2].map(|()| Planar::random(&mut numbers, [channels, height, width]));
        let added = [(); 2].map(|()| Planar::random(&mut numbers, [outputs, height, width]));
        let filter = Filter { kernel: 3, stride: 1, padding: 1 };
        let input = Layout::blocked(channels, height, width, 1);
        let output = Layout::blocked(outputs, height, width, border);
        let residual = Layout::blocked(outputs, height, width, 1 - border);
        let patch_blocks = input.blocks() * patch_part / 2;
        let places = Places { input, output, residual: is_residual.then_some(residual), patch_blocks };
        let (x, patch) = with_patch(&input, patch_blocks, &pictures);
        let added_blocked = joined(&residual, &added);
        let inputs = Inputs { x: &x, patch: Some(&patch), residual: Some(&added_blocked) };
        for level in CpuLevel::available() {
            let conv = Winograd::new(level, places, side, &weight, &bias, activation);
            let run = |threads: usize| {
                let (mut y, mut scratch) = (dirty(2 * output.len()), dirty(threads * conv.scratch_len()));
                conv.run(&mut Team::new(threads), 2, inputs, &mut scratch, &mut y);
                y
            };
            let y = run(threads);
            prop_assert!(y.iter().zip(run(1).iter()).all(|(a, b)| a.to_bits() == b.to_bits()), "{threads} threads");
            for ((y, x), added) in y.chunks_exact(output.len()).zip(&pictures).zip(&added) {
                let mut expected = convolved(x, filter, outputs, 1, &weight, &bias);
                for (y, added) in expected.values.iter_mut().zip(&added.values) {
                    *y = activation.apply(*y + if is_residual { *added } else { 0.0 });
                }
                assert_close(level, y, &output, &expected);
            }
        }
    }

    #[test]
    fn the_stem_reads_planar_pictures(
        seed: u64, outputs in 1usize..40, height in 3usize..12, width in 1usize..40,
        kernel in prop::sample::select(vec![3usize, 7]), threads in 1usize..3,
    ) {
        let filter = Filter { kernel, stride: 2, padding: kernel / 2 };
        let mut numbers = Numbers(seed);
        let (weight, bias) = (numbers.take(outputs * 3 * kernel * kernel), numbers.take(outputs));
        let x = Planar::random(&mut numbers, [3, height, width]);
        let expected = convolved(&x, filter, outputs, 1, &weight, &bias);
        let input = Layout::planar(3, height, width, filter.padding);
        let output = Layout::blocked(outputs, expected.height, expected.width, 1);
        let places = Places { input, output, residual: None, patch_blocks: 0 };
        for level in CpuLevel::available() {
            let conv = Conv::new(level, places, filter, &weight, &bias, Activation::None);
            let mut y = dirty(output.len());
            let inputs = Inputs { x: &x.stored(&input), patch: None, residual: None };
            conv.run(&mut Team::new(threads), 1, inputs, &mut y);
            assert_close(level, &y, &output, &expected);
        }
    }

    #[test]
    fn a_depthwise_convolution_is_its_definition(
        seed: u64, channels in 1usize..40, height in 1usize..9, width in 1usize..32, stride in 1usize..3,
        threads in 1usize..4, act in 0usize..3,
    ) {
        let (mut numbers, activation) = (Numbers(seed), ACTIVATIONS[act]);
        let (weight, bias) = (numbers.take(channels * 9), numbers.take(channels));
        let x = Planar::random(&mut numbers, [channels, height, width]);
        let filter = Filter { kernel: 3, stride, padding: 1 };
        let mut expected = convolved(&x, filter, channels, channels, &weight, &bias);
        expected.values.iter_mut().for_each(|y| *y = activation.apply(*y));
        let input = Layout::blocked(channels, height, width, 1);
        let output = Layout::blocked(channels, expected.height, expected.width, 0);
        for level in CpuLevel::available() {
            let depthwise = Depthwise::new(level, [input, output], stride, &weight, &bias, activation);
            let mut y = dirty(output.len());
            depthwise.run_all(&mut Team::new(threads), 1, &x.stored(&input), &mut y);
            assert_close(level, &y, &output, &expected);
        }
    }

    #[test]
    fn bands_of_any_height_give_what_the_three_convolutions_give(
        seed: u64, channels in 1usize..20, hidden in 1usize..40, height in 1usize..20, width in 1usize..16,
        stride in 1usize..3, band_rows in 1usize..8, threads in 1usize..4,
    ) {
        let mut numbers = Numbers(seed);
        let pointwise = Filter::POINTWISE;
        let x = Planar::random(&mut numbers, [channels, height, width]);
        let (w1, b1) = (numbers.take(hidden * channels), numbers.take(hidden));
        let (w2, b2) = (numbers.take(hidden * 9), numbers.take(hidden));
        let (w3, b3) = (numbers.take(channels * hidden), numbers.take(channels));
        let wide = convolved(&x, pointwise, hidden, 1, &w1, &b1);
        let deep = convolved(&wide, Filter { kernel: 3, stride, padding: 1 }, hidden, hidden, &w2, &b2);
        let expected = convolved(&deep, pointwise, channels, 1, &w3, &b3);
        let band_rows = band_rows.min(deep.height);
        let input = Layout::blocked(channels, height, width, 0);
        let ring = Layout::blocked(hidden, height, width, 1).ring(ring_rows(band_rows, stride));
        let band = Layout::blocked(hidden, deep.height, deep.width, 0).ring(band_rows);
        let output = Layout::blocked(channels, deep.height, deep.width, 1);
        let places = |input, output| Places { input, output, residual: None, patch_blocks: 0 };
        for level in CpuLevel::available() {
            let block = InvertedResidual::new(
                Conv::new(level, places(input, ring), pointwise, &w1, &b1, Activation::None),
                Depthwise::new(level, [ring, band], stride, &w2, &b2, Activation::None),
                Conv::new(level, places(band, output), pointwise, &w3, &b3, Activation::None),
                band_rows,
            );
            let (mut y, mut scratch) = (dirty(output.len()), dirty(threads * block.scratch_len()));
            let inputs = Inputs { x: &x.stored(&input), patch: None, residual: None };
            block.run(&mut Team::new(threads), 1, inputs, &mut scratch, &mut y);
            assert_close(level, &y, &output, &expected);
        }
    }

    #[test]
    fn a_max_pool_takes_the_largest_of_nine(
        seed: u64, channels in 1usize..40, height in 1usize..12, width in 1usize..12, threads in 1usize..3,
    ) {
        let mut x = Planar::random(&mut Numbers(seed), [channels, height, width]);
        x.values.iter_mut().for_each(|x| *x = x.abs());
        let (out_height, out_width) = (height.div_ceil(2), width.div_ceil(2));
        let mut values = Vec::new();
        for (c, y, column) in (0..channels * out_height * out_width)
            .map(|i| (i / (out_height * out_width), i / out_width % out_height, i % out_width))
        {
            let taps = (0..9).map(|t| x.at(c, (2 * y + t / 3).checked_sub(1), (2 * column + t % 3).checked_sub(1)));
            values.push(taps.fold(0.0, f32::max));
        }
        let expected = Planar { channels, height: out_height, width: out_width, values };
        let input = Layout::blocked(channels, height, width, 1);
        let output = Layout::blocked(channels, out_height, out_width, 1);
        for level in CpuLevel::available() {
            let mut y = dirty(output.len());
            MaxPool::new(level, input, output).run(&mut Team::new(threads), 1, &x.stored(&input), &mut y);
            assert_close(level, &y, &output, &expected);
        }
    }
}

#[test]
fn wide_winograd_convolutions_go_through_in_smaller_chunks() {
    // So many outputs that 28 tiles would exceed a chunk's bytes; 16 tiles are then two chunks of 14 at most.
    let (channels, outputs, side) = (16, 272, 16);
    let mut numbers = Numbers(5);
    let (weight, bias) = (numbers.take(outputs * channels * 9), numbers.take(outputs));
    let x = Planar::random(&mut numbers, [channels, side, side]);
    let expected = convolved(&x, Filter { kernel: 3, stride: 1, padding: 1 }, outputs, 1, &weight, &bias);
    let [input, output] = [channels, outputs].map(|channels| Layout::blocked(channels, side, side, 1));
    let places = Places { input, output, residual: None, patch_blocks: 0 };
    for level in CpuLevel::available() {
        let conv = Winograd::new(level, places, TileSide::Four, &weight, &bias, Activation::None);
        let positions_and_blocks = 36 * (input.blocks() + output.blocks());
        assert_eq!(conv.scratch_len(), positions_and_blocks * 14 * LANES, "the smaller chunk");
        let (mut y, mut scratch) = (dirty(output.len()), dirty(conv.scratch_len()));
        let inputs = Inputs { x: &x.stored(&input), patch: None, residual: None };
        conv.run(&mut Team::new(1), 1, inputs, &mut scratch, &mut y);
        assert_close(level, &y, &output, &expected);
    }
}

#[test]
fn nan_passes_winograds_way_on_every_level() {
    let layout = Layout::blocked(1, 6, 6, 1);
    let places = Places { input: layout, output: layout, residual: None, patch_blocks: 0 };
    let mut planar = [0.5; 36];
    planar[0] = f32::NAN;
    let mut x = Buffer::zeros(layout.len());
    blocked_from_planar(&planar, &layout, &mut x);
    for (level, activation) in CpuLevel::available().into_iter().flat_map(|l| ACTIVATIONS.map(|a| (l, a))) {
        for side in [TileSide::Two, TileSide::Four] {
            let conv = Winograd::new(level, places, side, &[1.0; 9], &[0.0], activation);
            let (mut y, mut scratch) = (Buffer::zeros(layout.len()), Buffer::zeros(conv.scratch_len()));
            let inputs = Inputs { x: &x, patch: None, residual: None };
            conv.run(&mut Team::new(1), 1, inputs, &mut scratch, &mut y);
            assert!(y[layout.at(1, 1)].is_nan(), "{level} {activation:?} {side:?}");
            assert!(!y[layout.at(5, 5)].is_nan(), "{level} {activation:?} {side:?}");
        }
    }
}

#[test]
fn winograds_way_is_taken_where_each_thread_has_tiles_enough() {
    let filter = Filter { kernel: 3, stride: 1, padding: 1 };
    let chosen = |side: usize, threads: usize| {
        let layout = Layout::blocked(64, side, side, 1);
        let places = Places { input: layout, output: layout, residual: Some(layout), patch_blocks: 1 };
        Winograd::suits(&places, filter, threads)
    };
    assert_eq!(
        [56, 28, 14, 7].map(|side| chosen(side, 1)),
        [Some(TileSide::Four), Some(TileSide::Four), Some(TileSide::Two), None]
    );
    assert_eq!([56, 28, 14].map(|side| chosen(side, 16)), [Some(TileSide::Four), Some(TileSide::Two), None]);
    let bare = Layout::blocked(64, 56, 56, 0);
    let places = Places { input: bare, output: bare, residual: None, patch_blocks: 0 };
    assert_eq!(Winograd::suits(&places, filter, 1), None, "no border");
    let strided = Filter { stride: 2, ..filter };
    assert_eq!(Winograd::suits(&places, strided, 1), None, "a stride");
}

#[test]
fn nan_passes_every_activation_on_every_level() {
    let layout = Layout::blocked(1, 1, 1, 0);
    let places = Places { input: layout, output: layout, residual: None, patch_blocks: 0 };
    for (level, activation) in CpuLevel::available().into_iter().flat_map(|l| ACTIVATIONS.map(|a| (l, a))) {
        let conv = Conv::new(level, places, Filter::POINTWISE, &[1.0], &[0.0], activation);
        let mut y = Buffer::zeros(LANES);
        let x = [[f32::NAN; 1].as_slice(), &[0.0; LANES - 1]].concat();
        conv.run(&mut Team::new(1), 1, Inputs { x: &x, patch: None, residual: None }, &mut y);
        assert!(y[0].is_nan(), "{level} {activation:?}");
    }
}
