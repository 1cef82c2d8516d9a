//! What `tsm selftest` shows: on this machine and this device the networks compute what they should, and how fast.
//!
//! ```text
//!              ┌─ golden.rs      outputs recorded from the reference on a CPU
//!              ├─ operations.rs  preprocessing and shift = the scalar functions, to the bit
//!              ├─ laws.rs        streaming = causal clip, a stream alone = in a batch, reset = fresh
//! Device ─ run ┼─ twin.rs        this device = the reference on this CPU
//!              ├─ latency.rs     what a step of 1, 8, 64, 256 streams costs
//!              ├─ training.rs    twenty steps, a loss that falls
//!              └─ drift.rs       thousands of frames later still the same
//!                   └─► an event at a time, with the Report so far, to whoever watches
//! ```
//!
//! What takes long comes last, and the report is whole at every event: a run that is cut off has shown what it could.
//!
//! Weights and frames are made up from a seed, so that nothing has to be carried along; one check runs the built-in
//! model. It knows no video and no command line, and needs neither network nor file.

#![forbid(unsafe_code)]

mod clock;
mod drift;
mod error;
mod finding;
pub mod golden;
mod latency;
mod laws;
mod machine;
pub mod made_up;
mod memory;
mod operations;
mod plan;
mod report;
mod runner;
mod step_times;
mod streamed;
mod training;
mod twin;

pub use error::SelftestError;
pub use latency::{Latency, Measured};
pub use machine::Machine;
pub use plan::{DataType, Plan, Scope};
pub use report::{Check, Event, Report, Running, Verdict};
pub use runner::run;
pub use step_times::StepTimes;
