//! Gives the pictures of a GIF the times its demuxer read.
//!
//! ```text
//!  avdemux_gif ──(0.00, 0.03, 0.07 s)──> avdec_gif ──(0, 0, 0)──> probe ──(0.00, 0.03, 0.07 s)──>
//! ```
//!
//! The decoder takes every picture's time for the first one's (`GStreamer` 1.22). A GIF keeps its order, so times are
//! handed over first in, first out. Other decoders reorder, and keep their times themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Carries times past the decoder between these pads.
pub(super) fn keep(sink: &gst::Pad, src: &gst::Pad) {
    let times: Arc<Mutex<VecDeque<Option<gst::ClockTime>>>> = Arc::default();
    let incoming = Arc::clone(&times);
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            incoming.lock().unwrap_or_else(PoisonError::into_inner).push_back(buffer.pts());
        }
        gst::PadProbeReturn::Ok
    });
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let time = times.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten();
        if let (Some(buffer), Some(time)) = (info.buffer_mut(), time) {
            buffer.make_mut().set_pts(time);
        }
        gst::PadProbeReturn::Ok
    });
}
