//! Cameras that send one JPEG after the other over HTTP (`multipart/x-mixed-replace`: ESP32-CAM, phones as cameras).
//!
//! ```text
//!  http ── multipartdemux ── the first part's pad ──> decodebin goes on at once
//! ```
//!
//! `decodebin` waits until a demuxer says that there are no more streams, which this one says at the end alone, and
//! such a stream has none. Nor do its pictures have times: that of their arrival is the only one there is.

use gstreamer as gst;
use gstreamer::prelude::*;

/// Lets a demuxer that `decodebin` is going to add have one stream, with times.
pub(crate) fn shorten(pipeline: &gst::Pipeline) {
    pipeline.connect_deep_element_added(|bin, _, element| {
        if !is_a(element, "multipartdemux") {
            return;
        }
        element.set_property("single-stream", true);
        for source in bin.iterate_recurse().into_iter().flatten().filter(|e| is_a(e, "souphttpsrc")) {
            source.set_property("do-timestamp", true);
        }
    });
}

fn is_a(element: &gst::Element, factory_name: &str) -> bool {
    element.factory().is_some_and(|factory| factory.name() == factory_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demuxer_in_a_bin_has_one_stream_and_its_source_a_clock() {
        crate::init().unwrap();
        let pipeline = gst::Pipeline::new();
        shorten(&pipeline);
        let bin = gst::Bin::new();
        pipeline.add(&bin).unwrap();
        let made = |name| gst::ElementFactory::make(name).build().unwrap();
        let (source, demuxer) = (made("souphttpsrc"), made("multipartdemux"));
        bin.add(&source).unwrap();
        bin.add(&demuxer).unwrap();
        assert!(demuxer.property::<bool>("single-stream") && source.property::<bool>("do-timestamp"));
    }
}
