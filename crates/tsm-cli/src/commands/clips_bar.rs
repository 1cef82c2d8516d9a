//! The bar of a command that goes through clips once: `eval` and `prepare`.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many clips on a terminal, nothing elsewhere.
pub(super) fn clips_bar(length: usize, is_quiet: bool) -> ProgressBar {
    let bar = if is_quiet { ProgressBar::hidden() } else { ProgressBar::new(length as u64) };
    // `wide_msg` is cut where the terminal ends: a line that wraps cannot be drawn over.
    let style = ProgressStyle::with_template("{bar:16} {pos}/{len}, {eta} left {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_unknown| ProgressStyle::default_bar()));
    bar
}
