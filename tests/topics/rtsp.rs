//! A real RTSP camera on loopback, and what happens when it misbehaves.

use tsm_tests::program::{Running, run};
use tsm_tests::rtsp_camera::RtspCamera;
use tsm_tests::scripted_server::{AfterPlay, ScriptedServer};
use tsm_tests::shared;

#[test]
fn a_camera_is_labelled_over_tcp_and_udp() {
    let camera = RtspCamera::looping(&shared::clip("asl-walk.mkv"));
    for transport in ["tcp", "udp"] {
        let arguments =
            ["live", &camera.address(), "--transport", transport, "--format", "jsonl", "--frames", "8"];
        let finished = run(&arguments);
        assert_eq!(finished.code(), 0, "{transport}: {}", finished.stderr);
        assert_eq!(finished.frames().len(), 8);
        let states: Vec<_> =
            finished.json_lines().into_iter().filter(|line| line.get("source_state").is_some()).collect();
        assert_eq!(states[0]["source_state"], "connecting", "{transport}");
        assert_eq!(states[1]["source_state"], "live", "{transport}");
    }
}

#[test]
fn three_cameras_share_steps_and_keep_their_own_states() {
    let cameras = [(); 3].map(|()| RtspCamera::looping(&shared::clip("asl-walk.mkv")));
    let addresses = cameras.each_ref().map(RtspCamera::address);
    let mut arguments = vec!["live"];
    arguments.extend(addresses.iter().map(String::as_str));
    arguments.extend(["--format", "jsonl", "--frames", "90", "--fps", "all"]);
    let finished = run(&arguments);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let frames = finished.frames();
    for stream in 0..3 {
        let own: Vec<_> = frames.iter().filter(|line| line["stream"] == stream).collect();
        assert!(own.len() >= 10, "stream {stream} has {} frames", own.len());
        for (index, line) in own.iter().enumerate() {
            assert_eq!(line["frame"], index);
            assert_eq!(line["state_age"], index + 1, "stream {stream} lost its state");
        }
    }
    let summary = finished.stderr.lines().last().unwrap();
    let steps: u64 = number_before(summary, " steps");
    assert!(steps < 80, "90 frames took {steps} steps: hardly any was shared");
}

