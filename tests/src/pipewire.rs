//! A virtual webcam: a private PipeWire daemon with a node of class Video/Source.
//!
//! It is no `/dev/video*`, but GstDeviceMonitor lists it and `tsm live webcam` reads it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{PATIENCE, signal};

/// The daemons and, while plugged in, the camera.
#[derive(Debug)]
pub struct VirtualCamera {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
    feed: Option<Child>,
}

/// The camera's name.
const NAME: &str = "testcam";

impl VirtualCamera {
    /// Starts the daemons and plugs the camera in, with `feed` as its picture (raw video).
    ///
    /// # Panics
    /// If the packages of `scripts/setup.sh --tests` are missing.
    pub fn plugged_in(feed: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the daemon's socket");
        for part in ["run", "state", "config"] {
            std::fs::create_dir(folder.path().join(part)).expect("a new folder");
        }
        let mut camera = Self { folder, daemons: Vec::new(), feed: None };
        let pipewire = camera.spawn(&["pipewire"]);
        camera.daemons.push(pipewire);
        let socket = camera.folder.path().join("run/pipewire-0");
        wait_until("pipewire's socket", || socket.exists());
        let manager = camera.spawn(&["dbus-run-session", "--", "wireplumber"]);
        camera.daemons.push(manager);
        wait_until("wireplumber", || camera.pipewire_lists("Client", "wireplumber"));
        camera.plug(feed);
        camera
    }

    /// Adds the camera.
    pub fn plug(&mut self, feed: &str) {
        let properties = format!(
            "props,media.class=Video/Source,media.role=Camera,node.name={NAME},node.description={NAME}"
        );
        let line = format!("{feed} ! pipewiresink mode=provide stream-properties={properties}");
        let words: Vec<&str> = ["gst-launch-1.0", "-q"].into_iter().chain(line.split_whitespace()).collect();
        self.feed = Some(self.spawn(&words));
        wait_until("the camera's node", || self.pipewire_lists("Node", NAME));
    }

    /// Takes the camera away.
    pub fn unplug(&mut self) {
        if let Some(mut feed) = self.feed.take() {
            // Gone either way.
            let _gone = feed.kill();
            let _reaped = feed.wait();
        }
    }

    /// Stops the camera's picture without taking the camera away.
    pub fn freeze(&self) {
        if let Some(feed) = &self.feed {
            signal(feed.id(), "STOP");
        }
    }

    /// What `tsm` needs in its environment to see the camera.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let run = self.folder.path().join("run").display().to_string();
        [("XDG_RUNTIME_DIR", run.clone()), ("PIPEWIRE_RUNTIME_DIR", run)]
    }

    fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).spawn().expect("the packages of scripts/setup.sh --tests are installed")
    }

    fn command(&self, words: &[&str]) -> Command {
        let part = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(self.environment());
        command.env("XDG_STATE_HOME", part("state")).env("XDG_CONFIG_HOME", part("config"));
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn pipewire_lists(&self, kind: &str, name: &str) -> bool {
        let output = self.command(&["pw-cli", "ls", kind]).stdout(Stdio::piped()).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).to_lowercase().contains(name))
    }
}

impl Drop for VirtualCamera {
    fn drop(&mut self) {
        self.unplug();
        for daemon in self.daemons.iter_mut().rev() {
            // Gone either way.
            let _gone = daemon.kill();
            let _reaped = daemon.wait();
        }
    }
}

/// Looks again and again; what is waited for belongs to another process and sends no message.
fn wait_until(what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} did not come up");
        std::thread::sleep(Duration::from_millis(100));
    }
}
