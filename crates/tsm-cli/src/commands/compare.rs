//! `tsm compare`: whether one way of training is better than another, on the same clips.

use tsm_train::metrics::{BootstrapSettings, side_by_side};
use tsm_train::report::write_atomically;

use crate::args::compare::CompareArgs;
use crate::exit_code::{Exit, Failure};
use crate::talk;

/// Prints both accuracies and their difference with its interval.
///
/// # Errors
/// Reports that cannot be read, or are about other clips.
pub(crate) fn run(args: &CompareArgs) -> Result<Exit, Failure> {
    let found =
        side_by_side(&args.first, &args.second, &BootstrapSettings::default()).map_err(Failure::bad_input)?;
    if let Some(json) = &args.json {
        write_atomically(json, serde_json::to_string_pretty(&found)?.as_bytes())?;
    }
    let interval = &found.interval;
    talk::result(&format!(
        "first {:.1} %, second {:.1} %: {:+.1} points, {:.0} % interval {:+.1} to {:+.1} ({} clips, drawn by {} groups)",
        100.0 * found.first,
        100.0 * found.second,
        100.0 * interval.difference,
        100.0 * interval.confidence,
        100.0 * interval.low,
        100.0 * interval.high,
        interval.clips,
        interval.groups,
    ))?;
    Ok(Exit::Done)
}
