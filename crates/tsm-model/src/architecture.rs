//! The networks as data: one list of convolutions and blocks, from which everything is derived.
//!
//! ```text
//!             ┌─ parameters   names and shapes a checkpoint must have
//! ModelSpec ──┤  stem ─ pool ─ blocks ─ last ─ linear        (this value)
//!             ├─ multiply-adds, state bytes
//!             └─ executors    Candle, and the planned one on the CPU
//! ```
//!
//! Names are torchvision's. Sources: `ResNet` (arXiv 1512.03385, table 1; stride in the 3x3
//! convolution), `MobileNetV2` (arXiv 1801.04381, table 2). It holds no weights and runs nothing.

use tsm_kernels::bias_activation::Activation;

use crate::shift::{ShiftKind, ShiftPlace};
use crate::spec::{Backbone, ModelSpec};

mod cost;
mod mobilenet_v2;
mod resnet;

pub use cost::{LayerCost, ParameterShape};

/// A convolution without bias, followed by batch norm and an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvUnit {
    /// Name of the convolution: `{conv}.weight`.
    pub conv: String,
    /// Name of the batch norm: `{norm}.weight`, `.bias`, `.running_mean`, `.running_var`.
    pub norm: String,
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// 1, or `in_channels` for a depthwise convolution.
    pub groups: usize,
    /// What follows the batch norm.
    pub activation: Activation,
}

impl ConvUnit {
    /// Side of the output for an input side of `side_px`.
    pub const fn out_side(&self, side_px: usize) -> usize {
        (side_px + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Whether each channel is convolved with its own kernel.
    pub const fn is_depthwise(&self) -> bool {
        self.groups > 1
    }

    /// Shape of the weight, `[out, in / groups, kernel, kernel]`.
    pub const fn weight_shape(&self) -> [usize; 4] {
        [self.out_channels, self.in_channels / self.groups, self.kernel, self.kernel]
    }
}

/// The way around a block's convolutions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortcut {
    /// None: the convolutions' output is the block's.
    Absent,
    /// The input itself is added.
    Identity,
    /// The input through a 1x1 convolution (`downsample`) is added.
    Projection(ConvUnit),
}

/// Convolutions with a way around them: a residual block of either family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// `layer1.0`, `features.3`.
    pub name: String,
    /// Whether its input is shifted in time.
    pub is_shifted: bool,
    /// The convolutions in order.
    pub convs: Vec<ConvUnit>,
    /// The way around them.
    pub shortcut: Shortcut,
    /// What follows the addition.
    pub activation: Activation,
}

impl Block {
    /// Channels of the block's input.
    pub fn in_channels(&self) -> usize {
        self.convs.first().map_or(0, |conv| conv.in_channels)
    }

    /// Side of the output for an input side of `side_px`.
    pub fn out_side(&self, side_px: usize) -> usize {
        self.convs.iter().fold(side_px, |side, conv| conv.out_side(side))
    }
}

/// A whole network: what [`Architecture::of`] makes of a [`ModelSpec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// The first convolution.
    pub stem: ConvUnit,
    /// Whether a 3x3 max pool of stride 2 follows the stem.
    pub has_stem_pool: bool,
    /// The residual blocks in order.
    pub blocks: Vec<Block>,
    /// The convolution behind the blocks (`MobileNetV2`'s last).
    pub last: Option<ConvUnit>,
    /// Name of the linear layer: `{linear}.weight` `[classes, features]`, `{linear}.bias`.
    pub linear: &'static str,
    /// Channels that are averaged over the picture and go into the linear layer.
    pub features: usize,
    /// Rows of the linear layer.
    pub classes: usize,
    /// Numbers that tell motion ([`crate::spec::MotionFeatures`]); where there are any, [`Self::MOTION_WEIGHT`]
    /// `[classes, motion_features]` weighs them, and what comes of it is added to the logits.
    pub motion_features: usize,
}

impl Architecture {
    /// Name of the layer on motion features. It has no bias: those that are 1 where motion is known stand for it.
    pub const MOTION_WEIGHT: &str = "motion.weight";

    /// The network that `spec` describes.
    pub fn of(spec: &ModelSpec) -> Self {
        let mut network = match spec.backbone {
            Backbone::MobilenetV2 => mobilenet_v2::architecture(spec.width, spec.classes.len()),
            resnet => resnet::architecture(resnet, spec.classes.len()),
        };
        if spec.shift.kind != ShiftKind::None {
            for block in &mut network.blocks {
                block.is_shifted = spec.shift.blocks.contains(&block.name);
            }
        }
        network.motion_features = spec.motion_features.count();
        network
    }

    /// Every convolution in the order of the forward pass, shortcuts after their block's own.
    pub fn convs(&self) -> impl Iterator<Item = &ConvUnit> {
        let blocks = self.blocks.iter().flat_map(|block| {
            let shortcut = match &block.shortcut {
                Shortcut::Projection(conv) => Some(conv),
                Shortcut::Absent | Shortcut::Identity => None,
            };
            block.convs.iter().chain(shortcut)
        });
        std::iter::once(&self.stem).chain(blocks).chain(&self.last)
    }
}

/// Names of the blocks that the references shift.
///
/// `ResNet`: every block; with 23 or more blocks in `layer3` MIT's `blockres` takes every second
/// one of each layer, Paddle still every one. `MobileNetV2`: inverted residuals that expand and
/// have an identity path.
pub fn default_shifted_blocks(backbone: Backbone, kind: ShiftKind, place: ShiftPlace) -> Vec<String> {
    match (backbone, kind) {
        (_, ShiftKind::None) => Vec::new(),
        (Backbone::MobilenetV2, _) => mobilenet_v2::shifted_blocks(),
        (resnet, kind) => {
            let is_thinned = place == ShiftPlace::Blockres && kind != ShiftKind::Paddle;
            resnet::shifted_blocks(resnet, is_thinned)
        }
    }
}
