//! Has a GPU build start and say what it is: the loader alone knows which libraries it names.
//!
//! ```text
//! --version ─ spawn ─┬─ it ended: what it said, 4 KiB a stream ─ this version? ─ or why not, and what to do
//!                    └─ it did not in time ─ kill, reap ─────────────────────────┘
//! ```
//!
//! A program that was started is not waited for for ever: one whose libraries lie on a dead network folder may never
//! end, nor stop writing. (One that lies there itself does not start, and nothing comes back from that.)

#![expect(
    clippy::disallowed_methods,
    reason = "another process is waited for, by the real clock, and not for long"
)]

use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::libraries;

/// What both builds say of themselves: flags of one version may be unknown to the other.
const VERSION: &str = concat!("tsm ", env!("CARGO_PKG_VERSION"));

/// How long a GPU build may take to say its version: its libraries are hundreds of MB, on a disk that may be asleep.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a killed program may take to be gone: one that hangs in a driver or a network folder never is.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How long to sleep before looking again: little beside what a start takes.
const PAUSE: Duration = Duration::from_millis(5);

/// What is kept of each stream: its first lines.
const MOST_BYTES: usize = 4096;

/// What is read of a stream before the clock is looked at again, in reads of [`MOST_BYTES`].
const READS_A_TURN: usize = 16;

/// What is shown of a line that may be anything.
const MOST_CHARS: usize = 200;

/// What the loader begins with where it gives up; others may have warned before.
const TITLES: [&str; 2] = ["error while loading shared libraries: ", "symbol lookup error: "];

/// Why a GPU build cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{} does not start: {reason}; name CUDA 13's libraries with --cuda-libs DIR, or use --device cpu", path.display())]
    LacksLibrary { path: PathBuf, reason: String, library: String },
    #[error("{} does not start: {reason}; it needs NVIDIA driver 580 or newer: install that, or use --device cpu", path.display())]
    OldDriver { path: PathBuf, reason: String },
    #[error("{} does not start: {reason}; it was made on a newer system than this: build it here, or use --device cpu", path.display())]
    OldSystem { path: PathBuf, reason: String },
    #[error("{} does not start: {reason}; mend that, or use --device cpu", path.display())]
    Ended { path: PathBuf, reason: String },
    #[error("{} --version did not end within {} s and was killed; run it by hand to see why, or use --device cpu", path.display(), patience.as_secs_f32())]
    Hangs { path: PathBuf, patience: Duration },
    #[error("{} cannot be run: {reason}; make it executable (chmod +x), build it anew with --features cuda, or use --device cpu", path.display())]
    NoProgram { path: PathBuf, reason: String },
    #[error("{} is {is}, not {VERSION}; build both from one source, or use --device cpu", path.display())]
    OtherVersion { path: PathBuf, is: String },
}

/// Asks the program of `command` for its version, and waits for `patience` at most.
///
/// # Errors
/// Where it is not of our version, or does not start: the reason.
pub(super) fn check(mut command: Command, patience: Duration) -> Result<(), StartError> {
    let path = PathBuf::from(command.get_program());
    command.arg("--version");
    let Answer { status, stdout, stderr } = match ask(command, patience) {
        Ok(answer) => answer,
        Err(error) => return Err(StartError::NoProgram { path, reason: error.to_string() }),
    };
    match status {
        None => Err(StartError::Hangs { path, patience }),
        Some(status) if status.success() => match stdout.lines().next().unwrap_or_default() {
            VERSION => Ok(()),
            "" => Err(StartError::OtherVersion { path, is: "no tsm".to_owned() }),
            other => Err(StartError::OtherVersion { path, is: shown(other) }),
        },
        Some(status) => Err(StartError::of(path, complaint(&stderr, status))),
    }
}

impl StartError {
    /// What the reason means: a library, the driver and the system are mended in different ways.
    fn of(path: PathBuf, reason: String) -> Self {
        let (library, complaint) = reason.split_once(": ").unwrap_or(("", &reason));
        // The driver's functions are `cuInit` and the like; those of the libraries `cublasCreate` or `cudaMalloc`.
        let symbol = reason.split_once("undefined symbol: cu").map(|(_, name)| name);
        if complaint.starts_with("cannot open shared object file") && libraries::is_of_cuda(library) {
            Self::LacksLibrary { path, library: library.to_owned(), reason }
        } else if symbol.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_uppercase())) {
            Self::OldDriver { path, reason }
        } else if reason.contains("GLIBC_") && reason.contains("not found") {
            Self::OldSystem { path, reason }
        } else {
            Self::Ended { path, reason }
        }
    }
}

/// The line that tells why a program ended with `status`.
fn complaint(stderr: &str, status: ExitStatus) -> String {
    let titled = |line| TITLES.iter().find_map(|title| str::split_once(line, title)).map(|(_, what)| what);
    let line = stderr
        .lines()
        .find_map(titled)
        .or_else(|| stderr.lines().find(|line| line.contains("GLIBC_")))
        .or_else(|| stderr.lines().find(|line| !line.trim().is_empty()));
    line.map_or_else(|| format!("it ended without a word ({status})"), shown)
}

/// As much of a line as one can read.
fn shown(line: &str) -> String {
    line.chars().take(MOST_CHARS).collect()
}

