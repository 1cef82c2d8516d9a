//! What a training run leaves behind for people: numbers, curves, pictures and the model card.
//!
//! ```text
//! EpochRecord -> History -> log.csv, curves.svg
//!             -> EventWriter -> events.out.tfevents…
//! Metrics     -> confusion.svg, ModelCard -> Markdown
//! ```
//!
//! Pictures and texts are made as strings; [`write_atomically`] puts them under their path. Nothing here decides
//! what is trained or when it is written.

mod atomic_file;
mod confusion;
mod curves;
mod history;
mod ink;
mod model_card;
mod tensorboard;

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tsm_model::path_fault::why_unwritten;

pub use atomic_file::write_atomically;
pub use confusion::confusion_svg;
pub use curves::curves_svg;
pub use history::{EpochRecord, History};
pub use model_card::{DataFacts, ModelCard, ResultRow};
pub(crate) use tensorboard::EVENTS;
pub use tensorboard::{EventWriter, LogStart};

/// How a report's folder is called behind its model's name.
pub(crate) const FOLDER_ENDING: &str = "-report";

/// The file in it that holds every choice of the run.
pub(crate) const SETTINGS: &str = "config.toml";

/// Why a report could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The disk, the folder or its rights.
    #[error("{}: {}", path.display(), why_unwritten(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two records of one history are out of order.
    #[error("step {step} cannot follow step {last} in a history")]
    StepOrder {
        /// The record refused.
        step: u64,
        /// The last record there is.
        last: u64,
    },
    /// The plotting library refused.
    #[error("a picture cannot be drawn: {what}")]
    Draw {
        /// What it said.
        what: String,
    },
}
