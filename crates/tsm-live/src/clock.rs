//! The one place that reads the monotonic clock.
//!
//! Everything that judges time (sampler, staleness, backoff, health) takes instants as arguments,
//! so that its tests jump instead of waiting.

use std::time::{Duration, Instant};

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
