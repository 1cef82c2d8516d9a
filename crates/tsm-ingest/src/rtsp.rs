//! Settings of `rtspsrc` that depend on the address and the options.
//!
//! The line it stands for is `pipelines/rtsp-tcp.launch`; credentials go in as properties, never as text.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::redact::redacted;

/// What the server has said it has; of it hangs which advice helps where no picture comes.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    has_video: AtomicBool,
    /// The address the source was given.
    asked: Option<String>,
}

impl Offer {
    /// Whether the server has answered with a description that names a video stream.
    pub(crate) fn has_video(&self) -> bool {
        self.has_video.load(Ordering::Relaxed)
    }

    /// Where the server has sent us instead, without credentials; `rtspsrc` follows redirections by itself and says
    /// nothing. To be asked once the element has told its fault: until then it may be changing its address.
    pub(crate) fn redirected_to(&self, source: &gst::Object) -> Option<String> {
        let now = address(source)?;
        (Some(&now) != self.asked.as_ref()).then(|| redacted(&now))
    }
}

/// The address `source` reads, if it is an `rtspsrc`.
fn address(source: &gst::Object) -> Option<String> {
    source.has_property_with_type("location", String::static_type()).then(|| source.property("location"))?
}

/// Sets credentials and timeouts, and asks for the video stream only.
pub(crate) fn configure(
    pipeline: &gst::Pipeline,
    credentials: Option<(&str, &str)>,
    connect_timeout: Duration,
) -> Arc<Offer> {
    let source = pipeline.by_name("source").expect("the rtsp templates name their source");
    if let Some((user, password)) = credentials {
        source.set_property("user-id", user);
        source.set_property("user-pw", password);
    }
    let micros = u64::try_from(connect_timeout.as_micros()).unwrap_or(u64::MAX).max(1);
    source.set_property("tcp-timeout", micros);
    source.set_property("timeout", micros);
    let offer = Arc::new(Offer { asked: address(source.upcast_ref()), ..Offer::default() });
    let noted = Arc::clone(&offer);
    source.connect("select-stream", false, move |values| {
        let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        let media = caps.as_ref().and_then(|c| c.structure(0)).and_then(|s| s.get::<String>("media").ok());
        let is_video = media.as_deref() == Some("video");
        noted.has_video.fetch_or(is_video, Ordering::Relaxed);
        Some(is_video.to_value())
    });
    offer
}
