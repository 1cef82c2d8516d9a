//! Laws that hold for any weights, and values that the reference code gave.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "cuda-host-twins")]
mod cuda_twins;
mod executors;
mod golden;
mod laws;
#[cfg(feature = "cuda-host-twins")]
mod ledger;
mod made_up;
mod motion;
mod still;
