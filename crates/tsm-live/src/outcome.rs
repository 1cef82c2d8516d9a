//! How a run ends: whole, with a stream given up, or early for a reason.

use std::io;

use tsm_ingest::SourceError;
use tsm_model::StepError;

use crate::preprocess::PreprocessError;
use crate::summary::Summary;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// A source cannot be used, or is damaged from some frame on.
    #[error("{0}")]
    Source(#[source] SourceError),
    /// A live source did not come back.
    #[error("stream {stream} ({name}) did not come back in {}: {reason}", counted(*attempts))]
    GivenUp {
        /// The stream.
        stream: usize,
        /// Its source, without password.
        name: String,
        /// Attempts made.
        attempts: u32,
        /// What the last one met.
        reason: String,
    },
    /// The network failed.
    #[error("{0}")]
    Step(#[from] StepError),
    /// A picture could not be read.
    #[error("{name}: {source}")]
    Preprocess {
        /// The source it came from, without password.
        name: String,
        /// What is wrong with it.
        source: PreprocessError,
    },
    /// Probabilities that are none: the run would go on with labels that mean nothing.
    #[error(
        "{name}: the model's outputs are no numbers (infinite or NaN): its weights overflow; leave --data-type f16 out \
         if it is given, else give another --model"
    )]
    NotFinite {
        /// The source of the first such frame, without password.
        name: String,
    },
    /// A thread could not be started.
    #[error("no thread could be started: {0}")]
    Thread(#[source] io::Error),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
}

/// How a run that did not fail ended.
#[derive(Debug)]
pub struct Finished {
    /// Counts and latencies.
    pub summary: Summary,
    /// A stream that was given up while others went on.
    pub given_up: Option<LiveError>,
    /// Whether somebody still reads what we write.
    pub output: OutputEnd,
}

/// Whether somebody still reads what we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputEnd {
    /// Everything was written.
    Open,
    /// The reader went away; nothing to complain about, nobody to tell.
    BrokenPipe,
}

/// `1 attempt`, `2 attempts`.
fn counted(attempts: u32) -> String {
    let plural = if attempts == 1 { "" } else { "s" };
    format!("{attempts} attempt{plural}")
}
