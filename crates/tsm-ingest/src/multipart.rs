//! Cameras that send one JPEG after the other over HTTP (`multipart/x-mixed-replace`: ESP32-CAM, phones as cameras).
//!
//! ```text
//!  http ── multipartdemux ── the first part's pad ──> decodebin goes on at once
//! ```
//!
//! `decodebin` waits until a demuxer says that there are no more streams, which this one says at the end alone, and
//! such a stream has none. Nor do its pictures have times: that of their arrival is the only one there is.
//! `souphttpsrc` would stamp them (`do-timestamp`), but those that come before the pipeline plays with the machine's
//! uptime.
//!
//! Only what a server sends is a camera; the same bytes kept in a file are a recording.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

/// Lets a demuxer that `decodebin` is going to add have one stream. Where its first part is sound, no picture is found.
pub(crate) fn shorten(pipeline: &gst::Pipeline) {
    pipeline.connect_deep_element_added(|_, _, element| {
        if is_demuxer(element) {
            element.set_property("single-stream", true);
        }
    });
}

/// Whether `pipeline` asks a web server, by whatever element: `souphttpsrc` as a rule, which warns of itself where it
/// is asked for its URI while the server refuses.
pub(crate) fn reads_the_web(pipeline: &gst::Pipeline) -> bool {
    has(pipeline, |element| location(element).is_some_and(|address| is_web(&address)))
}

/// Where `element` reads from or writes to. A user's template may have elements whose location nobody can ask for.
fn location(element: &gst::Element) -> Option<String> {
    let property = element.find_property("location")?;
    let is_asked_for = property.flags().contains(glib::ParamFlags::READABLE);
    (is_asked_for && property.value_type() == String::static_type()).then(|| element.property("location"))?
}

fn is_web(address: &str) -> bool {
    let scheme = address.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Whether one picture after the other comes; to be asked once the first one is there.
pub(crate) fn is_in(pipeline: &gst::Pipeline) -> bool {
    has(pipeline, is_demuxer)
}

fn has(pipeline: &gst::Pipeline, is_wanted: impl Fn(&gst::Element) -> bool) -> bool {
    pipeline.iterate_recurse().into_iter().flatten().any(|element| is_wanted(&element))
}

fn is_demuxer(element: &gst::Element) -> bool {
    element.factory().is_some_and(|factory| factory.name() == "multipartdemux")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> gst::Element {
        gst::ElementFactory::make(name).build().unwrap()
    }

    #[test]
    fn a_demuxer_in_a_bin_has_one_stream() {
        crate::init().unwrap();
        let pipeline = gst::Pipeline::new();
        shorten(&pipeline);
        let bin = gst::Bin::new();
        pipeline.add(&bin).unwrap();
        let demuxer = made("multipartdemux");
        bin.add(&demuxer).unwrap();
        assert!(demuxer.property::<bool>("single-stream"));
    }

    #[test]
    fn web_servers_are_told_from_files() {
        crate::init().unwrap();
        for (source, location, is_web) in [
            ("souphttpsrc", "http://cam/video.mjpg", true),
            ("souphttpsrc", "https://cam/video.mjpg", true),
            ("souphttpsrc", "HTTP://cam/video.mjpg", true),
            ("filesrc", "clip.mjpg", false),
        ] {
            let pipeline = gst::Pipeline::new();
            let source = made(source);
            source.set_property("location", location);
            pipeline.add(&source).unwrap();
            assert_eq!(reads_the_web(&pipeline), is_web, "{location}");
            assert!(!is_in(&pipeline), "{location}: anything may come");
        }
    }

    #[test]
    fn an_element_whose_location_can_only_be_set_is_no_web_server() {
        crate::init().unwrap();
        let pipeline = gst::Pipeline::new();
        pipeline.add(&made("rsvgoverlay")).unwrap();
        assert!(!reads_the_web(&pipeline));
    }
}
