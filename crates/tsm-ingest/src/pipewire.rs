//! Keeps a `PipeWire` camera connected while the pipeline behind it is still being put together.
//!
//! ```text
//!  pipewiresrc ──> peer ──> decodebin (links its pads when the first picture is there)
//!              ✗<── RECONFIGURE ──┘
//! ```
//!
//! Every new link downstream sends RECONFIGURE upstream. `pipewiresrc` (0.3.65) answers it by leaving the camera and
//! connecting again: the second connection often gives no picture, and pictures of the first one lose their memory
//! while they are being read. The caps are fixed by `capsfilter name=mode`, so there is nothing to negotiate again.

use gstreamer as gst;
use gstreamer::prelude::*;

/// Shields every `pipewiresrc` of the pipeline.
pub(crate) fn shield(pipeline: &gst::Pipeline) {
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        if element.factory().is_some_and(|factory| factory.name() == "pipewiresrc") {
            shield_source(&element);
        }
    }
}

/// Drops RECONFIGURE at the peer of the source's pad: at the pad itself it has already taken effect.
fn shield_source(source: &gst::Element) {
    let Some(peer) = source.static_pad("src").and_then(|pad| pad.peer()) else { return };
    peer.add_probe(gst::PadProbeType::EVENT_UPSTREAM, |_, info| {
        match info.event().map(|event| event.type_()) {
            // Not `Drop`: gstreamer-rs and GStreamer would both release the event.
            Some(gst::EventType::Reconfigure) => gst::PadProbeReturn::Handled,
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a RECONFIGURE from the sink reaches the source.
    fn is_reconfigured(prepare: impl Fn(&gst::Element)) -> bool {
        crate::init().unwrap();
        let pipeline =
            gst::parse::launch("videotestsrc name=source ! capsfilter ! fakesink name=sink").unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("source").unwrap();
        prepare(&source);
        let pad = source.static_pad("src").unwrap();
        pipeline.set_state(gst::State::Paused).unwrap();
        let (paused, _, _) = pipeline.state(gst::ClockTime::from_seconds(10));
        paused.unwrap();
        pad.check_reconfigure();
        pipeline
            .by_name("sink")
            .unwrap()
            .static_pad("sink")
            .unwrap()
            .push_event(gst::event::Reconfigure::new());
        let is_reconfigured = pad.needs_reconfigure();
        pipeline.set_state(gst::State::Null).unwrap();
        is_reconfigured
    }

    #[test]
    fn a_new_link_downstream_does_not_disconnect_the_camera() {
        assert!(is_reconfigured(|_source| {}));
        assert!(!is_reconfigured(shield_source));
    }
}
