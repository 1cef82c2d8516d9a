//! `MobileNetV2` (arXiv 1801.04381, table 2), torchvision's names.
//!
//! ```text
//! x ─ 1x1 expand ─ 3x3 depthwise ─ 1x1 project ─(+ x, where stride 1 and widths agree)─►
//! ```

use tsm_kernels::bias_activation::Activation;

use super::{Architecture, Block, ConvUnit, Shortcut};

/// Expansion, channels, repeats, first stride of each stage.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// The network with `width` times the channels, rounded to multiples of 8 as torchvision does.
pub(super) fn architecture(width: f64, classes: usize) -> Architecture {
    let stem_channels = rounded(32.0 * width);
    let features = rounded(1280.0 * width.max(1.0));
    let mut blocks = Vec::new();
    let mut channels = stem_channels;
    for (expansion, out, repeats, first_stride) in STAGES {
        let out = rounded(lossless(out) * width);
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            blocks.push(inverted_residual(blocks.len() + 1, channels, out, expansion, stride));
            channels = out;
        }
    }
    Architecture {
        stem: conv("features.0.0", "features.0.1", [3, stem_channels], 3, 2, 1, Activation::Relu6),
        has_stem_pool: false,
        blocks,
        last: Some(conv("features.18.0", "features.18.1", [channels, features], 1, 1, 1, Activation::Relu6)),
        linear: "classifier.1",
        features,
        classes,
        motion_features: 0,
    }
}

/// `features.{3,5,6,8,9,10,12,13,15,16}`: expansion and identity path.
pub(super) fn shifted_blocks() -> Vec<String> {
    let network = architecture(1.0, 1);
    let residual = |block: &&Block| block.convs.len() == 3 && block.shortcut == Shortcut::Identity;
    network.blocks.iter().filter(residual).map(|block| block.name.clone()).collect()
}

fn inverted_residual(index: usize, input: usize, output: usize, expansion: usize, stride: usize) -> Block {
    let name = format!("features.{index}");
    let hidden = input * expansion;
    let mut convs = Vec::with_capacity(3);
    if expansion != 1 {
        let (c, n) = (format!("{name}.conv.0.0"), format!("{name}.conv.0.1"));
        convs.push(conv(&c, &n, [input, hidden], 1, 1, 1, Activation::Relu6));
    }
    let at = convs.len();
    let (c, n) = (format!("{name}.conv.{at}.0"), format!("{name}.conv.{at}.1"));
    convs.push(conv(&c, &n, [hidden, hidden], 3, stride, hidden, Activation::Relu6));
    let (c, n) = (format!("{name}.conv.{}", at + 1), format!("{name}.conv.{}", at + 2));
    convs.push(conv(&c, &n, [hidden, output], 1, 1, 1, Activation::None));
    let shortcut = if stride == 1 && input == output { Shortcut::Identity } else { Shortcut::Absent };
    Block { name, is_shifted: false, convs, shortcut, activation: Activation::None }
}

fn conv(
    conv: &str,
    norm: &str,
    [in_channels, out_channels]: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
    activation: Activation,
) -> ConvUnit {
    let (conv, norm) = (conv.to_owned(), norm.to_owned());
    ConvUnit {
        conv,
        norm,
        in_channels,
        out_channels,
        kernel,
        stride,
        padding: kernel / 2,
        groups,
        activation,
    }
}

/// The nearest multiple of 8, at least 8 and at least nine tenths of `channels`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "channel counts are small and positive"
)]
fn rounded(channels: f64) -> usize {
    let nearest = (((channels + 4.0) / 8.0) as usize * 8).max(8);
    if lossless(nearest) < 0.9 * channels { nearest + 8 } else { nearest }
}

#[expect(clippy::cast_precision_loss, reason = "channel counts are far below 2^53")]
fn lossless(channels: usize) -> f64 {
    channels as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_blocks_of_the_reference_are_shifted() {
        let expected: Vec<String> =
            [3, 5, 6, 8, 9, 10, 12, 13, 15, 16].map(|i| format!("features.{i}")).into();
        assert_eq!(shifted_blocks(), expected);
    }

    #[test]
    fn widths_round_to_eights() {
        let widths: Vec<usize> =
            architecture(0.35, 10).blocks.iter().map(|b| b.convs.last().unwrap().out_channels).collect();
        assert_eq!(widths, [8, 8, 8, 16, 16, 16, 24, 24, 24, 24, 32, 32, 32, 56, 56, 56, 112]);
        assert_eq!(architecture(1.4, 10).features, 1792);
    }
}
