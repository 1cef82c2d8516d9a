//! A real RTSP camera on loopback, in a process of its own that can be frozen, killed and started again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::media;
use crate::program::signal;

/// A running camera; dropping it kills it.
#[derive(Debug)]
pub struct RtspCamera {
    child: Child,
    port: u16,
    launch: String,
}

/// The camera's program, built with this crate.
fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own file");
        let folder = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
        folder.join("rtsp_camera")
    })
}

impl RtspCamera {
    /// A camera that shows a moving picture for ever, 25 frames a second.
    pub fn test_picture() -> Self {
        Self::serve(
            "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 \
             ! x264enc tune=zerolatency key-int-max=25 speed-preset=ultrafast ! rtph264pay name=pay0 pt=96 config-interval=1 )",
        )
    }

    /// A camera that shows a real clip over and over, 25 frames a second.
    pub fn looping(clip: &Path) -> Self {
        let stream = media::elementary_h264(clip);
        Self::serve(&format!(
            "( multifilesrc location={} loop=true ! h264parse \
             ! video/x-h264,stream-format=byte-stream,alignment=au,framerate=25/1 ! identity sync=true \
             ! rtph264pay name=pay0 pt=96 config-interval=1 )",
            stream.display()
        ))
    }

    /// A camera that serves `launch`, a line in parentheses whose payloader is named `pay0`.
    pub fn serve(launch: &str) -> Self {
        Self::start(0, launch, &[])
    }

    /// As [`Self::serve`], for one user alone.
    pub fn protected(launch: &str, user: &str, password: &str) -> Self {
        Self::start(0, launch, &["basic", user, password])
    }

    /// As [`Self::protected`], by the scheme `basic` or `digest`.
    pub fn protected_by(scheme: &str, launch: &str, user: &str, password: &str) -> Self {
        Self::start(0, launch, &[scheme, user, password])
    }

    fn start(port: u16, launch: &str, credentials: &[&str]) -> Self {
        let mut command = Command::new(executable());
        command.arg("127.0.0.1").arg(port.to_string()).arg(launch).args(credentials);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the camera starts; cargo builds it with this crate");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the camera says its port");
        let port = line.trim().parse().expect("the camera says its port");
        Self { child, port, launch: launch.to_owned() }
    }

    /// The address, with no credentials.
    pub fn address(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }

    /// The address of another path of this camera.
    pub fn address_of(&self, user_info: &str, path: &str) -> String {
        format!("rtsp://{user_info}127.0.0.1:{}/{path}", self.port)
    }

    /// Stops the camera's process where it stands, as a dead link does.
    pub fn freeze(&self) {
        signal(self.child.id(), "STOP");
    }

    /// Lets a frozen camera go on.
    pub fn thaw(&self) {
        signal(self.child.id(), "CONT");
    }

    /// Kills the camera and starts it again on the same port, as a reboot does.
    pub fn reboot(&mut self) {
        self.kill();
        *self = Self::start(self.port, &self.launch.clone(), &[]);
    }

    /// As [`Self::reboot`], after which it wants a password that it did not want before.
    pub fn reboot_with_password(&mut self, user: &str, password: &str) {
        self.kill();
        *self = Self::start(self.port, &self.launch.clone(), &["basic", user, password]);
    }

    /// Kills the camera: connections break.
    pub fn kill(&mut self) {
        // It may be gone already; either way it is gone now.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for RtspCamera {
    fn drop(&mut self) {
        self.kill();
    }
}
