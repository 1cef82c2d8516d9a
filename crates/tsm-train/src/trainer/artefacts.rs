//! The folder beside the model: saves to go on from, and what a run shows of itself.
//!
//! | file | what |
//! |---|---|
//! | `last.safetensors` | the run, to go on from |
//! | `best.safetensors` | the model of the best validation |
//! | `config.toml` | every choice |
//! | `log.csv`, `curves.svg`, `events.out.tfevents.*` | the epochs |
//! | `validation.json`, `confusion.svg`, `README.md` | the model that was made |

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::TrainError;
use crate::output_folder::FolderLock;
use crate::report::{
    EVENTS, EpochRecord, EventWriter, FOLDER_ENDING, History, LogStart, ReportError, SETTINGS, curves_svg,
    write_atomically,
};
use crate::run_state::RunRecord;

/// Everything of a run but its choices, its save and its event files.
const OF_A_RUN: [&str; 6] =
    ["best.safetensors", "log.csv", "curves.svg", "validation.json", "confusion.svg", CARD];

/// The model card: the last file that a run writes, after the model itself.
const CARD: &str = "README.md";

/// A folder of this layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder beside `model`: `model.safetensors` has `model-report`.
    pub fn beside(model: &Path) -> Self {
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        Self(model.with_file_name(format!("{stem}{FOLDER_ENDING}")))
    }

    /// Makes the folder where it is missing and takes it for this run alone.
    ///
    /// # Errors
    /// [`TrainError::InUse`] while another run has it, or if the file system refuses.
    pub fn take(&self) -> Result<FolderLock, TrainError> {
        let refused = |source| ReportError::Write { path: self.0.clone(), source };
        let taken = FolderLock::take(&self.0).map_err(refused)?;
        taken.ok_or_else(|| TrainError::InUse { folder: self.0.clone() })
    }

    /// The same of a folder that is there: before a run looks at what an earlier one has left in it.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_if_there(&self) -> Result<Option<FolderLock>, TrainError> {
        self.0.is_dir().then(|| self.take()).transpose()
    }

    /// Clears what killed runs left of their saves.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn sweep(&self) -> Result<(), TrainError> {
        for path in self.files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && name.ends_with(".partial") {
                // What a killed run left of a save; if it cannot be removed, it only takes room.
                let _kept = std::fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Takes an earlier run's files away: a new run that is killed before its first save must not go on from them, and
    /// what it shows must not be mixed with theirs.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn forget_run(&self) -> Result<(), TrainError> {
        let refused = |path: &Path, source| ReportError::Write { path: path.to_owned(), source };
        // First of all: without its other files an old run must not be gone on from.
        match std::fs::remove_file(self.last()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(refused(&self.last(), source).into());
            }
            _ => {}
        }
        for path in self.files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if OF_A_RUN.contains(&&*name) || name.starts_with(EVENTS) {
                std::fs::remove_file(&path).map_err(|source| refused(&path, source))?;
            }
        }
        Ok(())
    }

    /// What lies in the folder.
    fn files(&self) -> Result<Vec<PathBuf>, TrainError> {
        let refused = |source| ReportError::Write { path: self.0.clone(), source };
        let entries = std::fs::read_dir(&self.0).map_err(refused)?;
        let paths: Result<_, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        Ok(paths.map_err(refused)?)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run, to go on from.
    pub fn last(&self) -> PathBuf {
        self.0.join("last.safetensors")
    }

    /// The model of the best validation.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// Writes a file of the report.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        Ok(write_atomically(&self.0.join(name), bytes)?)
    }

    /// Writes every choice, as TOML.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn write_settings(&self, settings: &str) -> Result<(), TrainError> {
        self.write(SETTINGS, settings.as_bytes())
    }

    /// Where the choices of the run are written.
    pub fn settings(&self) -> PathBuf {
        self.0.join(SETTINGS)
    }

    /// The name of the model whose report lies here, as its choices say.
    pub fn owner(&self) -> Option<PathBuf> {
        let settings: toml::Table = std::fs::read_to_string(self.settings()).ok()?.parse().ok()?;
        Path::new(settings.get("output")?.as_str()?).file_name().map(PathBuf::from)
    }

    /// Whether somebody else's files lie here: a run writes its choices before all others.
    pub fn is_foreign(&self) -> bool {
        let is_seen =
            |path: &PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        let has_files = || self.files().is_ok_and(|files| files.iter().any(is_seen));
        !self.has_settings() && !self.last().exists() && has_files()
    }

    /// Whether a run has begun here: its choices are written first of all.
    pub fn has_settings(&self) -> bool {
        self.settings().is_file()
    }

    /// Writes the model card.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn write_card(&self, card: &str) -> Result<(), TrainError> {
        self.write(CARD, card.as_bytes())
    }

    /// Whether the run that was saved here has written its model, to `output`: its card is the last file of all, and
    /// where that has been moved away the model is newer than the save.
    pub fn is_concluded(&self, output: &Path) -> bool {
        let written = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
        let is_newer =
            || written(output).zip(written(&self.last())).is_some_and(|(model, save)| model >= save);
        self.0.join(CARD).is_file() || is_newer()
    }

    /// Writes the epochs so far, if any, as table and curves.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn write_history(&self, record: &RunRecord) -> Result<(), TrainError> {
        if record.history.is_empty() {
            return Ok(());
        }
        let mut history = History::default();
        for epoch in &record.history {
            history.push(*epoch)?;
        }
        history.write(&self.0.join("log.csv"))?;
        self.write("curves.svg", curves_svg("Training", &history, record.best.as_ref())?.as_bytes())
    }

    /// Opens the event file of a run that begins, or goes on after `step`.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn events(&self, resumed_after: Option<usize>) -> Result<EventWriter, TrainError> {
        let start = match resumed_after {
            Some(step) => LogStart::ResumedAfter { step: step as u64 },
            None => LogStart::Fresh,
        };
        Ok(EventWriter::create(&self.0, start, SystemTime::now())?)
    }
}

