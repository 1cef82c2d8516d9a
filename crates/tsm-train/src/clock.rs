//! The one place where this crate reads the clock: how long a run takes and waits for clips, and when it saves again.
//!
//! No value of a batch and no step depends on it.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
