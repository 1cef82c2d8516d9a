//! Labels for people: one line that lives on a terminal, plain lines otherwise.
//!
//! ```text
//! living   climb stairs  ██████████████░░░░░░  71 %   11.9 fps   18 ms
//! plain    [0] 1250 ms  climb stairs  71 %
//! ```

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Sink;
use super::jsonl::label;
use crate::clock::{self, millis};
use crate::report::{FrameReport, SourceReport};

/// Cells of the probability bar.
const BAR_CELLS: usize = 20;

/// Cells of a label where several streams share the line.
const SHARED_LABEL_CELLS: usize = 18;

/// Room for a line from the start.
const USUAL_LINE_BYTES: usize = 512;

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub enum TextStyle {
    /// One line that is written over.
    Living {
        /// Tells how many cells the terminal has now; it may be resized.
        width_cells: fn() -> usize,
    },
    /// A line a frame.
    Plain,
}

/// Writes text for people.
pub struct Text<W> {
    out: W,
    labels: Arc<[String]>,
    style: TextStyle,
    streams: Vec<Shown>,
    /// The line being made.
    line: String,
    is_line_open: bool,
}

/// What is shown of a stream.
#[derive(Debug, Clone, Default)]
struct Shown {
    label: String,
    percent: f32,
    latency: Duration,
    /// Mean time between labels, over about ten of them.
    interval_secs: f64,
    /// Intervals seen.
    intervals: u32,
    last: Option<Instant>,
    state: Option<&'static str>,
}

impl<W> std::fmt::Debug for Text<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("style", &self.style).finish_non_exhaustive()
    }
}

impl<W: Write> Text<W> {
    /// Writes to `out` about `streams` streams, with one label a class.
    pub fn new(out: W, labels: Arc<[String]>, style: TextStyle, streams: usize) -> Self {
        // Room for every label from the start: no frame has to wait for more.
        let longest = labels.iter().map(String::len).max().unwrap_or(0);
        let shown = || Shown { label: String::with_capacity(longest), ..Shown::default() };
        let streams = std::iter::repeat_with(shown).take(streams).collect();
        Self {
            out,
            labels,
            style,
            streams,
            line: String::with_capacity(USUAL_LINE_BYTES),
            is_line_open: false,
        }
    }

    fn plain(&mut self, report: &FrameReport) -> io::Result<()> {
        let decision = &report.decision;
        let name = label(&self.labels, decision.class);
        let (stream, pts, percent) = (report.stream, millis(report.pts), decision.confidence * 100.0);
        writeln!(self.out, "[{stream}] {pts:9.0} ms  {name}  {percent:.0} %")?;
        self.out.flush()
    }

    fn update(&mut self, report: &FrameReport) {
        let now = clock::now();
        let Some(shown) = self.streams.get_mut(report.stream) else { return };
        label(&self.labels, report.decision.class).clone_into(&mut shown.label);
        shown.percent = report.decision.confidence * 100.0;
        shown.latency = now.saturating_duration_since(report.latency.arrival);
        shown.state = None;
        if let Some(last) = shown.last.replace(now) {
            let interval_secs = now.saturating_duration_since(last).as_secs_f64();
            shown.intervals = shown.intervals.saturating_add(1);
            // The first labels come in a clump: a plain mean of them, then a memory of about ten.
            let weight = (1.0 / f64::from(shown.intervals)).max(0.1);
            shown.interval_secs += weight * (interval_secs - shown.interval_secs);
        }
    }

    fn redraw(&mut self, width_cells: usize) -> io::Result<()> {
        self.line.clear();
        // A string takes everything.
        let _written = match self.streams.as_slice() {
            [only] => only.write_alone(&mut self.line),
            several => write_several(several, &mut self.line),
        };
        if let Some((end, _)) = self.line.char_indices().nth(width_cells.saturating_sub(1)) {
            self.line.truncate(end);
        }
        self.is_line_open = true;
        write!(self.out, "\r\x1b[2K{}", self.line)?;
        self.out.flush()
    }
}

fn write_several(streams: &[Shown], line: &mut String) -> fmt::Result {
    streams.iter().enumerate().try_for_each(|(number, shown)| {
        line.push_str(if number == 0 { "" } else { "  " });
        shown.write_among(number, line)
    })
}

impl Shown {
    fn write_alone(&self, line: &mut String) -> fmt::Result {
        if let Some(state) = self.state {
            return write!(line, "({state})");
        }
        let (bar, percent) = (Bar { full_cells: full_cells(self.percent) }, self.percent);
        let hz = if self.intervals == 0 { 0.0 } else { 1.0 / self.interval_secs.max(1e-4) };
        let latency = millis(self.latency);
        write!(line, "{:<28.28} {bar} {percent:3.0} %  {hz:5.1} fps  {latency:4.0} ms", self.label)
    }

    fn write_among(&self, stream: usize, line: &mut String) -> fmt::Result {
        if let Some(state) = self.state {
            return write!(line, "[{stream}] ({state})");
        }
        write!(line, "[{stream}] {:.SHARED_LABEL_CELLS$} {:.0} %", self.label, self.percent)
    }
}

/// The probability as a bar.
struct Bar {
    full_cells: usize,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..BAR_CELLS).try_for_each(|cell| f.write_char(if cell < self.full_cells { '█' } else { '░' }))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0 to 20"
)]
fn full_cells(percent: f32) -> usize {
    (percent / 100.0 * BAR_CELLS as f32).round().clamp(0.0, BAR_CELLS as f32) as usize
}

impl<W: Write + Send> Sink for Text<W> {
    fn frame(&mut self, report: &FrameReport) -> io::Result<()> {
        match self.style {
            TextStyle::Plain => self.plain(report),
            TextStyle::Living { width_cells } => {
                self.update(report);
                self.redraw(width_cells())
            }
        }
    }

    /// Makes room for the line that the source log writes.
    fn source(&mut self, report: &SourceReport) -> io::Result<()> {
        if let TextStyle::Living { .. } = self.style {
            if let Some(shown) = self.streams.get_mut(report.stream) {
                shown.state = Some(report.state.name());
            }
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_line_open) {
            writeln!(self.out)?;
        }
        self.out.flush()
    }
}
