//! The folder beside the model: saves to go on from, and what a run shows of itself.
//!
//! | file | what |
//! |---|---|
//! | `last.safetensors` | the run, to go on from |
//! | `best.safetensors` | the model of the best validation |
//! | `config.toml` | every choice |
//! | `log.csv`, `curves.svg`, `events.out.tfevents.*` | the epochs |
//! | `validation.json`, `confusion.svg`, `README.md` | the model that was made |

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::TrainError;
use crate::report::{EpochRecord, EventWriter, History, LogStart, ReportError, curves_svg, write_atomically};
use crate::run_state::RunRecord;

/// Every choice of the run.
const SETTINGS: &str = "config.toml";

/// Everything else of a run, but for its event files.
const OF_A_RUN: [&str; 7] = [
    "last.safetensors",
    "best.safetensors",
    "log.csv",
    "curves.svg",
    "validation.json",
    "confusion.svg",
    CARD,
];

/// The model card: the last file that a run writes, after the model itself.
const CARD: &str = "README.md";

/// How the names of event files begin.
const EVENTS: &str = "events.out.tfevents.";

/// Keeps other runs out of a folder while it lives; a process that dies lets go of it.
#[derive(Debug)]
pub struct RunLock {
    _folder: File,
}

/// A folder of this layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder beside `model`: `model.safetensors` has `model-report`.
    pub fn beside(model: &Path) -> Self {
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        Self(model.with_file_name(format!("{stem}-report")))
    }

    /// Makes the folder where it is missing, takes it for this run alone, and clears what killed runs left of their saves.
    ///
    /// # Errors
    /// [`TrainError::InUse`] while another run has it, or if the file system refuses.
    pub fn create(&self) -> Result<RunLock, TrainError> {
        let refused = |source| ReportError::Write { path: self.0.clone(), source };
        std::fs::create_dir_all(&self.0).map_err(refused)?;
        let folder = File::open(&self.0).map_err(refused)?;
        // Where the file system knows no locks there is none.
        if matches!(folder.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(TrainError::InUse { folder: self.0.clone() });
        }
        for entry in std::fs::read_dir(&self.0).map_err(refused)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') && name.ends_with(".partial") {
                // What a killed run left of a save; if it cannot be removed, it only takes room.
                let _kept = std::fs::remove_file(entry.path());
            }
        }
        Ok(RunLock { _folder: folder })
    }

    /// Takes an earlier run's files away: a new run that is killed before its first save must not go on from them, and
    /// what it shows must not be mixed with theirs.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn forget_run(&self) -> Result<(), TrainError> {
        let refused = |path: &Path, source| ReportError::Write { path: path.to_owned(), source };
        for entry in std::fs::read_dir(&self.0).map_err(|source| refused(&self.0, source))?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if OF_A_RUN.contains(&&*name) || name.starts_with(EVENTS) {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(|source| refused(&path, source))?;
            }
        }
        Ok(())
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

    /// Whether a run has begun here: its choices are written first of all.
    pub fn has_settings(&self) -> bool {
        self.0.join(SETTINGS).is_file()
    }

    /// Writes the model card.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn write_card(&self, card: &str) -> Result<(), TrainError> {
        self.write(CARD, card.as_bytes())
    }

    /// Whether the run that was saved here has written its model.
    pub fn is_concluded(&self) -> bool {
        self.0.join(CARD).is_file()
    }

    /// Writes the epochs so far as table and curves.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn write_history(&self, record: &RunRecord) -> Result<(), TrainError> {
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
