//! The flags of `compare`.

use std::path::PathBuf;

use clap::Args;

/// Two sides of reports.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Reports of the first side: `tsm eval --json` files, or a run's validation.json; folds and seeds together
    #[arg(long, num_args = 1.., required = true, value_name = "REPORT.json")]
    pub(crate) first: Vec<PathBuf>,
    /// Reports of the second side, about the same clips
    #[arg(long, num_args = 1.., required = true, value_name = "REPORT.json")]
    pub(crate) second: Vec<PathBuf>,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
