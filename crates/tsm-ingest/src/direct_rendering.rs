//! Which decoders of libav may write pictures where the next element reads them, without a copy.
//!
//! ```text
//!  caps ──> avdec_h264: direct rendering for 8 bits alone        avdec_ffv1: never        avdec_mpeg4: always 8 bits
//! ```
//!
//! For samples that `GStreamer` has no name for (16 bits of FFV1, 9 of H.264) it takes a place of no size, and libav
//! writes behind its end: the program dies of it (seen with 1.22). All of 8 bits have names, and it is there that a
//! copy of every picture would cost.

use gstreamer as gst;
use gstreamer::prelude::*;

/// The property's name.
const PROPERTY: &str = "direct-rendering";

/// Decoders of codecs that know nothing but 8 bits.
const OF_8_BITS: [&str; 5] = ["avdec_mpeg4", "avdec_mpeg2video", "avdec_h263", "avdec_vp8", "avdec_theora"];

/// Decoders whose parsers tell the depth.
const TOLD: [&str; 2] = ["avdec_h264", "avdec_h265"];

/// Sees to the decoders that are in `pipeline`, or that `decodebin` is going to add.
pub(crate) fn limit(pipeline: &gst::Pipeline) {
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        limit_one(&element);
    }
    pipeline.connect_deep_element_added(|_, _, element| limit_one(element));
}

fn limit_one(element: &gst::Element) {
    let Some(factory) = element.factory() else { return };
    let name = factory.name();
    let is_limited = name.starts_with("avdec_") && !OF_8_BITS.contains(&name.as_str());
    if !is_limited || !element.has_property_with_type(PROPERTY, bool::static_type()) {
        return;
    }
    element.set_property(PROPERTY, false);
    if let Some(sink) = element.static_pad("sink").filter(|_| TOLD.contains(&name.as_str())) {
        sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
            if let (Some(event), Some(decoder)) = (info.event(), pad.parent_element())
                && let gst::EventView::Caps(caps) = event.view()
            {
                decoder.set_property(PROPERTY, is_of_8_bits(caps.caps()));
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Whether a parser says so of luma and chroma.
fn is_of_8_bits(caps: &gst::CapsRef) -> bool {
    let is_8 = |name| caps.structure(0).is_some_and(|s| s.get::<u32>(name) == Ok(8));
    is_8("bit-depth-luma") && is_8("bit-depth-chroma")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_of_any_depth_copy_and_those_of_8_bits_do_not() {
        crate::init().unwrap();
        let pipeline = gst::Pipeline::new();
        limit(&pipeline);
        for (name, expected) in [("avdec_ffv1", false), ("avdec_mpeg4", true), ("avdec_mjpeg", false)] {
            let decoder = gst::ElementFactory::make(name).build().unwrap();
            pipeline.add(&decoder).unwrap();
            assert_eq!(decoder.property::<bool>(PROPERTY), expected, "{name}");
        }
    }

    #[test]
    fn a_depth_that_is_told_decides() {
        crate::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let decoder = gst::ElementFactory::make("avdec_h264").build().unwrap();
        pipeline.add(&decoder).unwrap();
        limit(&pipeline);
        let sink = decoder.static_pad("sink").unwrap();
        sink.set_active(true).unwrap();
        sink.send_event(gst::event::StreamStart::new("test"));
        let told = |depth: &str| {
            let caps =
                format!("video/x-h264,stream-format=byte-stream,alignment=au,width=64,height=64{depth}");
            sink.send_event(gst::event::Caps::new(&caps.parse::<gst::Caps>().unwrap()));
            decoder.property::<bool>(PROPERTY)
        };
        assert!(!told(""), "nothing is said");
        assert!(told(",bit-depth-luma=(uint)8,bit-depth-chroma=(uint)8"));
        assert!(!told(",bit-depth-luma=(uint)9,bit-depth-chroma=(uint)9"));
    }
}
