//! From a [`Source`] to a pipeline that is ready to start.
//!
//! ```text
//!  Source ── template (template.rs) ── properties of the kind (rtsp.rs, webcam.rs) ── caps of the appsink ──> Built
//! ```

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::colour;
use crate::decoder_threads;
use crate::direct_rendering;
use crate::element_ranks;
use crate::error::SourceError;
use crate::fault::{Context, Kind, Login};
use crate::file::{self, RecordedFile};
use crate::multipart;
use crate::pipewire;
use crate::redact::redacted;
use crate::rtsp;
use crate::session::{SessionOptions, Transport};
use crate::source::Source;
use crate::template::{self, TemplateFault};
use crate::webcam;

/// A pipeline in state NULL with all it needs to start.
pub(crate) struct Built {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) sink: gst_app::AppSink,
    pub(crate) context: Context,
    pub(crate) age_source: AgeSource,
    /// The file behind it, where there is one.
    pub(crate) file: Option<RecordedFile>,
}

/// Where the age of a picture is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgeSource {
    /// A recording has no age.
    Unknown,
    /// The RTP sender's wall clock; its PTS tells nothing after a stall.
    SenderNtp,
    /// The pipeline's running time against the buffer's.
    RunningTime,
}

/// Builds the pipeline of `source`.
///
/// # Errors
/// What is wrong before anything is opened: file, camera, element, template.
pub(crate) fn build(source: &Source, options: &SessionOptions) -> Result<Built, SourceError> {
    let mut offer = None;
    let file = RecordedFile::of(source);
    let (kind, age_source, (pipeline, sink)) = match source {
        Source::Webcam(selector) => (Kind::Camera, AgeSource::RunningTime, webcam::build(selector)?),
        Source::Rtsp(address) => {
            let text = match options.transport {
                Transport::Tcp => template::RTSP_TCP,
                Transport::Udp => template::RTSP_UDP,
            };
            let parts = builtin(text, Some(address.location()))?;
            let said = rtsp::configure(&parts.0, address.credentials(), options.connect_timeout);
            offer = Some((options.transport, said));
            (Kind::Rtsp, AgeSource::SenderNtp, parts)
        }
        Source::File(path) => {
            (Kind::File, AgeSource::Unknown, builtin(template::FILE, Some(&file::uri_of(path)?))?)
        }
        Source::Uri(uri) => (Kind::Uri, AgeSource::Unknown, builtin(template::FILE, Some(uri.as_given()))?),
        Source::Test => (Kind::Other, AgeSource::RunningTime, builtin(template::TEST, None)?),
        Source::Custom(custom) => {
            if let Some(file) = &file {
                file::uri_of(&file.path)?;
            }
            let parts = template::built(custom.launch())
                .and_then(|parts| template::no_path_is_an_address(&parts.0).map(|()| parts))
                .map_err(|fault| fault.at(custom.path()))?;
            let (kind, age_source) = match custom_kind(&parts.0) {
                (Kind::Uri, age_source) if file.is_some() => (Kind::File, age_source),
                others => others,
            };
            (kind, age_source, parts)
        }
    };
    pipewire::shield(&pipeline);
    decoder_threads::limit(&pipeline);
    direct_rendering::limit(&pipeline);
    multipart::shorten(&pipeline);
    element_ranks::choose(&pipeline);
    // A template that sets the caps of its sink has its reasons.
    if sink.caps().is_none_or(|caps| caps.is_any()) {
        sink.set_caps(Some(&colour::readable_caps()));
    }
    let own_sink = matches!(source, Source::Custom(_)).then(|| sink.static_pad("sink")).flatten();
    let (place, address) = (source.to_string(), source.address());
    let context = Context { kind, place, offer, login: login(source), address, own_sink };
    Ok(Built { pipeline, sink, context, age_source, file })
}

/// Whether the server of `source` is told a user and password.
fn login(source: &Source) -> Login {
    let is_absent = match source {
        // Some recorders take both from the path.
        Source::Rtsp(address) => {
            address.credentials().is_none() && redacted(address.location()) == address.location()
        }
        Source::Uri(uri) => redacted(uri.as_given()) == uri.as_given(),
        _ => false,
    };
    if is_absent { Login::Absent } else { Login::Given }
}

/// What the elements of a user's template make it.
fn custom_kind(pipeline: &gst::Pipeline) -> (Kind, AgeSource) {
    let elements: Vec<gst::Element> = pipeline.iterate_recurse().into_iter().flatten().collect();
    let names: Vec<String> =
        elements.iter().filter_map(gst::Element::factory).map(|f| f.name().to_string()).collect();
    // Pictures made on demand have no age.
    let is_live =
        |e: &gst::Element| e.has_property_with_type("is-live", bool::static_type()) && e.property("is-live");
    let has = |name: &str| names.iter().any(|n| n == name);
    if has("rtspsrc") {
        (Kind::Rtsp, AgeSource::SenderNtp)
    } else if has("v4l2src") || has("pipewiresrc") {
        (Kind::Camera, AgeSource::RunningTime)
    } else if has("videotestsrc") && elements.iter().any(is_live) {
        (Kind::Other, AgeSource::RunningTime)
    } else {
        (Kind::Uri, AgeSource::Unknown)
    }
}

/// The pipeline of one of our own templates.
pub(crate) fn builtin(
    text: &str,
    argument: Option<&str>,
) -> Result<(gst::Pipeline, gst_app::AppSink), SourceError> {
    template::filled(text, argument).and_then(|launch| template::built(&launch)).map_err(
        |fault| match fault {
            TemplateFault::MissingElement(name) => crate::decoders::missing_element(&name),
            TemplateFault::Wrong(message) => SourceError::Other { message },
        },
    )
}
