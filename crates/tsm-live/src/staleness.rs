//! Drops the burst of old frames that follows a stall.
//!
//! ```text
//!   transit = age of a frame when it arrives (from the sender's clock, or arrival - PTS)
//!
//!   transit ▲            · ·
//!           │            · ·  ·          burst: seconds old, dropped
//!           │                 ·  ·
//!    usual ─┼─ · · · · · ────────── · · · · ·
//!           └───────────┤silence├──────────────► arrival
//! ```
//!
//! A camera behind a link that was cut sends what it kept; those frames are seconds old and must
//! not be shown as now. Only differences of transit count, so the two clocks need not agree, and a
//! slow drift between them is followed. Some sources stamp frames on arrival (`PipeWire`): their
//! transit says nothing, but a burst still betrays itself by frames that come in a clump.

use std::time::{Duration, Instant};

/// A pause between frames after which a burst is looked for.
const SILENCE: Duration = Duration::from_millis(700);

/// How much older than usual a frame may be: more than jitter, less than a person would notice.
const TOLERATED_NANOS: i64 = 500_000_000;

/// After this time beyond the silence the source has simply moved its clock.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the least transit seen is believed: clocks drift.
const BELIEVED: Duration = Duration::from_secs(30);

/// Tells old frames from fresh ones on one connection.
#[derive(Debug, Default)]
pub struct StalenessGuard {
    last_arrival: Option<Instant>,
    usual: Option<Transit>,
    /// Usual time between arrivals.
    spacing: Option<Duration>,
    /// Set by a silence: until when old frames are dropped.
    watching_until: Option<Instant>,
}

/// The least transit of the last half minute, in two halves so that old minima expire.
#[derive(Debug, Clone, Copy)]
struct Transit {
    least_nanos: i64,
    newer_nanos: i64,
    since: Instant,
}

impl StalenessGuard {
    /// Whether the frame that arrived at `arrival` with this transit belongs to a burst of old ones.
    pub fn is_stale(&mut self, arrival: Instant, transit_nanos: i64) -> bool {
        let pause = self.last_arrival.map(|last| arrival.saturating_duration_since(last));
        self.last_arrival = Some(arrival);
        let silence = pause.filter(|pause| self.is_silence(*pause));
        if let Some(pause) = silence {
            self.watching_until = Some(arrival + pause + PATIENCE);
        }
        if let (Some(until), Some(usual)) = (self.watching_until, self.usual) {
            let is_old = transit_nanos - usual.least_nanos > TOLERATED_NANOS || self.is_clumped(pause);
            if is_old && arrival < until {
                return true;
            }
            if arrival >= until {
                self.usual = None;
            }
            if silence.is_none() {
                self.watching_until = None;
            }
        }
        self.learn(arrival, transit_nanos, pause.filter(|_usual| silence.is_none()));
        false
    }

    /// Transits are of another clock from here on. How frames follow each other is known all the same: a camera may
    /// fall silent right after the first frame whose age it tells.
    pub fn change_clock(&mut self) {
        self.usual = None;
    }

    /// Far longer than the usual time between frames; a camera of one frame a second is not silent.
    fn is_silence(&self, pause: Duration) -> bool {
        self.spacing.is_some_and(|spacing| pause > SILENCE.max(spacing * 4))
    }

    /// Several times closer to its predecessor than usual.
    fn is_clumped(&self, pause: Option<Duration>) -> bool {
        matches!((pause, self.spacing), (Some(pause), Some(spacing)) if pause < spacing / 4)
    }

    fn learn(&mut self, arrival: Instant, transit_nanos: i64, pause: Option<Duration>) {
        if let Some(pause) = pause {
            let spacing = self.spacing.unwrap_or(pause);
            self.spacing = Some(spacing.mul_f64(0.9) + pause.mul_f64(0.1));
        }
        let fresh = Transit { least_nanos: transit_nanos, newer_nanos: transit_nanos, since: arrival };
        let usual = self.usual.get_or_insert(fresh);
        usual.least_nanos = usual.least_nanos.min(transit_nanos);
        usual.newer_nanos = usual.newer_nanos.min(transit_nanos);
        if arrival.saturating_duration_since(usual.since) > BELIEVED {
            *usual = Transit { least_nanos: usual.newer_nanos, newer_nanos: transit_nanos, since: arrival };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(40);
    const MILLI: i64 = 1_000_000;

    /// Feeds a camera at 25 frames/s for four seconds, 5 ms of transit.
    fn running(guard: &mut StalenessGuard, start: Instant) -> Instant {
        (0..100).fold(start, |at, _frame| {
            assert!(!guard.is_stale(at, 5 * MILLI));
            at + FRAME
        })
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_burst_after_a_cut_is_dropped_and_the_live_frames_are_not() {
        let mut guard = StalenessGuard::default();
        let end = running(&mut guard, origin()) + Duration::from_secs(6);
        for age_millis in [5800, 4000, 2000, 800] {
            assert!(guard.is_stale(end, age_millis * MILLI), "{age_millis} ms old");
        }
        assert!(!guard.is_stale(end + FRAME, 20 * MILLI));
    }

    #[test]
    fn a_burst_right_after_the_first_age_is_noticed() {
        let mut guard = StalenessGuard::default();
        let end = running(&mut guard, origin());
        guard.change_clock();
        assert!(!guard.is_stale(end, -700_000 * MILLI), "the sender's clock is another");
        let thawed = end + Duration::from_secs(4);
        assert!(guard.is_stale(thawed, -696_000 * MILLI));
        assert!(!guard.is_stale(thawed + FRAME, -699_990 * MILLI));
    }

    #[test]
    fn a_clump_is_old_even_if_its_stamps_are_fresh() {
        let mut guard = StalenessGuard::default();
        let end = running(&mut guard, origin()) + Duration::from_secs(6);
        guard.is_stale(end, 5 * MILLI);
        assert!(guard.is_stale(end + Duration::from_millis(1), 5 * MILLI));
        assert!(!guard.is_stale(end + Duration::from_millis(41), 5 * MILLI));
    }

    #[test]
    fn a_source_that_moved_its_clock_is_believed_in_the_end() {
        let mut guard = StalenessGuard::default();
        let end = running(&mut guard, origin()) + Duration::from_secs(2);
        assert!(guard.is_stale(end, 9000 * MILLI));
        let later = end + Duration::from_secs(4) + FRAME;
        let frames: Vec<bool> = (0..110).map(|i| guard.is_stale(end + FRAME * i, 9000 * MILLI)).collect();
        assert!(frames[1] && !frames[109], "until {later:?}");
    }

    #[test]
    fn a_slow_camera_is_not_silent() {
        let mut guard = StalenessGuard::default();
        let start = origin();
        assert!((0..20).all(|i| !guard.is_stale(start + Duration::from_secs(2) * i, 5 * MILLI)));
    }

    #[test]
    fn drifting_clocks_are_followed() {
        let mut guard = StalenessGuard::default();
        let start = origin();
        let seconds_old = (0..20_000u32).filter(|i| {
            let at = start + Duration::from_secs(1) * *i;
            guard.is_stale(at, i64::from(*i) * MILLI / 4)
        });
        assert_eq!(seconds_old.count(), 0);
    }
}