/// What a program said, and how it ended; no status if it had to be killed.
struct Answer {
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

/// Runs `command` to its end, or kills it after `patience`.
fn ask(mut command: Command, patience: Duration) -> io::Result<Answer> {
    let (mut stdout, written) = Stream::new()?;
    let (mut stderr, complained) = Stream::new()?;
    command.stdin(Stdio::null()).stdout(written).stderr(complained);
    let deadline = Instant::now() + patience;
    let mut child = command.spawn()?;
    let status = loop {
        // Asked before reading: what it wrote until its end is there to be read then. Its streams' own end may never
        // come, because a child that it left behind holds them, too.
        let status = child.try_wait();
        stdout.read_on();
        stderr.read_on();
        match status {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Ok(None) => break None,
            Ok(Some(status)) => break Some(status),
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        }
    };
    if status.is_none() {
        end(&mut child);
    }
    Ok(Answer { status, stdout: stdout.into_text(), stderr: stderr.into_text() })
}

/// Kills `child` and reaps it, if it lets go.
fn end(child: &mut Child) {
    let deadline = Instant::now() + LAST_WAIT;
    if let Err(error) = child.kill() {
        tracing::debug!("the GPU build cannot be killed: {error}");
    }
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
    }
}

/// What another program writes: the beginning is kept, the rest let go so that it is not held up. A pair of sockets,
/// because reading a pipe can only wait.
struct Stream {
    socket: UnixStream,
    kept: Vec<u8>,
}

impl Stream {
    /// Our end, and the one for the program.
    fn new() -> io::Result<(Self, OwnedFd)> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        Ok((Self { socket, kept: Vec::new() }, theirs.into()))
    }

    /// Takes what is there.
    fn read_on(&mut self) {
        let mut bytes = [0; MOST_BYTES];
        for _ in 0..READS_A_TURN {
            match self.socket.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => {
                    let missing = MOST_BYTES - self.kept.len();
                    self.kept.extend(bytes.iter().take(count.min(missing)));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing more for now; or never, which the program's end tells.
                Err(_) => return,
            }
        }
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a program that runs `body`, within `patience`.
    fn said(body: &str, patience: Duration) -> String {
        let mut command = Command::new("/bin/sh");
        // `--version` behind it becomes the script's own name.
        command.args(["-c", body]);
        check(command, patience).map_or_else(|error| error.to_string(), |()| "it starts".to_owned())
    }

    #[track_caller]
    fn check_said(body: &str, expected: &str) {
        let said = said(body, PATIENCE);
        assert!(said.contains(expected), "`{expected}` is not in `{said}`");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let patience = Duration::from_millis(200);
        for body in [
            "exec sleep 60",
            "exec yes",
            "exec yes >&2",
            "sleep 2; true",
            "trap '' TERM PIPE; exec cat /dev/zero",
        ] {
            let said = said(body, patience);
            assert!(
                said.starts_with("/bin/sh --version did not end within 0.2 s and was killed;"),
                "{body}: {said}"
            );
        }
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        check_said(&format!("echo {VERSION}; sleep 30 &"), "it starts");
    }

    #[test]
    fn a_program_that_talks_a_lot_still_says_its_version() {
        check_said(&format!("yes | head -n 500000 >&2; echo {VERSION}"), "it starts");
        check_said("yes | head -n 500000", "is y, not tsm ");
        check_said(
            "head -c 9000 /dev/zero | tr '\\0' x",
            &format!("is {}, not tsm ", "x".repeat(MOST_CHARS)),
        );
    }

    #[test]
    fn each_reason_has_its_own_remedy() {
        let check = |complaint: &str, expected: &str| {
            check_said(&format!("cat >&2 <<'end'\n{complaint}\nend\nexit 127"), expected);
        };
        let loading = "tsm: error while loading shared libraries: ";
        let missing = "cannot open shared object file: No such file or directory";
        check(&format!("{loading}libcublasLt.so.13: {missing}"), "libcublasLt.so.13: cannot open");
        check(
            &format!("{loading}libcublasLt.so.13: {missing}"),
            "; name CUDA 13's libraries with --cuda-libs DIR",
        );
        check(
            &format!("{loading}libgstapp-1.0.so.0: {missing}"),
            "directory; mend that, or use --device cpu",
        );
        check(
            &format!("{loading}libcurand.so.10: file too short"),
            "too short; mend that, or use --device cpu",
        );
        let symbol = "tsm: symbol lookup error: tsm: undefined symbol: ";
        check(
            &format!("{symbol}cuCtxCreate_v4"),
            "tsm: undefined symbol: cuCtxCreate_v4; it needs NVIDIA driver 580",
        );
        check(&format!("{symbol}cublasNew"), "undefined symbol: cublasNew; mend that");
        let old = "tsm: /lib/libc.so.6: version `GLIBC_2.38' not found (required by tsm)";
        check(&format!("a warning\n{old}"), "(required by tsm); it was made on a newer system than this");
        let ignored = "ERROR: ld.so: object 'x' from LD_PRELOAD cannot be preloaded (cannot open shared object file): ignored.";
        check(&format!("{ignored}\n{symbol}cuInit"), "does not start: tsm: undefined symbol: cuInit;");
        check("\nno memory", "does not start: no memory; mend that");
        check("", "does not start: it ended without a word (exit status: 127); mend that");
    }
}
