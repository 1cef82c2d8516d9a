//! SOURCE as typed becomes a checked [`Source`].
//!
//! | text | source |
//! |---|---|
//! | `webcam`, `0`, `webcam:1`, `1` | the n-th camera of [`crate::cameras`] |
//! | `/dev/video0` | that V4L2 node |
//! | `rtsp://user:password@host/path`, `rtsps://…` | an RTSP camera |
//! | `test:` | a moving test picture, live |
//! | `http://…`, `file:///…` | any address `GStreamer` can read |
//! | anything else | a file (one named `0` is given as `./0`) |
//!
//! Nothing is opened here; whether a file or camera exists shows when a session starts. Only what looks like a camera
//! or an address written wrongly is looked for as a file, which it may be, too.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::SourceError;
use crate::mistyped;
use crate::redact::redacted_address;

/// Where pictures come from. `Display` never shows a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A camera of this machine.
    Webcam(CameraSelector),
    /// A network camera.
    Rtsp(RtspAddress),
    /// A local file.
    File(PathBuf),
    /// Any other address.
    Uri(MediaUri),
    /// The moving test picture: live, 640x480, 30 frames a second.
    Test,
    /// The user's own launch template.
    Custom(CustomPipeline),
}

/// Which camera of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraSelector {
    /// The n-th of [`crate::cameras`], from 0.
    Index(usize),
    /// A V4L2 device node.
    Node(PathBuf),
    /// The camera that once was the n-th, by what does not change when another one is plugged in.
    Known {
        /// What it was asked for as.
        index: usize,
        /// Its node then.
        node: String,
        /// The name its maker gave it.
        name: String,
    },
}

/// An `rtsp://` or `rtsps://` address, its credentials kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspAddress {
    location: String,
    credentials: Option<(String, String)>,
}

impl RtspAddress {
    /// The address without user and password.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// User and password, percent-decoded.
    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong = |reason: String| SourceError::Grammar { text: redacted_address(text), reason };
        let unclear = |reason: &dyn fmt::Display| {
            wrong(format!(
                "{reason}; in a user's name or password write @ : / ? # % as %40 %3A %2F %3F %23 %25"
            ))
        };
        let mut url = Url::parse(text)
            .map_err(|e| if text.contains('@') { unclear(&e) } else { wrong(e.to_string()) })?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("the address has no host".to_owned()));
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((percent_decoded(user), percent_decoded(password.unwrap_or_default()))),
        };
        let kept = "an rtsp address with a host may lose its credentials";
        url.set_username("").expect(kept);
        url.set_password(None).expect(kept);
        Ok(Self { location: url.into(), credentials })
    }
}

impl fmt::Debug for RtspAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtspAddress({self})")
    }
}

impl fmt::Display for RtspAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Where a password was not percent-encoded, a part of it may have been taken for a path.
        let told = redacted_address(&self.location);
        match (&self.credentials, told.split_once("://")) {
            (Some(_), Some((scheme, rest))) if !rest.starts_with("***@") => {
                write!(f, "{scheme}://***@{rest}")
            }
            _ => f.write_str(&told),
        }
    }
}

/// An address of any scheme `GStreamer` knows.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaUri(String);

impl MediaUri {
    /// The address as given, credentials included: not for people's eyes.
    pub(crate) fn as_given(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MediaUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaUri({self})")
    }
}

impl fmt::Display for MediaUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted_address(&self.0))
    }
}

/// A launch template of the user's own, read and with its placeholders filled.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomPipeline {
    path: PathBuf,
    launch: String,
    argument: Option<String>,
    file: Option<PathBuf>,
}

impl CustomPipeline {
    /// The template file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn launch(&self) -> &str {
        &self.launch
    }

    /// The local file that `{uri}` stands for, if it stands for one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for CustomPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomPipeline({self})")
    }
}

impl fmt::Display for CustomPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.argument {
            Some(argument) => write!(f, " {}", redacted_address(argument)),
            None => Ok(()),
        }
    }
}

impl Source {
    /// The address that elements are given, where there is one.
    pub(crate) fn address(&self) -> Option<MediaUri> {
        match self {
            Self::Rtsp(address) => Some(MediaUri(address.location.clone())),
            Self::Uri(uri) => Some(uri.clone()),
            Self::Custom(pipeline) => pipeline.argument.clone().map(MediaUri),
            Self::Webcam(_) | Self::File(_) | Self::Test => None,
        }
    }

