//! Where reports go: JSON Lines, text, the log of source changes.

use std::io;

use crate::report::{FrameReport, SourceReport};

mod jsonl;
mod source_log;
mod text;

pub use jsonl::JsonLines;
pub use source_log::{FirstLine, SourceLog};
pub use text::{Text, TextStyle};

/// Takes reports in the order they happen, on the writer's thread.
pub trait Sink: Send {
    /// A labelled frame.
    ///
    /// # Errors
    /// Ends the run; a broken pipe ends it quietly.
    fn frame(&mut self, report: &FrameReport) -> io::Result<()>;

    /// A change of a live source.
    ///
    /// # Errors
    /// As [`Self::frame`].
    fn source(&mut self, report: &SourceReport) -> io::Result<()>;

    /// The run is over.
    ///
    /// # Errors
    /// As [`Self::frame`].
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
