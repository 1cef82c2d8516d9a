//! The one place of this crate that reads the clock.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "what is measured here is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
