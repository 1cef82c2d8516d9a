//! Why a checkpoint could not be read or written, as one line with what to do about it.
//!
//! ```text
//! reader of a format ─ Fault (knows no file name) ─ at(path) ─► CheckpointError ─► one line
//! ```
//!
//! Text that stems from a file (names of tensors, of globals) is shown escaped and shortened.

use std::io;
use std::path::{Path, PathBuf};

use crate::path_fault::{why_unread, why_unwritten};
use crate::spec::{Backbone, SPEC_VERSION};

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("{}: {}", path.display(), why_unread(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file system refuses; what stood under this name before is untouched.
    #[error("{}: {}", path.display(), why_unwritten(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What stands where a model is to be written is none, and may be all that there is of it.
    #[error("{}: is there and no whole .safetensors file, so it is not written over; remove it or name another file", path.display())]
    NotWrittenOver {
        /// The file.
        path: PathBuf,
    },
    /// Neither a `.safetensors` nor a checkpoint of torch.
    #[error("{} is not a model: {found}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        found: String,
    },
    /// Right format, wrong bytes.
    #[error("{} is damaged: {what}; copy or download it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// A pickle names something that is no part of a checkpoint.
    #[error("{}: refused, its pickle asks for `{global}`, which no checkpoint needs; nothing of it was executed",
            path.display())]
    ForbiddenGlobal {
        /// The file.
        path: PathBuf,
        /// Module and name, `posix.system`.
        global: String,
    },
    /// A model, but of a kind that this program does not run.
    #[error("{}: not supported: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what would be read instead.
        what: String,
    },
    /// Written by a newer program.
    #[error("{}: its description has version {found}, this program reads up to {SPEC_VERSION}; update the program",
            path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
    },
    /// The description in an own file, or one about to be saved, does not hold together.
    #[error("{}: its description is wrong: {what}", path.display())]
    BadSpec {
        /// The file.
        path: PathBuf,
        /// Field, value, allowed values.
        what: String,
    },
    /// Flags, file name and tensors say different things.
    #[error("{}: {what}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Who says what, and which flag decides.
        what: String,
    },
    /// Names that do not fit the linear layer.
    #[error("{}: {names} labels do not fit {classes} classes; pass a label file of {classes} lines", path.display())]
    LabelCount {
        /// The file.
        path: PathBuf,
        /// Names given.
        names: usize,
        /// Rows of the linear layer.
        classes: usize,
    },
    /// The network needs a tensor that is not there.
    #[error("{}: `{tensor}` {needed:?} is missing for {backbone}; it is another network or only a part of one, \
             pass the complete checkpoint or the right --backbone", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// Torchvision's name.
        tensor: String,
        /// The shape it must have.
        needed: Vec<usize>,
        /// The network.
        backbone: Backbone,
    },
    /// A tensor has another shape than the network's.
    #[error("{}: `{tensor}` is {found:?}, but {backbone} needs {needed:?}; pass another --backbone or another model",
            path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Torchvision's name.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape it must have.
        needed: Vec<usize>,
        /// The network.
        backbone: Backbone,
    },
    /// A tensor that the network has no place for.
    #[error("{}: `{tensor}` has no place in {backbone}; it is another network, pass the right --backbone or another \
             model", path.display())]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// The name in the file.
        tensor: String,
        /// The network.
        backbone: Backbone,
    },
    /// Numbers that cannot be weights.
    #[error("{}: `{tensor}` {what}", path.display())]
    BadValues {
        /// The file.
        path: PathBuf,
        /// Torchvision's name.
        tensor: String,
        /// Which number, where, and what to do.
        what: String,
    },
}

/// What a reader finds wrong; it knows bytes, not file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    NotAModel(String),
    Damaged(String),
    Forbidden(String),
    Unsupported(String),
    Contradiction(String),
    BadSpec(String),
    LabelCount { names: usize, classes: usize },
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> CheckpointError {
        let path = path.to_owned();
        match self {
            Self::NotAModel(found) => CheckpointError::NotAModel { path, found },
            Self::Damaged(what) => CheckpointError::Damaged { path, what },
            Self::Forbidden(global) => CheckpointError::ForbiddenGlobal { path, global },
            Self::Unsupported(what) => CheckpointError::Unsupported { path, what },
            Self::Contradiction(what) => CheckpointError::Contradiction { path, what },
            Self::BadSpec(what) => CheckpointError::BadSpec { path, what },
            Self::LabelCount { names, classes } => CheckpointError::LabelCount { path, names, classes },
        }
    }
}

/// Text from a file as it may stand in a line: escaped, at most 80 characters.
pub(super) fn shown(text: &str) -> String {
    let mut line: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        line.push('…');
    }
    line
}

/// The first line of an error from elsewhere: candle's carry a backtrace where `RUST_BACKTRACE` is set.
pub(super) fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
