//! Whether H.264 and H.265 are decoded by a GPU: `TSM_DECODER=hardware` or `software`; unset,
//! `GStreamer`'s own order stays.
//!
//! ```text
//! TSM_DECODER ─ ranks ─┬─ hardware  those that are installed go first; decodebin takes the next where one does not start
//!                      ├─ software  they are not taken at all
//!                      └─ unset     as `GStreamer` ranks them
//! ```
//!
//! Only decoders that can put pictures into ordinary memory are listed, so that nothing behind them changes. The one of
//! Jetson boards, `nvv4l2decoder`, cannot: it has a template of its own, `pipelines/rtsp-jetson.launch`.

use gstreamer as gst;

/// The environment variable.
const VARIABLE: &str = "TSM_DECODER";

/// Decoders of GPUs, the better first: NVIDIA's (nvcodec), then those of VA-API (Intel, AMD).
const DECODERS: [&str; 4] = ["nvh264dec", "nvh265dec", "vah264dec", "vah265dec"];

/// Who decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecoderChoice {
    /// Whoever `GStreamer` ranks first.
    AsRanked,
    /// A GPU where its decoder is installed and starts.
    Hardware,
    /// The processor.
    Software,
}

impl DecoderChoice {
    /// What the environment asks for; what it cannot be asked for counts as nothing, and is told.
    pub(crate) fn asked() -> Self {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::named(&text).unwrap_or_else(|| {
                tracing::warn!("{VARIABLE}={text} is neither hardware nor software, and is passed over");
                Self::AsRanked
            }),
            Err(_unset) => Self::AsRanked,
        }
    }

    fn named(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::AsRanked),
            "hardware" => Some(Self::Hardware),
            "software" => Some(Self::Software),
            _ => None,
        }
    }

    /// The ranks of those hardware decoders that are installed.
    pub(crate) fn ranks(self, is_installed: impl Fn(&str) -> bool) -> Vec<(&'static str, gst::Rank)> {
        // Software decoders have PRIMARY; plug-ins for special machines go up to some tens above.
        const FIRST: i32 = 128;
        let installed = DECODERS.into_iter().enumerate().filter(|(_, name)| is_installed(name));
        let rank = |place: usize| match self {
            Self::Hardware => gst::Rank::PRIMARY + FIRST - i32::try_from(place).unwrap_or(FIRST),
            Self::AsRanked | Self::Software => gst::Rank::NONE,
        };
        match self {
            Self::AsRanked => Vec::new(),
            Self::Hardware | Self::Software => installed.map(|(place, name)| (name, rank(place))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(choice: DecoderChoice, installed: &[&str]) -> Vec<(&'static str, gst::Rank)> {
        choice.ranks(|name| installed.contains(&name))
    }

    #[test]
    fn installed_hardware_goes_before_software_nvidia_first() {
        let found = ranks(DecoderChoice::Hardware, &["avdec_h264", "vah264dec", "nvh264dec"]);
        let [("nvh264dec", nvidia), ("vah264dec", va)] = found[..] else { panic!("{found:?}") };
        assert!(nvidia > va && va > gst::Rank::PRIMARY);
    }

    #[test]
    fn what_is_not_installed_changes_nothing() {
        for choice in [DecoderChoice::Hardware, DecoderChoice::Software] {
            assert!(ranks(choice, &["avdec_h264", "avdec_h265", "openh264dec"]).is_empty());
        }
    }

    #[test]
    fn software_takes_no_hardware_and_nothing_asked_changes_nothing() {
        let installed = ["nvh264dec", "nvh265dec", "vah265dec", "avdec_h265"];
        let found = ranks(DecoderChoice::Software, &installed);
        assert!(found.len() == 3 && found.iter().all(|(_, rank)| *rank == gst::Rank::NONE));
        assert!(ranks(DecoderChoice::AsRanked, &installed).is_empty());
    }

    #[test]
    fn only_two_words_are_known() {
        assert_eq!(DecoderChoice::named("hardware"), Some(DecoderChoice::Hardware));
        assert_eq!(DecoderChoice::named("software"), Some(DecoderChoice::Software));
        assert_eq!(DecoderChoice::named(""), Some(DecoderChoice::AsRanked));
        assert_eq!(DecoderChoice::named("cuda"), None);
    }
}
