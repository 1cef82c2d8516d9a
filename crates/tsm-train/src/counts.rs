//! Counts as numbers to reckon with.

/// A count in double precision.
#[expect(clippy::cast_precision_loss, reason = "clips, frames, steps and pixels are far below 2^53")]
pub(crate) const fn float(count: usize) -> f64 {
    count as f64
}
