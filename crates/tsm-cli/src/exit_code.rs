//! The exit codes of `tsm`, all of them.

use std::fmt::Display;
use std::process::ExitCode;

use crate::talk;

/// How the program ends. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "video"), allow(dead_code, reason = "some are of commands that read video"))]
pub(crate) enum Exit {
    /// Done; also after Ctrl-C, at the end of a file, and when the reader of our output went away.
    Done = 0,
    /// `verify`: the outputs differ by more than the tolerance. `doctor`: something needed is missing. `selftest`: a
    /// check does not hold.
    Differs = 1,
    /// Wrong use, or an input that cannot be used: flags, file, camera, model, network address.
    BadInput = 2,
    /// A live source was given up after `--retries` attempts.
    GivenUp = 3,
    /// `train`: the loss is infinite or no number.
    NotFinite = 4,
}

/// The list that `--help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done (also after Ctrl-C, at the end of a file, or when the output's reader went away)
  1  verify: outputs differ by more than the tolerance; doctor: something needed is missing;
     selftest: a check does not hold
  2  wrong use, or an input that cannot be used (infer: any of its files)
  3  a live source was given up after --retries attempts
  4  train: the loss is not finite
  130  ended at once by a second Ctrl-C";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, in one line, and the code to end with.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What is said on stderr; nothing where there is nobody to tell.
    pub(crate) line: Option<String>,
    /// The code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// An input that cannot be used.
    pub(crate) fn bad_input(what: impl Display) -> Self {
        Self { line: Some(first_line(&what.to_string())), exit: Exit::BadInput }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::bad_input(error)
    }
}

/// One line a terminal cannot misread: control characters of a path are escaped, and a backtrace that a
/// library put behind its message is left out.
fn first_line(text: &str) -> String {
    talk::escaped(text.split("\n   0:").next().unwrap_or(text).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_break_the_line() {
        assert_eq!(first_line("x\ny\u{1b}[31m: no such file"), "x\\ny\\u{1b}[31m: no such file");
        assert_eq!(first_line("shape mismatch\n   0: candle_core::bail"), "shape mismatch");
    }
}
