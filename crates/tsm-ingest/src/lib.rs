//! Frames from webcams, RTSP cameras and files, through `GStreamer`.
//!
//! ```text
//!  "rtsp://…" ── Source ──> launch template ──> GStreamer pipeline ── appsink ──> on_frame(Frame)
//!                (source.rs)  (pipelines/*.launch)      │
//!                                                       └── bus ──> next_event(): end, failure
//! ```
//!
//! A [`Source`] says where pictures come from, a [`Session`] is the life of one pipeline, a
//! [`Frame`] is one decoded picture as the decoder left it, with its layout and its times.
//! This crate knows no tensors and no labels, and it never retries: a supervisor starts the next session.
//!
//! ```no_run
//! use std::time::Duration;
//! use tsm_ingest::{Flow, Session, SessionEvent, SessionOptions, Source};
//!
//! let source = Source::parse("test:")?;
//! let session = Session::start(&source, &SessionOptions::default(), |frame| {
//!     assert_eq!(frame.format().width_px, 640);
//!     Flow::Continue
//! })?;
//! while let None = session.next_event(Duration::from_secs(1)) {}
//! # Ok::<(), tsm_ingest::SourceError>(())
//! ```

#![forbid(unsafe_code)]

mod clock;
mod colour;
mod decoder_threads;
mod decoders;
mod devices;
mod direct_rendering;
mod element_ranks;
mod error;
mod fault;
mod file;
mod frame;
mod frame_format;
mod hardware;
mod library;
mod mistyped;
mod multipart;
mod pipeline;
mod pipewire;
mod preview;
mod probe;
mod redact;
mod rtsp;
mod session;
mod shown_duration;
mod shutdown;
mod sink_caps;
mod source;
mod template;
mod webcam;

pub use decoders::{DecoderStatus, decoders};
pub use devices::{Camera, CameraApi, Mode, cameras};
pub use error::SourceError;
pub use frame::{ComponentView, Continuity, Frame, Pts};
pub use frame_format::{ColourMatrix, ColourRange, FrameFormat, Orientation, PixelLayout};
pub use library::{gstreamer_version, init};
pub use preview::{Preview, PreviewError};
pub use probe::{CaptureClock, ProbeReport, probe};
pub use redact::redacted;
pub use session::{Flow, Liveness, Pace, Session, SessionEvent, SessionOptions, Transport};
pub use shown_duration::ShownDuration;
pub use source::{CameraSelector, CustomPipeline, MediaUri, RtspAddress, Source};
