//! The frames a stream would see: live recognition's own sampler, started somewhere in the clip.
//!
//! ```text
//! PTS    0   33  67  100 133 167 200 233 267        30 frames/s, interval 83.3 ms
//! from 0 x           x       x           x          a start: used as live uses them
//! from 1     x           x       x           x      another
//! ```
//!
//! The rule is not written again: [`tsm_live::FrameSampler`] decides, so a model trained here meets the
//! same spacing when it runs. A start is possible where S frames follow it without a break of the media time. What a
//! file lacks within a second stays in a view, and its motion counts there; only streams take it for unknown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tsm_ingest::Pts;
use tsm_live::{Admission, FrameSampler, MotionReach, SampleRate};

use crate::draws::Draw;
use crate::sampling::ClipCount;

/// What a clip gives that has fewer than S frames at the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortClip {
    /// Its last frame again and again: a stream whose picture stands still. The default, since time never jumps.
    #[default]
    RepeatLast,
    /// It starts over: as the references' dense sampling does.
    Loop,
}

/// The interval as media time; at least a nanosecond, at most a day.
pub(crate) fn duration(interval_millis: f64) -> Duration {
    const DAY_MILLIS: f64 = 86_400_000.0;
    let millis =
        if interval_millis.is_finite() { interval_millis.clamp(1e-6, DAY_MILLIS) } else { DAY_MILLIS };
    Duration::from_secs_f64(millis / 1000.0)
}

/// The frames live recognition uses of a stream that starts at frame `start`, up to `most` and to the first break.
pub fn stream_from(pts: &[Duration], start: usize, interval: Duration, most: usize) -> Vec<usize> {
    let mut sampler = FrameSampler::new(SampleRate::Every(interval));
    let mut used = Vec::with_capacity(most.min(pts.len()));
    for (index, pts) in pts.iter().enumerate().skip(start) {
        if used.len() == most {
            break;
        }
        match sampler.admit(Pts(*pts)) {
            Admission::Skip => {}
            Admission::UseAfresh if index > start => break,
            Admission::Use | Admission::UseAfresh => used.push(index),
        }
    }
    used
}

/// What live recognition forgets before a frame that it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    /// The frame goes on where the one before ended.
    Nothing,
    /// Frames are missing before it, so that its motion is unknown.
    Motion,
    /// The stream starts over.
    Everything,
}

/// Chooses the frames of a clip that live recognition uses, one after another.
#[derive(Debug)]
pub struct StreamChoice {
    sampler: FrameSampler,
    reach: MotionReach,
}

impl StreamChoice {
    /// A choice at this interval that has seen no frame.
    pub fn new(interval: Duration) -> Self {
        let rate = SampleRate::Every(interval);
        Self { sampler: FrameSampler::new(rate), reach: MotionReach::new(interval, rate) }
    }

    /// What live recognition forgets before the next frame; none where it passes the frame over. Where the pictures
    /// change their shape it starts over, too.
    pub fn admit(&mut self, pts: Duration, is_other_shape: bool) -> Option<Forgets> {
        if is_other_shape {
            self.sampler.restart();
        }
        let admission = self.sampler.admit(Pts(pts));
        if admission == Admission::Skip {
            return None;
        }
        let is_out_of_reach = self.reach.is_exceeded(pts, self.sampler.source_step());
        Some(match admission {
            Admission::UseAfresh => Forgets::Everything,
            _ if is_out_of_reach => Forgets::Motion,
            _ => Forgets::Nothing,
        })
    }
}

/// `segments` frames from a random start.
pub fn train(
    pts: &[Duration],
    interval: Duration,
    segments: usize,
    short: ShortClip,
    draw: &mut dyn Draw,
) -> Vec<usize> {
    let starts = starts(pts, interval, segments);
    if starts.is_empty() {
        return filled(stream_from(pts, 0, interval, segments), segments, short);
    }
    stream_from(pts, starts[draw.below(starts.len())], interval, segments)
}

/// `segments` frames from the middle one of the possible starts; twice, from the first and from the last.
pub fn evaluate(
    pts: &[Duration],
    interval: Duration,
    segments: usize,
    short: ShortClip,
    clips: ClipCount,
) -> Vec<usize> {
    let starts = starts(pts, interval, segments);
    let (first, last) = (starts.first().copied().unwrap_or(0), starts.last().copied().unwrap_or(0));
    let chosen = match clips {
        ClipCount::Twice => vec![first, last],
        ClipCount::One | ClipCount::DenseTen => vec![starts.get(starts.len() / 2).copied().unwrap_or(0)],
    };
    let clip = |start| filled(stream_from(pts, start, interval, segments), segments, short);
    chosen.into_iter().flat_map(clip).collect()
}

/// How many frames of a view there are before it repeats one ([`ShortClip`]).
pub fn shown_frames(indices: &[usize]) -> usize {
    let goes_on = indices.windows(2).take_while(|pair| pair[0] < pair[1]).count();
    if indices.is_empty() { 0 } else { goes_on + 1 }
}

