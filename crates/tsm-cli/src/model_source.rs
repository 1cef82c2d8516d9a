//! The model of a command: the file given, or the one that ships inside the program.

use std::fmt;
use std::path::PathBuf;

use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::label_map::read_labels;

use crate::args::ModelArgs;
use crate::exit_code::Failure;

/// The model that ships: see `crates/tsm-cli/models/README.md`.
static SHIPPED: &[u8] = include_bytes!("../models/actions.safetensors");

#[cfg(feature = "video")]
/// Said wherever the shipped model labels a camera.
pub(crate) const SHIPPED_NOTE: &str =
    "the built-in model knows 21 actions and often errs (tsm info); give your own with --model FILE";

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelSource {
    /// The one inside the program.
    Shipped,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("built-in model"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What `--model` names.
pub(crate) fn source(args: &ModelArgs) -> ModelSource {
    args.model.clone().map_or(ModelSource::Shipped, ModelSource::File)
}

/// Opens the model with the flags' overrides.
///
/// # Errors
/// A file that is no model, or flags that its tensors contradict.
pub(crate) fn open(args: &ModelArgs) -> Result<Checkpoint, Failure> {
    open_from(&source(args), &overrides(args)?)
}

/// The model that ships, as it is.
///
/// # Errors
/// As [`open`].
pub(crate) fn shipped() -> Result<Checkpoint, Failure> {
    open_from(&ModelSource::Shipped, &SpecOverrides::default())
}

/// Opens `source` with `overrides`.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_from(source: &ModelSource, overrides: &SpecOverrides) -> Result<Checkpoint, Failure> {
    Ok(match source {
        ModelSource::Shipped => Checkpoint::from_bytes("built-in model", SHIPPED, overrides)?,
        ModelSource::File(path) => Checkpoint::open(path, overrides)?,
    })
}

/// The flags that describe a model.
///
/// # Errors
/// A label file that cannot be read.
pub(crate) fn overrides(args: &ModelArgs) -> Result<SpecOverrides, Failure> {
    Ok(SpecOverrides {
        backbone: args.spec.backbone.map(Into::into),
        shift: args.spec.shift.map(Into::into),
        place: args.spec.place.map(Into::into),
        shift_div: args.spec.shift_div.map(Into::into),
        segments: args.spec.segments.map(Into::into),
        classes: args.spec.labels.as_deref().map(read_labels).transpose()?,
    })
}
