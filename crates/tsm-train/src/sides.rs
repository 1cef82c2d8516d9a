//! Which clips are learned from and which judge: a folder or lists, groups, and a split or a fold.

use std::path::{Path, PathBuf};

use crate::dataset::groups::GroupRule;
use crate::dataset::split::{self, Split};
use crate::dataset::{self, Dataset, DatasetError, Found};

/// How the clips are divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Division {
    /// The validation clips have a list of their own.
    List(PathBuf),
    /// About this part of each class, whole groups.
    Part(f64),
    /// One of several folds, from 0.
    Fold {
        /// Which.
        fold: usize,
        /// Of how many.
        folds: usize,
    },
}

/// Clips on two sides.
#[derive(Debug, Clone)]
pub struct Sides {
    /// All clips.
    pub dataset: Dataset,
    /// Those to learn from.
    pub train: Vec<usize>,
    /// Those to judge by.
    pub validation: Vec<usize>,
    /// What is worth a warning, a line each.
    pub warnings: Vec<String>,
}

/// Reads and divides the clips of `source`: a folder, a list (with `class_names`, if any) or a table.
///
/// # Errors
/// [`DatasetError`] for clips that cannot be read or divided.
pub fn divide(
    source: &Path,
    class_names: Option<&Path>,
    groups: &GroupRule,
    division: &Division,
    seed: u64,
) -> Result<Sides, DatasetError> {
    let Found { mut dataset, missing } = dataset::read(source, class_names)?;
    let mut warnings = Vec::new();
    if let Some(first) = missing.first() {
        warnings.push(format!("{} videos of the table are not there; the first: {first}", missing.len()));
    }
    if let Division::List(list) = division {
        let train: Vec<usize> = (0..dataset.clips.len()).collect();
        let other = dataset::read(list, class_names)?.dataset.with_classes(&dataset.classes)?;
        let validation = (train.len()..train.len() + other.clips.len()).collect();
        dataset.clips.extend(other.clips);
        return Ok(Sides { dataset, train, validation, warnings });
    }
    for class in groups.apply(&mut dataset)? {
        let name = &dataset.classes[crate::dataset::class_index(class)];
        warnings.push(format!(
            "the file names of '{name}' tell no source videos, each clip counts as one of its own; give --groups or --group-regex if some belong together"
        ));
    }
    let Split { training, validation, unvalidated } = match division {
        // A list was read above; no part leaves nothing to judge by.
        Division::List(_) | Division::Part(..=0.0) => {
            let training = (0..dataset.clips.len()).collect();
            Split { training, validation: Vec::new(), unvalidated: Vec::new() }
        }
        Division::Part(part) => split::split(&dataset, *part, seed)?,
        Division::Fold { fold, folds } => {
            let mut all = split::folds(&dataset, *folds, seed)?;
            if *fold >= all.len() {
                let reason = format!("there is no fold {fold} of {folds}; folds count from 0");
                return Err(DatasetError::NoSplit { reason });
            }
            all.swap_remove(*fold)
        }
    };
    for class in unvalidated {
        let name = &dataset.classes[crate::dataset::class_index(class)];
        warnings.push(format!("no clip of '{name}' could be spared for validation"));
    }
    Ok(Sides { dataset, train: training, validation, warnings })
}
