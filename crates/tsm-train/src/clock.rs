//! The one place where this crate reads the clock: how long the model waited for data.
//!
//! No value of a batch depends on it.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
