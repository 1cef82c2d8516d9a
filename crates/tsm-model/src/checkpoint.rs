//! Models as files: the own format, and what is imported from MIT's code and torchvision.
//!
//! ```text
//! bytes ─ content decides ─┬─ safetensors, key `tsm` ── own.rs ──────────────────────────┐
//!                          ├─ safetensors without ──┐                                    ├─ checked against
//!                          ├─ torch zip ─ pickle ───┼─ naming/ ─ recognise.rs ─ import.rs┘  Architecture
//!                          └─ torch legacy ─ pickle ┘                                       ─► Checkpoint
//! ```
//!
//! Nothing in a file is ever executed, and no memory is taken for a size that a file only declares:
//! tensors are read after their names and shapes are known to be the network's. It neither builds
//! nor runs networks.
//!
//! What a foreign file does not say comes from MIT's file names, then from [`SpecOverrides`], which
//! go first; what contradicts the tensors is refused.

use std::fmt;
use std::path::Path;

use crate::shift::{ShiftKind, ShiftPlace};
use crate::spec::{Backbone, ModelSpec};

mod content;
mod error;
mod fit;
mod import;
mod naming;
mod own;
mod paddle;
mod pickle;
mod raw;
mod recognise;
mod spec_check;
mod torch_legacy;
mod torch_zip;
mod weights;

pub use error::CheckpointError;
pub use spec_check::{MAX_SEGMENTS, MAX_SHIFT_DIV};
pub use weights::Weights;

/// A model: what it is, its weights, and which kind of file it came from.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Everything but the weights.
    pub spec: ModelSpec,
    /// The weights, which fit `spec`.
    pub weights: Weights,
    /// Which kind of file it came from.
    pub origin: Origin,
}

/// Which kind of file a model came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Our own `.safetensors`.
    Own,
    /// MIT's training code: two-way shift, or none.
    MitOffline,
    /// MIT's online demo: the causal `MobileNetV2`.
    MitOnline,
    /// An `ImageNet` classifier with torchvision's names, or a `MobileNetV2` with MIT's: no shift.
    Torchvision,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own format",
            Self::MitOffline => "MIT offline",
            Self::MitOnline => "MIT online",
            Self::Torchvision => "torchvision",
        })
    }
}

/// How [`Checkpoint::save`] stores convolutions and the linear layer. Vectors (batch norm, biases)
/// are always f32: they are few, and a running variance may leave the range of f16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// Single precision: what is loaded again is equal to the bit.
    #[default]
    F32,
    /// Half precision: half the size, 11 significant bits.
    F16,
}

/// What the user says about a file; each value goes before what the file and its name say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpecOverrides {
    /// The network; must be the one the tensors make.
    pub backbone: Option<Backbone>,
    /// Which way channels move.
    pub shift: Option<ShiftKind>,
    /// Which part of a block sees it; must be the one that MIT's names tell, if they tell.
    pub place: Option<ShiftPlace>,
    /// A fold is `1 / div` of the channels.
    pub shift_div: Option<usize>,
    /// Frames of a clip.
    pub segments: Option<usize>,
    /// Class names in the order of the logits.
    pub classes: Option<Vec<String>>,
}

impl Checkpoint {
    /// Reads a model, own or foreign; the content decides, not the suffix.
    ///
    /// # Errors
    /// Every case of [`CheckpointError`] but `Write`.
    pub fn open(path: &Path, overrides: &SpecOverrides) -> Result<Self, CheckpointError> {
        let bytes = content::read(path)?;
        Self::read(path, &bytes, overrides)
    }

    /// Reads a model that lies in memory; `name` stands for the file name in errors and, for a
    /// foreign file, in MIT's naming scheme.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(name: &str, bytes: &[u8], overrides: &SpecOverrides) -> Result<Self, CheckpointError> {
        Self::read(Path::new(name), bytes, overrides)
    }

    /// Whether a model may be written to `path`: over an older one, but over nothing else.
    ///
    /// # Errors
    /// `NotWrittenOver` for a file that is no `.safetensors`, `Read` where that cannot be told. Of folders, pipes and
    /// devices [`Checkpoint::save`] says that they are none.
    pub fn check_target(path: &Path) -> Result<(), CheckpointError> {
        let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
        if is_file && !content::is_replaceable(path)? {
            return Err(CheckpointError::NotWrittenOver { path: path.to_owned() });
        }
        Ok(())
    }

    /// What a file or its tensors' names say of the shift that its weights learned with; `None` where they say nothing.
    /// A flag that says otherwise goes first.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn told_shift(path: &Path) -> Result<Option<ShiftKind>, CheckpointError> {
        let bytes = content::read(path)?;
        match content::parse(&bytes).map_err(|fault| fault.at(path))? {
            content::Content::Own { description, .. } => own::told_shift(path, &description).map(Some),
            content::Content::Foreign(tensors) => import::told_shift(tensors).map_err(|fault| fault.at(path)),
        }
    }

    /// Writes the own format; a file of this name is replaced only by a complete one.
    ///
    /// # Errors
    /// `Write` if the file system refuses; `BadSpec`, `MissingTensor`, `Shape`, `UnknownTensor`,
    /// `BadValues` if the model does not hold together, before anything is written.
    pub fn save(&self, path: &Path, storage: Storage) -> Result<(), CheckpointError> {
        own::save(self, path, storage)
    }

    fn read(path: &Path, bytes: &[u8], overrides: &SpecOverrides) -> Result<Self, CheckpointError> {
        match content::parse(bytes).map_err(|fault| paddle::named(fault, path, bytes).at(path))? {
            content::Content::Own { description, tensors } => {
                own::open(path, &description, tensors, overrides)
            }
            content::Content::Foreign(tensors) => import::import(path, tensors, overrides),
        }
    }
}

#[cfg(test)]
mod tests;
