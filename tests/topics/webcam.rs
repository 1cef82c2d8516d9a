//! A virtual webcam through PipeWire: listed, labelled, unplugged, plugged in again.

use tsm_tests::pipewire::VirtualCamera;
use tsm_tests::program::Running;

const PICTURE: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=YUY2,width=640,height=480,framerate=30/1";

#[test]
fn a_webcam_is_listed_labelled_and_found_again() {
    let mut camera = VirtualCamera::plugged_in(PICTURE);
    let environment = camera.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let devices = Running::start_with(&["devices", "--json"], &environment).finish();
    let listed = devices.json_lines().remove(0);
    assert_eq!(listed[0]["name"], "testcam", "{listed}");
    assert!(!listed[0]["modes"].as_array().unwrap().is_empty(), "{listed}");

    let arguments = ["live", "webcam", "--format", "jsonl", "--stall-timeout", "2"];
    let running = Running::start_with(&arguments, &environment);
    let line = running.wait_for("fourth frame", |line| line["frame"] == 3);
    assert!(line["latency_millis"]["since_capture"].is_number(), "{line}");
    camera.unplug();
    running.wait_for_state("stalled");
    running.wait_for_state("retrying");
    camera.plug(PICTURE);
    running.wait_for_state("live");
    assert_eq!(running.wait_for_frame()["state_age"], 1);
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_webcam_whose_daemon_goes_is_asked_for_until_the_end() {
    let camera = VirtualCamera::plugged_in(PICTURE);
    let environment = camera.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let arguments = ["live", "webcam", "--format", "jsonl", "--stall-timeout", "1"];
    let running = Running::start_with(&arguments, &environment);
    running.wait_for_frame();
    drop(camera);
    running.wait_for("third attempt", |line| line["source_state"] == "retrying" && line["attempt"] == 3);
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}
