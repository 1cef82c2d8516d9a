//! Real files, a real RTSP server on loopback, and what is said about each fault.
//!
//! Files are made with ffmpeg at test time; where it is missing the tests say so and are skipped, unless
//! `TSM_REQUIRE_SHARED=1` forbids it.

mod made_files;
mod rtsp_server;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use made_files::{made, skipped};
use rtsp_server::RtspServer;
use tsm_ingest::{
    ColourMatrix, ColourRange, Flow, FrameFormat, Liveness, Orientation, PixelLayout, Session, SessionEvent,
    SessionOptions, Source, SourceError,
};

/// What a session gave until its end.
#[derive(Debug)]
struct Played {
    frames: usize,
    format: Option<FrameFormat>,
    end: SessionEvent,
}

fn played(path: &Path) -> Played {
    let source = Source::File(path.to_owned());
    let (sender, frames) = mpsc::channel();
    let on_frame = move |frame: tsm_ingest::Frame| match sender.send(FrameFormat::clone(frame.format())) {
        Ok(()) => Flow::Continue,
        Err(_) => Flow::Stop,
    };
    let end = match Session::start(&source, &SessionOptions::default(), on_frame) {
        Ok(session) => {
            assert_eq!(session.liveness(), Some(Liveness::Recorded));
            session
                .next_event(Duration::from_mins(1))
                .unwrap_or_else(|| panic!("{} does not end", path.display()))
        }
        Err(error) => SessionEvent::Failed(error),
    };
    let formats: Vec<FrameFormat> = frames.try_iter().collect();
    Played { frames: formats.len(), format: formats.last().cloned(), end }
}

#[test]
fn intact_files_end_in_good_order_with_every_frame() {
    let Some(dir) = made() else { return };
    for (name, frames) in made_files::INTACT {
        let played = played(&dir.join(name));
        assert_eq!(played.end, SessionEvent::EndOfStream, "{name}: {played:?}");
        assert_eq!(played.frames, *frames, "{name}");
    }
}

#[test]
fn shared_clips_are_never_called_damaged() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let Ok(clips) = std::fs::read_dir(shared.join("clips")) else {
        return skipped("../shared/data is not there");
    };
    let classes = std::fs::read_dir(shared.join("jhmdb-train")).into_iter().flatten().flatten();
    let one_a_class = classes.filter_map(|c| std::fs::read_dir(c.path()).ok()?.flatten().next());
    for clip in clips.flatten().chain(one_a_class).map(|e| e.path()) {
        if clip.extension().is_some_and(|e| e == "md") {
            continue;
        }
        let played = played(&clip);
        assert_eq!(played.end, SessionEvent::EndOfStream, "{}: {played:?}", clip.display());
        assert!(played.frames > 0);
    }
}

#[test]
fn damage_is_named_after_the_frames_before_it() {
    let Some(dir) = made() else { return };
    let cut =
        ["cut-h264.mp4", "cut-moov-last.mp4", "cut-mpeg4.avi", "cut-h264.mkv", "cut-vp8.webm", "head.mp4"];
    for name in cut.into_iter().chain(["cut-sound.flv", "cut-sound.wmv", "cut-sound.ogv", "cut-vp8.ivf"]) {
        let played = played(&dir.join(name));
        assert!(
            matches!(played.end, SessionEvent::Failed(SourceError::Truncated { .. })),
            "{name}: {played:?}"
        );
        let plays_at_all = !matches!(name, "cut-moov-last.mp4" | "head.mp4");
        assert_eq!(played.frames > 0, plays_at_all, "{name}: {played:?}");
    }
    for name in
        ["bad-h264.mp4", "bad-h264.ts", "bad-h264.mkv", "bad-mpeg4.avi", "bad-vp8.webm", "bad-hevc.mp4"]
    {
        let played = played(&dir.join(name));
        assert!(
            matches!(played.end, SessionEvent::Failed(SourceError::Corrupt { .. })),
            "{name}: {played:?}"
        );
        assert!(played.frames > 0, "{name}: {played:?}");
    }
}

