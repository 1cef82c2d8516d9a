//! What a person reads: the help of every command and the lines of common mistakes, word for word.
//!
//! `TSM_UPDATE_GOLDEN=1 cargo test --workspace --test tests help` writes the files anew;
//! the difference is then to be read.

use std::fmt::Write;
use std::path::PathBuf;

use tsm_tests::program::{Finished, Running};
use tsm_tests::shared;

const COMMANDS: [&str; 12] = [
    "live", "train", "eval", "infer", "prepare", "devices", "doctor", "convert", "info", "verify", "bench",
    "selftest",
];

fn run(arguments: &[&str]) -> Finished {
    // Help is wrapped to the terminal; there is none here.
    Running::start_with(arguments, &[("COLUMNS", "100"), ("RUST_BACKTRACE", "1")]).finish()
}

#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path: PathBuf = shared::workspace().join("tests/topics/help").join(name);
    if std::env::var_os("TSM_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{}: read the difference; TSM_UPDATE_GOLDEN=1 accepts it", path.display());
}

#[test]
fn every_command_explains_itself_with_examples_and_exit_codes() {
    for command in [&[][..]].into_iter().chain(COMMANDS.each_ref().map(std::slice::from_ref)) {
        let finished = run(&[command, &["--help"]].concat());
        assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""));
        assert!(finished.stdout.starts_with("Examples:"), "{}", finished.stdout);
        assert!(finished.stdout.contains("Exit codes:"), "{}", finished.stdout);
        let name = command.first().unwrap_or(&"tsm");
        assert_golden(&format!("{name}.txt"), &format!("{}\n", finished.stdout));
    }
}

#[test]
fn every_mistake_is_one_line_and_exit_code_2() {
    let mistakes = [
        "bogus",
        "live",
        "live clip.mp4 --bogus",
        "live clip.mp4 --fps 0",
        "live clip.mp4 --fps nan",
        "live clip.mp4 --top-k 0",
        "live clip.mp4 --frames -1",
        "live clip.mp4 --window 0",
        "live clip.mp4 --confirm x",
        "live clip.mp4 --retries -1",
        "live clip.mp4 --stall-timeout 0",
        "live clip.mp4 --device gpu",
        "live clip.mp4 --backbone vgg",
        "live clip.mp4 --shift-div 0",
        "live clip.mp4 --segments 5000",
        "live clip.mp4 --backbone resnet50",
        "live clip.mp4 --labels nowhere.txt",
        "live clip.mp4 --model nowhere.safetensors",
        "live clip.mp4 --pipeline nowhere.launch",
        "live nowhere.mp4",
        "live -clip.mp4",
        "live webcam9",
        "live cam",
        "live /dev/video99",
        "live webcam:x",
        "live rtsp:/cam",
        "live rtsp:cam",
        "live http:/x",
        "live u:secret@cam/stream",
        "live rtsp://",
        "live foo://bar",
        "train",
        "train clips",
        "train clips --bogus",
        "train --config nowhere.toml",
        "compare a b",
        "compare clip.mp4",
        "devices --bogus",
        "doctor nowhere.mp4 more",
        "convert nowhere.pth",
        "convert nowhere.pth out.safetensors",
        "convert nowhere.pth -",
        "info nowhere.safetensors",
        "info a b",
        "verify",
        "verify --vectors nowhere.safetensors",
        "verify --vectors nowhere.safetensors --tolerance -1",
    ];
    let mut text = String::new();
    for mistake in mistakes {
        let finished = run(&mistake.split(' ').collect::<Vec<_>>());
        finished.assert_bad_input("tsm: ");
        assert_eq!(finished.stdout, "", "{mistake}");
        write!(text, "$ tsm {mistake}\n{}", finished.stderr).unwrap();
    }
    assert_golden("mistakes.txt", &text);
}
