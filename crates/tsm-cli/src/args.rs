//! The command line as typed.

#[cfg(not(feature = "video"))]
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use tsm_model::checkpoint::Storage;
use tsm_model::{Backbone, DType, ShiftKind, ShiftPlace};

use crate::exit_code::HELP;

#[cfg(feature = "video")]
pub(crate) mod compare;
pub(crate) mod device;
mod examples;
mod explain;
#[cfg(feature = "video")]
pub(crate) mod live;
#[cfg(feature = "video")]
pub(crate) mod offline;
#[cfg(feature = "video")]
pub(crate) mod recipe;
pub(crate) mod selftest;
#[cfg(feature = "video")]
pub(crate) mod train;
#[cfg_attr(not(feature = "video"), allow(dead_code, reason = "some are of commands that read video"))]
mod values;

use device::{AskedDevice, DeviceArgs};
pub(crate) use explain::explain;
#[cfg(feature = "video")]
use live::{DevicesArgs, DoctorArgs, LiveArgs};
use selftest::SelftestArgs;
#[cfg(feature = "video")]
pub(crate) use values::Fps;

#[cfg(feature = "video")]
/// What clap cannot know: a file may give what is needed.
const TRAIN_USAGE: &str = "\
tsm train [OPTIONS] --output <MODEL.safetensors> <CLIPS_DIR|--list <FILE>>
       tsm train [OPTIONS] --config <FILE.toml>";

/// Says what somebody in front of a camera is doing, now.
#[derive(Debug, Parser)]
#[command(name = "tsm", version, before_help = examples::TSM, after_help = HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Tell more: -v a few lines, -vv each event, -vvv each frame
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Tell errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Label every frame of a webcam, an RTSP camera or a file
    #[cfg(feature = "video")]
    #[command(before_help = examples::LIVE, after_help = HELP)]
    Live(Box<LiveArgs>),
    /// Train a model from a folder of clips, one folder a class
    #[cfg(feature = "video")]
    #[command(before_help = examples::TRAIN, after_help = HELP, override_usage = TRAIN_USAGE)]
    Train(Box<train::TrainArgs>),
    /// Judge a model on known clips
    #[cfg(feature = "video")]
    #[command(before_help = examples::EVAL, after_help = HELP)]
    Eval(offline::EvalArgs),
    /// Compare two ways of training by their reports on the same clips
    #[cfg(feature = "video")]
    #[command(before_help = examples::COMPARE, after_help = HELP)]
    Compare(compare::CompareArgs),
    /// Label video files
    #[cfg(feature = "video")]
    #[command(before_help = examples::INFER, after_help = HELP)]
    Infer(offline::InferArgs),
    /// Make lists of training and validation clips
    #[cfg(feature = "video")]
    #[command(before_help = examples::PREPARE, after_help = HELP)]
    Prepare(offline::PrepareArgs),
    /// List the cameras of this machine and their modes
    #[cfg(feature = "video")]
    #[command(before_help = examples::DEVICES, after_help = HELP)]
    Devices(DevicesArgs),
    /// Look at what this machine has, what is missing, and how to mend it
    #[cfg(feature = "video")]
    #[command(before_help = examples::DOCTOR, after_help = HELP)]
    Doctor(DoctorArgs),
    /// Make a model file of ours from a checkpoint of MIT's TSM or torchvision
    #[command(before_help = examples::CONVERT, after_help = HELP)]
    Convert(ConvertArgs),
    /// Tell what a model is and what it costs
    #[command(before_help = examples::INFO, after_help = HELP)]
    Info(InfoArgs),
    /// Compare a model's outputs with recorded ones
    #[command(before_help = examples::VERIFY, after_help = HELP)]
    Verify(VerifyArgs),
    /// Measure what a step costs on this machine
    #[command(before_help = examples::BENCH, after_help = HELP)]
    Bench(BenchArgs),
    /// Show that this machine computes what it should, and how fast
    #[command(before_help = examples::SELFTEST, after_help = HELP)]
    Selftest(SelftestArgs),
    /// A command that this program was built without
    #[cfg(not(feature = "video"))]
    #[command(external_subcommand)]
    Absent(Vec<OsString>),
}

