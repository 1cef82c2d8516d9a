//! Finds a believable media time where the receiver's own has run ahead of the clock.
//!
//! ```text
//!  PTS ▲            · · · · · · · ·╱      after a silence the jitter buffer of a UDP stream puts the burst
//!      │           ·             ╱        behind what it has already given out: times of the future, and
//!      │                       ╱          then one time for every frame until the clock has caught up
//!      │         ............╱            believed: what the usual way of a frame allows
//!      │ ·╱╱╱│silence│
//!      └────────────────────────► arrival
//! ```
//!
//! Frames are chosen by their times: while the times stand still, no frame would be due and a camera that
//! is live again would stay without a label for as long as it was silent. No frame comes from the future,
//! so a time is held against the shortest way that frames took before the silence. Sources that stamp what
//! they send (TCP, cameras of this machine) never get here. Old frames are the business of `staleness.rs`.

use std::time::Duration;

use tsm_ingest::Pts;

/// A pause between frames after which times are doubted.
const SILENCE: Duration = Duration::from_millis(700);

/// How far ahead of its usual way a frame may be: clocks drift, jitter buffers adapt.
const TOLERATED_NANOS: i64 = 200_000_000;

/// After this time beyond the silence the source has simply moved its clock.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells the times to go by, for one connection.
#[derive(Debug, Default)]
pub(crate) struct RunAheadGuard {
    last_arrived: Option<Duration>,
    /// Arrival less PTS: about the least seen, so that a slow drift is followed.
    usual_nanos: Option<i64>,
    /// Set by a silence: until when times are doubted.
    doubted_until: Option<Duration>,
    /// The last time that was put in a doubted one's place.
    floor: Option<Duration>,
}

impl RunAheadGuard {
    /// The time to go by for a frame of `pts` that arrived `arrived` after some fixed moment.
    pub(crate) fn believed(&mut self, arrived: Duration, pts: Pts) -> Pts {
        let pause = self.last_arrived.replace(arrived).map(|last| arrived.saturating_sub(last));
        if let Some(pause) = pause.filter(|pause| *pause > SILENCE) {
            self.doubted_until = Some(arrived + pause + PATIENCE);
        }
        let way_nanos = nanos(arrived) - nanos(pts.since_start());
        if let (Some(until), Some(usual)) = (self.doubted_until, self.usual_nanos) {
            if arrived < until && way_nanos < usual - TOLERATED_NANOS {
                let held = u64::try_from(nanos(arrived) - usual).map_or(Duration::ZERO, Duration::from_nanos);
                self.floor = Some(held);
                return Pts(held);
            }
            if arrived >= until {
                (self.doubted_until, self.usual_nanos) = (None, None);
            }
        }
        if self.doubted_until.is_none() {
            // Not from a burst: each of its frames is ahead of the last one by less than what is tolerated.
            self.learn(way_nanos);
        }
        self.not_before_the_last_held(pts)
    }

    fn learn(&mut self, way_nanos: i64) {
        let usual = self.usual_nanos.get_or_insert(way_nanos);
        *usual = if way_nanos < *usual { way_nanos } else { *usual + (way_nanos - *usual) / 64 };
    }

    /// The first true time may lie a little before the last one that was held; that is no jump back.
    fn not_before_the_last_held(&mut self, pts: Pts) -> Pts {
        let Some(floor) = self.floor else { return pts };
        let is_little = nanos(floor) - nanos(pts.since_start()) < TOLERATED_NANOS;
        if pts.since_start() >= floor || !is_little {
            self.floor = None;
            return pts;
        }
        Pts(floor)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Two seconds of 25 frames/s that take 5 ms on their way.
    fn running(guard: &mut RunAheadGuard) {
        for frame in 0..50 {
            let pts = Pts(millis(frame * 40));
            assert_eq!(guard.believed(millis(frame * 40 + 5), pts), pts);
        }
    }

    #[test]
    fn times_that_stand_still_in_the_future_are_replaced_until_the_clock_has_caught_up() {
        let mut guard = RunAheadGuard::default();
        running(&mut guard);
        // Silent for two seconds, then two seconds of frames that all claim to be of the time 6 s.
        let times: Vec<u64> = (100..150)
            .map(|frame| guard.believed(millis(frame * 40 + 5), Pts(millis(6000))).since_start())
            .map(|time| u64::try_from(time.as_millis()).unwrap())
            .collect();
        assert_eq!(times[..3], [4000, 4040, 4080]);
        assert!(times.is_sorted(), "{times:?}");
        let after = Pts(millis(6080));
        assert_eq!(guard.believed(millis(6095), after), after);
    }

    #[test]
    fn a_burst_does_not_lead_away_step_by_step() {
        let mut guard = RunAheadGuard::default();
        running(&mut guard);
        let last = (0..50).fold(Duration::ZERO, |_before, frame| {
            guard.believed(millis(4005 + frame), Pts(millis(4000 + frame * 40))).since_start()
        });
        assert!(last <= millis(4050 + 200), "{last:?}");
    }

    #[test]
    fn the_first_true_time_is_no_jump_back() {
        let mut guard = RunAheadGuard::default();
        running(&mut guard);
        assert_eq!(guard.believed(millis(4005), Pts(millis(6000))), Pts(millis(4000)));
        assert_eq!(guard.believed(millis(4045), Pts(millis(3990))), Pts(millis(4000)));
        assert_eq!(guard.believed(millis(4085), Pts(millis(4080))), Pts(millis(4080)));
    }

    #[test]
    fn old_frames_and_clumps_keep_their_times() {
        let mut guard = RunAheadGuard::default();
        // A decoder's first frames come late and together.
        for frame in 0..10 {
            let pts = Pts(millis(frame * 40));
            assert_eq!(guard.believed(millis(900 + frame), pts), pts);
        }
        running_on_from(&mut guard, 1000);
        let old = Pts(millis(3000));
        assert_eq!(guard.believed(millis(9000), old), old);
    }

    fn running_on_from(guard: &mut RunAheadGuard, start: u64) {
        for frame in 0..50 {
            let pts = Pts(millis(start + frame * 40));
            assert_eq!(guard.believed(millis(start + frame * 40 + 5), pts), pts);
        }
    }

    #[test]
    fn a_source_that_moved_its_clock_is_believed_in_the_end() {
        let mut guard = RunAheadGuard::default();
        running(&mut guard);
        let ahead = |at: u64| Pts(millis(at + 60_000));
        let believed: Vec<bool> = (75..160)
            .map(|frame| guard.believed(millis(frame * 40), ahead(frame * 40)) == ahead(frame * 40))
            .collect();
        assert!(!believed[0] && believed.is_sorted() && believed[84], "{believed:?}");
    }
}
