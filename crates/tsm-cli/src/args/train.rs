//! The flags of `tsm train`: what a run works on and writes, and its recipe.
//!
//! Each of them may stand in the file of `--config`, under the same name; so none is required here and those that
//! exclude each other are looked at once more where file and flags meet (`commands/train/config.rs`).

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde::{Deserialize, Deserializer, Serialize};
use tsm_model::device::DeviceChoice;
use tsm_train::recipe::Preset;

use super::offline::GroupArgs;
use super::recipe::RecipeArgs;
use super::{StorageArg, values};

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[command(allow_negative_numbers = true)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct TrainArgs {
    /// A folder with one folder of clips a class
    #[arg(value_name = "CLIPS_DIR", conflicts_with = "list")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clips_dir: Option<PathBuf>,
    /// A list of training clips instead: `path label` or `path frames label` a line
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<PathBuf>,
    /// The validation clips [default: a part of the groups]
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validation_list: Option<PathBuf>,
    /// Class names of the lists, one a line
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classes: Option<PathBuf>,
    /// The model to write; its report goes to a folder beside it
    #[arg(short, long, value_name = "MODEL.safetensors")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<PathBuf>,
    /// Where the recipe starts, and so the default of each of its options; all are printed at the start. Few and many
    /// clips are ours [default: by the number of clips]
    #[arg(long, value_parser = ["few", "many", "mit", "paddle"])]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_of::<_, Preset>")]
    pub(crate) preset: Option<String>,
    /// Any of these options as TOML, under the same names; flags go first
    #[arg(long, value_name = "FILE.toml")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Go on from the last save of this output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<bool>,
    /// Throw away an unfinished run of this output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", conflicts_with = "resume")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restart: Option<bool>,
    /// How the model's numbers are stored [default: f32]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage: Option<StorageArg>,
    /// cpu, cuda, cuda:N, or auto: the GPU if there is one [default: cpu]
    #[arg(long, value_name = "D", value_parser = device)]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_of::<_, DeviceChoice>")]
    pub(crate) device: Option<String>,
    /// Where CUDA 13's libraries are, such as PyTorch's virtual environment
    /// [default: beside the GPU build, then the system's]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cuda_libs: Option<PathBuf>,
    /// Cross-validation: train on all but fold N of --folds
    #[arg(long, value_name = "N", conflicts_with = "validation_list")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fold: Option<usize>,
    /// Parts that the groups are dealt into
    #[arg(long, value_name = "N", conflicts_with = "validation_list", value_parser = values::count::<NonZeroUsize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) folds: Option<NonZeroUsize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) grouping: GroupArgs,
    #[command(flatten)]
    #[serde(skip)]
    pub(crate) recipe: RecipeArgs,
}

/// A device's name that is one.
fn device(text: &str) -> Result<String, <DeviceChoice as FromStr>::Err> {
    text.parse::<DeviceChoice>().map(|_known| text.to_owned())
}

/// A text that `T` understands.
fn text_of<'de, D, T>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    match text.parse::<T>() {
        Ok(_known) => Ok(Some(text)),
        Err(error) => Err(serde::de::Error::custom(error)),
    }
}
