//! What a run amounted to, told at its end.

use std::fmt;
use std::time::Duration;

use crate::clock::millis;
use crate::histogram::DurationHistogram;

/// Counts and latencies of a run, all streams together.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Decoded frames that came in.
    pub frames_in: u64,
    /// Frames labelled.
    pub processed: u64,
    /// Due frames passed over because the model was busy.
    pub dropped: u64,
    /// Frames of a burst after a stall, dropped for their age.
    pub stale: u64,
    /// Steps of the network; fewer than frames where streams shared a step.
    pub steps: u64,
    /// From the first labelled frame to the last.
    pub elapsed: Duration,
    /// From arrival of a frame until its line was written.
    pub latency: DurationHistogram,
}

impl Summary {
    /// Labelled frames a second.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 frames")]
    pub fn labelled_hz(&self) -> f64 {
        let intervals = self.processed.saturating_sub(1) as f64;
        if self.elapsed.is_zero() { 0.0 } else { intervals / self.elapsed.as_secs_f64() }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames_in, processed, dropped, stale, steps, .. } = self;
        write!(f, "frames: {frames_in} in, {processed} processed in {steps} steps, {dropped} dropped")?;
        if *stale > 0 {
            write!(f, ", {stale} stale")?;
        }
        let percentile = |share| self.latency.percentile(share).map_or(0.0, millis);
        let (p50, p95, p99) = (percentile(0.5), percentile(0.95), percentile(0.99));
        write!(
            f,
            "; latency p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms; {:.1} fps",
            self.labelled_hz()
        )
    }
}
