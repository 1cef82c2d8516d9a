//! Which decoders are installed, and which Debian package brings what is missing.
//!
//! Names of packages are those of Debian 12 and Ubuntu 24.04.

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::error::SourceError;

/// Whether one codec can be decoded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderStatus {
    /// The codec as people call it.
    pub codec: &'static str,
    /// The element that decodes it (the one of highest rank), `None` where there is none.
    pub element: Option<String>,
    /// The package that brings a decoder.
    pub package: &'static str,
}

/// Codec, its caps, the package of its decoder.
const CODECS: [(&str, &str, &str); 7] = [
    ("H.264", "video/x-h264", "gstreamer1.0-libav"),
    ("H.265", "video/x-h265", "gstreamer1.0-libav"),
    ("VP8", "video/x-vp8", "gstreamer1.0-plugins-good"),
    ("VP9", "video/x-vp9", "gstreamer1.0-plugins-good"),
    ("AV1", "video/x-av1", "gstreamer1.0-plugins-bad"),
    ("MJPEG", "image/jpeg", "gstreamer1.0-plugins-good"),
    ("MPEG-4", "video/mpeg,mpegversion=4,systemstream=false", "gstreamer1.0-libav"),
];

/// Caps of a container, and the package of its demuxer.
const CONTAINERS: [(&str, &str); 9] = [
    ("video/quicktime", "gstreamer1.0-plugins-good"),
    ("video/x-matroska", "gstreamer1.0-plugins-good"),
    ("video/webm", "gstreamer1.0-plugins-good"),
    ("video/x-msvideo", "gstreamer1.0-plugins-good"),
    ("video/x-flv", "gstreamer1.0-plugins-good"),
    ("multipart/x-mixed-replace", "gstreamer1.0-plugins-good"),
    ("application/ogg", "gstreamer1.0-plugins-base"),
    ("video/mpegts", "gstreamer1.0-plugins-bad"),
    ("video/mpeg,systemstream=true", "gstreamer1.0-plugins-bad"),
];

/// What elements' names begin with, and the package that these come in.
type ElementPackage = (&'static str, &'static str);

/// The first that fits wins.
const ELEMENT_PACKAGES: [ElementPackage; 46] = [
    ("avdec_", "gstreamer1.0-libav"),
    ("pipewire", "gstreamer1.0-pipewire"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("rtspclientsink", "gstreamer1.0-rtsp"),
    ("rtsp", "gstreamer1.0-plugins-good"),
    ("rtp", "gstreamer1.0-plugins-good"),
    ("udp", "gstreamer1.0-plugins-good"),
    ("v4l2", "gstreamer1.0-plugins-good"),
    ("qtdemux", "gstreamer1.0-plugins-good"),
    ("matroska", "gstreamer1.0-plugins-good"),
    ("avidemux", "gstreamer1.0-plugins-good"),
    ("jpeg", "gstreamer1.0-plugins-good"),
    ("vp8", "gstreamer1.0-plugins-good"),
    ("vp9", "gstreamer1.0-plugins-good"),
    ("souphttpsrc", "gstreamer1.0-plugins-good"),
    ("multifile", "gstreamer1.0-plugins-good"),
    ("videoflip", "gstreamer1.0-plugins-good"),
    ("h264", "gstreamer1.0-plugins-bad"),
    ("h265", "gstreamer1.0-plugins-bad"),
    ("av1", "gstreamer1.0-plugins-bad"),
    ("tsdemux", "gstreamer1.0-plugins-bad"),
    ("openh264", "gstreamer1.0-plugins-bad"),
    ("srt", "gstreamer1.0-plugins-bad"),
    ("ximagesink", "gstreamer1.0-x"),
    ("xvimagesink", "gstreamer1.0-x"),
    ("autovideos", "gstreamer1.0-plugins-good"),
    ("deinterlace", "gstreamer1.0-plugins-good"),
    ("flvdemux", "gstreamer1.0-plugins-good"),
    ("gdkpixbuf", "gstreamer1.0-plugins-good"),
    ("imagefreeze", "gstreamer1.0-plugins-good"),
    ("png", "gstreamer1.0-plugins-good"),
    ("videobalance", "gstreamer1.0-plugins-good"),
    ("videobox", "gstreamer1.0-plugins-good"),
    ("videocrop", "gstreamer1.0-plugins-good"),
    ("videomixer", "gstreamer1.0-plugins-good"),
    ("ximagesrc", "gstreamer1.0-plugins-good"),
    ("ogg", "gstreamer1.0-plugins-base"),
    ("theora", "gstreamer1.0-plugins-base"),
    ("tcp", "gstreamer1.0-plugins-base"),
    ("compositor", "gstreamer1.0-plugins-base"),
    ("playbin", "gstreamer1.0-plugins-base"),
    // Our own templates name it: others of the package are no sign of it.
    ("videoconvert", "gstreamer1.0-plugins-base"),
    // Behind the others that begin so.
    ("video", "gstreamer1.0-plugins-base"),
    ("decodebin", "gstreamer1.0-plugins-base"),
    ("uridecodebin", "gstreamer1.0-plugins-base"),
    ("app", "gstreamer1.0-plugins-base"),
];

/// Lists the decoders of the codecs cameras and files use.
///
/// Empty where `GStreamer` does not start; [`crate::init`] says why.
pub fn decoders() -> Vec<DecoderStatus> {
    if crate::library::init().is_err() {
        return Vec::new();
    }
    let factories = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DECODER
            | gst::ElementFactoryType::MEDIA_VIDEO
            | gst::ElementFactoryType::MEDIA_IMAGE,
        gst::Rank::MARGINAL,
    );
    CODECS
        .iter()
        .map(|&(codec, caps, package)| {
            let caps = caps.parse().unwrap_or_else(|_malformed| gst::Caps::new_empty());
            let best = factories
                .iter()
                .filter(|f| !f.metadata("klass").unwrap_or_default().contains("Parser"))
                .filter(|f| f.can_sink_any_caps(&caps))
                .max_by_key(|f| f.rank());
            DecoderStatus { codec, element: best.map(|f| f.name().to_string()), package }
        })
        .collect()
}

