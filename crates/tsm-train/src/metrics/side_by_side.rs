//! Two ways of training, judged on the same clips by the reports that their runs left.
//!
//! ```text
//! first:  fold 0 seed 1, fold 0 seed 2, fold 1 seed 1 …  ┐ mean outcome     ┐ clips both sides judged
//! second: fold 0 seed 1, fold 0 seed 2, fold 1 seed 1 …  ┘ of each clip     ┘ ─► difference, interval by group
//! ```
//!
//! A report is what `tsm eval --json` and a training run's `validation.json` hold; only their list of clips is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tsm_model::path_fault::why_unread;

use super::compare::{
    BootstrapSettings, CompareError, DifferenceInterval, PairedOutcome, bootstrap_by_group,
};

/// What a model said of one clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedClip {
    /// The clip. What of it is not UTF-8 stands as `\u{fffd}` in a report, as JSON has no other text.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// What it was cut from.
    pub group: String,
    /// Its class.
    pub class: String,
    /// The class with the highest score; `None` where all scores were NaN.
    pub predicted: Option<String>,
}

fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The part of a report that is compared.
#[derive(Debug, Deserialize)]
struct Report {
    predictions: Vec<JudgedClip>,
}

/// Whether folder and name tell each clip of a side's reports from all others.
fn is_told_by_ending(side: &[Report]) -> bool {
    let clips = side.iter().flat_map(|report| &report.predictions);
    let paths: BTreeSet<&Path> = clips.map(|clip| clip.path.as_path()).collect();
    let endings: BTreeSet<PathBuf> = paths.iter().map(|path| ending(path)).collect();
    endings.len() == paths.len()
}

/// How two sides compare.
#[derive(Debug, Clone, Serialize)]
pub struct SideBySide {
    /// Top-1 of the first side, over clips and its reports.
    pub first: f64,
    /// Top-1 of the second side.
    pub second: f64,
    /// Their difference, drawn by group.
    pub interval: DifferenceInterval,
}

/// Why reports cannot be compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SideBySideError {
    /// A report cannot be read.
    #[error("{}: {}", path.display(), why_unread(source))]
    Read {
        /// The report.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is no report with clips.
    #[error(
        "{}: is no report with its clips ({reason}); give the validation.json of a run's report folder, or what \
         `tsm eval --json FILE` wrote",
        path.display()
    )]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A clip that one side alone judged.
    #[error("{}: judged by the {side} side only; both need reports of the same clips", path.display())]
    OneSided {
        /// The clip.
        path: PathBuf,
        /// Which side has it.
        side: &'static str,
    },
    /// The clips say nothing.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

/// A clip on one side: its group, and how often it was right of how many times judged.
#[derive(Debug, Default)]
struct Tally {
    group: String,
    right: u32,
    judged: u32,
}

impl Tally {
    fn share(&self) -> f64 {
        f64::from(self.right) / f64::from(self.judged.max(1))
    }
}

/// Compares the reports of two sides; a side's reports may be of several folds and seeds.
///
/// # Errors
/// [`SideBySideError`].
pub fn side_by_side(
    first: &[PathBuf],
    second: &[PathBuf],
    settings: &BootstrapSettings,
) -> Result<SideBySide, SideBySideError> {
    let (first, second) = (read_all(first)?, read_all(second)?);
    // Lists and configurations call a file by other paths than a folder does.
    let is_told_by_ending = [&first, &second].into_iter().all(|side| is_told_by_ending(side));
    let name = |path: &Path| if is_told_by_ending { ending(path) } else { path.to_owned() };
    let (first, second) = (tallies(first, name), tallies(second, name));
    for (one, other, side) in [(&first, &second, "first"), (&second, &first, "second")] {
        if let Some(path) = one.keys().find(|path| !other.contains_key(*path)) {
            return Err(SideBySideError::OneSided { path: path.clone(), side });
        }
    }
    let pairs: Vec<PairedOutcome<'_>> = first
        .values()
        .zip(second.values())
        .map(|(one, other)| PairedOutcome { group: &one.group, first: one.share(), second: other.share() })
        .collect();
    let interval = bootstrap_by_group(&pairs, settings)?;
    Ok(SideBySide { first: mean(&first), second: mean(&second), interval })
}

#[expect(clippy::cast_precision_loss, reason = "clips are far below 2^53")]
fn mean(tallies: &BTreeMap<PathBuf, Tally>) -> f64 {
    tallies.values().map(Tally::share).sum::<f64>() / tallies.len().max(1) as f64
}

