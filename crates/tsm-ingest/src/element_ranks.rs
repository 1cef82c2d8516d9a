//! Which of several installed decoders is to be taken, where `GStreamer`'s own order takes one that fails.
//!
//! `decodebin` tries elements by rank. `GST_PLUGIN_FEATURE_RANK` goes first: an element named there keeps its rank.
//! Nothing here decodes.

use gstreamer as gst;
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
        // Writes its own lines to stderr about a damaged file; the decoder of libav does not.
        ("pngdec", gst::Rank::MARGINAL - 1),
    ]
}

/// Sets the ranks in this process.
pub(crate) fn apply() {
    let asked = std::env::var("GST_PLUGIN_FEATURE_RANK").unwrap_or_default();
    let hardware = DecoderChoice::asked().ranks(|name| gst::ElementFactory::find(name).is_some());
    for (name, rank) in ranks().into_iter().chain(hardware) {
        if let Some(factory) = gst::ElementFactory::find(name).filter(|_found| !is_named(&asked, name)) {
            factory.set_rank(rank);
        }
    }
}

/// Whether the user's `NAME:RANK,…` says something about `element`.
fn is_named(asked: &str, element: &str) -> bool {
    asked.split(',').filter_map(|entry| entry.split_once(':')).any(|(name, _rank)| name.trim() == element)
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn the_users_own_rank_is_seen() {
        assert!(is_named("avdec_h264:NONE, avdec_bmp:256", "avdec_bmp"));
        assert!(!is_named("avdec_bmp2:256", "avdec_bmp"));
        assert!(!is_named("", "avdec_bmp"));
    }
}
