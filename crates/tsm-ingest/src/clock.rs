//! The one place where this crate asks for the time: the moment a frame arrives.
//!
//! Waiting is done on `GStreamer`'s bus, which has its own timeouts, so nothing here sleeps.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Stamps an arrival.
#[expect(
    clippy::disallowed_methods,
    reason = "the arrival of a frame is a fact about the outside world; the runtime's clock starts from this stamp"
)]
pub(crate) fn arrival_now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1900-01-01, the epoch of NTP (RFC 5905, section 6), on this machine's wall clock.
pub(crate) fn ntp_now_nanos() -> i128 {
    /// From 1900 to 1970: 70 years of which 17 were leap years.
    const NTP_TO_UNIX_SECS: i128 = 2_208_988_800;
    let since_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since_unix.as_nanos()).unwrap_or(i128::MAX / 2) + NTP_TO_UNIX_SECS * 1_000_000_000
}
