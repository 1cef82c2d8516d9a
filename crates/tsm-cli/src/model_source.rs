//! The model of a command: the file given, or the one that ships inside the program.

use std::fmt;
use std::path::PathBuf;

use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::label_map::read_labels;

use crate::args::ModelArgs;
use crate::exit_code::Failure;
use crate::talk;

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

/// As [`open`], for a command that labels streams.
///
/// # Errors
/// As [`open`], or a model that needs frames that are still to come.
pub(crate) fn open_for_streams(args: &ModelArgs) -> Result<Checkpoint, Failure> {
    let (source, overrides) = (source(args), overrides(args)?);
    let checkpoint = read(&source, &overrides)?;
    if !checkpoint.spec.shift.is_streamable() {
        let text = "a two-way shift needs frames that are still to come, so it cannot label a stream; \
                    label whole files with it by tsm infer or tsm eval, or give a causal model";
        return Err(Failure::bad_input(format!("{source}: {text}")));
    }
    warn_of_other_shift(&source, &overrides);
    Ok(checkpoint)
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
    let checkpoint = read(source, overrides)?;
    warn_of_other_shift(source, overrides);
    Ok(checkpoint)
}

/// Says that weights run with another shift than they learned with: flags go first, but labels may be wrong then.
fn warn_of_other_shift(source: &ModelSource, overrides: &SpecOverrides) {
    let (ModelSource::File(path), Some(flag)) = (source, overrides.shift) else { return };
    // The file has been opened; what cannot be told now is no more than a warning's loss.
    let told = Checkpoint::told_shift(path).ok().flatten();
    if let Some(told) = told.filter(|told| *told != flag) {
        let (path, flag, told) = (path.display().to_string(), flag.name(), told.name());
        tracing::warn!(
            "{}: its weights learned with the shift {told}, as the file says; with --shift {flag} labels may be wrong",
            talk::escaped(&path)
        );
    }
}

fn read(source: &ModelSource, overrides: &SpecOverrides) -> Result<Checkpoint, Failure> {
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
