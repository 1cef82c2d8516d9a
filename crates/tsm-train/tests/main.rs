//! The learner against the reference's numbers, and runs on real clips.

mod mit_train_steps;
mod shared;
