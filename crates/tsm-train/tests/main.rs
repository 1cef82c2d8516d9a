//! The learner against the reference's numbers, and runs on real clips.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mit_train_steps;
mod motion_start;
mod must_learn;
mod runs;
mod same_network;
mod shared;
