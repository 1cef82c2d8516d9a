//! How a run ends: signals, a closed pipe, a limit.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tsm_tests::program::{Running, command, signal, tsm};
use tsm_tests::shared;

/// A shell that runs `line`, which fails if any part of it does.
fn bash(line: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("set -o pipefail; {line}")]).env("TSM_CUDA", "");
    command
}

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
fn a_reader_that_reads_nothing_does_not_hold_up_the_stop() {
    let clip = shared::clip("asl-walk.mkv");
    // Lines of 60 kB: the pipe is full after one, the queue behind it before the clip ends.
    let arguments = ["live", clip.to_str().unwrap(), "--fps", "all", "--format", "jsonl", "--top-k", "1000"];
    let mut command = command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(8));
    assert!(child.try_wait().unwrap().is_none(), "the run is held up by its reader");
    let asked = Instant::now();
    signal(child.id(), "INT");
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
}

#[test]
fn a_slow_reader_gets_every_line() {
    let clip = shared::clip("asl-walk.mkv");
    let live =
        format!("'{}' live '{}' --fps all --format jsonl --top-k 1000", tsm().display(), clip.display());
    let output = bash(&format!("{live} | (sleep 6; wc -l)")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "89");
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let clip = shared::clip("asl-walk.mkv");
    let line =
        format!("'{}' live '{}' --format jsonl --realtime | head -n 2", tsm().display(), clip.display());
    let output = bash(&line).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.to_lowercase().contains("pipe") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_result_that_nobody_reads_is_no_error_and_one_that_cannot_be_written_is() {
    let clip = shared::clip("asl-walk.mkv");
    let infer = ["infer", clip.to_str().unwrap(), "--format", "jsonl"];
    for arguments in [&["info", "--json"][..], &infer] {
        let written_to = |out: Stdio| {
            let output = command().args(arguments).stdin(Stdio::null()).stdout(out).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(written_to(writer.into()), (Some(0), String::new()), "{arguments:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, stderr) = written_to(full.into());
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("tsm: the output cannot be written: "), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_selftest_that_is_ended_leaves_the_report_of_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let running = Running::start(&["selftest", "--full", "--json", file.to_str().unwrap()]);
    running.wait_for_line("recorded outputs");
    running.signal("INT");
    assert_eq!(running.finish().code(), -1, "the signal ended it");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["checks"][0]["check"], "golden");
    assert_eq!((&report["ended"], &report["passed"]), (&false.into(), &false.into()));
}