#[test]
fn what_is_no_video_is_told_apart() {
    let Some(dir) = made() else { return };
    let check = |name: &str, expected: fn(&SourceError) -> bool| {
        let SessionEvent::Failed(error) = played(&dir.join(name)).end else { panic!("{name} played") };
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    };
    check("zero.mp4", |e| matches!(e, SourceError::EmptyFile { .. }));
    check("noise.mp4", |e| matches!(e, SourceError::NotMedia { .. }));
    check("text.mp4", |e| matches!(e, SourceError::NotMedia { .. }));
    check("sound.m4a", |e| matches!(e, SourceError::NoVideo { .. }));
    check("absent.mp4", |e| matches!(e, SourceError::NotFound { .. }));
    check(".", |e| matches!(e, SourceError::IsFolder { .. }));
}

#[test]
fn colour_is_what_the_stream_says_and_bt601_otherwise() {
    let Some(dir) = made() else { return };
    let check = |name: &str, expected: (ColourMatrix, ColourRange)| {
        let Some(PixelLayout::Yuv { matrix, range, .. }) = played(&dir.join(name)).format.map(|f| f.pixels)
        else {
            panic!("{name} is not YUV")
        };
        assert_eq!((matrix, range), expected, "{name}");
    };
    check("hd.mp4", (ColourMatrix::Bt601, ColourRange::Limited));
    check("hd709.mp4", (ColourMatrix::Bt709, ColourRange::Limited));
    check("full.mp4", (ColourMatrix::Bt601, ColourRange::Full));
    check("full-hevc.mp4", (ColourMatrix::Bt601, ColourRange::Full));
    check("mjpeg.avi", (ColourMatrix::Bt601, ColourRange::Full));
    check("mpeg2-709.ts", (ColourMatrix::Bt709, ColourRange::Limited));
}

/// Frames of a file, at most ten.
fn frames(path: &Path) -> Vec<tsm_ingest::Frame> {
    let (sender, frames) = mpsc::sync_channel(10);
    let session =
        Session::start(&Source::File(path.to_owned()), &SessionOptions::default(), move |frame| match sender
            .try_send(frame)
        {
            Ok(()) => Flow::Continue,
            Err(_) => Flow::Stop,
        });
    session.expect("a made file opens").next_event(Duration::from_mins(1));
    frames.try_iter().collect()
}

#[test]
fn cameras_jpegs_keep_all_their_colours() {
    let Some(dir) = made() else { return };
    for (name, expected) in [("mjpeg.avi", (1, 1)), ("mjpeg422.avi", (1, 0)), ("mjpeg444.avi", (0, 0))] {
        let format = played(&dir.join(name)).format.unwrap();
        let PixelLayout::Yuv { horizontal_log2, vertical_log2, .. } = format.pixels else {
            panic!("{name}: {format:?}")
        };
        assert_eq!((horizontal_log2, vertical_log2), expected, "{name}");
    }
}

#[test]
fn every_picture_of_a_video_of_pngs_is_itself() {
    let Some(dir) = made() else { return };
    let all = frames(&dir.join("pngs.mov"));
    assert_eq!(all.len(), 10);
    for frame in all {
        assert_eq!(frame.format().pixels, PixelLayout::Rgb);
        let middle = |index| {
            let plane = frame.component(index);
            plane.data[32 * plane.row_stride_bytes + 32 * plane.sample_step_bytes]
        };
        for (index, expected) in [(0, 200_u8), (1, 60), (2, 40)] {
            assert!(middle(index).abs_diff(expected) <= 1, "component {index} is {}", middle(index));
        }
    }
}