    /// Reads SOURCE as typed.
    ///
    /// # Errors
    /// [`SourceError::Grammar`] where the text can be none of the kinds, for example an address without a host;
    /// [`SourceError::Mistyped`] where it is no file and looks like something else.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong =
            |reason: &str| SourceError::Grammar { text: redacted_address(text), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text == "webcam" {
            return Ok(Self::Webcam(CameraSelector::Index(0)));
        }
        if let Some(number) = text.strip_prefix("webcam:") {
            let index = number
                .parse()
                .map_err(|_not_a_number| wrong("after 'webcam:' comes the number of a camera"))?;
            return Ok(Self::Webcam(CameraSelector::Index(index)));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let index = text.parse().map_err(|_too_large| wrong("no machine has that many cameras"))?;
            return Ok(Self::Webcam(CameraSelector::Index(index)));
        }
        if is_video_node(text) {
            return Ok(Self::Webcam(CameraSelector::Node(text.into())));
        }
        if text == "test:" || text == "test://" {
            return Ok(Self::Test);
        }
        match scheme_of(text).map(str::to_ascii_lowercase).as_deref() {
            Some("rtsp" | "rtsps") => RtspAddress::parse(text).map(Self::Rtsp),
            // As GStreamer and VLC name RTSP over TCP: ours, too, unless another transport is asked for.
            Some("rtspt") => {
                RtspAddress::parse(&format!("rtsp{}", text.split_at("rtspt".len()).1)).map(Self::Rtsp)
            }
            Some("file") => Ok(match Url::parse(text).ok().and_then(|url| url.to_file_path().ok()) {
                Some(path) => Self::File(path),
                None => return Err(wrong("a file address needs an absolute path: file:///path")),
            }),
            Some(_) if text.trim_end_matches('/').ends_with(':') => {
                Err(wrong("the address names no host and no path"))
            }
            Some(_) => Ok(Self::Uri(MediaUri(text.to_owned()))),
            None => not_mistyped(text).map(|()| Self::File(text.into())),
        }
    }

    /// Reads the user's template and fills `{uri}` and `{device}` from `argument`.
    ///
    /// `{device}` becomes the argument as it stands, `{uri}` too, but for a path, which becomes a `file://` address.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] and [`SourceError::PermissionDenied`] for the template file, [`SourceError::Template`]
    /// where a placeholder has no argument, an argument no placeholder, or the file is not text.
    pub fn custom(template_file: &Path, argument: Option<&str>) -> Result<Self, SourceError> {
        let text = template_text(template_file)?;
        let launch = crate::template::filled(&text, argument).map_err(|fault| fault.at(template_file))?;
        Ok(Self::Custom(CustomPipeline {
            path: template_file.to_owned(),
            launch,
            argument: argument.map(ToOwned::to_owned),
            file: argument.filter(|_| crate::template::asks_for_uri(&text)).and_then(local_file),
        }))
    }
}

