//! The one place that reads the monotonic clock.
//!
//! Everything that judges time (sampler, staleness, backoff, health) takes instants as arguments, and
//! the supervisor, which waits, takes a [`Clock`], so that its tests jump instead of waiting.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::supervisor::Never;

/// What a supervisor asks for the time and waits by.
pub(crate) trait Clock: Send + Debug {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits for `wait`, but for a stop.
    fn wait(&self, wait: Duration, stop: &Receiver<Never>) -> Waited;
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The time is over.
    ToTheEnd,
    /// A stop came first.
    Stopped,
}

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        now()
    }

    fn wait(&self, wait: Duration, stop: &Receiver<Never>) -> Waited {
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Waited::ToTheEnd,
            Err(RecvTimeoutError::Disconnected) => Waited::Stopped,
            Ok(never) => match never {},
        }
    }
}

/// The time now, for waiting and latencies; never for people.
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds with microseconds behind the point, as JSON and the terminal show them.
#[expect(clippy::cast_precision_loss, reason = "exact for 285 years of microseconds")]
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
