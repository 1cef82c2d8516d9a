//! Gives the pictures of a GIF the times its demuxer read.
//!
//! ```text
//!  avdemux_gif ──(0.00, 0.03, 0.07 s)──> avdec_gif ──(0, 0, 0)──> probe ──(0.00, 0.03, 0.07 s)──>
//! ```
//!
//! The decoder takes every picture's time for the first one's (`GStreamer` 1.22). A GIF keeps its order, so times are
//! handed over first in, first out; those of pictures that the decoder swallowed are passed over. Other decoders
//! reorder, and keep their times themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Pictures that a sound decoder has taken in and not given out when it gives one: it answers each at once.
const DECODER_DELAY: usize = 0;

/// The times of the pictures within the decoder.
#[derive(Debug, Default)]
struct Times(VecDeque<Option<gst::ClockTime>>);

impl Times {
    /// The time of the picture that comes out now.
    fn next(&mut self) -> Option<gst::ClockTime> {
        let swallowed = self.0.len().saturating_sub(DECODER_DELAY + 1);
        self.0.drain(..swallowed);
        self.0.pop_front().flatten()
    }
}

/// Carries times past the decoder between these pads.
pub(super) fn keep(sink: &gst::Pad, src: &gst::Pad) {
    let times: Arc<Mutex<Times>> = Arc::default();
    let incoming = Arc::clone(&times);
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            incoming.lock().unwrap_or_else(PoisonError::into_inner).0.push_back(buffer.pts());
        }
        gst::PadProbeReturn::Ok
    });
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let time = times.lock().unwrap_or_else(PoisonError::into_inner).next();
        if let (Some(buffer), Some(time)) = (info.buffer_mut(), time) {
            buffer.make_mut().set_pts(time);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swallowed_picture_keeps_its_time_to_itself() {
        let mut times = Times::default();
        let mut given = Vec::new();
        for picture in 0..5 {
            times.0.push_back(Some(gst::ClockTime::from_mseconds(picture * 100)));
            if picture != 1 && picture != 2 {
                given.push(times.next().map(gst::ClockTime::mseconds));
            }
        }
        assert_eq!(given, [Some(0), Some(300), Some(400)]);
        assert_eq!(times.next(), None);
    }
}
