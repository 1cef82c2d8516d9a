//! One binary for any x86-64: older processors, emulated by qemu, give what this machine gives.
#![cfg(target_arch = "x86_64")]

use std::process::Command;

use serde_json::Value;
use tsm_tests::program::tsm;
use tsm_tests::shared;

/// Frames of the clip that are labelled: enough for the state to matter.
const FRAMES: &str = "4";

/// Seconds that an emulated run may take: fifty times what it does.
const PATIENCE_SECS: &str = "300";

/// Starts `tsm` by `wrapper`, which may be nothing, and gives its stdout.
fn output(wrapper: &[&str], arguments: &[&str]) -> String {
    let words = [wrapper, &[tsm().to_str().unwrap()], arguments].concat();
    let (program, arguments) = words.split_first().unwrap();
    // A GPU build beside the program would be started outside of the emulator.
    let output = Command::new(program).args(arguments).env_remove("TSM_CPU").env("TSM_CUDA", "").output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup.sh --tests installs it"));
    assert!(output.status.success(), "{wrapper:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Labels a clip; `wrapper` is what the program is started by.
fn labelled(wrapper: &[&str]) -> Vec<Value> {
    let clip = shared::clip("pose-squats.mp4");
    let arguments = ["live", clip.to_str().unwrap(), "--format", "jsonl", "--frames", FRAMES];
    let lines = output(wrapper, &arguments);
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line.get("frame").is_some()).collect()
}

/// The probabilities of a line's best classes, in the order of the classes.
fn probabilities(line: &Value) -> Vec<(u64, f64)> {
    let top_k = line["top_k"].as_array().unwrap();
    let mut all: Vec<(u64, f64)> = top_k
        .iter()
        .map(|entry| (entry["class"].as_u64().unwrap(), entry["probability"].as_f64().unwrap()))
        .collect();
    all.sort_by_key(|&(class, _)| class);
    all
}

/// Asserts that `processor`, on which the kernels of `level` run, gives what this one gives.
fn assert_as_here(processor: &str, level: &str) {
    let emulator = ["timeout", PATIENCE_SECS, "qemu-x86_64", "-cpu", processor];
    let doctor = output(&emulator, &["doctor"]);
    assert!(doctor.contains(&format!("cpu        {level},")), "{processor} is no {level}: {doctor}");
    let (here, there) = (labelled(&[]), labelled(&emulator));
    assert_eq!(here.len(), there.len());
    assert!(!here.is_empty());
    for (here, there) in here.iter().zip(&there) {
        let (ours, theirs) = (probabilities(here), probabilities(there));
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.into_iter().zip(theirs) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-4, "{processor}: {there} for {here}");
        }
    }
}

#[test]
fn a_processor_without_avx_gives_what_this_one_gives() {
    assert_as_here("Nehalem", "scalar");
}

#[test]
fn a_processor_without_avx512_gives_what_this_one_gives() {
    assert_as_here("Haswell", "avx2");
}
