//! What is made of what `GStreamer` reports.

use super::*;

fn faults(kind: Kind) -> Faults {
    Faults::new(context(kind, "here"), Duration::from_secs(3))
}

fn context(kind: Kind, place: &str) -> Context {
    Context { kind, place: place.to_owned(), offer: None, login: Login::Given, address: None, own_sink: None }
}

fn classified<E: gst::glib::error::ErrorDomain>(kind: Kind, error: E, text: &str, seen: Seen) -> SourceError {
    faults(kind).classified(&gst::glib::Error::new(error, text), None, text, seen)
}

#[test]
fn what_a_camera_server_does_is_told_apart() {
    use gst::ResourceError as R;
    let nothing = |error, text| classified(Kind::Rtsp, error, text, Seen::Nothing);
    assert!(matches!(nothing(R::NotAuthorized, "Unauthorized"), SourceError::Unauthorised { .. }));
    assert!(matches!(nothing(R::NotFound, "Not Found"), SourceError::StreamNotFound { .. }));
    assert!(matches!(
        nothing(R::OpenReadWrite, "Failed to connect. (Generic error)"),
        SourceError::Refused { .. }
    ));
    let late = "Could not receive message. (Timeout while waiting for server response)";
    assert!(matches!(nothing(R::Read, late), SourceError::NoAnswer { .. }));
    assert!(matches!(
        classified(Kind::Rtsp, R::Read, late, Seen::Frames),
        SourceError::ConnectionLost { .. }
    ));
}

#[test]
fn a_server_that_was_told_no_password_asks_for_one() {
    let said = |login| {
        let context = Context { login, ..context(Kind::Rtsp, "rtsp://cam:554/1") };
        let refusal = gst::glib::Error::new(gst::ResourceError::NotAuthorized, "Unauthorized");
        let faults = Faults::new(context, Duration::from_secs(3));
        faults.classified(&refusal, Some(401), "Unauthorized", Seen::Nothing).to_string()
    };
    let wanted = said(Login::Absent);
    assert!(wanted.contains("user:password") && redacted(&wanted) == wanted, "{wanted}");
    assert!(said(Login::Given).contains("refuses the user or password"));
}

#[test]
fn what_a_file_holds_is_told_apart() {
    use gst::StreamError as S;
    let file = |error, text| classified(Kind::File, error, text, Seen::Nothing);
    assert!(matches!(file(S::TypeNotFound, "Stream contains no data."), SourceError::EmptyFile { .. }));
    assert!(matches!(
        file(S::TypeNotFound, "Could not determine type of stream."),
        SourceError::NotMedia { .. }
    ));
    assert!(matches!(file(S::Demux, "This file contains no playable streams."), SourceError::Corrupt { .. }));
    assert!(matches!(file(S::Failed, "x reason not-linked (-1)"), SourceError::NoVideo { .. }));
    let unread = "GStreamer encountered a general stream error.: all streams without buffers";
    assert!(matches!(file(S::Failed, unread), SourceError::NotMedia { .. }));
}

#[test]
fn an_address_that_refuses_is_told_without_gstreamers_own_words() {
    let absent = "Resource not found: No such file \"my clip.mp4\"";
    let error = classified(Kind::Uri, gst::ResourceError::NotFound, absent, Seen::Nothing);
    assert_eq!(error.to_string(), "my clip.mp4: no such file; check the path");
    let text = "Internal data stream error: streaming stopped, reason not-negotiated (-4)";
    let error = classified(Kind::Uri, gst::StreamError::Failed, text, Seen::Nothing);
    assert!(error.to_string().contains("do not agree on caps"), "{error}");
    let text = "Internal data stream error: streaming stopped, reason error (-5)";
    let error = classified(Kind::Uri, gst::StreamError::Failed, text, Seen::Nothing);
    assert!(error.to_string().contains("connection refused"), "{error}");
    let error = unknown_address(Some("foo"), "foo://bar").to_string();
    assert!(error.contains("foo: addresses") && !error.contains("apt-get"), "{error}");
}

#[test]
fn what_a_web_server_answers_is_told_without_addresses_twice() {
    let said = |error, reason: &str, number| {
        let debug = format!(
            "gstsouphttpsrc.c(1690): parse_status ():\n{reason} ({number}), URL: http://h/x, Redirect to: (NULL)"
        );
        classified(Kind::Uri, error, &one_line(reason, &debug), Seen::Nothing).to_string()
    };
    let busy = said(gst::ResourceError::OpenRead, "Service Unavailable", 503);
    assert!(busy.starts_with("here: the server refuses: Service Unavailable (503);"), "{busy}");
    assert!(busy.contains("rtsp://") && !busy.contains("NULL"), "{busy}");
    assert!(said(gst::ResourceError::NotFound, "Not Found", 404).contains("no such stream (404)"));
    assert!(said(gst::ResourceError::NotAuthorized, "Unauthorized", 401).contains("(401)"));
    assert!(said(gst::ResourceError::NotAuthorized, "Forbidden", 403).contains("Forbidden (403)"));
}

#[test]
fn a_camera_in_use_is_busy_and_one_pulled_out_is_lost() {
    use gst::ResourceError as R;
    assert!(matches!(classified(Kind::Camera, R::Busy, "x", Seen::Nothing), SourceError::CameraBusy { .. }));
    assert!(matches!(
        classified(Kind::Camera, R::Read, "poll error 1", Seen::Frames),
        SourceError::CameraLost { .. }
    ));
}

#[test]
fn what_cannot_be_read_over_the_network_is_no_camera_that_is_off() {
    let seek = "Server does not support seeking: Server does not accept Range HTTP header";
    let error = classified(Kind::Uri, gst::ResourceError::Seek, seek, Seen::Nothing).to_string();
    assert!(
        error.starts_with("here: the file is cut short, or its server") && !error.contains("camera"),
        "{error}"
    );
    let error =
        classified(Kind::Uri, gst::LibraryError::Failed, "Input/output error", Seen::Nothing).to_string();
    assert!(error.contains("(Input/output error); download it first"), "{error}");
}

#[test]
fn an_address_without_an_answer_is_told_what_else_its_scheme_may_mean() {
    for (place, more) in
        [("https://cam/x", "certificate"), ("HTTP://cam/x", "no HTTP"), ("rtmp://cam/x", "unknown")]
    {
        let faults = Faults::new(context(Kind::Uri, place), Duration::from_secs(3));
        let error = faults.unreachable("Internal data stream error: reason error (-5)").to_string();
        assert!(error.contains("connection refused") && error.contains(more), "{error}");
    }
}

#[test]
fn an_address_that_an_element_quotes_is_shown_as_the_source_is() {
    for given in
        ["http://u:SEK'RETT@cam/404", "http://cam/404?pwd=SEK RETT&x=1", "http://cam/x?password=SEK\"RETT"]
    {
        let crate::Source::Uri(address) = crate::Source::parse(given).unwrap() else { panic!("{given}") };
        let context = Context { address: Some(address), ..context(Kind::Uri, "here") };
        let said = format!("Not Found (404), URL: {given}, Redirect to: (NULL)");
        let shown = Faults::new(context, Duration::from_secs(3)).cleaned(&said);
        assert!(!shown.contains("SEK") && !shown.contains("RETT") && shown.contains("(NULL)"), "{shown}");
    }
}
