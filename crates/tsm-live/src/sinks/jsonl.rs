//! One JSON object a line: `frame` lines for labels, `source_state` lines for live sources.

use std::io::{self, Write};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Sink;
use crate::clock::{self, millis};
use crate::report::{FrameReport, SourceReport};

/// Room for a line from the start: no frame has to wait for more, whatever the names of its top classes.
const USUAL_LINE_BYTES: usize = 4096;

/// Writes JSON Lines, flushed line by line.
pub struct JsonLines<W> {
    out: W,
    labels: Arc<[String]>,
    /// The line being made.
    line: Vec<u8>,
}

impl<W> std::fmt::Debug for JsonLines<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines").field("labels", &self.labels.len()).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct FrameLine<'a> {
    stream: usize,
    frame: u64,
    pts_millis: f64,
    label: &'a str,
    class: usize,
    confidence: f32,
    top_k: RankingLine<'a>,
    raw_label: &'a str,
    raw_class: usize,
    raw_confidence: f32,
    latency_millis: LatencyLine,
    state_age: u64,
    dropped: u64,
}

/// The ranking as an array of objects.
struct RankingLine<'a> {
    labels: &'a [String],
    ranking: &'a [(usize, f32)],
}

impl Serialize for RankingLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ranking.iter().map(|&(class, probability)| RankedLine {
            label: label(self.labels, class),
            class,
            probability,
        }))
    }
}

#[derive(Serialize)]
struct RankedLine<'a> {
    label: &'a str,
    class: usize,
    probability: f32,
}

#[derive(Serialize)]
struct LatencyLine {
    since_capture: Option<f64>,
    since_arrival: f64,
    queue: f64,
    preprocess: f64,
    model: f64,
}

#[derive(Serialize)]
struct SourceLine<'a> {
    stream: usize,
    source_state: &'static str,
    reason: Option<&'a str>,
    attempt: u32,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`, with one label a class.
    pub fn new(out: W, labels: Arc<[String]>) -> Self {
        Self { out, labels, line: Vec::with_capacity(USUAL_LINE_BYTES) }
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.out.flush()
    }
}

/// The name of a class, which every class of a model has.
pub(super) fn label(labels: &[String], class: usize) -> &str {
    labels.get(class).map_or("?", String::as_str)
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn frame(&mut self, report: &FrameReport) -> io::Result<()> {
        let labels = Arc::clone(&self.labels);
        let (decision, latency) = (&report.decision, &report.latency);
        let since_arrival = clock::now().saturating_duration_since(latency.arrival);
        self.line(&FrameLine {
            stream: report.stream,
            frame: report.frame,
            pts_millis: millis(report.pts),
            label: label(&labels, decision.class),
            class: decision.class,
            confidence: decision.confidence,
            top_k: RankingLine { labels: &labels, ranking: &decision.ranking },
            raw_label: label(&labels, decision.raw_class),
            raw_class: decision.raw_class,
            raw_confidence: decision.raw_confidence,
            latency_millis: LatencyLine {
                since_capture: latency.age_at_arrival.map(|age| millis(age + since_arrival)),
                since_arrival: millis(since_arrival),
                queue: millis(latency.queue),
                preprocess: millis(latency.preprocess),
                model: millis(latency.model),
            },
            state_age: report.state_age_steps,
            dropped: report.dropped,
        })
    }

    fn source(&mut self, report: &SourceReport) -> io::Result<()> {
        self.line(&SourceLine {
            stream: report.stream,
            source_state: report.state.name(),
            reason: report.reason.as_deref(),
            attempt: report.attempt,
        })
    }
}
