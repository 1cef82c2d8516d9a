//! Log events to stderr: warnings by default, more with each `-v`, or as `TSM_LOG` says.
//!
//! In colour on a terminal only, and never where `NO_COLOR` is set (<https://no-color.org>).

use std::ffi::OsStr;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `verbose` counts the `-v` flags.
pub(crate) fn start(verbose: u8, is_quiet: bool) {
    let level = match (is_quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    // Only our own rooms: GStreamer's and other crates' debug output may hold addresses with passwords.
    let ours = ["tsm", "tsm_cli", "tsm_live", "tsm_ingest", "tsm_model", "tsm_kernels"];
    let default = ours.map(|room| format!("{room}={level}")).join(",");
    let filter = EnvFilter::try_from_env("TSM_LOG").unwrap_or_else(|_unset| EnvFilter::new(default));
    let in_colour = is_coloured(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(in_colour)
        .with_target(false)
        .init();
}

/// A log that is read by a program or kept in a file has no use for escape sequences.
fn is_coloured(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_that_is_not_told_otherwise_gets_colours() {
        assert!(is_coloured(true, None));
        assert!(is_coloured(true, Some(OsStr::new(""))));
        assert!(!is_coloured(true, Some(OsStr::new("1"))));
        assert!(!is_coloured(false, None));
    }
}
