//! Percentiles of durations over months in a fixed few kilobytes.
//!
//! Buckets grow by a sixteenth: bucket bounds are exact to 6 %, whatever the number of values.

use std::time::Duration;

/// Sub-buckets of each power of two.
const STEPS: u32 = 16;

/// Powers of two of a microsecond that are told apart: up to about 19 hours.
const POWERS: u32 = 36;

/// Counts of durations by size.
#[derive(Debug, Clone)]
pub struct DurationHistogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for DurationHistogram {
    fn default() -> Self {
        Self { counts: vec![0; (STEPS * (POWERS + 1)) as usize], total: 0 }
    }
}

impl DurationHistogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let last = self.counts.len() - 1;
        self.counts[bucket(duration).min(last)] += 1;
        self.total += 1;
    }

    /// The duration that `share` (0..=1) of all are at most as long as; none if nothing was counted.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among fewer than 2^53 values"
    )]
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map(upper_bound)
    }
}

/// Buckets are linear below 16 microseconds, then 16 to each doubling.
fn bucket(duration: Duration) -> usize {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let steps = u64::from(STEPS);
    if micros < steps {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = micros.ilog2() - STEPS.ilog2();
    let step = (micros >> power) - steps;
    usize::try_from(u64::from(power + 1) * steps + step).unwrap_or(usize::MAX)
}

fn upper_bound(bucket: usize) -> Duration {
    let (power, step) = (bucket / STEPS as usize, bucket % STEPS as usize);
    let micros = match power {
        0 => step as u64,
        power => ((step as u64 + u64::from(STEPS) + 1) << (power - 1)) - 1,
    };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_six_percent() {
        let mut histogram = DurationHistogram::default();
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            let found = histogram.percentile(share).unwrap().as_secs_f64() * 1e6;
            assert!((1.0..1.0626).contains(&(found / exact)), "{share}: {found}");
        }
    }

    #[test]
    fn nothing_counted_has_no_percentile() {
        assert_eq!(DurationHistogram::default().percentile(0.5), None);
    }

    #[test]
    fn the_longest_duration_has_a_bucket() {
        let mut histogram = DurationHistogram::default();
        histogram.record(Duration::MAX);
        assert!(histogram.percentile(1.0).is_some());
    }
}
