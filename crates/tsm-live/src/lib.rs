//! Live action recognition: frames of cameras and files in, a label for every frame out.
//!
//! ```text
//! tsm-ingest ─ Frame ─ intake ─[1]─ runtime: preprocess ─ step ─ decision ─[64]─ writer ─ sinks
//! ```
//!
//! [`run`] is the door: it takes a model, sources, settings and sinks, and returns when the sources
//! end or a stop is asked for. It knows no command line.

#![forbid(unsafe_code)]

mod backoff;
mod batch;
mod clock;
mod connection;
mod crew;
pub mod decision;
mod histogram;
mod intake;
mod motion_reach;
mod newest_frame;
mod outcome;
mod preprocess;
pub mod report;
mod run_ahead;
mod runtime;
mod sampler;
pub mod settings;
pub mod sinks;
mod staleness;
mod stream;
mod summary;
mod supervisor;
mod viewer;
mod writer;

pub use histogram::DurationHistogram;
pub use motion_reach::MotionReach;
pub use outcome::{Finished, LiveError, OutputEnd};
pub use preprocess::{PreprocessError, Preprocessor, UprightShape, picture_of};
pub use runtime::run;
pub use sampler::{Admission, FrameSampler, SampleRate};
pub use staleness::StalenessGuard;
pub use summary::Summary;
pub use viewer::{Viewer, Window};