/// `videoconvert` makes P010 of 12 bits, of which GStreamer tells wrongly where the last component begins.
#[test]
fn samples_of_many_bits_are_where_they_are_read() {
    let Some(dir) = made() else { return };
    let all = frames(&dir.join("12-bits.mkv"));
    let PixelLayout::Yuv { bits: 10, shift, .. } = all[0].format().pixels else { panic!("{:?}", all[0]) };
    let middle = |index| {
        let plane = all[0].component(index);
        let at = 16 * plane.row_stride_bytes + 16 * plane.sample_step_bytes;
        u16::from_le_bytes([plane.data[at], plane.data[at + 1]]) >> shift
    };
    // Of red 200, green 60, blue 40 by BT.601, limited range (ITU-R BT.601-7, section 2.5.1).
    for (index, expected) in [(0, 406), (1, 394), (2, 764)] {
        assert!(middle(index).abs_diff(expected) <= 6, "component {index} is {}", middle(index));
    }
}

#[test]
fn samples_that_no_format_has_end_in_an_error_and_not_the_program() {
    let Some(dir) = made() else { return };
    let played = played(&dir.join("16-bits.mkv"));
    assert!(matches!(played.end, SessionEvent::Failed(SourceError::Undecodable { .. })), "{played:?}");
}

#[test]
fn rotation_and_pixel_shape_are_known_with_the_frames() {
    let Some(dir) = made() else { return };
    let rotated = played(&dir.join("rotated.mp4")).format.unwrap();
    assert_ne!(rotated.orientation, Orientation::Upright);
    assert!(rotated.orientation.swaps_axes());
    assert_eq!(played(&dir.join("still.jpg")).format.unwrap().orientation, Orientation::Upright);
    assert_eq!(played(&dir.join("turned.jpg")).format.unwrap().orientation, Orientation::Rotate90);
    assert_eq!(played(&dir.join("anamorphic.mp4")).format.unwrap().pixel_aspect, (16, 11));
}

const CAMERA: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 \
    ! x264enc tune=zerolatency key-int-max=25 speed-preset=ultrafast ! rtph264pay name=pay0 pt=96 config-interval=1 )";

/// The first fault of an address, or the number of frames it gave.
fn frames_of(address: &str, wanted: usize) -> Result<usize, SourceError> {
    let options = SessionOptions { connect_timeout: Duration::from_secs(2), ..SessionOptions::default() };
    let (sender, frames) = mpsc::sync_channel(1000);
    let session = Session::start(&Source::parse(address)?, &options, move |frame| {
        match sender.try_send(frame.capture_age()) {
            Ok(()) => Flow::Continue,
            Err(_) => Flow::Stop,
        }
    })?;
    assert_eq!(session.liveness(), Some(Liveness::Live));
    for got in 0..wanted {
        if frames.recv_timeout(Duration::from_secs(15)).is_err() {
            return match session.next_event(Duration::from_secs(1)) {
                Some(SessionEvent::Failed(error)) => Err(error),
                _ => Ok(got),
            };
        }
        if let Some(SessionEvent::Failed(error)) = session.next_event(Duration::ZERO) {
            return Err(error);
        }
    }
    session.stop();
    Ok(wanted)
}

#[test]
fn an_rtsp_camera_gives_frames_and_its_faults_are_told_apart() {
    let server = RtspServer::open(CAMERA);
    assert_eq!(frames_of(&server.address("/cam"), 30), Ok(30));
    let wrong_path = frames_of(&server.address("/other"), 1);
    assert!(matches!(wrong_path, Err(SourceError::StreamNotFound { .. })), "{wrong_path:?}");
    let refused = frames_of("rtsp://127.0.0.1:1/cam", 1);
    assert!(matches!(refused, Err(SourceError::Refused { .. })), "{refused:?}");
}

#[test]
fn a_password_opens_the_camera_and_shows_in_no_error() {
    let server = RtspServer::protected(CAMERA, "me", "s:cr/t");
    let port = server.port();
    assert_eq!(frames_of(&format!("rtsp://me:s%3Acr%2Ft@127.0.0.1:{port}/cam"), 2), Ok(2));
    let wrong = frames_of(&format!("rtsp://me:wrongword@127.0.0.1:{port}/cam"), 1).unwrap_err();
    assert!(matches!(wrong, SourceError::Unauthorised { .. }), "{wrong:?}");
    assert!(!format!("{wrong} {wrong:?}").contains("wrongword"));
}