/// The number before `word` in `text`.
fn number_before(text: &str, word: &str) -> u64 {
    let head = text.split(word).next().unwrap();
    head.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_age_comes_from_the_senders_clock() {
    let camera = RtspCamera::test_picture();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl"]);
    let line = running.wait_for("age", |line| line["latency_millis"]["since_capture"].is_number());
    let age = line["latency_millis"]["since_capture"].as_f64().unwrap();
    let since_arrival = line["latency_millis"]["since_arrival"].as_f64().unwrap();
    assert!(age >= since_arrival && age < 5_000.0, "{line}");
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_camera_that_reboots_is_labelled_again_with_a_new_state_and_later_times() {
    let mut camera = RtspCamera::test_picture();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl"]);
    let before = running.wait_for("fourth frame", |line| line["frame"] == 3);
    camera.reboot();
    let retrying = running.wait_for_state("retrying");
    assert_eq!(retrying["attempt"], 1);
    assert!(retrying["reason"].is_string(), "{retrying}");
    running.wait_for_state("live");
    let after = running.wait_for_frame();
    assert_eq!(after["state_age"], 1, "no state crosses a reconnect");
    assert!(after["frame"].as_u64() > before["frame"].as_u64());
    assert!(after["pts_millis"].as_f64() > before["pts_millis"].as_f64(), "{before} {after}");
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code(), 0);
    for state in ["connecting", "live", "retrying"] {
        assert!(finished.stderr.contains(state), "{state} is not told: {}", finished.stderr);
    }
}

#[test]
fn a_frozen_camera_is_stalled_and_its_old_frames_are_not_shown_as_now() {
    let camera = RtspCamera::test_picture();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl", "--stall-timeout", "2"]);
    running.wait_for("fourth frame", |line| line["frame"] == 3);
    camera.freeze();
    let stalled = running.wait_for_state("stalled");
    assert!(stalled["reason"].as_str().unwrap().contains("no frame"), "{stalled}");
    running.wait_for_state("retrying");
    camera.thaw();
    running.wait_for_state("live");
    assert_eq!(running.wait_for_frame()["state_age"], 1);
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn the_burst_after_a_short_freeze_is_not_shown_as_now() {
    let camera = RtspCamera::test_picture();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl", "--stall-timeout", "20"]);
    running.wait_for("age", |line| line["latency_millis"]["since_capture"].is_number());
    camera.freeze();
    // The fault itself: what the camera could not send meanwhile, it sends at once afterwards.
    std::thread::sleep(std::time::Duration::from_secs(4));
    camera.thaw();
    let reset = running.wait_for("reset", |line| line["state_age"] == 1);
    let mut ages = Vec::new();
    for line in std::iter::once(reset).chain((0..8).map(|_| running.wait_for_frame())) {
        // The camera's own clock may run ahead for a moment after the freeze; such an age is unknown.
        ages.extend(line["latency_millis"]["since_capture"].as_f64());
    }
    assert!(ages.iter().all(|age| *age < 1500.0), "{ages:?}");
    running.signal("INT");
    let finished = running.finish();
    assert!(finished.stderr.contains(" stale"), "the burst was not noticed: {}", finished.stderr);
    assert!(!finished.stdout.contains("retrying"), "{}", finished.stderr);
}

#[test]
fn a_camera_that_does_not_return_is_given_up_after_its_retries() {
    let mut camera = RtspCamera::test_picture();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl", "--retries", "2"]);
    running.wait_for_frame();
    camera.kill();
    let finished = running.finish();
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    let retries: Vec<_> =
        finished.json_lines().into_iter().filter(|line| line["source_state"] == "retrying").collect();
    assert_eq!(retries.len(), 2, "{retries:?}");
}

#[test]
fn a_login_by_digest_or_basic_works_and_is_never_written() {
    let picture = "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 \
                   ! x264enc tune=zerolatency speed-preset=ultrafast ! rtph264pay name=pay0 pt=96 )";
    for scheme in ["basic", "digest"] {
        let camera = RtspCamera::protected_by(scheme, picture, "me@home", "p@ss:w/rd%");
        let address = camera.address_of("me%40home:p%40ss%3Aw%2Frd%25@", "cam");
        let finished = run(&["live", &address, "--format", "jsonl", "--frames", "3", "-vvv"]);
        assert_eq!(finished.code(), 0, "{scheme}: {}", finished.stderr);
        let written = format!("{}{}", finished.stdout, finished.stderr);
        for secret in ["p@ss", "p%40ss", "w/rd", "w%2Frd", "me@home"] {
            assert!(!written.contains(secret), "{scheme}: {secret} is in {written}");
        }
        let stranger = run(&["live", &camera.address_of("me%40home:wrong@", "cam")]);
        stranger.assert_bad_input("401");
        assert!(!stranger.stderr.contains("wrong"), "{}", stranger.stderr);
    }
}

#[test]
fn a_camera_that_refuses_the_password_after_it_worked_is_tried_on() {
    let mut camera = RtspCamera::test_picture();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl"]);
    running.wait_for_frame();
    camera.reboot_with_password("user", "secret");
    let refused = running.wait_for("401", |line| {
        line["source_state"] == "retrying" && line["reason"].as_str().unwrap().contains("401")
    });
    assert!(refused["attempt"].as_u64() > Some(1), "{refused}");
    assert!(
        !refused["reason"].as_str().unwrap().starts_with("rtsp://"),
        "whose it is, is told already: {refused}"
    );
    camera.reboot();
    running.wait_for_state("live");
    running.wait_for_frame();
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_server_that_answers_but_sends_nothing_is_not_called_silent() {
    let closing = ScriptedServer::after_play(AfterPlay::Close);
    let answer = run(&["live", &closing.address(), "--connect-timeout", "20"]);
    answer.assert_bad_input("closed it before the first picture");
    let silent = ScriptedServer::after_play(AfterPlay::Silence);
    run(&["live", &silent.address(), "--connect-timeout", "1"]).assert_bad_input("--transport udp");
    let busy = ScriptedServer::refusing("PLAY", "454 Session Not Found");
    run(&["live", &busy.address()]).assert_bad_input("454");
    let other_way = ScriptedServer::refusing("SETUP", "461 Unsupported Transport");
    run(&["live", &other_way.address()]).assert_bad_input("--transport udp");
}

#[test]
fn a_server_that_sends_us_elsewhere_is_told_from_the_one_there() {
    let server = ScriptedServer::redirecting();
    let finished = run(&["live", &server.address()]);
    finished.assert_bad_input("the server redirects to rtsp://***@127.0.0.1:1/elsewhere: cannot connect");
    assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
}

#[test]
fn one_of_two_cameras_given_up_is_told_while_the_other_goes_on() {
    let (mut dying, steady) = (RtspCamera::test_picture(), RtspCamera::test_picture());
    let addresses = [dying.address(), steady.address()];
    let arguments = ["live", &addresses[0], &addresses[1], "--format", "jsonl", "--retries", "0"];
    let running = Running::start(&arguments);
    running.wait_for("frame of the first", |line| line["stream"] == 0 && line.get("frame").is_some());
    let before =
        running.wait_for("frame of the second", |line| line["stream"] == 1 && line["frame"].is_u64());
    dying.kill();
    let later = before["frame"].as_u64().unwrap() + 30;
    running.wait_for("later frame", |line| line["stream"] == 1 && line["frame"].as_u64() > Some(later));
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("did not come back in 0 attempts"), "{}", finished.stderr);
}

#[test]
fn labels_go_on_at_once_after_a_freeze_over_udp() {
    let camera = RtspCamera::test_picture();
    let arguments =
        ["live", &camera.address(), "--transport", "udp", "--format", "jsonl", "--stall-timeout", "20"];
    let running = Running::start(&arguments);
    running.wait_for("age", |line| line["latency_millis"]["since_capture"].is_number());
    let before = running.wait_for_frame();
    camera.freeze();
    // The fault itself.
    std::thread::sleep(std::time::Duration::from_secs(3));
    camera.thaw();
    let reset = running.wait_for("reset", |line| line["state_age"] == 1);
    let mut last = reset["pts_millis"].as_f64().unwrap();
    let silent_for = last - before["pts_millis"].as_f64().unwrap();
    assert!(silent_for < 4_500.0, "the stream's time ran ahead: {silent_for} ms");
    for _ in 0..12 {
        let line = running.wait_for_frame();
        let now = line["pts_millis"].as_f64().unwrap();
        assert!(now - last < 1_000.0 && line["state_age"] != 1, "{line}");
        last = now;
    }
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}
