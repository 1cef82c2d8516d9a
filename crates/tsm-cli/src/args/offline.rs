//! The flags of the offline commands `prepare`, `eval` and `infer`; those of `train` have a room of their own.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::device::AutoDeviceArgs;
use super::{ModelArgs, values};

/// How clips of one source video are kept on one side.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Groups")]
pub(crate) struct GroupArgs {
    /// A CSV of path and group [default: the groups of a table, else the file name without its last number]
    #[arg(long, value_name = "FILE.csv", conflicts_with = "group_regex")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<PathBuf>,
    /// What of a file name is its group: the first parenthesis of this expression, else all that matches. Where it
    /// matches no name, it is that of the whole path
    #[arg(long, value_name = "REGEX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_regex: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("clips").required(true).args(["data", "list"]), allow_negative_numbers = true)]
pub(crate) struct EvalArgs {
    /// A folder with one folder of clips a class; classes are matched by name
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A list of clips: `path label` or `path frames label` a line
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Option<PathBuf>,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Stream each clip frame by frame, as `tsm live` does
    #[arg(long)]
    pub(crate) online: bool,
    /// With --online: also stream all clips as one, with and without a reset between them
    #[arg(long, requires = "online")]
    pub(crate) joined: bool,
    #[command(flatten)]
    pub(crate) views: ViewArgs,
    #[command(flatten)]
    pub(crate) device: AutoDeviceArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Which frames and crops a clip is judged by.
#[derive(Debug, Args)]
#[command(next_help_heading = "Views")]
pub(crate) struct ViewArgs {
    /// Crops of each frame
    #[arg(long, default_value = "1", value_parser = ["1", "3", "5", "10"], value_name = "N")]
    pub(crate) crops: String,
    /// Which frames make a clip [default: as in the model's training; of one that learned from dense clips, ten of
    /// them]
    #[arg(long)]
    pub(crate) sampling: Option<ClipSamplingArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClipSamplingArg {
    /// The middle of each segment
    Uniform,
    /// Uniform, and once more half a segment earlier
    Twice,
    /// Ten windows of 64 frames
    Dense,
    /// At the model's frame interval, as a stream sees it
    #[value(alias = "fixed_interval")]
    FixedInterval,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true).args(["files", "filelist"]), allow_negative_numbers = true)]
pub(crate) struct InferArgs {
    /// Video files, or folders of JPEG frames
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A list of files, one a line, relative to its own folder; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) filelist: Option<PathBuf>,
    /// Classes of the ranking
    #[arg(long, default_value = "5", value_name = "K", value_parser = values::count::<NonZeroUsize>)]
    pub(crate) top_k: NonZeroUsize,
    /// How labels are written on stdout
    #[arg(long, default_value = "text")]
    pub(crate) format: InferFormatArg,
    #[command(flatten)]
    pub(crate) views: ViewArgs,
    #[command(flatten)]
    pub(crate) device: AutoDeviceArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InferFormatArg {
    /// One line a file
    Text,
    /// One JSON object a file
    Jsonl,
    /// One row a file and rank
    Csv,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PrepareArgs {
    /// A folder with one folder of clips a class, a list, or a Kinetics CSV
    #[arg(value_name = "CLIPS")]
    pub(crate) input: PathBuf,
    /// Where the lists go: train.txt, validation.txt, classes.txt
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// Class names of a list, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) classes: Option<PathBuf>,
    /// Part of the groups that is kept for validation
    #[arg(long, default_value = "0.2", value_name = "PART", value_parser = values::part)]
    pub(crate) validation: f64,
    /// Also extract the frames as JPEG, short side 256
    #[arg(long)]
    pub(crate) frames: bool,
    /// Seed of the split
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) seed: u64,
    /// Threads that decode
    #[arg(long, default_value = "2", value_name = "N", value_parser = values::workers)]
    pub(crate) workers: NonZeroUsize,
    #[command(flatten)]
    pub(crate) grouping: GroupArgs,
}
