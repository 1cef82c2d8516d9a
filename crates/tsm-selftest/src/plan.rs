//! How much is tried.

use std::time::Duration;

use serde::Serialize;
use tsm_model::DType;

/// The numbers that a device computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Single precision (no TF32).
    F32,
    /// Half precision, summed up in single precision.
    F16,
}

impl DataType {
    /// How far from the reference an output may be, as a part of the largest one.
    ///
    /// f32: what the order of summation moves. f16: a weight or an activation is rounded by up to 2^-11 = 5e-4; what
    /// some fifty layers of that add up to stays below 1e-2 for the made-up networks, and twice that is allowed.
    pub const fn tolerance(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F16 => 2e-2,
        }
    }

    /// The name in flags and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Candle's name.
    pub const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// Minutes, or as much as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The same checks on small pictures and few frames: within 3 minutes on two cores.
    Quick,
    /// At the size of the published models, 10,000 frames, all rows of the table.
    Full,
}

impl Scope {
    /// The name in flags and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// How much is tried, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scope it was made for.
    pub scope: Scope,
    /// Every type that is tried.
    pub data_types: Vec<DataType>,
    /// Side of the pictures that checks see.
    pub size_px: usize,
    /// Frames without drift.
    pub drift_frames: usize,
    /// Rows of the table for `MobileNetV2`.
    pub mobilenet_streams: &'static [usize],
    /// Rows of the table for ResNet-50.
    pub resnet_streams: &'static [usize],
    /// How long each row is measured.
    pub measured: Duration,
    /// Side of the pictures that are learned from.
    pub training_size_px: usize,
}

impl Plan {
    /// Side of the table's pictures: that of the published models.
    pub const LATENCY_SIZE_PX: usize = 224;

    /// The plan of a scope.
    pub fn new(scope: Scope, data_types: Vec<DataType>) -> Self {
        match scope {
            Scope::Quick => Self {
                scope,
                data_types,
                size_px: 64,
                drift_frames: 500,
                mobilenet_streams: &[1, 8],
                resnet_streams: &[1],
                measured: Duration::from_millis(1500),
                training_size_px: 64,
            },
            Scope::Full => Self {
                scope,
                data_types,
                size_px: 224,
                drift_frames: 10_000,
                mobilenet_streams: &[1, 8, 64, 256],
                resnet_streams: &[1, 8, 64, 256],
                measured: Duration::from_secs(3),
                training_size_px: 112,
            },
        }
    }
}