#[test]
fn the_senders_clock_tells_the_age_after_its_first_report() {
    let server = RtspServer::open(CAMERA);
    let (sender, ages) = mpsc::channel();
    let source = Source::parse(&server.address("/cam")).unwrap();
    let session = Session::start(&source, &SessionOptions::default(), move |frame| {
        if sender.send(frame.capture_age()).is_ok() { Flow::Continue } else { Flow::Stop }
    })
    .unwrap();
    // 20 s of frames: sender reports come every few seconds at most.
    let age = ages.iter().take(500).flatten().next().expect("an age within 500 frames");
    assert!(age < Duration::from_secs(5), "{age:?}");
    session.stop();
}

#[test]
fn udp_gives_frames_too() {
    let server = RtspServer::open(CAMERA);
    let options = SessionOptions { transport: tsm_ingest::Transport::Udp, ..SessionOptions::default() };
    let (sender, frames) = mpsc::channel();
    let source = Source::parse(&server.address("/cam")).unwrap();
    let session = Session::start(&source, &options, move |frame| {
        if sender.send(frame.pts()).is_ok() { Flow::Continue } else { Flow::Stop }
    })
    .unwrap();
    let pts: Vec<_> = frames.iter().take(20).collect();
    assert!(pts.windows(2).all(|w| w[0] < w[1]), "{pts:?}");
    session.stop();
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = frames_of(&format!("rtsp://{}/cam", listener.local_addr().unwrap()), 1);
    assert!(matches!(silent, Err(SourceError::NoAnswer { .. })), "{silent:?}");
}

#[test]
fn a_camera_without_video_is_named() {
    let server = RtspServer::open(
        "( audiotestsrc is-live=true ! audioconvert ! alawenc ! rtppcmapay name=pay0 pt=8 )",
    );
    let sound = frames_of(&server.address("/cam"), 1);
    assert!(matches!(sound, Err(SourceError::NoVideo { .. })), "{sound:?}");
}

/// Needs a display: `xvfb-run cargo test -p tsm-ingest -- --ignored window`.
#[test]
#[ignore = "opens a window; needs DISPLAY"]
fn a_window_shows_frames_until_it_is_dropped() {
    let mut preview = tsm_ingest::Preview::open("tsm").unwrap();
    let (sender, frames) = mpsc::sync_channel(1);
    let session =
        Session::start(&Source::Test, &SessionOptions::default(), move |frame| match sender.send(frame) {
            Ok(()) => Flow::Continue,
            Err(_) => Flow::Stop,
        })
        .unwrap();
    for frame in frames.iter().take(150) {
        preview.label("clap 87 %", 0.87);
        preview.show(&frame);
    }
    assert!(!preview.is_closed());
    drop(frames);
    session.stop();
}

#[test]
fn the_test_picture_is_live_and_the_consumer_can_stop_it() {
    assert_eq!(frames_of("test:", 5), Ok(5));
}

#[test]
fn a_template_of_ones_own_runs_and_its_mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let check = |text: &str, argument: Option<&str>, expected: &str| {
        let path = dir.path().join("own.launch");
        std::fs::write(&path, text).unwrap();
        let started = Source::custom(&path, argument)
            .and_then(|source| Session::start(&source, &SessionOptions::default(), |_| Flow::Continue));
        let said = started.map_or_else(|e| e.to_string(), |_session| "runs".to_owned());
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("hush"), "{said}");
    };
    check("# mine\nvideotestsrc num-buffers=3 ! appsink name=tsm", None, "runs");
    check("videotestsrc pattern={device} ! appsink name=tsm", Some("ball"), "runs");
    check("videotestsrc ! fakesink", None, "appsink name=tsm");
    check("rtspsrc location={uri} ! decodebin ! appsink name=tsm", None, "{uri}");
    check("videotestsrc ! nosuchelement ! appsink name=tsm", None, "nosuchelement");
    check("videotestsrc nosuch=rtsp://me:hush@cam/ ! appsink name=tsm", None, "cannot parse");
}
