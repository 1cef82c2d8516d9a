//! Keeps one source going: connects, watches for silence, connects again.
//!
//! ```text
//!            ┌──────────────── wait (backoff) ◄──────────────┐
//!            ▼                                               │ live source, worked once
//! connector ─ live? ─ frames ── ─ watch ─┬─ end ─ recorded? ─► Finished
//!                                          ├─ error ─ never worked, or recorded? ─► Failed
//!                                          └─ silence ───────┘
//! ```
//!
//! One thread a source. A camera never ends by itself: its end of stream is a fault like any other,
//! and silence has to be noticed here because no element does (a dead TCP link looks like a quiet one).
//! An address may turn out to be a camera's once its server has answered, and is one from then on.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tsm_ingest::{Liveness, SessionEvent, ShownDuration, Source, SourceError};

use crate::backoff::Backoff;
use crate::clock::{Clock, Waited};
use crate::connection::{Connection, Connector};
use crate::intake::{Intake, LiveAnnouncement, StreamProgress};
use crate::newest_frame::FrameSender;
use crate::report::{SourceReport, SourceState};
use crate::sampler::SampleRate;
use crate::settings::{LiveSettings, Retries};

/// How often silence and the stop signal are looked at; a stop is answered within a second.
const TICK: Duration = Duration::from_millis(50);

/// What a supervisor tells the model's thread.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A live source changed.
    Source(SourceReport),
    /// A recorded source came to its end.
    Finished { stream: usize },
    /// The source cannot be used, or is damaged from here on.
    Failed { stream: usize, error: SourceError },
    /// A live source that worked once did not come back in the attempts allowed.
    GivenUp { stream: usize, attempts: u32, reason: String },
}

/// The message that ends a supervisor is that the channel closes.
#[derive(Debug)]
pub(crate) enum Never {}

/// One source and all that its connections share.
pub(crate) struct Supervisor {
    pub(crate) stream: usize,
    pub(crate) source: Source,
    pub(crate) connector: Box<dyn Connector>,
    pub(crate) clock: Box<dyn Clock>,
    /// The source as it is found again, once it has worked.
    pub(crate) pinned: OnceCell<Source>,
    pub(crate) settings: LiveSettings,
    pub(crate) rate: SampleRate,
    pub(crate) sender: FrameSender,
    pub(crate) progress: Arc<StreamProgress>,
    pub(crate) notices: Sender<Notice>,
    pub(crate) stop: Receiver<Never>,
}

/// When a connection was begun, and what had come before it.
struct Opening {
    began: Instant,
    frames_before: u64,
}

/// How a connection ended.
enum Ending {
    Stopped,
    EndOfStream,
    /// A live one stopped giving frames.
    Silent(Duration),
    Error(SourceError),
}

impl Supervisor {
    /// Runs until the source is finished, given up or stopped.
    pub(crate) fn run(self) {
        let mut backoff = Backoff::new(self.stream as u64 + 1);
        let mut attempt = 0;
        loop {
            let frames_before = self.progress.frames_in();
            let ending = self.connection(attempt);
            if self.progress.frames_in() > frames_before {
                backoff.reset();
            }
            let Some(reason) = self.judge(ending) else { return };
            let wait;
            (attempt, wait) = backoff.next_attempt();
            if matches!(self.settings.retries, Retries::AtMost(most) if attempt > most) {
                self.notify(Notice::GivenUp { stream: self.stream, attempts: attempt - 1, reason });
                return;
            }
            self.report(SourceState::Retrying, Some(reason), attempt);
            if self.stop_within(wait) {
                return;
            }
        }
    }

    /// Why to connect again; none if the source is done, in which case that has been told.
    fn judge(&self, ending: Ending) -> Option<String> {
        let stream = self.stream;
        let has_worked = self.progress.frames_in() > 0;
        let may_return = self.progress.is_live() && has_worked;
        match ending {
            Ending::Stopped => None,
            Ending::EndOfStream if may_return => Some("the source ended the stream".to_owned()),
            Ending::EndOfStream if self.progress.is_live() => {
                self.notify(Notice::Failed {
                    stream,
                    error: SourceError::ConnectionLost {
                        place: self.source.to_string(),
                        detail: "it ended before the first frame".to_owned(),
                    },
                });
                None
            }
            Ending::EndOfStream => {
                self.notify(Notice::Finished { stream });
                None
            }
            Ending::Silent(silence) => {
                let reason = format!("no frame for {}", ShownDuration(silence));
                self.report(SourceState::Stalled, Some(reason.clone()), 0);
                Some(reason)
            }
            Ending::Error(error) if may_return => {
                // Whose reason it is stands before it, wherever it is told.
                let (text, place) = (error.to_string(), format!("{}: ", self.source));
                Some(text.strip_prefix(&place).map(str::to_owned).unwrap_or(text))
            }
            Ending::Error(error) => {
                self.notify(Notice::Failed { stream, error });
                None
            }
        }
    }