/// The error for an element that cannot be made.
pub(crate) fn missing_element(name: &str) -> SourceError {
    absent_element(name, is_installed)
}

/// A package that is installed does not bring the element: then no package that we know of does.
fn absent_element(name: &str, is_installed: impl Fn(&ElementPackage) -> bool) -> SourceError {
    match package_of(name).filter(|known| known.0 == name || !is_installed(known)) {
        Some((_, package)) => SourceError::MissingPlugin {
            what: format!("the GStreamer element '{name}'"),
            package: (*package).to_owned(),
        },
        None => SourceError::UnknownElement { name: name.to_owned() },
    }
}

fn package_of(name: &str) -> Option<&'static ElementPackage> {
    ELEMENT_PACKAGES.iter().find(|(prefix, _)| name.starts_with(prefix))
}

/// Whether other elements that begin so, and come in the same package, are there.
fn is_installed(known: &ElementPackage) -> bool {
    // `gstreamer1.0-plugins-good` is built of the sources `gst-plugins-good`; other packages are named otherwise.
    let sources = known.1.strip_prefix("gstreamer1.0-").map(|name| format!("gst-{name}"));
    let sources = sources.filter(|name| name.starts_with("gst-plugins-"));
    let is_brought = |factory: &gst::ElementFactory| {
        package_of(&factory.name()) == Some(known)
            && sources
                .as_ref()
                .is_none_or(|sources| factory.plugin().is_some_and(|plugin| plugin.source() == *sources))
    };
    gst::ElementFactory::factories_with_type(gst::ElementFactoryType::ANY, gst::Rank::NONE)
        .iter()
        .any(is_brought)
}

/// The error for a container or compressed video that nothing installed reads; `description` is `GStreamer`'s name for
/// it.
pub(crate) fn missing_decoder(description: &str, caps: Option<&gst::CapsRef>) -> SourceError {
    let codecs = CODECS.iter().map(|(_, known, package)| (*known, *package));
    let is_it = |known: &str| {
        caps.zip(known.parse::<gst::Caps>().ok()).is_some_and(|(caps, known)| caps.can_intersect(&known))
    };
    let found = CONTAINERS.into_iter().chain(codecs).find(|(known, _)| is_it(known));
    let package = found.map_or("gstreamer1.0-libav gstreamer1.0-plugins-bad", |(_, package)| package);
    SourceError::MissingPlugin { what: description.to_owned(), package: package.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_thing_names_its_package() {
        crate::init().unwrap();
        let check = |error: SourceError, expected: &str| {
            let SourceError::MissingPlugin { package, .. } = error else { panic!("{error}") };
            assert_eq!(package, expected);
        };
        let absent = |name| absent_element(name, |_package| false);
        check(absent("rtspsrc"), "gstreamer1.0-plugins-good");
        check(absent("pipewiresrc"), "gstreamer1.0-pipewire");
        check(absent("videoconvert"), "gstreamer1.0-plugins-base");
        for good in ["videoflip", "videocrop", "autovideosink", "ximagesrc"] {
            check(absent(good), "gstreamer1.0-plugins-good");
        }
        // A package of somebody else's, or a name that nobody has.
        let said = missing_element("nvv4l2decoder").to_string();
        assert!(said.contains("no GStreamer element 'nvv4l2decoder'") && !said.contains("apt-get"), "{said}");
        let h264: gst::Caps = "video/x-h264,profile=high".parse().unwrap();
        check(missing_decoder("H.264 decoder", Some(&h264)), "gstreamer1.0-libav");
        let mp4: gst::Caps = "video/quicktime,variant=iso".parse().unwrap();
        check(missing_decoder("Quicktime demuxer", Some(&mp4)), "gstreamer1.0-plugins-good");
        let ts: gst::Caps = "video/mpegts,systemstream=true,packetsize=188".parse().unwrap();
        check(missing_decoder("MPEG-TS demuxer", Some(&ts)), "gstreamer1.0-plugins-bad");
    }

    #[test]
    fn a_misspelt_element_names_no_package_that_is_installed() {
        crate::init().unwrap();
        let said = missing_element("videotestsrk").to_string();
        assert!(said.contains("'videotestsrk'") && said.contains("spelling"), "{said}");
        assert!(!said.contains("apt-get"), "{said}");
    }

    #[test]
    fn the_decoder_named_is_the_one_that_is_used() {
        let used = |codec| decoders().into_iter().find(|d| d.codec == codec).and_then(|d| d.element).unwrap();
        for codec in ["VP8", "VP9"] {
            assert!(!used(codec).contains("alpha"), "{}", used(codec));
        }
    }

    #[test]
    fn every_codec_of_the_table_is_reported() {
        assert_eq!(decoders().len(), CODECS.len());
    }
}
