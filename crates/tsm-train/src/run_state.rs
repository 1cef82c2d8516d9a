//! Where a run stands, as a file: killed at any moment, it goes on from here to the same bits.
//!
//! ```text
//! RunState ─┬─ metadata `tsm-run`   JSON: recipe, model, classes, position, sums, history, best
//!           ├─ network/NAME         weights and running statistics
//!           ├─ velocity/NAME        the optimiser's
//!           └─ average/NAME         averaged weights
//! ```
//!
//! Draws need no state of their own: each is made from the seed and its place in the run
//! (`draws.rs`). One safetensors file, replaced in one step.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use tsm_model::ModelSpec;
use tsm_model::path_fault::why_unread;

use crate::parameter_groups::HeadStart;
use crate::recipe::Recipe;
use crate::report::{EpochRecord, ReportError, write_atomically};

/// The metadata key.
const KEY: &str = "tsm-run";

/// The newest layout that this program writes and reads.
const VERSION: u32 = 1;

/// The next batch that a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Batch of the epoch, from 0.
    pub batch: usize,
    /// Optimiser steps made.
    pub step: usize,
}

/// What an epoch has added up so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochSums {
    /// Clips seen.
    pub clips: usize,
    /// Loss, summed over clips.
    pub loss: f64,
    /// Clips whose largest logit is the label, of mixed clips the larger one's.
    pub correct: usize,
}

/// The best validation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its epoch, from 0.
    pub epoch: usize,
    /// Whether it is what the run starts from, before its first step.
    #[serde(default)]
    pub is_start: bool,
    /// Its share of right labels; 0 while the head or the shift was still coming in.
    pub top1: f64,
    /// Its loss, which decides between equals.
    pub loss: f64,
}

/// Everything of a run besides its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Layout of this file.
    pub version: u32,
    /// The choices.
    pub recipe: Recipe,
    /// The network.
    pub spec: ModelSpec,
    /// A digest of names, classes and sides: a run goes on with the same clips only.
    pub data_digest: u64,
    /// Marks of the training clips, then of the validation clips ([`crate::fingerprint`]); none in an old save.
    #[serde(default)]
    pub clip_marks: Vec<u32>,
    /// Marks of the models that are imitated; none in an old save.
    #[serde(default)]
    pub teacher_marks: Vec<String>,
    /// How the head started, which its learning rate depends on; not in an old save.
    #[serde(default)]
    pub head: Option<HeadStart>,
    /// What comes next.
    pub position: Position,
    /// The open epoch's sums.
    pub sums: EpochSums,
    /// The best validation.
    pub best: Option<Best>,
    /// The epochs done.
    pub history: Vec<EpochRecord>,
    /// Steps that the average has taken in.
    pub average_steps: u64,
    /// Clips that could not be read, with the reason; by index, since their folder may be called otherwise by now.
    #[serde(default)]
    pub unreadable: BTreeMap<usize, String>,
}

/// A run that can go on.
#[derive(Debug, Clone)]
pub struct RunState {
    /// Everything besides tensors.
    pub record: RunRecord,
    /// Weights and running statistics.
    pub network: BTreeMap<String, Tensor>,
    /// The optimiser's velocities.
    pub velocities: BTreeMap<String, Tensor>,
    /// Averaged weights.
    pub average: BTreeMap<String, Tensor>,
}

/// Why a run cannot be saved or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunStateError {
    /// The file system refuses to read.
    #[error("{}: {}", path.display(), why_unread(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The file system refuses to write; the last save is as it was.
    #[error(transparent)]
    Write(#[from] ReportError),
    /// The file is no saved run, or a damaged one.
    #[error("{}: no saved run: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl RunRecord {
    /// The record of a run that has made no step.
    pub fn new(recipe: Recipe, spec: ModelSpec, data_digest: u64) -> Self {
        Self {
            version: VERSION,
            recipe,
            spec,
            data_digest,
            clip_marks: Vec::new(),
            teacher_marks: Vec::new(),
            head: None,
            position: Position::default(),
            sums: EpochSums::default(),
            best: None,
            history: Vec::new(),
            average_steps: 0,
            unreadable: BTreeMap::new(),
        }
    }
}

