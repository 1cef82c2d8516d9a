//! A SOURCE that is no file and was probably never meant to be one: `webcam9`, `rtsp:/cam`, `192.168.1.10`.
//!
//! Every word can be the name of a file, so what is one stays one; only of the others something is guessed.

use std::net::Ipv4Addr;
use std::path::Path;

/// Addresses by their beginning, with how each is written.
const ADDRESSES: [(&str, &str); 5] = [
    ("rtsps", "for a camera on the network write rtsps://host/path"),
    ("rtsp", "for a camera on the network write rtsp://host/path"),
    ("https", "for an address write https://host/path"),
    ("http", "for an address write http://host/path"),
    ("file", "give the path alone, or write file:///path"),
];

/// What people call a camera of this machine.
const CAMERAS: [&str; 3] = ["webcam", "camera", "cam"];

/// What may have been meant by `text` and how to write it; nothing where there is such a file, or where we have no
/// guess.
pub(crate) fn meant(text: &str) -> Option<String> {
    guessed(text).filter(|_how| Path::new(text).symlink_metadata().is_err())
}

/// What `text` looks like.
fn guessed(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if let Some(how) = ADDRESSES.iter().find_map(|(scheme, how)| is_address(&lower, scheme).then_some(*how)) {
        return Some(how.to_owned());
    }
    if let Some(written) = camera(&lower) {
        return Some(format!("for a camera write {written}, see tsm devices"));
    }
    if lower == "test" {
        return Some("for the test picture write test:".to_owned());
    }
    is_host(&lower).then(|| "for a camera on the network write rtsp://host/path".to_owned())
}

/// `rtsp:/x`, `rtsp:x`, `rtsp//x`: a scheme, and behind it something like `://` that is not.
fn is_address(text: &str, scheme: &str) -> bool {
    let Some(rest) = text.strip_prefix(scheme) else { return false };
    (rest.starts_with(':') || rest.starts_with("//")) && !rest.starts_with("://")
}

/// `webcam9`, `cam-1`, `Webcam`, `video0`: how that camera is written.
fn camera(text: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let node = text.strip_prefix('/').unwrap_or(text);
    if let Some(number) = node.strip_prefix("dev/").unwrap_or(node).strip_prefix("video")
        && (is_number(number) || node == "dev/video")
    {
        return Some(format!("/dev/video{}", if number.is_empty() { "0" } else { number }));
    }
    let rest = CAMERAS.iter().find_map(|name| text.strip_prefix(name))?;
    let number = rest.strip_prefix([':', '-', '_', ' ', '=', '#']).unwrap_or(rest);
    match number {
        "" => Some("webcam".to_owned()),
        number if is_number(number) => Some(format!("webcam:{number}")),
        _ => None,
    }
}

/// `192.168.1.10:554/x`, `user:password@host`: a camera's address without its scheme.
fn is_host(text: &str) -> bool {
    let has_credentials = text.split_once('@').is_some_and(|(user, _)| user.contains(':'));
    let host = text.split([':', '/']).next().unwrap_or(text);
    has_credentials || host.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, written: &str) {
        let meant = meant(text).unwrap_or_default();
        assert!(meant.contains(&format!("write {written}")), "{text}: {meant}");
    }

    #[test]
    fn cameras_by_other_names_are_told_how_to_be_written() {
        for (text, written) in [
            ("webcam9", "webcam:9,"),
            ("webcam-1", "webcam:1,"),
            ("Webcam", "webcam,"),
            ("WEBCAM:2", "webcam:2,"),
            ("cam", "webcam,"),
            ("camera", "webcam,"),
            ("cam1", "webcam:1,"),
            ("video0", "/dev/video0,"),
            ("dev/video3", "/dev/video3,"),
            ("/dev/video", "/dev/video0,"),
            ("test", "test:"),
        ] {
            check(text, written);
        }
    }

    #[test]
    fn addresses_without_their_slashes_are_told_how_to_be_written() {
        for text in [
            "rtsp:/cam",
            "rtsp:cam",
            "rtsp//cam/x",
            "RTSP:/cam",
            "rtsp:",
            "192.168.1.10",
            "10.0.0.7:554/s",
            "u:p@cam",
        ] {
            check(text, "rtsp://host/path");
        }
        check("rtsps:/cam", "rtsps://host/path");
        check("http:/x", "http://host/path");
        check("https:x", "https://host/path");
        check("file:x.mp4", "file:///path");
    }

    #[test]
    fn nothing_is_guessed_of_other_names_and_of_files_that_are_there() {
        for text in [
            "clip.mp4",
            "camp.mp4",
            "cam1.mp4",
            "video.mp4",
            "video",
            "testing",
            "rtsp",
            "httpd.log",
            "1.2.3",
            "a@b",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("webcam9");
        std::fs::write(&file, b"").unwrap();
        // Absolute, because tests share the current folder: the name alone is guessed at.
        assert_eq!(meant(file.to_str().unwrap()), None);
        assert!(meant("webcam9").is_some());
    }
}
