//! Which of several installed decoders is to be taken, where `GStreamer`'s own order takes one that fails.
//!
//! `decodebin` tries elements by rank, and asks before it takes one ([`choose`]). `GST_PLUGIN_FEATURE_RANK` goes first:
//! an element named there keeps its rank. Nothing here decodes.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use crate::hardware::DecoderChoice;

/// Element, its rank here, and why.
fn ranks() -> [(&'static str, gst::Rank); 7] {
    [
        // Leaves pictures in memory of the Jetson's that nothing behind decodebin reads; rtsp-jetson.launch brings them
        // back.
        ("nvv4l2decoder", gst::Rank::NONE),
        // VP8 and VP9 with transparency: decodebin takes these two alone and then cannot plug them (seen with 1.22).
        // The plain decoders show the same picture without its transparency, which no model looks at.
        ("vp8alphadecodebin", gst::Rank::NONE),
        ("vp9alphadecodebin", gst::Rank::NONE),
        // These want the whole picture in one buffer and a file comes in pieces of 4096 bytes;
        // gdkpixbufdec gathers them.
        ("avdec_bmp", gst::Rank::NONE),
        ("avdec_tiff", gst::Rank::NONE),
        ("gdkpixbufdec", gst::Rank::MARGINAL),
        // Writes its own lines to stderr about a damaged file; the decoder of libav does not. See `choose`.
        ("pngdec", gst::Rank::MARGINAL - 1),
    ]
}

/// The parser that makes whole pictures of pieces, without which no decoder but `jpegdec` reads a file of one.
const JPEG_PARSER: &str = "jpegparse";

/// libav's decoder of PNGs.
const PNG_DECODER: &str = "avdec_png";

/// `jpegdec` drops every second row or column of the colours of 4:2:2 and 4:4:4, which most webcams send (seen with
/// 1.22); libav's decoder gives them as they are. The parser tells how a picture is turned, too.
fn jpeg_ranks() -> [(&'static str, gst::Rank); 2] {
    [(JPEG_PARSER, gst::Rank::PRIMARY + 2), ("avdec_mjpeg", gst::Rank::PRIMARY + 1)]
}

/// Sets the ranks in this process.
pub(crate) fn apply() {
    let asked = std::env::var("GST_PLUGIN_FEATURE_RANK").unwrap_or_default();
    let hardware = DecoderChoice::asked().ranks(|name| gst::ElementFactory::find(name).is_some());
    let has_parser = gst::ElementFactory::find(JPEG_PARSER).is_some();
    let jpeg = jpeg_ranks().into_iter().filter(|_| has_parser);
    for (name, rank) in ranks().into_iter().chain(jpeg).chain(hardware) {
        if let Some(factory) = gst::ElementFactory::find(name).filter(|_found| !is_named(&asked, name)) {
            factory.set_rank(rank);
        }
    }
}

/// Leaves out decoders that are wrong for what a `decodebin` of `pipeline`, there or still to come, is about to decode.
pub(crate) fn choose(pipeline: &gst::Pipeline) {
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        ask_before(&element);
    }
    pipeline.connect_deep_element_added(|_, _, element| ask_before(element));
}

fn ask_before(element: &gst::Element) {
    let asked = std::env::var("GST_PLUGIN_FEATURE_RANK").unwrap_or_default();
    let is_decodebin = element.factory().is_some_and(|factory| factory.name() == "decodebin");
    // The signal's answers are known once there is such an element; without one it must not be answered.
    if !is_decodebin || answer("try").is_none() || is_named(&asked, PNG_DECODER) {
        return;
    }
    element.connect("autoplug-select", false, |values| {
        let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
        let factory = values.get(3).and_then(|value| value.get::<gst::ElementFactory>().ok());
        let is_wrong = caps.is_some_and(|caps| is_video_of_pngs(&caps))
            && factory.is_some_and(|factory| factory.name() == PNG_DECODER);
        answer(if is_wrong { "skip" } else { "try" })
    });
}

/// PNGs in a container, of which libav's decoder shows the first alone as it is (seen with 1.22). A picture by itself
/// has no frame rate.
fn is_video_of_pngs(caps: &gst::CapsRef) -> bool {
    let rate = |s: &gst::StructureRef| s.get::<gst::Fraction>("framerate").is_ok_and(|rate| rate.numer() > 0);
    caps.structure(0).is_some_and(|s| s.name() == "image/png" && rate(s))
}

/// What `decodebin` understands.
fn answer(nick: &str) -> Option<glib::Value> {
    let answers = glib::Type::from_name("GstAutoplugSelectResult")?;
    glib::EnumClass::with_type(answers)?.to_value_by_nick(nick)
}

/// Whether the user's `NAME:RANK,…` says something about `element`.
fn is_named(asked: &str, element: &str) -> bool {
    asked.split(',').filter_map(|entry| entry.split_once(':')).any(|(name, _rank)| name.trim() == element)
}

#[cfg(test)]
mod tests {
    use gstreamer as gst;

    use super::{is_named, is_video_of_pngs};

    #[test]
    fn a_png_by_itself_is_no_video() {
        crate::init().unwrap();
        let is_video = |caps: &str| is_video_of_pngs(&caps.parse::<gst::Caps>().unwrap());
        assert!(is_video("image/png,width=320,height=240,framerate=30/1"));
        assert!(!is_video("image/png,width=320,height=240") && !is_video("image/png,framerate=0/1"));
        assert!(!is_video("image/jpeg,framerate=30/1"));
    }

    #[test]
    fn the_users_own_rank_is_seen() {
        assert!(is_named("avdec_h264:NONE, avdec_bmp:256", "avdec_bmp"));
        assert!(!is_named("avdec_bmp2:256", "avdec_bmp"));
        assert!(!is_named("", "avdec_bmp"));
    }
}
