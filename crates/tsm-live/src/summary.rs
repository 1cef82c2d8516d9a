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
    /// Labelled frames a second; none of fewer than two frames, or where no time passed between them.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 frames")]
    pub fn labelled_hz(&self) -> Option<f64> {
        let intervals = self.processed.checked_sub(1).filter(|&n| n > 0)? as f64;
        (!self.elapsed.is_zero()).then(|| intervals / self.elapsed.as_secs_f64())
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
        write!(f, "; latency p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms")?;
        self.labelled_hz().map_or(Ok(()), |hz| write!(f, "; {hz:.1} fps"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_takes_two_frames() {
        let said = |processed| {
            Summary { processed, elapsed: Duration::from_millis(500), ..Summary::default() }.to_string()
        };
        assert!(said(2).ends_with("; 2.0 fps"), "{}", said(2));
        for too_few in [0, 1] {
            assert!(said(too_few).ends_with("p99 0.0 ms"), "{}", said(too_few));
        }
    }
}