impl RunState {
    /// Writes the run to `path`, which is replaced by a complete file only.
    ///
    /// # Errors
    /// [`RunStateError::Write`] or [`RunStateError::Content`]; the old file is then as before.
    pub fn save(&self, path: &Path) -> Result<(), RunStateError> {
        let content = |what: String| RunStateError::Content { path: path.to_owned(), what };
        let record = serde_json::to_string(&self.record).map_err(|error| content(error.to_string()))?;
        let mut encoded = Vec::new();
        for (group, tensors) in self.groups() {
            for (name, tensor) in tensors {
                let values = values(tensor).map_err(|error| content(error.to_string()))?;
                encoded.push((format!("{group}/{name}"), tensor.dims().to_vec(), values));
            }
        }
        let mut views = Vec::with_capacity(encoded.len());
        for (name, shape, bytes) in &encoded {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            views.push((name.as_str(), view.map_err(|error| content(error.to_string()))?));
        }
        let metadata = HashMap::from([(KEY.to_owned(), record)]);
        let file =
            safetensors::serialize(views, Some(metadata)).map_err(|error| content(error.to_string()))?;
        Ok(write_atomically(path, &file)?)
    }

    /// Reads a saved run.
    ///
    /// # Errors
    /// [`RunStateError::Read`], or [`RunStateError::Content`] for what is no saved run.
    pub fn open(path: &Path) -> Result<Self, RunStateError> {
        let bytes =
            std::fs::read(path).map_err(|source| RunStateError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|what| RunStateError::Content { path: path.to_owned(), what })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let text = metadata.metadata().as_ref().and_then(|pairs| pairs.get(KEY));
        let text = text.ok_or_else(|| format!("it has no metadata `{KEY}`"))?;
        let record: RunRecord = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("its version is {}, this program knows {VERSION}", record.version));
        }
        let mut state =
            Self { record, network: BTreeMap::new(), velocities: BTreeMap::new(), average: BTreeMap::new() };
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        for (name, view) in file.iter() {
            let (group, name) = name.split_once('/').ok_or_else(|| format!("tensor `{name}` is unknown"))?;
            let group = match group {
                "network" => &mut state.network,
                "velocity" => &mut state.velocities,
                "average" => &mut state.average,
                _ => return Err(format!("tensor group `{group}` is unknown")),
            };
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor `{name}` is not f32"));
            }
            let tensor = Tensor::from_raw_buffer(view.data(), DType::F32, view.shape(), &Device::Cpu);
            group.insert(name.to_owned(), tensor.map_err(|error| error.to_string())?);
        }
        Ok(state)
    }

    fn groups(&self) -> [(&'static str, &BTreeMap<String, Tensor>); 3] {
        [("network", &self.network), ("velocity", &self.velocities), ("average", &self.average)]
    }
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let values: Vec<f32> = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use tsm_model::Backbone;

    use super::*;
    use crate::recipe::Preset;

    fn state() -> RunState {
        let spec = ModelSpec::new(Backbone::Resnet18, 3);
        let mut record = RunRecord::new(Preset::Few.recipe(), spec, 7);
        record.position = Position { epoch: 2, batch: 5, step: 29 };
        record.sums = EpochSums { clips: 40, loss: 0.1 + 0.2, correct: 17 };
        let tensor = Tensor::new(&[[0.1f32, f32::MIN_POSITIVE], [-0.0, 3.0]], &Device::Cpu).unwrap();
        let named = |name: &str| BTreeMap::from([(name.to_owned(), tensor.clone())]);
        RunState { record, network: named("fc.weight"), velocities: named("fc.weight"), average: named("x") }
    }

    #[test]
    fn a_saved_run_reads_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.safetensors");
        let saved = state();
        saved.save(&path).unwrap();
        let read = RunState::open(&path).unwrap();
        assert_eq!(read.record, saved.record);
        assert_eq!(values(&read.average["x"]).unwrap(), values(&saved.average["x"]).unwrap());
        assert_eq!(read.velocities.len(), 1);
    }

    #[test]
    fn what_is_no_saved_run_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.safetensors");
        std::fs::write(&path, b"nothing").unwrap();
        let error = RunState::open(&path).unwrap_err().to_string();
        assert!(error.contains("run.safetensors: no saved run"), "{error}");
        assert!(matches!(RunState::open(&folder.path().join("absent")), Err(RunStateError::Read { .. })));
        assert!(state().save(&folder.path().join("absent/run")).is_err());
    }
}
