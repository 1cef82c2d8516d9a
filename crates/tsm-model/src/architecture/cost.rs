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

impl Architecture {
    /// Every tensor the network needs, with batch norm unfolded, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<ParameterShape> {
        let mut all: Vec<ParameterShape> = self.convs().flat_map(conv_parameters).collect();
        let (linear, classes) = (self.linear, self.classes);
        all.push(parameter(format!("{linear}.weight"), vec![classes, self.features], true));
        all.push(parameter(format!("{linear}.bias"), vec![classes], true));
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
