//! Builds the current `tsm` and runs it as a person would.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything a test waits for on a busy machine: reached, it is a failure.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The program as the checkout has it now and as users build it: once a test run, by the cargo that runs the tests, and
/// at once where it has been built before.
///
/// # Panics
/// If it does not build.
pub fn tsm() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_unset| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--locked",
        "--bin",
        "tsm",
        "--message-format=json-render-diagnostics",
    ]);
    command.current_dir(crate::shared::workspace()).stderr(Stdio::inherit());
    let output = command.output().expect("cargo runs, it runs this test");
    assert!(output.status.success(), "tsm does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        if message["target"]["name"] != "tsm" {
            return None;
        }
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.expect("cargo names the executable it built")
}

/// [`tsm`], to be given arguments; it does not look for a GPU build beside it, which gives other figures.
pub fn command() -> Command {
    let mut command = Command::new(tsm());
    command.env("TSM_CUDA", "");
    command
}

/// What a finished run left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Finished {
    /// The exit code; -1 if a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Every line of stdout as JSON.
    ///
    /// # Panics
    /// If a line is no JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The lines about frames.
    pub fn frames(&self) -> Vec<Value> {
        self.json_lines().into_iter().filter(|line| line.get("frame").is_some()).collect()
    }

    /// Asserts that it ended with code 2 and said why in one line that holds `needle`.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_bad_input(&self, needle: &str) {
        assert_eq!(self.code(), 2, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.contains(needle), "`{needle}` is not in {}", self.stderr);
    }
}

/// Runs `tsm` to its end.
///
/// # Panics
/// If it does not start, or takes longer than [`PATIENCE`].
#[track_caller]
pub fn run(arguments: &[&str]) -> Finished {
    Running::start(arguments).finish()
}

/// A `tsm` that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Mutex<Vec<String>>,
    stderr: Arc<Mutex<String>>,
    stderr_reader: std::thread::JoinHandle<()>,
}

impl Running {
    /// Starts `tsm`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts `tsm` with more environment.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.args(arguments);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("tsm starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let errors = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&stderr);
        let stderr_reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let mut text = collected.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self { child, lines, seen: Mutex::default(), stderr, stderr_reader }
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next line of stdout that is JSON and fits, within [`PATIENCE`].
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value: Value = serde_json::from_str(&self.line(what, deadline)).expect("a line of JSON");
            if fits(&value) {
                return value;
            }
        }
    }

    /// Waits for a line of stdout that holds `text`, within [`PATIENCE`].
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.line(text, deadline).contains(text) {}
    }

    /// The next line of stdout.
    #[track_caller]
    fn line(&self, what: &str, deadline: Instant) -> String {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
                line
            }
            Err(RecvTimeoutError::Timeout) => panic!("no {what} within {PATIENCE:?}: {}", self.stderr()),
            Err(RecvTimeoutError::Disconnected) => panic!("tsm ended before {what}: {}", self.stderr()),
        }
    }

    /// The next line about a frame.
    #[track_caller]
    pub fn wait_for_frame(&self) -> Value {
        self.wait_for("frame", |line| line.get("frame").is_some())
    }

    /// The next line that says that a source is in `state`.
    #[track_caller]
    pub fn wait_for_state(&self, state: &str) -> Value {
        self.wait_for(state, |line| line["source_state"] == state)
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        let mut stdout = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => stdout.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    signal(self.child.id(), "KILL");
                    panic!("tsm still runs after {PATIENCE:?}; stdout ends with {:?}", stdout.last());
                }
            }
        }
        let status = self.child.wait().expect("tsm can be waited for");
        self.stderr_reader.join().expect("reading lines does not panic");
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Finished { status, stdout: stdout.join("\n"), stderr }
    }
}

/// Sends a signal by name to a process.
///
/// # Panics
/// If the command `kill` is missing.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(status.expect("kill runs").success(), "no process {process} to signal");
}
