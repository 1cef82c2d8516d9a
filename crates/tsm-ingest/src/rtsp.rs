//! Settings of `rtspsrc` that depend on the address and the options.
//!
//! The line it stands for is `pipelines/rtsp-tcp.launch`; credentials go in as properties, never as text.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

/// Sets credentials and timeouts, and asks for the video stream only.
pub(crate) fn configure(
    pipeline: &gst::Pipeline,
    credentials: Option<(&str, &str)>,
    connect_timeout: Duration,
) {
    let source = pipeline.by_name("source").expect("the rtsp templates name their source");
    if let Some((user, password)) = credentials {
        source.set_property("user-id", user);
        source.set_property("user-pw", password);
    }
    let micros = u64::try_from(connect_timeout.as_micros()).unwrap_or(u64::MAX).max(1);
    source.set_property("tcp-timeout", micros);
    source.set_property("timeout", micros);
    source.connect("select-stream", false, |values| {
        let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        let media = caps.as_ref().and_then(|c| c.structure(0)).and_then(|s| s.get::<String>("media").ok());
        Some((media.as_deref() == Some("video")).to_value())
    });
}
