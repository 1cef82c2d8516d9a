//! From `GStreamer`'s messages to one [`SourceError`]: the first fault counts, what follows it says nothing.
//!
//! The kinds were found by experiment against real servers, cameras and files;
//! the table in the tests is what they said.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_pbutils as gst_pbutils;
use tracing::debug;

use crate::decoders::{missing_decoder, missing_element};
use crate::error::SourceError;
use crate::redact::redacted;
use crate::rtsp::Offer;
use crate::session::Transport;
use crate::session::observer::Observer;
use crate::sink_caps;
use crate::source::MediaUri;

mod words;

use words::{absent_file, http_status, one_line, with_status};

/// What elements do not tell apart.
const UNREACHABLE: &str = "connection refused, host unreachable or name unknown";

/// Of a server, where an element wants to jump to the file's end or over what was lost.
const NOT_IN_PARTS: &str =
    "the file is cut short, or its server gives it from the start alone; download it first";

/// What kind of source it is and how to call it in a message.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) kind: Kind,
    /// Without credentials.
    pub(crate) place: String,
    /// How an RTSP server was asked, and what it has said it has; none of other sources and of users' own templates.
    pub(crate) offer: Option<(Transport, Arc<Offer>)>,
    pub(crate) login: Login,
    /// As elements have it, who quote it in what they say.
    pub(crate) address: Option<MediaUri>,
    /// The appsink's pad in a template of the user's own, who may have linked anything to it.
    pub(crate) own_sink: Option<gst::Pad>,
}

/// Whether the server was told a user and password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// It was not.
    Absent,
    /// It was, or may have been: a template of the user's own has its own ways.
    Given,
}

/// Which reading of a fault is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Uri,
    Rtsp,
    Camera,
    Other,
}

/// Collects what precedes a fault and turns the fault into an error.
#[derive(Debug)]
pub(crate) struct Faults {
    context: Context,
    connect_timeout: Duration,
    missing: Option<SourceError>,
    over: bool,
}

impl Faults {
    pub(crate) fn new(context: Context, connect_timeout: Duration) -> Self {
        Self { context, connect_timeout, missing: None, over: false }
    }

    /// How the source is called in a message.
    pub(crate) fn place(&self) -> &str {
        &self.context.place
    }

    /// What an element says, without passwords. Of an address within a sentence nobody can tell where it ends, so the
    /// source's own is looked for first.
    pub(crate) fn cleaned(&self, text: &str) -> String {
        match &self.context.address {
            Some(address) => redacted(&text.replace(address.as_given(), &address.to_string())),
            None => redacted(text),
        }
    }

    /// The error of a source that gave no picture and told no fault in `waited`.
    pub(crate) fn of_silence(&self, waited: Duration) -> SourceError {
        let (place, timeout) = (self.context.place.clone(), waited);
        match self.offered_over() {
            Some(asked) => SourceError::NoPicture { place, timeout, remedy: other_transport(asked) },
            None => SourceError::NoAnswer { place, timeout },
        }
    }

    /// How the media were asked for, if the server has answered and has video.
    fn offered_over(&self) -> Option<Transport> {
        self.context.offer.as_ref().filter(|(_asked, offer)| offer.has_video()).map(|(asked, _offer)| *asked)
    }

    /// Whether the stream has ended, one way or the other.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Remembers a missing decoder of video; the ERROR after it does not say which.
    pub(crate) fn note_element(&mut self, message: &gst::Message) {
        if !gst_pbutils::MissingPluginMessage::is(message) {
            return;
        }
        let Ok(missing) = gst_pbutils::MissingPluginMessage::parse(message) else { return };
        let structure = message.structure();
        let kind = structure.and_then(|s| s.get::<&str>("type").ok()).unwrap_or_default();
        let caps = structure.and_then(|s| s.get::<gst::Caps>("detail").ok());
        let media =
            caps.as_ref().and_then(|c| c.structure(0)).map(|s| s.name().to_string()).unwrap_or_default();
        let error = match kind {
            "element" => {
                missing_element(structure.and_then(|s| s.get::<&str>("detail").ok()).unwrap_or_default())
            }
            // Before the subtitles, whose kinds begin so, too.
            _ if media == "text/html" => SourceError::NotMedia {
                place: self.context.place.clone(),
                detail: " (a web page)".to_owned(),
            },
            _ if media.starts_with("audio/")
                || media.starts_with("text/")
                || media.starts_with("subpicture/") =>
            {
                return;
            }
            "urisource" => {
                unknown_address(structure.and_then(|s| s.get::<&str>("detail").ok()), &self.context.place)
            }
            _ if is_no_media(&media) => {
                SourceError::NotMedia { place: self.context.place.clone(), detail: format!(" ({media})") }
            }
            _ => missing_decoder(&missing.description(), caps.as_deref()),
        };
        debug!(%error, "missing plug-in");
        self.missing.get_or_insert(error);
    }

