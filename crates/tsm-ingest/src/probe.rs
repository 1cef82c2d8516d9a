//! Looks at a source for a moment: codec, size, real frame rate, capture clock (`tsm doctor SOURCE`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::arrival_now;
use crate::error::SourceError;
use crate::frame_format::FrameFormat;
use crate::session::{Flow, Liveness, Session, SessionEvent, SessionOptions};
use crate::source::Source;

/// What a source turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeReport {
    /// Whether it is live.
    pub liveness: Liveness,
    /// The compressed format in words, or `raw`.
    pub codec: String,
    /// The element that decodes it.
    pub decoder: Option<String>,
    /// The picture.
    pub format: Arc<FrameFormat>,
    /// Name of the pixel format, for example `I420`.
    pub pixel_format: String,
    /// Frames that came.
    pub frames: u64,
    /// Frames a second: by arrival for live sources, by PTS for recorded ones; `None` below two frames.
    pub measured_hz: Option<f64>,
    /// Where the age of a picture is known from.
    pub capture_clock: CaptureClock,
}

/// Where the age of a picture is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureClock {
    /// Nothing tells it.
    None,
    /// The running time of a local camera.
    Pipeline,
    /// The RTP sender's NTP time.
    SenderNtp,
}

#[derive(Debug, Default)]
struct Seen {
    first: Option<Moment>,
    last: Option<Moment>,
    format: Option<(Arc<FrameFormat>, String)>,
    frames: u64,
    aged: bool,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    arrival: Instant,
    pts: Option<Duration>,
    frame: u64,
}

/// Runs `source` for `duration` after its first frame, or to its end.
///
/// # Errors
/// What keeps the source from giving a frame within the connect timeout; damage behind that is no concern here.
pub fn probe(
    source: &Source,
    options: &SessionOptions,
    duration: Duration,
) -> Result<ProbeReport, SourceError> {
    /// Decoders deliver their first frames in a clump, on which no rate can be judged.
    const CLUMP_FRAMES: u64 = 10;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let session = Session::start(source, options, move |frame| {
        let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
        seen.frames += 1;
        seen.aged |= frame.capture_age().is_some();
        let moment = Moment {
            arrival: frame.arrival(),
            pts: frame.pts().map(crate::Pts::since_start),
            frame: seen.frames,
        };
        if seen.first.is_none_or(|_| seen.frames == CLUMP_FRAMES) {
            seen.first = Some(moment);
        }
        seen.last = Some(moment);
        seen.format = Some((Arc::clone(frame.format()), frame.pixel_format_name().to_owned()));
        Flow::Continue
    })?;
    let fault = watched(&session, &seen, options.connect_timeout, duration);
    let (codec, decoder) = (session.observer().codec_name(), session.observer().decoder_name());
    let liveness = session.liveness().unwrap_or(Liveness::Recorded);
    let silent = session.silence_fault(options.connect_timeout);
    let has_rtp_clock = matches!(source, Source::Rtsp(_));
    session.stop();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((format, pixel_format)) = seen.format.clone() else {
        return Err(fault.unwrap_or(silent));
    };
    let capture_clock = match (seen.aged, has_rtp_clock) {
        (false, _) => CaptureClock::None,
        (true, true) => CaptureClock::SenderNtp,
        (true, false) => CaptureClock::Pipeline,
    };
    let measured_hz = measured_hz(&seen, liveness);
    Ok(ProbeReport {
        liveness,
        codec,
        decoder,
        format,
        pixel_format,
        frames: seen.frames,
        measured_hz,
        capture_clock,
    })
}

/// Waits for the end of the probe; the fault, where there was one.
fn watched(
    session: &Session,
    seen: &Mutex<Seen>,
    patience: Duration,
    duration: Duration,
) -> Option<SourceError> {
    const STEP: Duration = Duration::from_millis(20);
    let started = arrival_now();
    let mut first_frame = None;
    loop {
        match session.next_event(STEP) {
            Some(SessionEvent::Failed(fault)) => return Some(fault),
            Some(SessionEvent::EndOfStream) => return None,
            None => {}
        }
        let now = arrival_now();
        if seen.lock().unwrap_or_else(PoisonError::into_inner).frames > 0 {
            let first = *first_frame.get_or_insert(now);
            if now.duration_since(first) >= duration {
                return None;
            }
        } else if now.duration_since(started) >= patience {
            return None;
        }
    }
}

fn measured_hz(seen: &Seen, liveness: Liveness) -> Option<f64> {
    let (first, last) = (seen.first?, seen.last?);
    let span = match liveness {
        Liveness::Live => last.arrival.duration_since(first.arrival),
        Liveness::Recorded => last.pts?.checked_sub(first.pts?)?,
    };
    let frames = u32::try_from(last.frame - first.frame).ok().filter(|&n| n > 0)?;
    (span > Duration::ZERO).then(|| f64::from(frames) / span.as_secs_f64())
}
