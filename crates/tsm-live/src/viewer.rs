//! The window's side of a run: pictures and labels for somebody who looks.

use tsm_ingest::Frame;

use crate::decision::Decision;

/// Shows labelled frames; called on the model's thread, so it must not wait.
pub trait Viewer {
    /// Shows a frame of `stream` and what it is said to be.
    fn show(&mut self, stream: usize, frame: &Frame, decision: &Decision) -> Window;
}

/// Whether somebody still looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Go on.
    Open,
    /// The window was closed: the run ends.
    Closed,
}