    /// The error behind an ERROR message.
    pub(crate) fn of_error(&mut self, message: &gst::message::Error, observer: &Observer) -> SourceError {
        self.over = true;
        let error = message.error();
        let status = message.details().and_then(|d| d.get::<u32>("rtsp-status-code").ok());
        let debug_text = self.cleaned(&message.debug().unwrap_or_default());
        debug!(text = %self.cleaned(error.message()), detail = %debug_text, status, "pipeline error");
        if let Some(missing) = self.missing.take() {
            return missing;
        }
        if let Some(wrong) = self.wrong_caps(&error, &debug_text) {
            return wrong;
        }
        let offer = self.context.offer.as_ref().map(|(_asked, offer)| offer);
        if let Some(elsewhere) =
            offer.zip(message.src()).and_then(|(offer, source)| offer.redirected_to(source))
        {
            self.context.place = format!("{}: the server redirects to {elsewhere}", self.context.place);
        }
        let text = one_line(&self.cleaned(error.message()), &debug_text);
        let seen = if observer.has_frames() { Seen::Frames } else { Seen::Nothing };
        self.classified(&error, status, &text, seen)
    }

    /// The error behind a WARNING, where no ERROR will follow: `rtspsrc` ends streams that it has not yet, when the
    /// server closes the connection before the first packet, and then says nothing more.
    pub(crate) fn of_warning(
        &mut self,
        warning: &gst::glib::Error,
        observer: &Observer,
    ) -> Option<SourceError> {
        let is_closed = self.context.kind == Kind::Rtsp && warning.matches(gst::ResourceError::Read);
        if !is_closed || observer.has_input() {
            return None;
        }
        self.over = true;
        let (place, detail) = (self.context.place.clone(), "the server closed it before the first picture");
        Some(SourceError::ConnectionLost { place, detail: detail.to_owned() })
    }

    /// What the appsink of a user's template is given, where that is why the pipeline does not run.
    fn wrong_caps(&self, error: &gst::glib::Error, debug_text: &str) -> Option<SourceError> {
        // Pads that a demuxer or decodebin adds are not even linked where caps do not fit.
        let is_about_caps = error.matches(gst::StreamError::Failed)
            && (debug_text.contains("not-negotiated") || debug_text.contains("not-linked"));
        let sink = self.context.own_sink.as_ref().filter(|_| is_about_caps)?;
        let given = sink.peer()?.query_caps(None);
        let got = sink_caps::in_words(&given)?;
        let place = self.context.place.clone();
        (!given.can_intersect(&sink.query_caps(None))).then(|| SourceError::WrongCaps {
            place,
            remedy: sink_caps::remedy(&got),
            got,
        })
    }

