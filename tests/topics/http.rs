//! Cameras that send one JPEG after the other over HTTP, what happens when they misbehave, and files over HTTP.

use tsm_tests::http_server::{HttpServer, Sends};
use tsm_tests::program::{Running, run};
use tsm_tests::{media, shared};

fn camera() -> HttpServer {
    HttpServer::camera(&shared::clip("asl-walk.mkv"))
}

#[test]
fn a_camera_is_live_from_its_first_picture_on() {
    let finished = run(&["live", &camera().address(), "--format", "jsonl", "--frames", "12", "--fps", "all"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let lines = finished.json_lines();
    assert_eq!(lines[0]["source_state"], "connecting");
    assert_eq!(lines[1]["source_state"], "live");
    let frames = finished.frames();
    assert_eq!(frames.len(), 12);
    for pair in frames.windows(2) {
        let step = pair[1]["pts_millis"].as_f64().unwrap() - pair[0]["pts_millis"].as_f64().unwrap();
        // On a machine that was held up for a second, a state may rightly begin anew.
        let is_kept = pair[1]["state_age"] != 1 || step > 1000.0;
        assert!(step > 0.0 && is_kept, "the times jump: {}", finished.stdout);
    }
}

#[test]
fn a_camera_that_hangs_up_is_labelled_again_with_a_new_state_and_later_times() {
    let camera = camera();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl"]);
    let before = running.wait_for("fourth frame", |line| line["frame"] == 3);
    camera.change(Sends::Refusals);
    assert_eq!(running.wait_for_state("retrying")["attempt"], 1);
    let refused = running.wait_for("503", |line| {
        line["source_state"] == "retrying" && line["reason"].as_str().unwrap().contains("503")
    });
    assert_eq!(refused["attempt"], 2);
    camera.change(Sends::Pictures);
    running.wait_for_state("live");
    let after = running.wait_for_frame();
    assert_eq!(after["state_age"], 1, "no state crosses a reconnect");
    assert!(after["pts_millis"].as_f64() > before["pts_millis"].as_f64(), "{before} {after}");
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_camera_that_falls_silent_is_stalled_and_connected_again() {
    let camera = camera();
    let running = Running::start(&["live", &camera.address(), "--format", "jsonl", "--stall-timeout", "2"]);
    running.wait_for("fourth frame", |line| line["frame"] == 3);
    camera.change(Sends::Silence);
    let stalled = running.wait_for_state("stalled");
    assert!(stalled["reason"].as_str().unwrap().contains("no frame"), "{stalled}");
    running.wait_for_state("retrying");
    camera.change(Sends::Pictures);
    running.wait_for_state("live");
    assert_eq!(running.wait_for_frame()["state_age"], 1);
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_camera_that_does_not_return_is_given_up_and_one_that_never_worked_is_refused() {
    let camera = camera();
    let arguments = ["live", &camera.address(), "--format", "jsonl", "--retries", "2"];
    let running = Running::start(&arguments);
    running.wait_for_frame();
    camera.change(Sends::Refusals);
    let finished = running.finish();
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("did not come back in 2 attempts"), "{}", finished.stderr);
    run(&arguments).assert_bad_input("the server refuses: Service Unavailable (503)");
    camera.change(Sends::Silence);
    run(&["live", &camera.address(), "--connect-timeout", "1"]).assert_bad_input("no answer within");
}

#[test]
fn a_stop_is_answered_while_the_server_is_not_heard_of() {
    let camera = camera();
    camera.change(Sends::Silence);
    let running = Running::start(&["live", "test:", &camera.address(), "--format", "jsonl"]);
    running.wait_for_frame();
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_video_file_of_a_web_server_is_a_file() {
    let clip = shared::clip("asl-walk.mkv");
    let arguments = "-c:v libx264 -pix_fmt yuv420p -g 30 -movflags +faststart";
    let file = media::ffmpeg(&clip, arguments, "asl-walk-faststart.mp4");
    let server = HttpServer::file(&file);
    let labelled = |source: &str| {
        let finished = run(&["live", source, "--format", "jsonl", "--fps", "all"]);
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert!(!finished.stdout.contains("source_state"), "a recording has no source states");
        finished.frames().iter().map(|line| line["pts_millis"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let times = labelled(&server.address());
    assert_eq!(times.len(), 89);
    assert_eq!(times, labelled(file.to_str().unwrap()));
}
