//! How a run ends: signals, a closed pipe, a limit.

use std::time::{Duration, Instant};

use tsm_tests::program::{Running, tsm};
use tsm_tests::shared;

#[test]
fn a_signal_stops_within_a_second_with_the_summary() {
    for signal in ["INT", "TERM"] {
        let running = Running::start(&["live", "test:", "--format", "jsonl"]);
        running.wait_for_frame();
        let asked = Instant::now();
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert!(finished.stderr.contains(" processed "), "{}", finished.stderr);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

#[test]
fn a_signal_while_connecting_stops_too() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let running = Running::start(&["live", &format!("rtsp://127.0.0.1:{port}/x"), "--format", "jsonl"]);
    running.wait_for_state("connecting");
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let clip = shared::clip("asl-walk.mkv");
    let line =
        format!("'{}' live '{}' --format jsonl --realtime | head -n 2", tsm().display(), clip.display());
    let output = std::process::Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {line}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.to_lowercase().contains("pipe") && !stderr.contains("panicked"), "{stderr}");
}
