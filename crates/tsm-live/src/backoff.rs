//! How long to wait before a source is tried again: exponential, bounded, jittered.

use std::time::Duration;

/// The wait before the first new attempt: a camera that reboots needs longer anyway.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait: a camera that returns is seen again within half a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits between attempts: doubling up to half a minute, each spread by a quarter either way so
/// that a hundred cameras behind one switch do not return in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
    seed: u64,
}

impl Backoff {
    /// No attempt made yet. Streams with different `seed`s wait differently.
    pub(crate) fn new(seed: u64) -> Self {
        Self { attempt: 0, seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// The source works again: the next fault starts at the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Counts an attempt (from 1) and says how long to wait before it.
    pub(crate) fn next_attempt(&mut self) -> (u32, Duration) {
        let wait = FIRST.saturating_mul(1 << self.attempt.min(10)).min(LONGEST);
        self.attempt = self.attempt.saturating_add(1);
        (self.attempt, wait.mul_f64(0.75 + 0.5 * self.unit()))
    }

    /// The next number in 0..1 (xorshift; nothing here needs more).
    fn unit(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        f64::from(u32::try_from(self.seed >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let mut backoff = Backoff::new(1);
        for (attempt, nominal) in (1..).zip([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
            let (counted, wait) = backoff.next_attempt();
            assert_eq!(counted, attempt);
            let ratio = wait.as_secs_f64() / nominal;
            assert!((0.75..=1.25).contains(&ratio), "attempt {attempt}: {wait:?}");
        }
        backoff.reset();
        assert_eq!(backoff.next_attempt().0, 1);
    }

    #[test]
    fn two_streams_do_not_return_in_step() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            [(); 4].map(|()| backoff.next_attempt().1)
        };
        assert_ne!(waits(1), waits(2));
    }
}
