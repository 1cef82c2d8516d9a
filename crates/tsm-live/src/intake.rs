//! What happens to a decoded frame on its source's thread: old ones go, due ones are handed on.
//!
//! ```text
//! Frame ─ time ahead? ─ stale? ─ new format? ─ sampler ─ timeline ─► FrameSender
//! ```
//!
//! One [`Intake`] a connection; what outlives it is in [`StreamProgress`], without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tsm_ingest::{Continuity, Flow, Frame, FrameFormat, Pts};

use crate::clock;
use crate::newest_frame::{FrameSender, SampledFrame, WhenFull};
use crate::report::SourceReport;
use crate::run_ahead::RunAheadGuard;
use crate::sampler::{Admission, FrameSampler, SampleRate};
use crate::staleness::StalenessGuard;
use crate::supervisor::Notice;

/// Time between frames of a recording that tells neither times nor a rate: 30 frames a second.
const ASSUMED_STEP: Duration = Duration::from_nanos(33_333_333);

/// What is known of a stream across its connections.
#[derive(Debug)]
pub(crate) struct StreamProgress {
    began: Instant,
    frames_in: AtomicU64,
    stale: AtomicU64,
    epoch: AtomicU64,
    last_arrival_nanos: AtomicU64,
    last_pts_nanos: AtomicU64,
    is_live: AtomicBool,
}

impl StreamProgress {
    /// A stream that has given nothing yet.
    pub(crate) fn new(is_live: bool) -> Self {
        Self {
            began: clock::now(),
            frames_in: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            last_arrival_nanos: AtomicU64::new(0),
            last_pts_nanos: AtomicU64::new(0),
            is_live: AtomicBool::new(is_live),
        }
    }

    /// Decoded frames so far.
    pub(crate) fn frames_in(&self) -> u64 {
        self.frames_in.load(Ordering::Acquire)
    }

    /// Frames dropped for their age so far.
    pub(crate) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// When the last frame arrived, if any did.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        (self.frames_in() > 0).then(|| self.began + nanos(self.last_arrival_nanos.load(Ordering::Acquire)))
    }

    /// Whether older frames give way to newer ones.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }

    /// Once GStreamer has said what it is.
    pub(crate) fn set_live(&self, is_live: bool) {
        self.is_live.store(is_live, Ordering::Relaxed);
    }

    pub(crate) fn note_arrival(&self, arrival: Instant) {
        let since = arrival.saturating_duration_since(self.began);
        self.last_arrival_nanos.store(whole_nanos(since), Ordering::Release);
        self.frames_in.fetch_add(1, Ordering::AcqRel);
    }
}

/// Says once that frames come; whoever sees the first one of a connection makes it.
#[derive(Debug)]
pub(crate) struct LiveAnnouncement {
    notices: Sender<Notice>,
    report: SourceReport,
    is_made: AtomicBool,
}

impl LiveAnnouncement {
    /// The announcement of a connection.
    pub(crate) fn new(notices: Sender<Notice>, report: SourceReport) -> Self {
        Self { notices, report, is_made: AtomicBool::new(false) }
    }

    /// Makes it, unless it was made. Before the frame is handed on, so that it is told before the frame's label.
    pub(crate) fn make(&self) {
        if !self.is_made.swap(true, Ordering::Relaxed) {
            // A run that is over needs no notices.
            let _closed = self.notices.send(Notice::Source(self.report.clone()));
        }
    }
}

/// Takes the frames of one connection.
#[derive(Debug)]
pub(crate) struct Intake {
    announcement: Arc<LiveAnnouncement>,
    progress: Arc<StreamProgress>,
    sender: FrameSender,
    sampler: FrameSampler,
    guard: StalenessGuard,
    times: RunAheadGuard,
    timeline: Timeline,
    format: Option<Arc<FrameFormat>>,
    last_pts: Option<Pts>,
    /// Whether the age of frames comes from the sender's clock; the two kinds do not mix.
    has_sender_clock: bool,
}

impl Intake {
    /// The intake of a new connection of the stream.
    pub(crate) fn new(
        announcement: Arc<LiveAnnouncement>,
        progress: Arc<StreamProgress>,
        sender: FrameSender,
        rate: SampleRate,
    ) -> Self {
        let timeline = Timeline::default();
        let (sampler, guard) = (FrameSampler::new(rate), StalenessGuard::default());
        Self {
            announcement,
            progress,
            sender,
            sampler,
            guard,
            times: RunAheadGuard::default(),
            timeline,
            format: None,
            last_pts: None,
            has_sender_clock: false,
        }
    }