    /// One pipeline, from start to whatever ends it.
    fn connection(&self, attempt: u32) -> Ending {
        let is_surely_live = self.progress.is_live();
        if is_surely_live {
            self.report(SourceState::Connecting, None, attempt);
        }
        let opening = Opening { began: self.clock.now(), frames_before: self.progress.frames_in() };
        let live = SourceReport { stream: self.stream, state: SourceState::Live, reason: None, attempt };
        let announcement = Arc::new(LiveAnnouncement::new(self.notices.clone(), live));
        let intake = Intake::new(
            Arc::clone(&announcement),
            Arc::clone(&self.progress),
            self.sender.clone(),
            self.rate,
        );
        let source = self.pinned.get().unwrap_or(&self.source);
        let connection = match self.connector.prepared(source, &self.settings.session, intake) {
            Ok(connection) => connection,
            Err(error) => return Ending::Error(error),
        };
        let look = || self.look(&*connection, &opening, &announcement);
        // Before the first frame: a live one must neither wait for the model nor come before its `connecting`.
        while connection.liveness().is_none() {
            if let Some(ending) = look() {
                return ending;
            }
        }
        // A camera that starts up may answer with anything, and stays one.
        self.progress.set_live(is_surely_live || connection.liveness() == Some(Liveness::Live));
        if self.progress.is_live() && !is_surely_live {
            self.report(SourceState::Connecting, None, attempt);
        }
        if let Err(error) = connection.play() {
            return Ending::Error(error);
        }
        loop {
            if let Some(ending) = look() {
                return ending;
            }
        }
    }

    /// Looks at the connection for a moment, and tells how it ended, if it did.
    fn look(
        &self,
        connection: &dyn Connection,
        opening: &Opening,
        announcement: &LiveAnnouncement,
    ) -> Option<Ending> {
        let event = connection.next_event(TICK);
        let has_frames = self.progress.frames_in() > opening.frames_before;
        if has_frames {
            // The camera that works is the one to look for again, whatever is plugged in meanwhile.
            self.pinned.get_or_init(|| self.source.pinned());
        }
        if has_frames && self.progress.is_live() {
            announcement.make();
        }
        match event {
            Some(SessionEvent::EndOfStream) => return Some(Ending::EndOfStream),
            Some(SessionEvent::Failed(error)) => {
                self.drain();
                return Some(Ending::Error(error));
            }
            _ => {}
        }
        if !matches!(self.stop.try_recv(), Err(crossbeam_channel::TryRecvError::Empty)) {
            return Some(Ending::Stopped);
        }
        let silence = self.silence(opening.began, has_frames)?;
        Some(if has_frames {
            Ending::Silent(silence)
        } else {
            Ending::Error(connection.silence_fault(silence))
        })
    }

    /// Lets a recording hand over what is decoded already: its fault overtakes the frames before it.
    fn drain(&self) {
        let mut frames_in = None;
        while !self.progress.is_live() && frames_in != Some(self.progress.frames_in()) {
            frames_in = Some(self.progress.frames_in());
            while self.sender.is_full() {
                if self.stop_within(TICK) {
                    return;
                }
            }
            if self.stop_within(TICK * 2) {
                return;
            }
        }
    }

    /// Waits, but for a stop.
    fn stop_within(&self, wait: Duration) -> bool {
        self.clock.wait(wait, &self.stop) == Waited::Stopped
    }

    /// How long the source has said nothing, if that is too long.
    fn silence(&self, began: Instant, has_frames: bool) -> Option<Duration> {
        let (since, limit) = match self.progress.last_arrival().filter(|_last| has_frames) {
            Some(last) if self.progress.is_live() => (last, self.settings.stall_timeout),
            // A recording is allowed to pause: its frames wait for the model.
            Some(_) => return None,
            None if matches!(self.source, Source::File(_)) => return None,
            None => (began, self.settings.session.connect_timeout),
        };
        let silence = self.clock.now().saturating_duration_since(since);
        (silence > limit).then_some(silence)
    }

    fn report(&self, state: SourceState, reason: Option<String>, attempt: u32) {
        self.notify(Notice::Source(SourceReport { stream: self.stream, state, reason, attempt }));
    }

    fn notify(&self, notice: Notice) {
        // A run that is over needs no notices.
        let _closed = self.notices.send(notice);
    }
}

#[cfg(test)]
mod tests;