    fn classified(
        &self,
        error: &gst::glib::Error,
        status: Option<u32>,
        text: &str,
        seen: Seen,
    ) -> SourceError {
        let kind = self.context.kind;
        if let Some(resource) = error.kind::<gst::ResourceError>() {
            return match kind {
                Kind::Rtsp => self.of_rtsp(resource, status, text, seen),
                Kind::Camera => self.of_camera(resource, text, seen),
                _ => self.of_resource(resource, text, seen),
            };
        }
        let place = self.context.place.clone();
        match error.kind::<gst::StreamError>() {
            Some(gst::StreamError::TypeNotFound) if text.contains("contains no data") => {
                SourceError::EmptyFile { place }
            }
            Some(gst::StreamError::TypeNotFound) => SourceError::NotMedia { place, detail: String::new() },
            // A parser found nothing of what the first bytes promised; a slower one came to the end before it said so.
            Some(gst::StreamError::WrongType) => {
                SourceError::NotMedia { place, detail: ", or damaged from its start".to_owned() }
            }
            Some(gst::StreamError::Failed) if kind == Kind::File && text.contains("without buffers") => {
                SourceError::NotMedia { place, detail: ", or damaged from its start".to_owned() }
            }
            // rtspsrc says so when select-stream took none: an unknown encoding of video comes as a missing plug-in.
            // It says the same when the server refused each one that it took.
            Some(gst::StreamError::CodecNotFound) if kind == Kind::Rtsp => match self.offered_over() {
                Some(asked) => SourceError::ServerRefuses {
                    place,
                    detail: "it does not send its video this way".to_owned(),
                    remedy: other_transport(asked),
                },
                None => SourceError::NoVideo { place, detail: String::new() },
            },
            Some(gst::StreamError::CodecNotFound) => missing_decoder("a decoder for this video", None),
            Some(gst::StreamError::Decode | gst::StreamError::Demux)
                if kind == Kind::File || kind == Kind::Uri =>
            {
                SourceError::Corrupt { place, detail: text.to_owned() }
            }
            Some(gst::StreamError::Failed) if seen == Seen::Nothing && text.contains("not-linked") => {
                SourceError::NoVideo { place, detail: String::new() }
            }
            Some(gst::StreamError::Failed) if kind == Kind::Uri && text.contains("not-negotiated") => {
                let remedy = "two of its elements do not agree on caps; run with GST_DEBUG=2 to see which";
                SourceError::Other { message: format!("{place}: {remedy}") }
            }
            Some(gst::StreamError::Failed) if kind == Kind::Uri && seen == Seen::Nothing => {
                self.unreachable(text)
            }
            // The GIF decoder's words.
            None if kind == Kind::Uri && error.is::<gst::LibraryError>() => SourceError::Other {
                message: format!("{place}: cannot be read over the network ({text}); download it first"),
            },
            _ => self.lost_or_other(text, seen),
        }
    }

    /// An address that gives nothing. `souphttpsrc` posts no reason of its own where a connection is refused.
    fn unreachable(&self, text: &str) -> SourceError {
        let place = self.context.place.clone();
        let scheme = place.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let detail = match scheme.as_deref() {
            _ if !text.starts_with("Internal data stream error") => text.to_owned(),
            Some("https") => format!("{UNREACHABLE}, or the server's certificate is not trusted"),
            Some("http") => format!("{UNREACHABLE}, or what answers there speaks no HTTP"),
            _ => UNREACHABLE.to_owned(),
        };
        SourceError::Refused { place, detail }
    }

    /// A server that lets nobody in without the right login.
    fn unauthorised(&self) -> SourceError {
        let place = self.context.place.clone();
        match self.context.login {
            Login::Absent => SourceError::LoginWanted { place },
            Login::Given => SourceError::Unauthorised { place },
        }
    }

    fn of_rtsp(&self, error: gst::ResourceError, status: Option<u32>, text: &str, seen: Seen) -> SourceError {
        let place = self.context.place.clone();
        let no_answer = SourceError::NoAnswer { place: place.clone(), timeout: self.connect_timeout };
        match (error, status) {
            (gst::ResourceError::NotAuthorized, _) | (_, Some(401)) => self.unauthorised(),
            (gst::ResourceError::NotFound, _) | (_, Some(404)) => SourceError::StreamNotFound { place },
            _ if seen == Seen::Frames => SourceError::ConnectionLost { place, detail: text.to_owned() },
            (gst::ResourceError::Settings, None) if text.contains("no streams") => SourceError::NoVideo {
                place,
                detail: " (the server's description names no stream)".to_owned(),
            },
            (_, Some(status)) if status >= 300 => SourceError::ServerRefuses {
                place,
                detail: with_status(text, status),
                remedy: "check the address and the camera's settings",
            },
            (gst::ResourceError::Write, None) if text.contains("Error (") => SourceError::ServerRefuses {
                place,
                detail: text.trim_start_matches("Could not write to resource: ").to_owned(),
                remedy: "check the address and the camera's settings",
            },
            (_, None) if text.contains("(Parse error)") => {
                SourceError::Refused { place, detail: "what answers there speaks no RTSP".to_owned() }
            }
            _ if text.to_ascii_lowercase().contains("timeout") || text.contains("UDP packets") => no_answer,
            (gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite, None) => {
                SourceError::Refused { place, detail: UNREACHABLE.to_owned() }
            }
            _ => SourceError::ConnectionLost { place, detail: text.to_owned() },
        }
    }

