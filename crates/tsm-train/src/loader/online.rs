//! Clips for streaming evaluation: every frame that live recognition would use, prepared as live prepares it.
//!
//! ```text
//! clip 0, 2, 4, … ─ decode ─ FrameSampler (by PTS) ─ Preprocessor ─ at most 32 frames ─┐
//! clip 1, 3, 5, … ─ decode ─ FrameSampler          ─ Preprocessor ─ at most 32 frames ─┴─► Frame, Frame, …, End, Frame, …
//!   (tsm-online-N, one a worker)
//! ```
//!
//! Frames are chosen by [`tsm_live::FrameSampler`] and prepared by [`tsm_live::Preprocessor`] themselves. A decoder
//! waits for the network, so memory does not grow with a clip's length. That a clip is damaged shows at its end: who
//! takes its frames must be able to take them back.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tsm_ingest::{Flow, FrameFormat};
use tsm_live::Preprocessor;

use super::{LoaderError, LoaderSource, WorkerLost};
use crate::clock;
use crate::decode::{self, ShownFrame};
use crate::sampling::interval::{self, Forgets, StreamChoice};

/// Frames that a worker prepares ahead: a short clip whole; at 224 px 19 MB.
const FRAMES_AHEAD: usize = 32;

/// A frame that live recognition uses of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineFrame {
    /// `[3, side, side]`, normalised.
    pub pixels: Vec<f32>,
    /// Media time.
    pub pts: Duration,
    /// What live recognition forgets before the frame: everything at a clip's first one and after a break.
    pub forgets: Forgets,
}

/// A clip's frames come one after another, then its end.
#[derive(Debug, Clone, PartialEq)]
pub enum OnlinePart {
    /// The next frame of the clip under way.
    Frame(OnlineFrame),
    /// There are no more of it.
    End {
        /// The clip's index in the data set.
        clip: usize,
        /// Its class.
        target: u32,
        /// At least one frame came and all of it could be read; else why not, in one line that names it.
        outcome: Result<(), String>,
    },
}

/// The parts of all clips in the order of the source, prepared ahead. Dropping it ends and joins its threads.
#[derive(Debug)]
pub struct OnlineClips {
    /// One a worker; clip n comes from worker n modulo their number.
    parts: Vec<Receiver<OnlinePart>>,
    next: usize,
    clips: usize,
    waited: Duration,
    workers: Vec<JoinHandle<()>>,
}

impl OnlineClips {
    /// Starts `workers` threads. Frames are `interval_millis` of media time apart.
    ///
    /// # Errors
    /// [`LoaderError::Threads`] if the system gives none.
    pub fn start(source: &LoaderSource, interval_millis: f64, workers: usize) -> Result<Self, LoaderError> {
        let interval = interval::duration(interval_millis);
        let clips = source.clips.len();
        let mut online =
            Self { parts: Vec::new(), next: 0, clips, waited: Duration::ZERO, workers: Vec::new() };
        let count = workers.clamp(1, clips.max(1));
        for number in 0..count {
            let (sender, parts) = crossbeam_channel::bounded(FRAMES_AHEAD);
            let source = source.clone();
            let work = move || {
                for clip in source.clips.iter().skip(number).step_by(count) {
                    let outcome = show(&source, *clip, interval, &sender);
                    let target = source.dataset.clips[*clip].class;
                    if sender.send(OnlinePart::End { clip: *clip, target, outcome }).is_err() {
                        // Nobody listens any more.
                        break;
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("tsm-online-{number}")).spawn(work);
            online.workers.push(thread.map_err(LoaderError::Threads)?);
            online.parts.push(parts);
        }
        Ok(online)
    }

    /// How long the caller has waited in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for OnlineClips {
    /// A part; an error ends the evaluation.
    type Item = Result<OnlinePart, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.clips {
            return None;
        }
        let began = clock::now();
        let part = self.parts[self.next % self.parts.len()].recv();
        self.waited += began.elapsed();
        if let Ok(OnlinePart::End { .. }) = part {
            self.next += 1;
        }
        Some(part.map_err(|_died| WorkerLost.into()))
    }
}

impl Drop for OnlineClips {
    fn drop(&mut self) {
        // A worker that waits for room finds nobody there.
        self.parts.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _panicked = worker.join();
        }
    }
}

/// Sends the frames of a clip that live recognition would use.
fn show(
    source: &LoaderSource,
    clip: usize,
    interval: Duration,
    sender: &Sender<OnlinePart>,
) -> Result<(), String> {
    let entry = &source.dataset.clips[clip];
    let side_px = source.input.size_px;
    let showing = Arc::new(Mutex::new(Showing {
        choice: StreamChoice::new(interval),
        last_format: None,
        preprocessor: Preprocessor::new(source.input.clone()),
        frame_len: side_px * side_px * 3,
        failed: None,
    }));
    let visited = decode::visit(entry, {
        let (showing, sender) = (Arc::clone(&showing), sender.clone());
        move |frame, pts| {
            let prepared = showing.lock().unwrap_or_else(PoisonError::into_inner).frame(frame, pts);
            let sent = prepared.map(|frame| frame.is_none_or(|f| sender.send(OnlinePart::Frame(f)).is_ok()));
            // It stops where the frame is unfit or nobody listens any more.
            if let Ok(true) = sent { Flow::Continue } else { Flow::Stop }
        }
    });
    visited.map_err(|error| error.to_string())?;
    let failed = showing.lock().unwrap_or_else(PoisonError::into_inner).failed.take();
    failed.map_or(Ok(()), |reason| Err(format!("{}: {reason}", entry.path.display())))
}

/// A frame cannot be prepared; why is noted.
struct Unprepared;

/// What goes on from frame to frame of a clip.
#[derive(Debug)]
struct Showing {
    choice: StreamChoice,
    last_format: Option<Arc<FrameFormat>>,
    preprocessor: Preprocessor,
    frame_len: usize,
    failed: Option<String>,
}

impl Showing {
    /// The frame as the network takes it, where live recognition would use it.
    fn frame(&mut self, frame: &ShownFrame<'_>, pts: Duration) -> Result<Option<OnlineFrame>, Unprepared> {
        let format = frame.format();
        let is_other_shape =
            self.last_format.as_ref().is_some_and(|last| !decode::is_same_shape(last, format));
        self.last_format = Some(Arc::clone(format));
        let Some(forgets) = self.choice.admit(pts, is_other_shape) else { return Ok(None) };
        let mut pixels = vec![0.0; self.frame_len];
        match frame.prepare(&mut self.preprocessor, &mut pixels) {
            Ok(()) => Ok(Some(OnlineFrame { pixels, pts, forgets })),
            Err(error) => {
                self.failed = Some(error.to_string());
                Err(Unprepared)
            }
        }
    }
}
