//! `--show`: a window with the picture, on a screen of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tsm_tests::program::{Running, run, signal};
use tsm_tests::shared;

/// A screen without hardware.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn open() -> Self {
        let mut command = Command::new("Xvfb");
        // It takes a number that no other server has, living or killed, and tells it once it can be reached. By itself
        // it starts over whenever its last client leaves, and refuses the one that comes meanwhile.
        command.args(["-displayfd", "1", "-noreset", "-screen", "0", "1024x768x24"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().expect("Xvfb is installed; scripts/setup.sh --tests");
        let mut number = String::new();
        let mut told = BufReader::new(server.stdout.take().expect("its output is a pipe"));
        told.read_line(&mut number).expect("a pipe can be read");
        assert!(!number.is_empty(), "the screen does not come up");
        Self { server, display: format!(":{}", number.trim()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Killed, it would leave its socket behind, which looks like a screen.
        signal(self.server.id(), "TERM");
        // Gone either way.
        let _reaped = self.server.wait();
    }
}

#[test]
fn a_clip_is_shown_and_labelled() {
    let screen = Screen::open();
    let clip = shared::clip("asl-walk.mkv");
    let arguments = ["live", clip.to_str().unwrap(), "--show", "--format", "jsonl", "--frames", "10"];
    let finished = Running::start_with(&arguments, &[("DISPLAY", &screen.display)]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.frames().len(), 10);
}

#[test]
fn every_window_is_called_as_its_source() {
    let screen = Screen::open();
    let clips = [shared::clip("asl-walk.mkv"), shared::clip("pose-squats.mp4")];
    let [walk, squats] = clips.each_ref().map(|clip| clip.to_str().unwrap());
    let arguments = ["live", walk, squats, "--show", "--realtime", "--format", "jsonl"];
    let running = Running::start_with(&arguments, &[("DISPLAY", &screen.display)]);
    let deadline = std::time::Instant::now() + tsm_tests::program::PATIENCE;
    loop {
        let mut command = Command::new("xwininfo");
        let tree = command.args(["-display", &screen.display, "-root", "-tree"]).output();
        let Ok(tree) = tree else {
            shared::skipped("xwininfo of x11-utils is missing");
            break;
        };
        let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
        if ["asl-walk.mkv", "pose-squats.mp4"].iter().all(|name| tree.contains(name)) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{tree}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(!finished.stderr.contains("WARNING"), "{}", finished.stderr);
}

#[test]
fn without_a_display_one_line_says_so() {
    run(&["live", shared::clip("asl-walk.mkv").to_str().unwrap(), "--show"]).assert_bad_input("display");
}
