//! `--show`: a window with the picture, on a screen of its own.

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A display of a screen, `127.0.0.1:N`, that turns everybody away once its last client has left, as an X server does
/// that starts over then; how long that takes is anybody's guess, and here it is for ever.
fn until_the_last_client_leaves(screen: &Screen) -> String {
    let socket = format!("/tmp/.X11-unix/X{}", screen.display.trim_start_matches(':'));
    let free = |display: &u16| TcpListener::bind(("127.0.0.1", 6000 + display)).ok().map(|it| (it, *display));
    let (listener, display) =
        (100..200).find_map(|display| free(&display)).expect("a display of a hundred is free");
    std::thread::spawn(move || {
        let clients = Arc::new(AtomicUsize::new(0));
        for (served, client) in listener.incoming().enumerate() {
            if served > 0 && clients.load(Ordering::SeqCst) == 0 {
                return;
            }
            clients.fetch_add(1, Ordering::SeqCst);
            let (client, server) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
            let clients = Arc::clone(&clients);
            std::thread::spawn(move || {
                carry(&client, &server);
                clients.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    format!("127.0.0.1:{display}")
}

/// Carries bytes both ways until the client leaves.
fn carry(client: &TcpStream, server: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut &*server, &mut &*client));
        // What is still on its way is of no use to a client that has left.
        let _bytes = std::io::copy(&mut &*client, &mut &*server);
        let _closed = server.shutdown(Shutdown::Both);
    });
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
fn a_window_opens_on_a_screen_that_starts_over_when_its_last_client_leaves() {
    let screen = Screen::open();
    let display = until_the_last_client_leaves(&screen);
    let clip = shared::clip("asl-walk.mkv");
    let arguments = ["live", clip.to_str().unwrap(), "--show", "--format", "jsonl", "--frames", "10"];
    let finished = Running::start_with(&arguments, &[("DISPLAY", &display)]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.frames().len(), 10);
}

#[test]
fn without_a_display_one_line_says_so() {
    run(&["live", shared::clip("asl-walk.mkv").to_str().unwrap(), "--show"]).assert_bad_input("display");
}

#[test]
fn a_display_that_cannot_be_reached_is_named_in_one_line() {
    let clip = shared::clip("asl-walk.mkv");
    let live = |displays: &[(&str, &str)], needle: &str| {
        let arguments = ["live", clip.to_str().unwrap(), "--show", "--frames", "3"];
        Running::start_with(&arguments, displays).finish().assert_bad_input(needle);
    };
    live(
        &[("DISPLAY", "127.0.0.1:999")],
        "display: DISPLAY=127.0.0.1:999 cannot be opened; run on a desktop",
    );
    live(&[("WAYLAND_DISPLAY", "/nowhere/wayland-0")], "WAYLAND_DISPLAY=/nowhere/wayland-0 cannot be opened");
}
