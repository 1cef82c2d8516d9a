//! The supervisors' threads: started together, stopped together.
//!
//! A supervisor may be inside a driver that does not answer; a stop waits for it a moment and then
//! leaves it behind, because the process ends anyway.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tsm_ingest::SourceError;

use crate::supervisor::{Never, Notice, Supervisor};

/// How long a stop waits for the sources: they answer within a tick and a pipeline stops in 0.1 s, but
/// a camera's driver was seen to hold its thread for half a minute.
const PATIENCE: Duration = Duration::from_millis(500);

/// Running supervisors.
#[derive(Debug)]
pub(crate) struct Crew {
    /// Dropped to stop them.
    stop: Sender<Never>,
    /// What supervisors listen to.
    stopped: Receiver<Never>,
    /// Closes when the last one is gone.
    gone: Receiver<Never>,
    at_work: Sender<Never>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Nobody at work yet.
    pub(crate) fn new() -> Self {
        let (stop, stopped) = bounded(0);
        let (at_work, gone) = bounded(0);
        Self { stop, stopped, gone, at_work, threads: Vec::new() }
    }

    /// What a supervisor listens to: it closes at the stop.
    pub(crate) fn stopped(&self) -> Receiver<Never> {
        self.stopped.clone()
    }

    /// Puts a supervisor to work on the thread `tsm-source-N`.
    ///
    /// # Errors
    /// If the system has no thread.
    pub(crate) fn start(&mut self, supervisor: Supervisor) -> io::Result<()> {
        let (stream, notices, at_work) =
            (supervisor.stream, supervisor.notices.clone(), self.at_work.clone());
        let thread = std::thread::Builder::new().name(format!("tsm-source-{stream}")).spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| supervisor.run())).is_err() {
                let message = format!("stream {stream}: the program failed on this source; please report it");
                // The run may be over already.
                let _closed = notices.send(Notice::Failed { stream, error: SourceError::Other { message } });
            }
            drop(at_work);
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Stops all of them.
    pub(crate) fn stop(self) {
        let Self { stop, gone, at_work, threads, .. } = self;
        drop((stop, at_work));
        if matches!(gone.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected)) {
            for thread in threads {
                // Panics were caught and told inside.
                let _ended = thread.join();
            }
        } else {
            tracing::warn!("a source does not answer; it is left behind");
        }
    }
}
