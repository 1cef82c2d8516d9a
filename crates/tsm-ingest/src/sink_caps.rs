//! What an appsink is given that it cannot read, in words, and what to put before it.

use gstreamer as gst;

/// The kind of media and, of raw video, the pixel format: `image/jpeg`, `video/x-raw,format=GRAY16_BE`.
pub(crate) fn in_words(caps: &gst::StructureRef) -> String {
    let name = caps.name();
    match caps.get::<&str>("format") {
        Ok(format) if name == "video/x-raw" => format!("{name},format={format}"),
        _ => name.to_string(),
    }
}

/// What makes raw video of `got`, as [`in_words`] tells it.
pub(crate) fn remedy(got: &str) -> &'static str {
    if got.starts_with("audio/") {
        "link a stream of pictures to it"
    } else if got.starts_with("video/x-raw") {
        "put 'videoconvert !' before it"
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
            let got = in_words(caps.structure(0).unwrap());
            assert_eq!(got, expected);
            assert!(remedy(&got).contains(element), "{got}: {}", remedy(&got));
        };
        check("image/jpeg,width=320", "image/jpeg", "'decodebin ! videoconvert !'");
        check("video/x-raw,format=ARGB64,width=8", "video/x-raw,format=ARGB64", "'videoconvert !'");
        check("audio/x-raw,format={S16LE,S8}", "audio/x-raw", "pictures");
    }
}
