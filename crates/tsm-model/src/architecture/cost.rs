//! What a network costs: parameters, multiply-adds a frame, bytes of state a stream.

use super::{Architecture, ConvUnit, Shortcut};
use crate::shift::ShiftSpec;

/// A tensor that a checkpoint must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterShape {
    /// Torchvision's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether training changes it; batch norm's running statistics are only kept.
    pub is_trained: bool,
}

/// What one convolution, or the linear layer, does for one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerCost {
    /// Torchvision's name.
    pub name: String,
    /// Multiply-adds.
    pub multiply_adds: usize,
    /// Weights and biases, with batch norm folded.
    pub weights: usize,
    /// Values read: its input, and the block's where that is added to its output.
    pub inputs: usize,
    /// Values written.
    pub outputs: usize,
}

impl Architecture {
    /// Every convolution and the linear layer for one frame of `size_px` squared, in the order of the forward pass:
    /// bias, activation and the sum around a block belong to the convolution before them.
    pub fn layer_costs(&self, size_px: usize) -> Vec<LayerCost> {
        let mut all = vec![conv_cost(&self.stem, size_px)];
        let mut side = self.after_stem(size_px);
        for block in &self.blocks {
            let around = side;
            if let Shortcut::Projection(conv) = &block.shortcut {
                all.push(conv_cost(conv, around));
            }
            for conv in &block.convs {
                all.push(conv_cost(conv, side));
                side = conv.out_side(side);
            }
            if let (false, Some(last)) = (matches!(block.shortcut, Shortcut::Absent), all.last_mut()) {
                last.inputs += last.outputs;
            }
        }
        if let Some(conv) = &self.last {
            all.push(conv_cost(conv, side));
        }
        all.push(LayerCost {
            name: self.linear.to_owned(),
            multiply_adds: self.features * self.classes,
            weights: self.features * self.classes + self.classes,
            inputs: self.features * side * side,
            outputs: self.classes,
        });
        all
    }

    /// Every tensor the network needs, with batch norm unfolded, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<ParameterShape> {
        let mut all: Vec<ParameterShape> = self.convs().flat_map(conv_parameters).collect();
        let (linear, classes) = (self.linear, self.classes);
        all.push(parameter(format!("{linear}.weight"), vec![classes, self.features], true));
        all.push(parameter(format!("{linear}.bias"), vec![classes], true));
        if self.motion_features > 0 {
            all.push(parameter(Self::MOTION_WEIGHT.to_owned(), vec![classes, self.motion_features], true));
        }
        all
    }

    /// Trained parameters, batch norm's scale and shift included.
    pub fn parameter_count(&self) -> usize {
        let elements = |p: &ParameterShape| p.shape.iter().product::<usize>();
        self.parameters().iter().filter(|p| p.is_trained).map(elements).sum()
    }

    /// Multiply-adds of all convolutions and the linear layer for one frame of `size_px` squared.
    pub fn multiply_adds(&self, size_px: usize) -> usize {
        let mut total = conv_multiply_adds(&self.stem, size_px);
        let mut side = self.after_stem(size_px);
        for block in &self.blocks {
            if let Shortcut::Projection(conv) = &block.shortcut {
                total += conv_multiply_adds(conv, side);
            }
            for conv in &block.convs {
                total += conv_multiply_adds(conv, side);
                side = conv.out_side(side);
            }
        }
        total += self.last.as_ref().map_or(0, |conv| conv_multiply_adds(conv, side));
        total + self.features * self.classes
    }

    /// Shapes `[c, h, w]` of what a stream remembers: the first fold of each shifted block's input.
    pub fn state_shapes(&self, shift: &ShiftSpec, size_px: usize) -> Vec<[usize; 3]> {
        let mut side = self.after_stem(size_px);
        let mut shapes = Vec::new();
        for block in &self.blocks {
            if block.is_shifted {
                shapes.push([shift.folds(block.in_channels()).first.len(), side, side]);
            }
            side = block.out_side(side);
        }
        shapes
    }

    /// Side of the first block's input.
    pub fn after_stem(&self, size_px: usize) -> usize {
        let side = self.stem.out_side(size_px);
        if self.has_stem_pool { side.div_ceil(2) } else { side }
    }
}

fn conv_cost(unit: &ConvUnit, side_px: usize) -> LayerCost {
    let out = unit.out_side(side_px);
    LayerCost {
        name: unit.conv.clone(),
        multiply_adds: conv_multiply_adds(unit, side_px),
        weights: unit.weight_shape().iter().product::<usize>() + unit.out_channels,
        inputs: unit.in_channels * side_px * side_px,
        outputs: unit.out_channels * out * out,
    }
}

fn conv_parameters(unit: &ConvUnit) -> [ParameterShape; 5] {
    let norm = |field: &str, is_trained| {
        parameter(format!("{}.{field}", unit.norm), vec![unit.out_channels], is_trained)
    };
    [
        parameter(format!("{}.weight", unit.conv), unit.weight_shape().to_vec(), true),
        norm("weight", true),
        norm("bias", true),
        norm("running_mean", false),
        norm("running_var", false),
    ]
}

fn parameter(name: String, shape: Vec<usize>, is_trained: bool) -> ParameterShape {
    ParameterShape { name, shape, is_trained }
}

fn conv_multiply_adds(unit: &ConvUnit, side_px: usize) -> usize {
    let out = unit.out_side(side_px);
    out * out * unit.weight_shape().iter().product::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Backbone, ModelSpec};

    fn cost(backbone: Backbone, classes: usize) -> (usize, usize, usize) {
        let spec = ModelSpec::new(backbone, classes);
        let network = Architecture::of(&spec);
        let floats: usize =
            network.state_shapes(&spec.shift, 224).iter().map(|s| s.iter().product::<usize>()).sum();
        (network.parameter_count(), network.multiply_adds(224), floats * 4)
    }

    #[test]
    fn the_layers_together_are_the_network() {
        for backbone in Backbone::ALL {
            let network = Architecture::of(&ModelSpec::new(backbone, 400));
            let layers = network.layer_costs(224);
            assert_eq!(layers.iter().map(|l| l.multiply_adds).sum::<usize>(), network.multiply_adds(224));
            assert_eq!(layers.len(), network.convs().count() + 1);
        }
    }

    /// Parameter counts as torchvision documents them, multiply-adds as its model pages do,
    /// state as MIT's online demo declares it.
    #[test]
    fn costs_agree_with_published_figures() {
        assert_eq!(cost(Backbone::MobilenetV2, 1000), (3_504_872, 300_774_272, 27_048 * 4));
        assert_eq!(cost(Backbone::Resnet18, 1000).0, 11_689_512);
        assert_eq!(cost(Backbone::Resnet34, 1000).0, 21_797_672);
        assert_eq!(cost(Backbone::Resnet50, 1000).0, 25_557_032);
        assert_eq!(cost(Backbone::Resnet101, 1000).0, 44_549_160);
        assert_eq!(cost(Backbone::Resnet152, 1000).0, 60_192_808);
        assert_eq!(cost(Backbone::Resnet50, 1000).1, 4_089_184_256);
    }
}