impl Source {
    /// The same source, with a camera named by itself and not by its place among others, so that it is not mistaken
    /// for another one when it is opened again.
    #[must_use]
    pub fn pinned(&self) -> Self {
        let Self::Webcam(CameraSelector::Index(index)) = self else { return self.clone() };
        match crate::cameras().ok().and_then(|cameras| cameras.into_iter().nth(*index)) {
            Some(camera) => {
                Self::Webcam(CameraSelector::Known { index: *index, node: camera.node, name: camera.name })
            }
            None => self.clone(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webcam(CameraSelector::Index(index) | CameraSelector::Known { index, .. }) => {
                write!(f, "webcam:{index}")
            }
            Self::Webcam(CameraSelector::Node(node)) => write!(f, "{}", node.display()),
            Self::Rtsp(address) => write!(f, "{address}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Uri(uri) => write!(f, "{uri}"),
            Self::Test => f.write_str("test:"),
            Self::Custom(custom) => write!(f, "{custom}"),
        }
    }
}

/// Refuses what is no file and looks like something else.
fn not_mistyped(text: &str) -> Result<(), SourceError> {
    match mistyped::meant(text) {
        Some(meant) => Err(SourceError::Mistyped { text: redacted_address(text), meant }),
        None => Ok(()),
    }
}

/// The path of a `file://` address or of what is no address.
fn local_file(argument: &str) -> Option<PathBuf> {
    match argument.split_once("://") {
        None => Some(argument.into()),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
            Url::parse(argument).ok()?.to_file_path().ok()
        }
        Some(_) => None,
    }
}

/// `/dev/video` and a number, as V4L2 names its nodes.
fn is_video_node(text: &str) -> bool {
    text.strip_prefix("/dev/video").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The text of a template.
fn template_text(path: &Path) -> Result<String, SourceError> {
    /// No launch line is that long; a video given by mistake is.
    const LONGEST_BYTES: u64 = 1 << 20;
    let wrong = |reason: &str| SourceError::Template { path: path.to_owned(), reason: reason.to_owned() };
    let metadata = std::fs::metadata(path).map_err(|e| crate::file::open_error(path, &e))?;
    if !metadata.is_file() || metadata.len() > LONGEST_BYTES {
        return Err(wrong("is no launch template; give a text file such as those of pipelines/"));
    }
    let bytes = std::fs::read(path).map_err(|e| crate::file::open_error(path, &e))?;
    String::from_utf8(bytes)
        .map_err(|_not_text| wrong("is no text; give a launch template such as those of pipelines/"))
}

/// The scheme of an address (RFC 3986, section 3.1), at least two letters, so that `C:\clip` stays a path.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && scheme.len() >= 2;
    // `clip:1.mp4` is a file name; an address has `//`.
    (valid && rest.starts_with("//")).then_some(scheme)
}

/// Turns `%41` into `A`; what is not valid stays.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| {
            bytes.get(i).and_then(|&b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok())
        };
        if let (b'%', Some(high), Some(low)) = (bytes[at], hex(at + 1), hex(at + 2)) {
            out.push(high * 16 + low);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Source) {
        assert_eq!(Source::parse(text), Ok(expected), "{text}");
    }

    #[test]
    fn every_form_of_the_grammar_is_read() {
        check("webcam", Source::Webcam(CameraSelector::Index(0)));
        check("0", Source::Webcam(CameraSelector::Index(0)));
        check("webcam:1", Source::Webcam(CameraSelector::Index(1)));
        check("12", Source::Webcam(CameraSelector::Index(12)));
        check("/dev/video0", Source::Webcam(CameraSelector::Node("/dev/video0".into())));
        check("/dev/video0/clip", Source::File("/dev/video0/clip".into()));
        check("./0", Source::File("./0".into()));
        check("test:", Source::Test);
        check("clip.mp4", Source::File("clip.mp4".into()));
        check("clip:1.mp4", Source::File("clip:1.mp4".into()));
        check("file:///a%20b.mp4", Source::File("/a b.mp4".into()));
        check("http://h/x", Source::Uri(MediaUri("http://h/x".into())));
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let Source::Rtsp(address) = Source::parse("rtsp://me%40home:p%3Aw%2f%25@cam:8554/s?x=1").unwrap()
        else {
            panic!("not rtsp")
        };
        assert_eq!(address.credentials(), Some(("me@home", "p:w/%")));
        assert_eq!(address.location(), "rtsp://cam:8554/s?x=1");
        assert_eq!(address.to_string(), "rtsp://***@cam:8554/s?x=1");
        assert_eq!(format!("{address:?}"), "RtspAddress(rtsp://***@cam:8554/s?x=1)");
    }

    #[test]
    fn an_unencoded_at_sign_in_a_password_still_belongs_to_it() {
        let Source::Rtsp(address) = Source::parse("rtsp://u:a@b@cam/s").unwrap() else { panic!("not rtsp") };
        assert_eq!(address.credentials(), Some(("u", "a@b")));
        assert_eq!(address.to_string(), "rtsp://***@cam/s");
    }

    #[test]
    fn a_password_that_was_not_encoded_is_not_shown_as_a_path() {
        for text in [
            "rtsp://admin:1234#secret@cam/s",
            "rtsp://admin:1/secret@cam/s",
            "rtsp://admin:P@secret.word/1secret@192.168.1.10/s",
            "rtsp://cam/s?password=secret",
        ] {
            let source = Source::parse(text).unwrap();
            assert!(!format!("{source} {source:?}").contains("secret"), "{source:?}");
            let Source::Rtsp(address) = &source else { panic!("{source:?}") };
            let quoted = crate::redacted(&format!("no answer from {}", address.location()));
            assert!(!quoted.contains("secret"), "{quoted}");
        }
        let error = Source::parse("rtsp://u:se'cret#1@cam/s").unwrap_err().to_string();
        assert!(!error.contains("cret") && error.contains("%23"), "{error}");
    }

    #[test]
    fn schemes_are_of_any_case_and_rtsp_over_tcp_has_one_of_its_own() {
        for text in ["RTSP://cam/S", "rtspt://cam/S", "rtsp://cam/S"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), "rtsp://cam/S");
        }
    }

    #[test]
    fn what_is_no_source_is_refused_without_its_password() {
        for text in ["", "webcam:x", "rtsp://", "99999999999999999999999", "rtsp://u:secret@:99/x"] {
            let error = Source::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