/// The figures of an epoch as event scalars.
#[expect(clippy::cast_possible_truncation, reason = "event files hold single precision")]
pub(super) fn scalars(epoch: &EpochRecord) -> Vec<(&'static str, f32)> {
    let always = [
        ("train/loss", Some(epoch.train_loss)),
        ("train/top1", Some(epoch.train_top1)),
        ("train/lr", Some(epoch.lr)),
        ("validation/loss", epoch.valid_loss),
        ("validation/top1", epoch.valid_top1),
        ("validation/mean_class_accuracy", epoch.valid_mean_class),
    ];
    always.into_iter().filter_map(|(name, value)| Some((name, value? as f32))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_have_one_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::beside(&root.path().join("m.safetensors"));
        assert!(folder.take_if_there().unwrap().is_none() && !folder.path().exists());
        let held = folder.take().unwrap();
        for again in [folder.take().map(Some), folder.take_if_there()] {
            assert!(matches!(again, Err(TrainError::InUse { .. })), "{again:?}");
        }
        drop(held);
        assert!(folder.take_if_there().unwrap().is_some());
    }

    #[test]
    fn a_new_run_finds_nothing_of_an_old_one_but_its_choices() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::beside(&root.path().join("m.safetensors"));
        let _held = folder.take().unwrap();
        let event = format!("{EVENTS}1.old");
        for name in OF_A_RUN.into_iter().chain(["last.safetensors", SETTINGS, "notes.txt", event.as_str()]) {
            folder.write(name, b"old").unwrap();
        }
        folder.forget_run().unwrap();
        let mut left: Vec<_> = folder.files().unwrap();
        left.sort();
        assert_eq!(left, [SETTINGS, "notes.txt"].map(|name| folder.path().join(name)));
    }
}