impl Command {
    /// The device that was asked for, where a command has one; `train` looks for it in its file, too, and by itself.
    pub(crate) fn device(&self) -> Option<AskedDevice<'_>> {
        match self {
            #[cfg(feature = "video")]
            Self::Live(args) => Some(args.device.asked()),
            #[cfg(feature = "video")]
            Self::Eval(args) => Some(args.device.asked()),
            #[cfg(feature = "video")]
            Self::Infer(args) => Some(args.device.asked()),
            Self::Verify(args) => Some(args.device.asked()),
            Self::Selftest(args) => Some(args.device.asked()),
            Self::Bench(args) => Some(args.device.asked()),
            _ => None,
        }
    }
}

/// The model and what a foreign file does not say of itself.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A model: our .safetensors, or a checkpoint of MIT's TSM or torchvision [default: built in]
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
}

/// Flags that go before what the file says.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct SpecArgs {
    /// The two-dimensional network
    #[arg(long)]
    pub(crate) backbone: Option<BackboneArg>,
    /// What moves between frames
    #[arg(long)]
    pub(crate) shift: Option<ShiftArg>,
    /// What part of a block sees the shift
    #[arg(long)]
    pub(crate) place: Option<PlaceArg>,
    /// A fold is one N-th of the channels
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::shift_div)]
    pub(crate) shift_div: Option<NonZeroUsize>,
    /// Frames of a clip
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::segments)]
    pub(crate) segments: Option<NonZeroUsize>,
    /// Class names, one a line [default: the file's own, else class numbers]
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "lowercase")]
pub(crate) enum BackboneArg {
    Resnet18,
    Resnet34,
    Resnet50,
    Resnet101,
    Resnet152,
    MobilenetV2,
}

impl From<BackboneArg> for Backbone {
    fn from(arg: BackboneArg) -> Self {
        match arg {
            BackboneArg::Resnet18 => Self::Resnet18,
            BackboneArg::Resnet34 => Self::Resnet34,
            BackboneArg::Resnet50 => Self::Resnet50,
            BackboneArg::Resnet101 => Self::Resnet101,
            BackboneArg::Resnet152 => Self::Resnet152,
            BackboneArg::MobilenetV2 => Self::MobilenetV2,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ShiftArg {
    /// Nothing moves (TSN)
    None,
    /// Two-way, first fold from the future
    Mit,
    /// Two-way, first fold from the past
    Paddle,
    /// One-way: the only kind that labels a stream
    Causal,
}

impl From<ShiftArg> for ShiftKind {
    fn from(arg: ShiftArg) -> Self {
        match arg {
            ShiftArg::None => Self::None,
            ShiftArg::Mit => Self::Mit,
            ShiftArg::Paddle => Self::Paddle,
            ShiftArg::Causal => Self::Causal,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PlaceArg {
    /// The first convolution of the residual path
    Blockres,
    /// The whole block
    Block,
}

impl From<PlaceArg> for ShiftPlace {
    fn from(arg: PlaceArg) -> Self {
        match arg {
            PlaceArg::Blockres => Self::Blockres,
            PlaceArg::Block => Self::Block,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// A checkpoint of MIT's TSM (zip or legacy), torchvision, or a model of ours
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The model to write
    #[arg(value_name = "OUT.safetensors")]
    pub(crate) output: PathBuf,
    /// How numbers are stored
    #[arg(long, default_value = "f32")]
    pub(crate) storage: StorageArg,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StorageArg {
    /// As trained
    F32,
    /// Half the size
    F16,
}

impl From<StorageArg> for Storage {
    fn from(arg: StorageArg) -> Self {
        match arg {
            StorageArg::F32 => Self::F32,
            StorageArg::F16 => Self::F16,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// A model [default: built in]
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    pub(crate) file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Recorded tensors: `frames_u8` [T, H, W, 3] and what came out; several files are united
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) vectors: Vec<PathBuf>,
    /// The tensor to compare with [default: logits, else probabilities]
    #[arg(long, value_name = "NAME")]
    pub(crate) expect: Option<String>,
    /// The largest difference allowed
    #[arg(long, default_value = "1e-3", value_name = "X", allow_negative_numbers = true, value_parser = values::tolerance)]
    pub(crate) tolerance: f64,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Threads of a step [default: as many as there are cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::of_a_step)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Streams of a step
    #[arg(long, default_value = "1", value_name = "B", allow_negative_numbers = true, value_parser = values::of_a_step)]
    pub(crate) batch: NonZeroUsize,
    /// What is computed in; half precision is slow without a GPU
    #[arg(long, default_value = "f32")]
    pub(crate) data_type: Precision,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Print one JSON object, with the time of every step
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// What a step is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// Single precision
    F32,
    /// Half precision
    F16,
}

impl Precision {
    /// The model's name for it.
    pub(crate) const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }

    /// The name in flags and reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
