//! Everything that can be wrong with a source, one case a cause, one line a message.
//!
//! Cases carry addresses only in the form [`crate::redacted`] leaves: no message ever holds a password.

use std::path::PathBuf;
use std::time::Duration;

use crate::shown_duration::ShownDuration;

/// Why a source gives no (more) frames.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text is no SOURCE at all.
    #[error(
        "'{text}' is no source: {reason}; give webcam, 0, /dev/video0, rtsp://host/path, a file, or test:"
    )]
    Grammar {
        /// The text as typed, without credentials.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such file, and something else was probably meant.
    #[error("{text}: no such file; {meant}")]
    Mistyped {
        /// The text as typed, without credentials.
        text: String,
        /// What may have been meant, and how it is written.
        meant: String,
    },
    /// No such file.
    #[error("{}: no such file; check the path", path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder where a file was expected.
    #[error("{}: is a folder; give a video file in it", path.display())]
    IsFolder {
        /// The path as given.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{place}: the file is empty (0 bytes); copy it again")]
    EmptyFile {
        /// The path or address.
        place: String,
    },
    /// The bytes are of no known kind, or text.
    #[error("{place}: not a video file{detail}; give a video such as mp4, mkv, webm, avi or ts")]
    NotMedia {
        /// The path or address.
        place: String,
        /// What it seems to be instead, with a leading blank or comma, or empty.
        detail: String,
    },
    /// Media, but without a picture in it.
    #[error("{place}: no video in it{detail}; give a source with a video stream")]
    NoVideo {
        /// The path or address.
        place: String,
        /// What it holds instead, with a leading blank, or empty.
        detail: String,
    },
    /// A decoder or element that is not installed.
    #[error("{what} is not installed; run: apt-get install {package}")]
    MissingPlugin {
        /// The decoder or element, in words.
        what: String,
        /// The Debian package that brings it.
        package: String,
    },
    /// An element that is not installed, and that no package we know of brings.
    #[error(
        "no GStreamer element '{name}' is installed; check its spelling (gst-inspect-1.0 lists those there are), \
         or install the plug-in that brings it"
    )]
    UnknownElement {
        /// Its name.
        name: String,
    },
    /// The file ends before its own headers say it does.
    #[error("{place}: the file is cut short ({detail}); copy or record it again")]
    Truncated {
        /// The path or address.
        place: String,
        /// The evidence.
        detail: String,
    },
    /// The file is damaged inside.
    #[error("{place}: the file is damaged ({detail}); copy or record it again")]
    Corrupt {
        /// The path or address.
        place: String,
        /// The evidence.
        detail: String,
    },
    /// Compressed video came, and not one picture of it.
    #[error(
        "{place}: its video cannot be decoded: it is damaged, or of a kind that no installed decoder reads; copy or \
         convert it"
    )]
    Undecodable {
        /// The path or address.
        place: String,
    },
    /// The camera asks for another user or password.
    #[error("{place}: the server refuses the user or password (401); check user and password in the address")]
    Unauthorised {
        /// The address without credentials.
        place: String,
    },
    /// The camera asks for a user and password, and the address has none.
    // `user:password@` in one word would be cut out as somebody's.
    #[error(
        "{place}: the server asks for a user and password (401); \
         put user:password and an @ before the host in the address"
    )]
    LoginWanted {
        /// The address, which has no credentials.
        place: String,
    },
    /// The camera has no such stream.
    #[error("{place}: the server has no such stream (404); check the path after the host")]
    StreamNotFound {
        /// The address without credentials.
        place: String,
    },
    /// The name does not resolve, or the port refuses.
    #[error(
        "{place}: cannot connect ({detail}); check host, port and that the camera is on{}",
        camera_hint(place)
    )]
    Refused {
        /// The address without credentials.
        place: String,
        /// What happened.
        detail: String,
    },
    /// The host accepts or swallows the connection and says nothing.
    #[error("{place}: no answer within {}; check the address or raise --connect-timeout", ShownDuration(*timeout))]
    NoAnswer {
        /// The address without credentials.
        place: String,
        /// How long we waited.
        timeout: Duration,
    },
    /// The server closed the connection or the link broke while frames flowed.
    #[error("{place}: connection lost ({detail})")]
    ConnectionLost {
        /// The address without credentials.
        place: String,
        /// What `GStreamer` said.
        detail: String,
    },
    /// The server answers and has video, but none of it arrives.
    #[error("{place}: the server answers, but no picture came within {}; {remedy}", ShownDuration(*timeout))]
    NoPicture {
        /// The address without credentials.
        place: String,
        /// How long we waited.
        timeout: Duration,
        /// What to do.
        remedy: &'static str,
    },
    /// The server answers with a refusal other than 401 and 404.
    #[error("{place}: the server refuses: {detail}; {remedy}")]
    ServerRefuses {
        /// The address without credentials.
        place: String,
        /// What it said.
        detail: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No such camera.
    #[error("{camera}: no such camera{detail}; run: tsm devices")]
    CameraAbsent {
        /// The camera as given.
        camera: String,
        /// How many there are, with a leading blank, or empty.
        detail: String,
    },
    /// Another program holds the camera.
    #[error("{camera}: the camera is in use by another program; close it and try again")]
    CameraBusy {
        /// The camera as given.
        camera: String,
    },
    /// The camera was unplugged or broke while frames flowed.
    #[error("{camera}: the camera stopped ({detail}); check its cable")]
    CameraLost {
        /// The camera as given.
        camera: String,
        /// What `GStreamer` said.
        detail: String,
    },
    /// The user may not read it.
    #[error("{place}: permission denied; {remedy}")]
    PermissionDenied {
        /// The path or node.
        place: String,
        /// What to do.
        remedy: String,
    },
    /// A launch template that is none.
    #[error("{}: {reason}", path.display())]
    Template {
        /// The template file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A launch template whose appsink is given something else than pictures that can be read.
    #[error("{place}: its appsink gets {got}, and needs raw video that tsm reads; {remedy}")]
    WrongCaps {
        /// The template, and SOURCE.
        place: String,
        /// What it gets, as caps.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// `GStreamer` is older than 1.22.
    #[error("GStreamer {found} is too old; install 1.22 or newer (Debian 12, Ubuntu 24.04)")]
    OldGStreamer {
        /// The version found.
        found: String,
    },
    /// Anything else, in `GStreamer`'s words.
    #[error("{message}")]
    Other {
        /// One line.
        message: String,
    },
}

/// Cameras have web pages too, on another port.
fn camera_hint(place: &str) -> &'static str {
    let is_web = place.starts_with("http://") || place.starts_with("https://");
    if is_web { "; a camera's video usually is at rtsp://" } else { "" }
}

impl SourceError {
    /// Whether trying again without changing anything cannot help: wrong password, missing file, missing plug-in.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::NoAnswer { .. }
            | Self::NoPicture { .. }
            | Self::ServerRefuses { .. }
            | Self::ConnectionLost { .. }
            | Self::CameraAbsent { .. }
            | Self::CameraBusy { .. }
            | Self::CameraLost { .. }
            | Self::Other { .. } => false,
            Self::Grammar { .. }
            | Self::Mistyped { .. }
            | Self::NotFound { .. }
            | Self::IsFolder { .. }
            | Self::EmptyFile { .. }
            | Self::NotMedia { .. }
            | Self::NoVideo { .. }
            | Self::MissingPlugin { .. }
            | Self::UnknownElement { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::Undecodable { .. }
            | Self::Unauthorised { .. }
            | Self::LoginWanted { .. }
            | Self::StreamNotFound { .. }
            | Self::PermissionDenied { .. }
            | Self::Template { .. }
            | Self::WrongCaps { .. }
            | Self::OldGStreamer { .. } => true,
        }
    }
}