/// The clips of a side's reports, by what `name` makes of their paths.
fn tallies(reports: Vec<Report>, name: impl Fn(&Path) -> PathBuf) -> BTreeMap<PathBuf, Tally> {
    let mut all: BTreeMap<PathBuf, Tally> = BTreeMap::new();
    for clip in reports.into_iter().flat_map(|report| report.predictions) {
        let tally = all.entry(name(&clip.path)).or_default();
        tally.group = clip.group;
        tally.judged += 1;
        tally.right += u32::from(clip.predicted == Some(clip.class));
    }
    all
}

/// The folder and the name of a file.
fn ending(path: &Path) -> PathBuf {
    let names: Vec<_> = path.components().collect();
    names[names.len().saturating_sub(2)..].iter().collect()
}

fn read_all(reports: &[PathBuf]) -> Result<Vec<Report>, SideBySideError> {
    reports.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Report, SideBySideError> {
    let text =
        std::fs::read(path).map_err(|source| SideBySideError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|error| SideBySideError::NoReport { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(folder: &Path, name: &str, clips: &[(&str, &str, bool)]) -> PathBuf {
        let clips: Vec<JudgedClip> = clips
            .iter()
            .map(|(path, group, is_right)| JudgedClip {
                path: PathBuf::from(path),
                group: (*group).to_owned(),
                class: "a".to_owned(),
                predicted: is_right.then(|| "a".to_owned()),
            })
            .collect();
        let path = folder.join(name);
        std::fs::write(&path, serde_json::json!({ "top1": 1.0, "predictions": clips }).to_string()).unwrap();
        path
    }

    #[test]
    fn seeds_are_averaged_and_folds_added() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, clips: &[(&str, &str, bool)]| report(folder.path(), name, clips);
        let first =
            [at("1", &[("x", "g", false), ("y", "h", true)]), at("2", &[("x", "g", true), ("y", "h", true)])];
        let second = [at("3", &[("x", "g", true), ("y", "h", true)])];
        let found = side_by_side(&first, &second, &BootstrapSettings::default()).unwrap();
        assert!((found.first - 0.75).abs() < 1e-9 && (found.second - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!((found.interval.clips, found.interval.groups), (2, 2));
    }

    #[test]
    fn clips_are_known_however_their_paths_are_spelled() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, clips: &[(&str, &str, bool)]| [report(folder.path(), name, clips)];
        let one = at("1", &[("clips/sit/x.mp4", "g", true), ("clips/walk/x.mp4", "h", true)]);
        let other = at("2", &[("/data/walk/x.mp4", "h", true), ("r/../clips/sit/x.mp4", "g", false)]);
        let found = side_by_side(&one, &other, &BootstrapSettings::default()).unwrap();
        assert!((found.second - 0.5).abs() < 1e-9, "{found:?}");
        // Of two persons' folders, the last two names tell nothing.
        let same = [("a/walk/x.mp4", "g", true), ("b/walk/x.mp4", "h", false)];
        let found = side_by_side(&at("3", &same), &at("4", &same), &BootstrapSettings::default()).unwrap();
        assert!((found.first - 0.5).abs() < 1e-9 && found.interval.clips == 2, "{found:?}");
        let folds = |names: [&str; 2]| {
            let fold = |(name, clip): (&str, &(&str, &str, bool))| report(folder.path(), name, &[*clip]);
            names.into_iter().zip(&same).map(fold).collect::<Vec<_>>()
        };
        let settings = BootstrapSettings::default();
        let found = side_by_side(&folds(["5", "6"]), &folds(["7", "8"]), &settings).unwrap();
        assert_eq!(found.interval.clips, 2, "one fold each");
    }

    #[test]
    fn other_clips_and_other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let one = report(folder.path(), "1", &[("x", "g", true), ("y", "h", true)]);
        let less = report(folder.path(), "2", &[("x", "g", true)]);
        let settings = BootstrapSettings::default();
        let error = side_by_side(std::slice::from_ref(&one), &[less], &settings).unwrap_err().to_string();
        assert_eq!(error, "y: judged by the first side only; both need reports of the same clips");
        let text = folder.path().join("no.json");
        std::fs::write(&text, "{}").unwrap();
        let error = side_by_side(&[one], &[text], &settings).unwrap_err().to_string();
        assert!(error.contains("missing field `predictions`"), "{error}");
        assert!(error.ends_with("what `tsm eval --json FILE` wrote"), "{error}");
    }
}
