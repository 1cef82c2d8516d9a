//! The real program on real video: one binary, a topic a file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the rig watches other processes: it waits by the real clock")]

mod bad_input;
mod decision;
mod files;
mod gpu_build;
mod help;
mod http;
mod model_files;
mod pictures;
mod processors;
mod rtsp;
mod scripts;
mod stopping;
mod tidiness;
mod training;
mod unusual_files;
mod webcam;
mod window;