    fn of_camera(&self, error: gst::ResourceError, text: &str, seen: Seen) -> SourceError {
        let camera = self.context.place.clone();
        let lower = text.to_ascii_lowercase();
        match error {
            _ if seen == Seen::Frames => SourceError::CameraLost { camera, detail: text.to_owned() },
            gst::ResourceError::Busy => SourceError::CameraBusy { camera },
            _ if lower.contains("busy") => SourceError::CameraBusy { camera },
            _ if lower.contains("permission denied") => crate::webcam::not_permitted(camera),
            gst::ResourceError::NotFound => SourceError::CameraAbsent { camera, detail: String::new() },
            _ if lower.contains("no such device")
                || lower.contains("no such file")
                || lower.contains("target not found") =>
            {
                SourceError::CameraAbsent { camera, detail: String::new() }
            }
            _ => SourceError::CameraLost { camera, detail: text.to_owned() },
        }
    }

    fn of_resource(&self, error: gst::ResourceError, text: &str, seen: Seen) -> SourceError {
        let place = self.context.place.clone();
        // Of a user's own pipeline: files of ours are looked at before.
        if let (gst::ResourceError::NotFound, Kind::Uri, Some(path)) =
            (error, self.context.kind, absent_file(text))
        {
            return SourceError::NotFound { path: path.into() };
        }
        match error {
            gst::ResourceError::NotFound if self.context.kind == Kind::File => {
                SourceError::NotFound { path: place.into() }
            }
            gst::ResourceError::NotAuthorized
                if self.context.kind == Kind::Uri && http_status(text).is_none_or(|status| status == 401) =>
            {
                self.unauthorised()
            }
            gst::ResourceError::Seek if seen == Seen::Nothing && self.context.kind == Kind::Uri => {
                SourceError::Other { message: format!("{place}: {NOT_IN_PARTS}") }
            }
            _ if seen == Seen::Nothing && self.context.kind == Kind::Uri => {
                http_status(text).map_or_else(|| self.unreachable(text), |status| self.of_http(status, text))
            }
            _ => self.lost_or_other(text, seen),
        }
    }

    /// What a web server answers in place of a video.
    fn of_http(&self, status: u32, text: &str) -> SourceError {
        let place = self.context.place.clone();
        match status {
            404 => SourceError::StreamNotFound { place },
            _ => SourceError::ServerRefuses {
                place,
                detail: with_status(text, status),
                remedy: match status {
                    500.. => "try again later; a camera's video usually is at rtsp://",
                    _ => "check the address and the server's settings",
                },
            },
        }
    }

    fn lost_or_other(&self, text: &str, seen: Seen) -> SourceError {
        let place = self.context.place.clone();
        match (self.context.kind, seen) {
            (Kind::Rtsp, _) => SourceError::ConnectionLost { place, detail: text.to_owned() },
            (Kind::Camera, _) => SourceError::CameraLost { camera: place, detail: text.to_owned() },
            (Kind::File, Seen::Frames) => SourceError::Corrupt { place, detail: text.to_owned() },
            _ => SourceError::Other { message: format!("{place}: {text}") },
        }
    }
}

/// What to try where the media do not come the way they were asked for.
fn other_transport(asked: Transport) -> &'static str {
    match asked {
        Transport::Tcp => "check the camera, or try --transport udp",
        Transport::Udp => "UDP packets may be blocked on the way: try --transport tcp",
    }
}

/// Kinds of files that `GStreamer` knows by their first bytes and that hold no stream.
fn is_no_media(name: &str) -> bool {
    const KINDS: [&str; 14] = [
        "application/zip",
        "application/x-tar",
        "application/x-ar",
        "application/x-rar",
        "application/x-gzip",
        "application/x-bzip",
        "application/x-xz",
        "application/x-compress",
        "application/x-executable",
        "application/x-ms-dos-executable",
        "application/pdf",
        "application/postscript",
        "application/msword",
        "application/x-shockwave-flash",
    ];
    KINDS.contains(&name)
}

/// The error for an address whose scheme no installed element reads.
fn unknown_address(scheme: Option<&str>, place: &str) -> SourceError {
    match scheme {
        Some("http" | "https") => missing_element("souphttpsrc"),
        _ => SourceError::Grammar {
            text: place.to_owned(),
            reason: format!("no installed element reads {}: addresses", scheme.unwrap_or("such")),
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Frames,
}

#[cfg(test)]
mod tests;
