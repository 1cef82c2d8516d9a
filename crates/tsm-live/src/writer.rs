//! The thread that writes: a slow terminal or pipe never holds up the model.
//!
//! ```text
//! model thread ─ Report ─[64]─ writer thread ─► every sink in turn
//! full: the model waits, and live sources drop frames meanwhile, counted
//! ```

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clock;
use crate::histogram::DurationHistogram;
use crate::report::Report;
use crate::sinks::Sink;

/// Reports between the model and the writer: a few seconds of a busy run.
const CAPACITY: usize = 64;

/// How long a stop waits for a sink that takes nothing.
const PATIENCE: Duration = Duration::from_millis(700);

/// The writing thread, seen from the model's.
#[derive(Debug)]
pub(crate) struct Writer {
    reports: Option<Sender<Report>>,
    done: Receiver<Written>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer saw.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// From a frame's arrival until its line was written.
    pub(crate) latency: DurationHistogram,
    /// Why it stopped early.
    pub(crate) error: Option<io::Error>,
}

impl Writer {
    /// Starts the thread `tsm-writer`.
    pub(crate) fn start(mut sinks: Vec<Box<dyn Sink>>) -> io::Result<Self> {
        let (reports, incoming) = bounded(CAPACITY);
        let (done_sender, done) = bounded(1);
        let thread = std::thread::Builder::new().name("tsm-writer".into()).spawn(move || {
            let mut written = Written::default();
            written.error = write_all(&mut sinks, &incoming, &mut written.latency).err();
            // Nobody waits any more if the run gave up on us.
            let _abandoned = done_sender.send(written);
        })?;
        Ok(Self { reports: Some(reports), done, thread: Some(thread) })
    }

    /// Hands a report over; false once the writer has stopped.
    pub(crate) fn send(&self, report: Report) -> bool {
        self.reports.as_ref().is_some_and(|reports| reports.send(report).is_ok())
    }

    /// Waits for what is under way, not for ever.
    pub(crate) fn finish(mut self) -> Written {
        self.reports = None;
        let Ok(written) = self.done.recv_timeout(PATIENCE) else {
            return Written::default();
        };
        if let Some(thread) = self.thread.take() {
            // It has sent its last word; a panic before that shows as the missing word.
            let _ended = thread.join();
        }
        written
    }
}

fn write_all(
    sinks: &mut [Box<dyn Sink>],
    reports: &Receiver<Report>,
    latency: &mut DurationHistogram,
) -> io::Result<()> {
    for report in reports {
        for sink in &mut *sinks {
            match &report {
                Report::Frame(frame) => sink.frame(frame)?,
                Report::Source(source) => sink.source(source)?,
            }
        }
        if let Report::Frame(frame) = &report {
            latency.record(clock::now().saturating_duration_since(frame.latency.arrival));
        }
    }
    sinks.iter_mut().try_for_each(|sink| sink.finish())
}
