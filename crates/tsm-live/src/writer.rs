//! The thread that writes: a terminal or pipe that pauses does not hold up the model.
//!
//! ```text
//! model thread ─ Report ─[64]─ writer thread ─► every sink in turn
//!      ▲                             │
//!      └────── used rankings ────────┘
//! full: the model waits, and live sources drop frames meanwhile, counted
//! ```

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};

use crate::clock;
use crate::decision::Ranking;
use crate::histogram::DurationHistogram;
use crate::report::Report;
use crate::sinks::Sink;

/// Reports between the model and the writer: a few seconds of a busy run.
const CAPACITY: usize = 64;

/// Reports that can exist at a time: the waiting ones, one being written, one being made.
const MOST_REPORTS: usize = CAPACITY + 2;

/// How long a stop waits for a sink that takes nothing.
const PATIENCE: Duration = Duration::from_millis(400);

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The writer has it.
    Yes,
    /// The writer has stopped: nobody reads any more.
    Closed,
    /// A stop was asked for while the writer took nothing.
    Stopped,
}

/// The writing thread, seen from the model's.
#[derive(Debug)]
pub(crate) struct Writer {
    reports: Option<Sender<Report>>,
    used_rankings: Receiver<Ranking>,
    done: Receiver<Written>,
    thread: Option<JoinHandle<()>>,
}

/// Why nothing more is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnding {
    /// The sources ended, or one of them failed.
    ByItself,
    /// Somebody asked for it.
    Stopped,
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
    /// Starts the thread `tsm-writer`, for rankings of `top_k` classes.
    pub(crate) fn start(mut sinks: Vec<Box<dyn Sink>>, top_k: usize) -> io::Result<Self> {
        let (reports, incoming) = bounded(CAPACITY);
        let (used, used_rankings) = bounded(MOST_REPORTS);
        // Memory for all that can be under way, so that none is taken later.
        (0..MOST_REPORTS).for_each(|_| give_back(&used, Ranking::with_capacity(top_k)));
        let (done_sender, done) = bounded(1);
        let thread = std::thread::Builder::new().name("tsm-writer".into()).spawn(move || {
            let mut written = Written::default();
            written.error = write_all(&mut sinks, &incoming, &used, &mut written.latency).err();
            // Nobody waits any more if the run gave up on us.
            let _abandoned = done_sender.send(written);
        })?;
        Ok(Self { reports: Some(reports), used_rankings, done, thread: Some(thread) })
    }

    /// The memory of a ranking that has been written.
    pub(crate) fn used_ranking(&self) -> Ranking {
        self.used_rankings.try_recv().unwrap_or_default()
    }

    /// Hands a report over; waits for room until `stop` gets a message.
    pub(crate) fn send(&self, report: Report, stop: &Receiver<()>) -> Sent {
        let Some(reports) = &self.reports else { return Sent::Closed };
        match reports.try_send(report) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Disconnected(_report)) => Sent::Closed,
            Err(TrySendError::Full(report)) => select! {
                send(reports, report) -> sent => if sent.is_ok() { Sent::Yes } else { Sent::Closed },
                recv(stop) -> _ => Sent::Stopped,
            },
        }
    }

    /// Waits for what is under way: for ever where the sources ended by themselves and somebody reads
    /// slowly, but not for long once a stop was asked for.
    pub(crate) fn finish(mut self, ending: RunEnding, stop: &Receiver<()>) -> Written {
        self.reports = None;
        let mut written = match ending {
            RunEnding::Stopped => None,
            RunEnding::ByItself => select! {
                recv(self.done) -> written => written.ok(),
                recv(stop) -> _ => None,
            },
        };
        if written.is_none() {
            written = self.done.recv_timeout(PATIENCE).ok();
        }
        let Some(written) = written else { return Written::default() };
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
    used: &Sender<Ranking>,
    latency: &mut DurationHistogram,
) -> io::Result<()> {
    for report in reports {
        for sink in &mut *sinks {
            match &report {
                Report::Frame(frame) => sink.frame(frame)?,
                Report::Source(source) => sink.source(source)?,
            }
        }
        if let Report::Frame(frame) = report {
            latency.record(clock::now().saturating_duration_since(frame.latency.arrival));
            give_back(used, frame.decision.ranking);
        }
    }
    sinks.iter_mut().try_for_each(|sink| sink.finish())
}

fn give_back(used: &Sender<Ranking>, ranking: Ranking) {
    // There is room for all of them; after the end of the run nobody needs any.
    let _closed = used.try_send(ranking);
}
