//! Log events to stderr: warnings by default, more with each `-v`, or as `TSM_LOG` says.

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
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
