//! What an appsink is given that it cannot read, in words, and what to put before it.

use gstreamer as gst;

/// The kind of media and, of raw video, the pixel format: `image/jpeg`, `video/x-raw,format=GRAY16_BE`; and where it
/// lies, if not in ordinary memory: `video/x-raw(memory:NVMM),format=NV12`.
pub(crate) fn in_words(caps: &gst::CapsRef) -> Option<String> {
    let (media, features) = (caps.structure(0)?, caps.features(0)?);
    let is_ordinary = features.is_any() || features.is_empty() || features.contains("memory:SystemMemory");
    let place = if is_ordinary { String::new() } else { format!("({features})") };
    let format = match media.get::<&str>("format") {
        Ok(format) if media.name() == "video/x-raw" => format!(",format={format}"),
        _ => String::new(),
    };
    Some(format!("{}{place}{format}", media.name()))
}

/// What makes raw video of `got`, as [`in_words`] tells it.
pub(crate) fn remedy(got: &str) -> &'static str {
    if got.starts_with("audio/") || got.starts_with("text/") {
        "link a stream of pictures to it"
    } else if got.contains("(memory:") {
        "bring it to ordinary memory before it, as 'nvvidconv !', 'cudadownload !' or 'vapostproc !' do"
    } else if got.starts_with("video/x-raw") {
        "put 'videoconvert !' before it, and 'videoscale ! videorate !' where the sink's own caps ask for a size or rate"
    } else {
        "put 'decodebin ! videoconvert !' before it"
    }
}

/// What is said of data that nothing is known about, as `filesrc` gives them.
pub(crate) fn none() -> String {
    "its appsink gets data without caps; put 'decodebin ! videoconvert !' before it".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_named_and_made_readable() {
        crate::init().unwrap();
        let check = |caps: &str, expected: &str, element: &str| {
            let caps: gst::Caps = caps.parse().unwrap();
            let got = in_words(&caps).unwrap();
            assert_eq!(got, expected);
            assert!(remedy(&got).contains(element), "{got}: {}", remedy(&got));
        };
        check("image/jpeg,width=320", "image/jpeg", "'decodebin ! videoconvert !'");
        check("video/x-raw,format=ARGB64,width=8", "video/x-raw,format=ARGB64", "'videoconvert !'");
        check("audio/x-raw,format={S16LE,S8}", "audio/x-raw", "pictures");
        let on_gpu = "video/x-raw(memory:NVMM),format=NV12";
        check(on_gpu, on_gpu, "nvvidconv");
    }
}
