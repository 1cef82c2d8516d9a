//! `ResNet` (arXiv 1512.03385, table 1), torchvision's names and strides.
//!
//! ```text
//! basic       x ─ 3x3 (stride) ─ 3x3 ────────────(+ x or 1x1 projection)─ ReLU ─►
//! bottleneck  x ─ 1x1 ─ 3x3 (stride) ─ 1x1 (4x) ─(+ x or 1x1 projection)─ ReLU ─►
//! ```

use tsm_kernels::bias_activation::Activation;

use super::{Architecture, Block, ConvUnit, Shortcut};
use crate::spec::Backbone;

/// Blocks of each layer.
const fn depths(backbone: Backbone) -> [usize; 4] {
    match backbone {
        Backbone::Resnet18 => [2, 2, 2, 2],
        Backbone::Resnet101 => [3, 4, 23, 3],
        Backbone::Resnet152 => [3, 8, 36, 3],
        Backbone::Resnet34 | Backbone::Resnet50 | Backbone::MobilenetV2 => [3, 4, 6, 3],
    }
}

const fn has_bottlenecks(backbone: Backbone) -> bool {
    matches!(backbone, Backbone::Resnet50 | Backbone::Resnet101 | Backbone::Resnet152)
}

/// The network of one of the five depths.
pub(super) fn architecture(backbone: Backbone, classes: usize) -> Architecture {
    let expansion = if has_bottlenecks(backbone) { 4 } else { 1 };
    let mut blocks = Vec::new();
    let mut channels = 64;
    for (layer, depth) in (1..).zip(depths(backbone)) {
        let width = 32 << layer;
        for index in 0..depth {
            let stride = if index == 0 && layer > 1 { 2 } else { 1 };
            blocks.push(block(&format!("layer{layer}.{index}"), channels, width, expansion, stride));
            channels = width * expansion;
        }
    }
    Architecture {
        stem: unit("conv1", "bn1", [3, 64], 7, 2, Activation::Relu),
        has_stem_pool: true,
        blocks,
        last: None,
        linear: "fc",
        features: channels,
        classes,
        motion_features: 0,
    }
}

/// Every block, or every second one of each layer where the network is deep and `is_thinned`.
pub(super) fn shifted_blocks(backbone: Backbone, is_thinned: bool) -> Vec<String> {
    let depths = depths(backbone);
    let every = if is_thinned && depths[2] >= 23 { 2 } else { 1 };
    let layer =
        |(layer, depth): (usize, usize)| (0..depth).step_by(every).map(move |i| format!("layer{layer}.{i}"));
    (1..).zip(depths).flat_map(layer).collect()
}

fn block(name: &str, input: usize, width: usize, expansion: usize, stride: usize) -> Block {
    let output = width * expansion;
    let conv = |index: usize, channels: [usize; 2], kernel, stride, activation| {
        unit(
            &format!("{name}.conv{index}"),
            &format!("{name}.bn{index}"),
            channels,
            kernel,
            stride,
            activation,
        )
    };
    let convs = if expansion == 1 {
        vec![
            conv(1, [input, width], 3, stride, Activation::Relu),
            conv(2, [width, width], 3, 1, Activation::None),
        ]
    } else {
        vec![
            conv(1, [input, width], 1, 1, Activation::Relu),
            conv(2, [width, width], 3, stride, Activation::Relu),
            conv(3, [width, output], 1, 1, Activation::None),
        ]
    };
    let shortcut = if stride == 1 && input == output {
        Shortcut::Identity
    } else {
        let (conv, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
        Shortcut::Projection(unit(&conv, &norm, [input, output], 1, stride, Activation::None))
    };
    Block { name: name.to_owned(), is_shifted: false, convs, shortcut, activation: Activation::Relu }
}

fn unit(
    conv: &str,
    norm: &str,
    [in_channels, out_channels]: [usize; 2],
    kernel: usize,
    stride: usize,
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
        groups: 1,
        activation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_networks_are_thinned_in_every_layer() {
        assert_eq!(shifted_blocks(Backbone::Resnet50, true).len(), 16);
        assert_eq!(shifted_blocks(Backbone::Resnet101, false).len(), 33);
        let thinned = shifted_blocks(Backbone::Resnet101, true);
        assert_eq!(thinned.len(), 2 + 2 + 12 + 2);
        assert_eq!(thinned[..4], ["layer1.0", "layer1.2", "layer2.0", "layer2.2"]);
    }
}
