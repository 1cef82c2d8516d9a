//! Launch templates: `gst-launch-1.0` text with comments, `{uri}` and `{device}`, ending in `appsink name=tsm`.
//!
//! ```text
//!  pipelines/file.launch ── drop # lines ── fill {uri} {device} ── gst::parse ──> Pipeline + AppSink
//! ```
//!
//! The built-in sources are these same files, so what users copy is what runs.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::error::SourceError;
use crate::redact::redacted;

/// The webcam template, as in `pipelines/webcam.launch`.
pub(crate) const WEBCAM: &str = include_str!("../../../pipelines/webcam.launch");
/// A camera of the `PipeWire` daemon.
pub(crate) const WEBCAM_PIPEWIRE: &str = include_str!("../../../pipelines/webcam-pipewire.launch");
/// RTSP with the media inside the TCP connection.
pub(crate) const RTSP_TCP: &str = include_str!("../../../pipelines/rtsp-tcp.launch");
/// RTSP with the media over UDP.
pub(crate) const RTSP_UDP: &str = include_str!("../../../pipelines/rtsp-udp.launch");
/// A file or any other address.
pub(crate) const FILE: &str = include_str!("../../../pipelines/file.launch");
/// The moving test picture.
pub(crate) const TEST: &str = include_str!("../../../pipelines/test.launch");

/// What SOURCE is put in place of.
const PLACEHOLDERS: [&str; 2] = ["{uri}", "{device}"];

/// What to do about a text that is none.
const HOW_TEMPLATES_ARE: &str =
    "templates are written as for gst-launch-1.0 and end in 'appsink name=tsm': see pipelines/README.md";

/// Why a template makes no pipeline.
#[derive(Debug)]
pub(crate) enum TemplateFault {
    /// An element that is not installed.
    MissingElement(String),
    /// Anything else: what is wrong and what to do.
    Wrong(String),
}

/// The text without comment lines, with the placeholders filled.
///
/// # Errors
/// Where a placeholder stands without an argument to fill it, or is none that we know, and where an argument has no
/// placeholder to stand in.
pub(crate) fn filled(text: &str, argument: Option<&str>) -> Result<String, TemplateFault> {
    let mut launch = without_comments(text);
    if let Some(unknown) = unknown_placeholder(&launch) {
        return Err(TemplateFault::Wrong(format!(
            "the template holds {unknown}, which is no placeholder; SOURCE is filled in for {}",
            PLACEHOLDERS.join(" and ")
        )));
    }
    // Any other text is told later what a template is.
    let is_template = launch.contains("appsink");
    if is_template && argument.is_some() && !PLACEHOLDERS.iter().any(|it| launch.contains(it)) {
        return Err(TemplateFault::Wrong(format!(
            "the template has no place for SOURCE; write {} where it goes, or leave SOURCE out",
            PLACEHOLDERS.join(" or ")
        )));
    }
    for placeholder in PLACEHOLDERS {
        if !launch.contains(placeholder) {
            continue;
        }
        let Some(argument) = argument else {
            return Err(TemplateFault::Wrong(format!(
                "the template holds {placeholder}, but no SOURCE is given to fill it; add one"
            )));
        };
        let address = (placeholder == "{uri}").then(|| file_address(argument)).flatten();
        launch = fill(&launch, placeholder, address.as_deref().unwrap_or(argument));
    }
    if launch.trim().is_empty() {
        return Err(TemplateFault::Wrong("the template is empty; copy one from pipelines/".to_owned()));
    }
    Ok(launch)
}

/// Whether the template reads the address it is given.
pub(crate) fn asks_for_uri(text: &str) -> bool {
    without_comments(text).contains("{uri}")
}

/// What is written where one of [`PLACEHOLDERS`] is meant. Other words in braces are `GStreamer`'s lists, names or
/// passwords.
fn unknown_placeholder(launch: &str) -> Option<&'static str> {
    const MEANT: [&str; 9] = [
        "{file}",
        "{path}",
        "{source}",
        "{url}",
        "{location}",
        "{input}",
        "{address}",
        "{camera}",
        "{SOURCE}",
    ];
    MEANT.into_iter().find(|word| launch.contains(word))
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// The `file://` address of a path; `None` for what is an address already.
fn file_address(argument: &str) -> Option<String> {
    if argument.contains("://") {
        return None;
    }
    let path = std::path::absolute(argument).ok()?;
    url::Url::from_file_path(path).ok().map(Into::into)
}

/// Puts `argument` in place of `placeholder`, quoted as `gst-launch-1.0` understands it unless the template quotes it.
fn fill(launch: &str, placeholder: &str, argument: &str) -> String {
    let escaped = argument.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = String::new();
    let mut parts = launch.split(placeholder).peekable();
    while let Some(part) = parts.next() {
        out.push_str(part);
        if parts.peek().is_some() {
            let bare = part.ends_with(|c: char| c == '=' || c.is_whitespace());
            if bare {
                out.push('"');
            }
            out.push_str(&escaped);
            if bare {
                out.push('"');
            }
        }
    }
    out
}