/// The frames from which `segments` frames follow at the interval.
fn starts(pts: &[Duration], interval: Duration, segments: usize) -> Vec<usize> {
    (0..pts.len()).filter(|&start| stream_from(pts, start, interval, segments).len() == segments).collect()
}

/// `used` made `segments` long. `used` is empty only where the clip is.
fn filled(used: Vec<usize>, segments: usize, short: ShortClip) -> Vec<usize> {
    let Some(last) = used.len().checked_sub(1) else { return used };
    let at = |i: usize| match short {
        ShortClip::RepeatLast => used[i.min(last)],
        ShortClip::Loop => used[i % used.len()],
    };
    (0..segments).map(at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draws::Draws;

    const INTERVAL: Duration = Duration::from_micros(83_333);

    fn camera(hz: f64, frames: u32) -> Vec<Duration> {
        (0..frames).map(|i| Duration::from_secs_f64(f64::from(i) / hz)).collect()
    }

    /// The frames used, and what is forgotten before each.
    fn stream(pts: &[Duration], shape_changes: &[usize]) -> Vec<(usize, Forgets)> {
        let mut choice = StreamChoice::new(INTERVAL);
        let mut used =
            |(i, pts): (usize, &Duration)| Some((i, choice.admit(*pts, shape_changes.contains(&i))?));
        pts.iter().enumerate().filter_map(&mut used).collect()
    }

    #[test]
    fn a_clip_gives_what_a_stream_gives() {
        let pts = camera(30.0, 40);
        assert_eq!(stream_from(&pts, 0, INTERVAL, 5), [0, 3, 5, 8, 10]);
        assert_eq!(stream_from(&pts, 1, INTERVAL, 5), [1, 4, 6, 9, 11]);
        let all: Vec<usize> = stream(&pts, &[]).iter().map(|(index, _)| *index).collect();
        assert_eq!(all, stream_from(&pts, 0, INTERVAL, 100));
    }

    #[test]
    fn a_short_clip_stands_still_or_starts_over() {
        let pts = camera(30.0, 6);
        let short = |short| evaluate(&pts, INTERVAL, 5, short, ClipCount::One);
        assert_eq!(short(ShortClip::RepeatLast), [0, 3, 5, 5, 5]);
        assert_eq!(short(ShortClip::Loop), [0, 3, 5, 0, 3]);
        for kind in [ShortClip::RepeatLast, ShortClip::Loop] {
            assert_eq!(shown_frames(&short(kind)), 3);
        }
        assert_eq!((shown_frames(&[]), shown_frames(&[4]), shown_frames(&[0, 3, 5])), (0, 1, 3));
    }

    #[test]
    fn no_clip_reaches_over_a_break_of_the_media_time() {
        let mut pts = camera(30.0, 20);
        pts.extend(camera(30.0, 20).iter().map(|pts| *pts + Duration::from_secs(5)));
        assert_eq!(stream_from(&pts, 15, INTERVAL, 8), [15, 18]);
        let afresh = |shape_changes: &[usize]| -> Vec<usize> {
            stream(&pts, shape_changes)
                .into_iter()
                .filter(|(_, forgets)| *forgets == Forgets::Everything)
                .map(|(i, _)| i)
                .collect()
        };
        assert_eq!((afresh(&[]), afresh(&[4])), (vec![0, 20], vec![0, 4, 20]));
        assert!(starts(&pts, INTERVAL, 8).iter().all(|start| *start < 3 || (20..23).contains(start)));
    }

    #[test]
    fn behind_missing_frames_motion_is_unknown() {
        let mut pts = camera(30.0, 40);
        pts.drain(10..18);
        let forgets: Vec<_> = stream(&pts, &[]).into_iter().filter(|(_, f)| *f != Forgets::Nothing).collect();
        assert_eq!(forgets, [(0, Forgets::Everything), (10, Forgets::Motion)]);
    }

    #[test]
    fn twice_takes_the_first_and_the_last_frames() {
        let pts = camera(12.0, 30);
        let twice = evaluate(&pts, INTERVAL, 8, ShortClip::RepeatLast, ClipCount::Twice);
        assert_eq!(twice, (0..8).chain(22..30).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn indices_lie_in_the_clip_and_never_go_back(
            frames in 1_u32..120, hz in 5.0_f64..60.0, segments in 1_usize..20, seed: u64, millis in 10.0_f64..500.0,
        ) {
            let pts = camera(hz, frames);
            let mut draws = Draws::for_clip(seed, 0, 0);
            let used = train(&pts, duration(millis), segments, ShortClip::RepeatLast, &mut draws);
            prop_assert_eq!(used.len(), segments);
            prop_assert!(used.is_sorted() && used.iter().all(|index| *index < pts.len()), "{:?}", used);
        }
    }
}
