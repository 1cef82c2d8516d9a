//! Which frames of a stream the model sees: one each time the media time reaches the next multiple
//! of the model's frame interval.
//!
//! ```text
//! PTS        0   33   67  100  133  167  200        30 frames/s, interval 83.3 ms
//! multiples  0             83.3      166.7
//! used       0             100       167
//! ```
//!
//! By time and not by count, so that cameras of 15, 25, 30 and 60 frames/s and variable rates
//! behave alike. It also notices where the media time breaks: a jump back, or a gap.

use std::time::Duration;

use tsm_ingest::Pts;

/// A gap in the media time over which features of the past say nothing any more.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Containers round time stamps to milliseconds, the first one and this one.
pub(crate) const ROUNDING: Duration = Duration::from_millis(1);

/// How often frames are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleRate {
    /// At this interval of media time.
    Every(Duration),
    /// Every frame of the source.
    AllFrames,
}

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Pass over it: not due yet.
    Skip,
    /// The model sees it.
    Use,
    /// The model sees it, as the first frame after a break.
    UseAfresh,
}

/// Chooses frames of one stream.
#[derive(Debug)]
pub struct FrameSampler {
    rate: SampleRate,
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Origin {
    first: Pts,
    last: Pts,
    /// From the frame before to the last one, and the step before that.
    steps: [Option<Duration>; 2],
    /// The next multiple of the interval that is due.
    due: u64,
}

impl FrameSampler {
    /// A sampler that has seen nothing.
    pub fn new(rate: SampleRate) -> Self {
        Self { rate, origin: None }
    }

    /// Starts over with the next frame, as at a new picture size or connection.
    pub fn restart(&mut self) {
        self.origin = None;
    }

    /// Decides about the frame at `pts`.
    pub fn admit(&mut self, pts: Pts) -> Admission {
        let going_on = self.origin.as_mut().and_then(|origin| {
            let step = pts.since_start().checked_sub(origin.last.since_start())?;
            (step <= LONGEST_GAP).then_some((origin, step))
        });
        let Some((origin, step)) = going_on else {
            self.origin = Some(Origin { first: pts, last: pts, steps: [None; 2], due: 1 });
            return Admission::UseAfresh;
        };
        origin.last = pts;
        origin.steps = [Some(step), origin.steps[0]];
        let SampleRate::Every(interval) = self.rate else {
            return Admission::Use;
        };
        let elapsed =
            pts.since_start().saturating_sub(origin.first.since_start()) + ROUNDING.min(interval / 4);
        let reached = multiples(elapsed, interval);
        if reached < origin.due {
            return Admission::Skip;
        }
        origin.due = reached.saturating_add(1);
        Admission::Use
    }

    /// How far apart the source's own frames lie, used or not: the shorter of its last two steps, since frames may be
    /// missing in one. Zero at the first frame.
    pub fn source_step(&self) -> Duration {
        let steps = self.origin.as_ref().map_or([None; 2], |origin| origin.steps);
        steps.into_iter().flatten().min().unwrap_or(Duration::ZERO)
    }
}

/// Whole intervals in `elapsed`. An interval of zero counts as a nanosecond.
fn multiples(elapsed: Duration, interval: Duration) -> u64 {
    let count = elapsed.as_nanos() / interval.as_nanos().max(1);
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Admission::{Use, UseAfresh};
    use super::*;

    fn millis(ms: u64) -> Pts {
        Pts(Duration::from_millis(ms))
    }

    /// Which of the time stamps are used at `hz`.
    fn used(stamps_millis: &[u64], hz: f64) -> Vec<u64> {
        let mut sampler = FrameSampler::new(SampleRate::Every(Duration::from_secs_f64(1.0 / hz)));
        let is_used = |ms: &u64| sampler.admit(millis(*ms)) != Admission::Skip;
        stamps_millis.iter().copied().filter(is_used).collect()
    }

    fn camera(hz: f64, frames: u32) -> Vec<u64> {
        (0..frames)
            .map(|i| Duration::from_secs_f64(f64::from(i) / hz).as_millis().try_into().unwrap())
            .collect()
    }

    #[test]
    fn every_camera_gives_as_many_frames_a_second_as_the_model_wants() {
        for (hz, frames) in [(15.0, 150), (24.0, 240), (25.0, 250), (29.97, 300), (30.0, 300), (60.0, 600)] {
            let ten_seconds = camera(hz, frames);
            assert!((119..=120).contains(&used(&ten_seconds, 12.0).len()), "{hz} Hz");
        }
    }

    #[test]
    fn a_slower_source_gives_every_frame() {
        let slow = camera(10.0, 50);
        assert_eq!(used(&slow, 12.0), slow);
    }

    #[test]
    fn stamps_rounded_to_milliseconds_lose_no_frame() {
        let stamps = camera(30.0, 90);
        assert_eq!(used(&stamps, 30.0), stamps);
        assert_eq!(used(&[0, 33, 67, 100, 133, 167, 200], 12.0), [0, 100, 167]);
    }

    #[test]
    fn breaks_of_the_media_time_start_afresh() {
        let mut sampler = FrameSampler::new(SampleRate::AllFrames);
        let admissions = [0, 40, 1040, 2100, 2140, 80, 120].map(|ms| sampler.admit(millis(ms)));
        assert_eq!(admissions, [UseAfresh, Use, Use, UseAfresh, Use, UseAfresh, Use]);
    }

    #[test]
    fn the_sources_step_is_told_over_a_gap_and_forgotten_over_a_break() {
        let mut sampler = FrameSampler::new(SampleRate::Every(Duration::from_millis(100)));
        let steps = [0, 40, 80, 400, 440, 2000, 2500, 3000].map(|ms| {
            sampler.admit(millis(ms));
            u64::try_from(sampler.source_step().as_millis()).unwrap()
        });
        assert_eq!(steps, [0, 40, 40, 40, 40, 0, 500, 500]);
    }

    #[test]
    fn a_gap_does_not_owe_the_frames_it_lacks() {
        assert_eq!(used(&[0, 500, 533, 566, 600], 12.0), [0, 500, 600]);
    }
}
