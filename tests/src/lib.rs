//! The rig of the integration tests: the current `tsm`, real media, a real RTSP camera.
//!
//! ```text
//! topics/*.rs ─┬─ program.rs      builds tsm, runs it, collects its lines, signals it
//!              ├─ media.rs        clips of several codecs, made by ffmpeg and GStreamer
//!              ├─ rtsp_camera.rs  a gst-rtsp-server in a process of its own, to be frozen or killed
//!              ├─ scripted_server.rs  answers RTSP and sends nothing
//!              ├─ http_server.rs  a camera that sends JPEGs over HTTP, or a file
//!              ├─ pipewire.rs     a virtual webcam
//!              └─ shared.rs       reference data, where it is
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the rig watches other processes: it waits by the real clock")]

pub mod http_server;
pub mod media;
pub mod pipewire;
pub mod program;
pub mod rtsp_camera;
pub mod scripted_server;
pub mod shared;