/// Builds the pipeline of a filled template and finds its `appsink name=tsm`.
///
/// # Errors
/// As [`TemplateFault`].
pub(crate) fn built(launch: &str) -> Result<(gst::Pipeline, gst_app::AppSink), TemplateFault> {
    // Any other text may be read as names of elements, and is none.
    if !launch.contains("appsink") {
        return Err(no_sink());
    }
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS | gst::ParseFlags::PLACE_IN_BIN;
    let element = gst::parse::launch_full(launch, Some(&mut context), flags).map_err(|error| {
        match (error.kind::<gst::ParseError>(), context.missing_elements().first()) {
            (Some(gst::ParseError::NoSuchElement), Some(name)) => {
                TemplateFault::MissingElement(String::from(name.as_str()))
            }
            (Some(gst::ParseError::Syntax), _) => TemplateFault::Wrong(format!(
                "GStreamer cannot parse this as a pipeline; {HOW_TEMPLATES_ARE}"
            )),
            _ => TemplateFault::Wrong(format!(
                "GStreamer cannot parse the template: {}",
                redacted(error.message())
            )),
        }
    })?;
    let pipeline = match element.downcast::<gst::Pipeline>() {
        Ok(pipeline) => pipeline,
        Err(element) => {
            let pipeline = gst::Pipeline::new();
            pipeline.add(&element).map_err(|e| TemplateFault::Wrong(e.to_string()))?;
            pipeline
        }
    };
    let sink =
        pipeline.by_name("tsm").and_then(|e| e.downcast::<gst_app::AppSink>().ok()).ok_or_else(no_sink)?;
    Ok((pipeline, sink))
}

fn no_sink() -> TemplateFault {
    TemplateFault::Wrong(
        "the template has no 'appsink name=tsm'; end it with one, as pipelines/README.md tells".to_owned(),
    )
}

/// Refuses a `filesrc` that is given an address, which it takes for the name of a file.
///
/// # Errors
/// What to write in its place.
pub(crate) fn no_path_is_an_address(pipeline: &gst::Pipeline) -> Result<(), TemplateFault> {
    let reads_address = |element: gst::Element| {
        element.factory().is_some_and(|factory| factory.name() == "filesrc")
            && element.property::<Option<String>>("location").is_some_and(|path| path.contains("://"))
    };
    if pipeline.iterate_recurse().into_iter().flatten().any(reads_address) {
        return Err(TemplateFault::Wrong(
            "filesrc reads a path, and {uri} is an address; write 'uridecodebin uri={uri}', \
             or 'urisourcebin uri={uri}', in its place"
                .to_owned(),
        ));
    }
    Ok(())
}

impl TemplateFault {
    /// As the error of the template file at `path`.
    pub(crate) fn at(self, path: &std::path::Path) -> SourceError {
        match self {
            Self::MissingElement(name) => crate::decoders::missing_element(&name),
            Self::Wrong(reason) => SourceError::Template { path: path.to_owned(), reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_quoted_once() {
        let check = |text: &str, argument: &str, expected: &str| {
            assert_eq!(filled(text, Some(argument)).unwrap(), expected);
        };
        check("# {uri} here\na location={uri} ! b", "rtsp://h/x y", "a location=\"rtsp://h/x y\" ! b");
        check("a location=\"{uri}\" ! b", "rtsp://h/x", "a location=\"rtsp://h/x\" ! b");
        check("a uri={uri}", "/clips/a b.mp4", "a uri=\"file:///clips/a%20b.mp4\"");
        check("a device={device}", "/dev/video0", "a device=\"/dev/video0\"");
        check("a device={device}", "x\" ! filesink", "a device=\"x\\\" ! filesink\"");
    }

    #[test]
    fn a_placeholder_without_argument_and_an_empty_template_are_refused() {
        assert!(matches!(filled("a uri={uri}", None), Err(TemplateFault::Wrong(_))));
        assert!(matches!(filled("# nothing\n", None), Err(TemplateFault::Wrong(_))));
    }

    #[test]
    fn an_argument_without_a_placeholder_is_refused() {
        let text = "# not {uri}\nvideotestsrc ! appsink name=tsm";
        let reason = wrong(filled(text, Some("rtsp://cam/1")));
        assert!(reason.contains("{uri} or {device}") && reason.contains("SOURCE"), "{reason}");
        filled(text, None).unwrap();
    }

    fn wrong<T: std::fmt::Debug>(result: Result<T, TemplateFault>) -> String {
        match result {
            Err(TemplateFault::Wrong(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unknown_placeholder_is_named_with_the_known_ones_and_gstreamers_own_braces_stay() {
        let reason = wrong(filled("filesrc location={file} ! appsink name=tsm", Some("a.mp4")));
        for name in ["{file}", "{uri}", "{device}"] {
            assert!(reason.contains(name), "{reason}");
        }
        for braces in [
            "{ I420, NV12 }",
            "{I420,NV12}",
            "{ rgb }",
            "{progressive}",
            "{bt601,bt709}",
            "{(int)1,(int)2}",
            "{}",
        ] {
            let text = format!("videotestsrc ! video/x-raw,format={braces} ! appsink name=tsm");
            assert_eq!(filled(&text, None).unwrap(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_template_is_told_what_one_is() {
        crate::init().unwrap();
        for text in ["A text of words.", "# Words! (and braces) = no appsink !"] {
            let reason = wrong(built(text));
            assert!(reason.contains("pipelines/README.md"), "{text}: {reason}");
        }
    }

    #[test]
    fn a_path_that_is_an_address_is_refused() {
        crate::init().unwrap();
        let checked = |location: &str| {
            let launch = format!("filesrc location=\"{location}\" ! appsink name=tsm");
            no_path_is_an_address(&built(&launch).unwrap().0)
        };
        let reason = wrong(checked("file:///clips/a.mp4"));
        assert!(reason.contains("uridecodebin uri={uri}"), "{reason}");
        checked("/clips/a.mp4").unwrap();
    }
}
