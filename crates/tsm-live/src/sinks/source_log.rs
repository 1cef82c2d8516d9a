//! A line for people each time a live source changes.
//!
//! The first `connecting` of a stream may be held back until something follows it, so that a source
//! that cannot be used leaves one line behind, the error, and not two.

use std::io::{self, Write};
use std::sync::Arc;

use super::Sink;
use crate::report::{FrameReport, SourceReport, SourceState};

/// Writes `stream 0 (rtsp://host/cam): retrying, attempt 1: no frame for 5.0 s`.
pub struct SourceLog<W> {
    out: W,
    names: Arc<[String]>,
    first_line: FirstLine,
    held: Vec<SourceReport>,
}

/// What happens to a stream's first `connecting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLine {
    /// Written at once: somebody watches.
    AtOnce,
    /// Written once the source has changed again.
    HeldBack,
}

impl<W> std::fmt::Debug for SourceLog<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceLog").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<W: Write> SourceLog<W> {
    /// Writes to `out`; `names` are the sources in order, without passwords.
    pub fn new(out: W, names: Arc<[String]>, first_line: FirstLine) -> Self {
        Self { out, names, first_line, held: Vec::new() }
    }

    fn write(&mut self, report: &SourceReport) {
        let name = self.names.get(report.stream).map_or("?", String::as_str);
        let mut text = format!("stream {} ({name}): {}", report.stream, report.state);
        if report.attempt > 0 {
            text = format!("{text}, attempt {}", report.attempt);
        }
        if let Some(reason) = &report.reason {
            text.push_str(": ");
            text.push_str(reason);
        }
        text.push('\n');
        // People's lines are talk: a closed stderr is no reason to stop labelling.
        let _closed = self.out.write_all(text.as_bytes());
    }
}

impl<W: Write + Send> Sink for SourceLog<W> {
    fn frame(&mut self, _report: &FrameReport) -> io::Result<()> {
        Ok(())
    }

    fn source(&mut self, report: &SourceReport) -> io::Result<()> {
        let is_first = report.state == SourceState::Connecting && report.attempt == 0;
        if is_first && self.first_line == FirstLine::HeldBack {
            self.held.push(report.clone());
            return Ok(());
        }
        if let Some(at) = self.held.iter().position(|held| held.stream == report.stream) {
            let held = self.held.swap_remove(at);
            self.write(&held);
        }
        self.write(report);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(first_line: FirstLine, states: &[SourceState]) -> String {
        let mut text = Vec::new();
        let mut log = SourceLog::new(&mut text, ["rtsp://cam/1".to_owned()].into(), first_line);
        for state in states {
            let report = SourceReport { stream: 0, state: *state, reason: None, attempt: 0 };
            log.source(&report).unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_source_that_never_worked_leaves_no_line_but_its_error() {
        assert_eq!(written(FirstLine::HeldBack, &[SourceState::Connecting]), "");
        let both = "stream 0 (rtsp://cam/1): connecting\nstream 0 (rtsp://cam/1): live\n";
        assert_eq!(written(FirstLine::HeldBack, &[SourceState::Connecting, SourceState::Live]), both);
        assert_eq!(written(FirstLine::AtOnce, &[SourceState::Connecting, SourceState::Live]), both);
    }
}
