//! `--show`: a window with the picture, on a screen of its own.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tsm_tests::program::{Running, run};
use tsm_tests::shared;

/// A screen without hardware.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn open() -> Self {
        // One process, several tests: each has a screen of its own.
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let number = 90 + std::process::id() % 900 + 1000 * OPENED.fetch_add(1, Ordering::Relaxed);
        let display = format!(":{number}");
        let mut command = Command::new("Xvfb");
        command.args([&display, "-screen", "0", "1024x768x24"]).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().expect("Xvfb is installed; scripts/setup.sh --tests");
        let socket = format!("/tmp/.X11-unix/X{number}");
        let deadline = std::time::Instant::now() + tsm_tests::program::PATIENCE;
        while !std::path::Path::new(&socket).exists() {
            assert!(std::time::Instant::now() < deadline, "the screen does not come up");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Self { server, display }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Gone either way.
        let _gone = self.server.kill();
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