    /// Takes a decoded frame.
    pub(crate) fn accept(&mut self, frame: Frame) -> Flow {
        let arrival = frame.arrival();
        let before = self.progress.last_arrival();
        self.progress.note_arrival(arrival);
        let is_live = self.progress.is_live();
        let mut pts = frame.pts().unwrap_or_else(|| self.assumed_pts(&frame, is_live));
        if is_live {
            pts = self.times.believed(arrival.saturating_duration_since(self.progress.began), pts);
        }
        self.last_pts = Some(pts);
        if is_live {
            self.announcement.make();
        }
        if is_live && self.is_stale(&frame, pts) {
            self.progress.stale.fetch_add(1, Ordering::Relaxed);
            return Flow::Continue;
        }
        let is_reshaped = self.format.as_ref().is_some_and(|format| shape(format) != shape(frame.format()));
        if is_reshaped || frame.continuity() == Continuity::Broken {
            self.sampler.restart();
        }
        if self.format.as_ref().is_none_or(|format| format != frame.format()) {
            let FrameFormat { width_px, height_px, pixels, nominal_rate, .. } = &**frame.format();
            let frames_hz = nominal_rate.map(|(frames, secs)| f64::from(frames) / f64::from(secs.max(1)));
            tracing::info!(width_px, height_px, ?frames_hz, "pictures of this format");
            tracing::debug!(?pixels, ?nominal_rate, "as the decoder describes them");
        }
        self.format = Some(Arc::clone(frame.format()));
        let admission = self.sampler.admit(pts);
        let pause = before.map_or(Duration::ZERO, |before| arrival.saturating_duration_since(before));
        let media_time =
            self.timeline.place(pts, &self.progress, if is_live { pause } else { Duration::ZERO });
        tracing::trace!(?media_time, ?admission, age = ?frame.capture_age(), "frame");
        match admission {
            Admission::Skip => return Flow::Continue,
            Admission::Use => {}
            Admission::UseAfresh => {
                self.progress.epoch.fetch_add(1, Ordering::Relaxed);
            }
        }
        let epoch = self.progress.epoch.load(Ordering::Relaxed);
        let when_full = if is_live { WhenFull::DropOlder } else { WhenFull::Wait };
        let source_step = self.sampler.source_step();
        match self.sender.send(SampledFrame { frame, pts: media_time, epoch, source_step }, when_full) {
            Ok(()) => Flow::Continue,
            Err(_closed) => Flow::Stop,
        }
    }

    /// The time of a frame that carries none: its arrival, or a frame after the last one of a recording.
    fn assumed_pts(&self, frame: &Frame, is_live: bool) -> Pts {
        if is_live {
            return Pts(frame.arrival().saturating_duration_since(self.progress.began));
        }
        let step = match frame.format().nominal_rate {
            Some((frames, seconds)) if frames > 0 => Duration::from_secs(1) * seconds / frames,
            _ => ASSUMED_STEP,
        };
        self.last_pts.map_or(Pts(Duration::ZERO), |last| Pts(last.since_start() + step))
    }

    fn is_stale(&mut self, frame: &Frame, pts: Pts) -> bool {
        let arrival = frame.arrival();
        let has_sender_clock = frame.age_by_clocks_nanos().is_some();
        if has_sender_clock != self.has_sender_clock {
            self.has_sender_clock = has_sender_clock;
            self.guard.change_clock();
        }
        let transit = if let Some(age) = frame.age_by_clocks_nanos() {
            age
        } else {
            let arrived = arrival.saturating_duration_since(self.progress.began);
            signed_nanos(arrived) - signed_nanos(pts.since_start())
        };
        self.guard.is_stale(arrival, transit)
    }
}

/// Makes one endless media time of the times of several connections.
#[derive(Debug, Default)]
struct Timeline {
    /// PTS of this stretch's first frame, and its media time.
    stretch: Option<(Pts, Duration)>,
    last: Duration,
    last_step: Duration,
}

impl Timeline {
    /// The media time of the frame at `pts`. Where the times of the source break (a new connection,
    /// a jump back) it goes on by `pause`, or by one frame where there was none.
    fn place(&mut self, pts: Pts, progress: &StreamProgress, pause: Duration) -> Duration {
        let placed = match self.stretch {
            Some((first, base)) => {
                pts.since_start().checked_sub(first.since_start()).map(|since| base + since)
            }
            None if progress.frames_in() <= 1 => Some(pts.since_start()),
            None => None,
        };
        let placed = placed.filter(|placed| self.stretch.is_none() || *placed >= self.last);
        let media_time = placed.unwrap_or_else(|| {
            let last = nanos(progress.last_pts_nanos.load(Ordering::Relaxed));
            last + pause.max(self.last_step)
        });
        if placed.is_none() || self.stretch.is_none() {
            self.stretch = Some((pts, media_time));
        } else {
            self.last_step = media_time.saturating_sub(self.last);
        }
        self.last = media_time;
        progress.last_pts_nanos.store(whole_nanos(media_time), Ordering::Relaxed);
        media_time
    }
}

/// What a new picture size is: the stored one, its pixels' shape and its turn.
fn shape(format: &FrameFormat) -> (u32, u32, (u32, u32), tsm_ingest::Orientation) {
    (format.width_px, format.height_px, format.pixel_aspect, format.orientation)
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn whole_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn signed_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
