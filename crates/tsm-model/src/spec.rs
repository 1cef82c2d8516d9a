//! What a model *is*, as one value: everything needed to build it, feed it and read its answer.
//!
//! A [`ModelSpec`] is what the checkpoint's metadata holds (key `tsm`, see [`crate::checkpoint`])
//! and what every other room of this crate starts from. It knows no tensors; whether the tensors
//! of a file fit it is checked against [`crate::Architecture::parameters`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::preprocess::InputSpec;
use crate::shift::ShiftSpec;

/// The two-dimensional network that sees each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// Two 3x3 convolutions a block, 2-2-2-2 blocks.
    Resnet18,
    /// Two 3x3 convolutions a block, 3-4-6-3 blocks.
    Resnet34,
    /// Bottleneck blocks, 3-4-6-3; the stride sits in the 3x3 convolution, as in torchvision.
    Resnet50,
    /// Bottleneck blocks, 3-4-23-3.
    Resnet101,
    /// Bottleneck blocks, 3-8-36-3.
    Resnet152,
    /// Inverted residuals, 17 of them, with a width multiplier.
    MobilenetV2,
}

impl Backbone {
    /// Every backbone, in the order `--help` names them.
    pub const ALL: [Self; 6] =
        [Self::Resnet18, Self::Resnet34, Self::Resnet50, Self::Resnet101, Self::Resnet152, Self::MobilenetV2];

    /// The name in flags, metadata and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::Resnet101 => "resnet101",
            Self::Resnet152 => "resnet152",
            Self::MobilenetV2 => "mobilenetv2",
        }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no backbone of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no backbone; known are resnet18, resnet34, resnet50, resnet101, resnet152, mobilenetv2")]
pub struct UnknownBackbone(pub String);

impl FromStr for Backbone {
    type Err = UnknownBackbone;

    fn from_str(text: &str) -> Result<Self, UnknownBackbone> {
        Self::ALL.into_iter().find(|b| b.name() == text).ok_or_else(|| UnknownBackbone(text.to_owned()))
    }
}

/// How the clips of training were cut into frames; live recognition keeps the same interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingSpec {
    /// How frames of a clip were chosen in training.
    pub kind: SamplingKind,
    /// Time between two frames that the network sees, in milliseconds. A stream is sampled at it.
    pub frame_interval_millis: f64,
}

/// How frames of a clip are chosen in training (reference: TSN, section 3; MIT `dataset.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplingKind {
    /// One frame from each of `segments` equal parts of the clip.
    Uniform,
    /// The same with the borders that PaddleVideo 1.5.1 draws.
    UniformPaddle,
    /// `segments` frames from a window of 64.
    Dense,
    /// Successive frames at [`SamplingSpec::frame_interval_millis`]: what a stream sees.
    FixedInterval,
    /// The file does not say.
    Unknown,
}

impl SamplingKind {
    /// Its name in flags and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::UniformPaddle => "uniform_paddle",
            Self::Dense => "dense",
            Self::FixedInterval => "fixed_interval",
            Self::Unknown => "unknown",
        }
    }
}

/// The rate at which frames go into a model that does not say how it was trained.
pub const DEFAULT_FRAME_HZ: f64 = 12.0;

impl Default for SamplingSpec {
    fn default() -> Self {
        Self { kind: SamplingKind::Unknown, frame_interval_millis: 1000.0 / DEFAULT_FRAME_HZ }
    }
}

/// How logits become a shown label, where the user does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DecisionSpec {
    /// Frames whose logits are averaged; about one second of frames where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window: Option<usize>,
    /// Agreeing frames before the label changes; 2 where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirm: Option<usize>,
}

/// What a model sees of motion besides what its shift brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MotionFeatures {
    /// Nothing.
    #[default]
    None,
    /// Histograms of the optical flow since the previous frame, and how far they are from those before
    /// ([`crate::motion_head`]), weighed by a linear layer of their own.
    Flow,
}

impl MotionFeatures {
    /// Numbers a frame.
    pub const fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::Flow => crate::motion_head::FEATURES,
        }
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The newest metadata version that this program writes and reads.
pub const SPEC_VERSION: u32 = 1;

/// Everything a model is besides its weights: the JSON under the metadata key `tsm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Version of this description, [`SPEC_VERSION`].
    pub version: u32,
    /// The network.
    pub backbone: Backbone,
    /// Width multiplier of MobileNetV2; 1 for every other backbone.
    pub width: f64,
    /// What moves between frames, and where.
    pub shift: ShiftSpec,
    /// What it sees of motion besides.
    #[serde(skip_serializing_if = "MotionFeatures::is_none", default)]
    pub motion_features: MotionFeatures,
    /// Picture size, resize rule and normalisation.
    pub input: InputSpec,
    /// Frame interval and sampling of training.
    pub sampling: SamplingSpec,
    /// Class names in the order of the logits; the class number where the file has no names.
    pub classes: Vec<String>,
    /// Divides the logits before softmax (calibration); 1 where not fitted.
    pub temperature: f32,
    /// Defaults of smoothing and confirmation.
    pub decision: DecisionSpec,
    /// Where the weights come from: free text by topic (`source`, `data`, `licence`, …).
    pub provenance: BTreeMap<String, String>,
}

impl ModelSpec {
    /// A model of this backbone with nothing known but its class count: causal shift in MIT's
    /// places, 8 segments, 224 px, ImageNet normalisation, classes named by number.
    pub fn new(backbone: Backbone, class_count: usize) -> Self {
        Self {
            version: SPEC_VERSION,
            backbone,
            width: 1.0,
            shift: ShiftSpec::causal(backbone),
            motion_features: MotionFeatures::None,
            input: InputSpec::default(),
            sampling: SamplingSpec::default(),
            classes: (0..class_count).map(|class| class.to_string()).collect(),
            temperature: 1.0,
            decision: DecisionSpec::default(),
            provenance: BTreeMap::new(),
        }
    }
}
