//! How far apart two frames may lie for the flow between them to be a motion that the model learned.
//!
//! ```text
//! interval 83 ms, 30 frames/s: up to 125 ms
//! PTS      0    100  167  267  333  433  500  600
//! used     0    100  167  267            500  600     two were dropped under load
//! motion        yes  yes  yes            no   yes
//! ```
//!
//! A flow over several intervals is that many times as fast, and would count as usual for frames to come. The shifted
//! features stay: they tell what was seen, not how fast it went.

use std::time::Duration;

use crate::sampler::{ROUNDING, SampleRate};

/// Part of the model's rate by which a chosen one may differ before speeds read otherwise than they were learned.
const ALIKE: f64 = 0.25;

/// Tells of which frames of a stream the motion is unknown, since the frame before lies too far back.
#[derive(Debug, Clone)]
pub struct MotionReach {
    /// The larger one of the model's and the chosen.
    interval: Duration,
    last: Option<Duration>,
}

impl MotionReach {
    /// For a stream that has shown nothing, of whose frames `rate` chooses those of a model that learned from frames
    /// `model_interval` apart.
    pub fn new(model_interval: Duration, rate: SampleRate) -> Self {
        let interval = match rate {
            SampleRate::Every(chosen) => model_interval.max(chosen),
            SampleRate::AllFrames => model_interval,
        };
        Self { interval, last: None }
    }

    /// Whether the frame used before the one at `pts` lies too far back; remembers this one. The first one has none
    /// before it. `source_step` is how far apart the source's own frames lie ([`crate::FrameSampler::source_step`]).
    ///
    /// Half an interval more is allowed, or one frame of the source where that is more, since the sampler may have to
    /// wait for it: of 15 frames a second, 12 lie up to 133 ms apart, and a source slower than the model has no others.
    pub fn is_exceeded(&mut self, pts: Duration, source_step: Duration) -> bool {
        let reach = self.interval + source_step.max(self.interval / 2) + ROUNDING;
        let last = self.last.replace(pts);
        last.is_some_and(|last| pts.checked_sub(last).is_none_or(|gap| gap > reach))
    }
}

/// Whether a model of flow that learned from frames at `model_hz` reads clearly other speeds off frames at `hz`.
pub(crate) fn reads_other_speeds(model_hz: f64, hz: f64) -> bool {
    (hz - model_hz).abs() > ALIKE * model_hz
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::{Admission, FrameSampler};
    use tsm_ingest::Pts;

    const INTERVAL: Duration = Duration::from_micros(83_333);

    /// Of the frames used, those whose motion is unknown though there is one before; `is_lost` never reach the model.
    fn unknown(stamps_millis: &[u64], rate: SampleRate, is_lost: impl Fn(u64) -> bool) -> Vec<u64> {
        let (mut sampler, mut reach) = (FrameSampler::new(rate), MotionReach::new(INTERVAL, rate));
        let mut is_unknown = |millis: &u64| {
            let pts = Duration::from_millis(*millis);
            let is_used = sampler.admit(Pts(pts)) != Admission::Skip && !is_lost(*millis);
            is_used && reach.is_exceeded(pts, sampler.source_step())
        };
        stamps_millis.iter().copied().filter(|millis| is_unknown(millis)).collect()
    }

    /// Ten seconds of frames.
    fn camera(hz: f64) -> Vec<u64> {
        let frames = (0..10_000u32).map(|index| f64::from(index) / hz).take_while(|at| *at < 10.0);
        frames.map(|at| Duration::from_secs_f64(at).as_millis().try_into().unwrap()).collect()
    }

    #[test]
    fn a_stream_that_loses_nothing_knows_all_its_motion_at_any_rate() {
        const CAMERAS_HZ: [f64; 13] =
            [2.0, 5.0, 7.5, 10.0, 12.5, 14.0, 15.0, 16.0, 20.0, 24.0, 25.0, 29.97, 60.0];
        let chosen = [0.5, 2.0, 6.0, 9.0, 12.0, 15.0, 30.0];
        let rates = chosen.map(|hz| SampleRate::Every(Duration::from_secs_f64(1.0 / hz)));
        for rate in rates.into_iter().chain([SampleRate::AllFrames, SampleRate::Every(INTERVAL)]) {
            for hz in CAMERAS_HZ {
                let none: [u64; 0] = [];
                assert_eq!(unknown(&camera(hz), rate, |_| false), none, "{rate:?} of {hz} Hz");
            }
        }
    }

    #[test]
    fn motion_over_lost_frames_is_unknown_once() {
        let lost = |from, to| move |millis| (from..to).contains(&millis);
        let every = SampleRate::Every(INTERVAL);
        // Dropped before the model, at 30 Hz: 500 is used after 333.
        assert_eq!(unknown(&camera(30.0), every, lost(400, 500)), [500]);
        assert_eq!(unknown(&camera(60.0), SampleRate::AllFrames, lost(1000, 1200)), [1200]);
        // Of a slower choice, too: two frames a second, one of them lost.
        let half = SampleRate::Every(Duration::from_millis(500));
        assert_eq!(unknown(&camera(30.0), half, lost(1500, 1600)), [2000]);
        // And of a source that is slower than the model.
        assert_eq!(unknown(&camera(5.0), every, lost(1000, 1400)), [1400]);
    }

    #[test]
    fn motion_over_frames_that_never_came_is_unknown_once() {
        let mut stamps = camera(30.0);
        stamps.retain(|millis| !(400..700).contains(millis));
        assert_eq!(unknown(&stamps, SampleRate::Every(INTERVAL), |_| false), [700]);
        assert_eq!(unknown(&stamps, SampleRate::AllFrames, |_| false), [700]);
    }

    #[test]
    fn all_frames_of_a_fast_source_may_lack_some_within_the_models_interval() {
        let lost = |millis| (1000..1050).contains(&millis);
        let none: [u64; 0] = [];
        assert_eq!(unknown(&camera(60.0), SampleRate::AllFrames, lost), none);
    }

    #[test]
    fn a_time_that_goes_back_exceeds_the_reach() {
        let mut reach = MotionReach::new(INTERVAL, SampleRate::AllFrames);
        let millis = [100, 140, 80, 120].map(Duration::from_millis);
        assert_eq!(millis.map(|pts| reach.is_exceeded(pts, Duration::ZERO)), [false, false, true, false]);
    }

    #[test]
    fn rates_within_a_quarter_of_the_models_are_alike() {
        let told = [5.0, 8.9, 9.0, 10.0, 12.0, 15.0, 15.1, 30.0].map(|hz| reads_other_speeds(12.0, hz));
        assert_eq!(told, [true, true, false, false, false, false, true, true]);
    }
}
