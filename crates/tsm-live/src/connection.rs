//! What a supervisor sees of a pipeline, so that its tests can put a script in the pipeline's place.
//!
//! ```text
//!  Supervisor ── Connector::prepared ──> Connection ── play ── next_event …   dropped: closed
//! ```

use std::time::Duration;

use tsm_ingest::{Liveness, Session, SessionEvent, SessionOptions, Source, SourceError};

use crate::intake::Intake;

/// Opens connections.
pub(crate) trait Connector: Send {
    /// Begins to open `source`; frames go to `intake`, the first after [`Connection::play`].
    ///
    /// # Errors
    /// What can be known at once.
    fn prepared(
        &self,
        source: &Source,
        options: &SessionOptions,
        intake: Intake,
    ) -> Result<Box<dyn Connection>, SourceError>;
}

/// One connection; dropping it closes it.
pub(crate) trait Connection {
    /// Whether frames come when they happen; `None` while that is not known.
    fn liveness(&self) -> Option<Liveness>;

    /// Lets the frames flow.
    ///
    /// # Errors
    /// What can be known at once.
    fn play(&self) -> Result<(), SourceError>;

    /// Waits at most `timeout` for something to happen.
    fn next_event(&self, timeout: Duration) -> Option<SessionEvent>;

    /// What to say if no frame came in `waited`.
    fn silence_fault(&self, waited: Duration) -> SourceError;
}

/// Connections through `GStreamer`.
#[derive(Debug)]
pub(crate) struct Pipelines;

impl Connector for Pipelines {
    fn prepared(
        &self,
        source: &Source,
        options: &SessionOptions,
        mut intake: Intake,
    ) -> Result<Box<dyn Connection>, SourceError> {
        let session = Session::prepared(source, options, move |frame| intake.accept(frame))?;
        Ok(Box::new(session))
    }
}

impl Connection for Session {
    fn liveness(&self) -> Option<Liveness> {
        self.liveness()
    }

    fn play(&self) -> Result<(), SourceError> {
        self.play()
    }

    fn next_event(&self, timeout: Duration) -> Option<SessionEvent> {
        self.next_event(timeout)
    }

    fn silence_fault(&self, waited: Duration) -> SourceError {
        self.silence_fault(waited)
    }
}
