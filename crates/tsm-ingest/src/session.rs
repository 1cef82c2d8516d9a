//! One `Session` is the life of one pipeline: started, observed, stopped; never restarted.
//!
//! ```text
//!  streaming thread:  decoder ─> appsink ─> FrameMaker ─> on_frame        (blocks = backpressure)
//!  caller's thread:   bus ─> next_event() ─> EndOfStream | Failed(first fault)
//! ```
//!
//! It reconnects nothing and keeps no clock; silence is the supervisor's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tracing::debug;

use crate::clock::arrival_now;
use crate::error::SourceError;
use crate::fault::Faults;
use crate::file::{self, RecordedFile};
use crate::frame::Frame;
use crate::multipart;
use crate::pipeline::{self, Built};
use crate::shutdown;
use crate::source::Source;

mod frame_maker;
pub(crate) mod observer;
mod options;

use frame_maker::FrameMaker;
use observer::Observer;
pub use options::{Pace, SessionOptions, Transport};

/// A file is no host: whoever wants a camera to answer at once does not mean that a disk must.
const FILE_PATIENCE: Duration = Duration::from_secs(10);

/// What the consumer wants after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next frame.
    Continue,
    /// No more frames.
    Stop,
}

/// Whether frames come when they happen or when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// A camera: the end of the stream is a fault.
    Live,
    /// A recording: the consumer sets the pace and the end is the end.
    Recorded,
}

/// Something worth knowing about a running session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The stream ended in good order: the end of a file; of a live source, the server closed it or went away.
    EndOfStream,
    /// The first fault; nothing follows it.
    Failed(SourceError),
}

/// A running pipeline. Dropping it stops it.
#[derive(Debug)]
pub struct Session {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    /// Unknown until it is told; an address tells it once its server has answered.
    liveness: OnceLock<Liveness>,
    stopping: Arc<AtomicBool>,
    observer: Arc<Observer>,
    faults: Mutex<Faults>,
    file: Option<RecordedFile>,
    /// When a file that has given no picture yet is given up: see `file::containers::unplayable`.
    patience: Duration,
    pace: Pace,
    started: Instant,
    /// Set where the starting thread still holds the pipeline and will end it:
    /// to end it here would wait for that thread.
    ends_itself: bool,
}

impl Session {
    /// Builds and starts the pipeline of `source`: [`Session::prepared`], then [`Session::play`].
    ///
    /// `on_frame` runs on a streaming thread for every decoded frame, one at a time; while it blocks, a recorded source
    /// waits. [`Flow::Stop`] ends the flow. Before [`Session::stop`],
    /// a blocked `on_frame` must be unblocked by its owner.
    ///
    /// # Errors
    /// What can be known at once: no such file or camera, no permission, a missing element, a wrong template. What
    /// shows only while connecting or decoding comes as [`SessionEvent::Failed`].
    pub fn start(
        source: &Source,
        options: &SessionOptions,
        on_frame: impl FnMut(Frame) -> Flow + Send + 'static,
    ) -> Result<Self, SourceError> {
        let session = Self::prepared(source, options, on_frame)?;
        session.play()?;
        Ok(session)
    }

    /// Builds the pipeline of `source` and begins to open it. No frame comes before [`Session::play`], so a caller that
    /// treats live sources differently can ask for events until [`Session::liveness`] is known, and never has to guess.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn prepared(
        source: &Source,
        options: &SessionOptions,
        on_frame: impl FnMut(Frame) -> Flow + Send + 'static,
    ) -> Result<Self, SourceError> {
        crate::library::init()?;
        let Built { pipeline, sink, context, age_source, file } = pipeline::build(source, options)?;
        let observer = Observer::attached(&pipeline);
        let stopping = Arc::new(AtomicBool::new(false));
        let maker = FrameMaker::new(Arc::clone(&observer), age_source, &pipeline);
        connect_sink(&sink, maker, Arc::clone(&observer), Arc::clone(&stopping), on_frame);
        let bus = bus_of(&pipeline);
        let faults = Mutex::new(Faults::new(context, options.connect_timeout));
        let mut session = Self {
            pipeline,
            bus,
            liveness: OnceLock::new(),
            stopping,
            observer,
            faults,
            file,
            patience: options.connect_timeout.max(FILE_PATIENCE),
            pace: options.pace,
            started: arrival_now(),
            ends_itself: false,
        };
        session.set_paused(options.connect_timeout)?;
        // What turns out live later has no times to wait for.
        if session.liveness() != Some(Liveness::Live) && options.pace == Pace::RealTime {
            sink.set_sync(true);
        }
        debug!(source = %source, liveness = ?session.liveness(), "pipeline prepared");
        Ok(session)
    }

    /// Lets the frames flow.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn play(&self) -> Result<(), SourceError> {
        self.pipeline.set_state(gst::State::Playing).map_err(|_state_change| self.start_fault())?;
        Ok(())
    }

    /// Whether the source is live: by `GStreamer`'s `NO_PREROLL`, or because a web server sends one picture after the
    /// other. `None` while that is not known: an address tells it in its answer, to be met in [`Session::next_event`].
    pub fn liveness(&self) -> Option<Liveness> {
        self.liveness.get().copied()
    }

    /// Waits at most `timeout` for the next event; `None` where there is none, and after the last one. It also returns
    /// as soon as [`Session::liveness`] is known, for which a caller may wait.
    pub fn next_event(&self, timeout: Duration) -> Option<SessionEvent> {
        let deadline = arrival_now() + timeout;
        let was_known = self.liveness().is_some();
        loop {
            let left = deadline.saturating_duration_since(arrival_now());
            let Some(message) =
                self.bus.timed_pop(gst::ClockTime::try_from(left).unwrap_or(gst::ClockTime::ZERO))
            else {
                return self.silence();
            };
            if let Some(event) = self.event_of(&message) {
                debug!(?event, "session event");
                return Some(event);
            }
            if self.liveness().is_some() != was_known {
                return None;
            }
        }
    }

    /// What to say of a source that has given no picture in `waited` and told no fault either.
    pub fn silence_fault(&self, waited: Duration) -> SourceError {
        lock(&self.faults).of_silence(waited)
    }

    /// A file that has given no picture for too long, or that is at its end without saying so (a GIF); asked whenever
    /// nothing else happened.
    fn silence(&self) -> Option<SessionEvent> {
        /// The end of a file is said at once, if it is said.
        const END_IS_SAID: Duration = Duration::from_secs(1);
        /// Long stretches without video may take a while to read over.
        const GAP_FACTOR: u32 = 3;
        let file = self.file.as_ref()?;
        let mut faults = lock(&self.faults);
        if faults.is_over() {
            return None;
        }
        let since = if self.observer.has_frames() { self.observer.hungry_since()? } else { self.started };
        let waited = arrival_now().duration_since(since);
        if self.observer.has_frames() {
            if waited >= END_IS_SAID && self.observer.summary(&self.pipeline).is_gif_at_end() {
                faults.end();
                return Some(self.end_of_stream());
            }
            // A paced pipeline waits for the clock, not for the file.
            if self.pace == Pace::RealTime || !file.is_read_by_us() || waited < self.patience * GAP_FACTOR {
                return None;
            }
        } else if waited < self.patience {
            return None;
        }
        faults.end();
        Some(SessionEvent::Failed(file::silent(&file.path, waited)))
    }

    /// Ends the pipeline.
    pub fn stop(self) {
        drop(self);
    }

    /// To PAUSED, whose answer tells of cameras and files whether they are live.
    fn set_paused(&mut self, timeout: Duration) -> Result<(), SourceError> {
        // One clock for everything: PipeWire's own, chosen late, makes the PTS jump by hours after the first frame.
        self.pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let liveness = match self.paused_within(timeout)? {
            Ok(gst::StateChangeSuccess::NoPreroll) => Liveness::Live,
            Ok(gst::StateChangeSuccess::Async) if self.may_be_camera() => return Ok(()),
            Ok(_) => Liveness::Recorded,
            Err(_) => return Err(self.start_fault()),
        };
        self.liveness.get_or_init(|| liveness);
        Ok(())
    }

    /// Whether a web server is asked, whose answer tells.
    fn may_be_camera(&self) -> bool {
        self.file.is_none() && multipart::reads_the_web(&self.pipeline)
    }

    /// The first picture is there, and with it every element.
    fn note_opened(&self) {
        self.liveness.get_or_init(|| {
            let is_camera = self.may_be_camera() && multipart::is_in(&self.pipeline);
            if is_camera { Liveness::Live } else { Liveness::Recorded }
        });
    }

    /// To PAUSED, on a thread of its own: `pipewiresrc` holds the caller for up to 30 s where its camera does not
    /// answer, and a driver may for longer. A late answer finds nobody, and the thread ends the pipeline.
    fn paused_within(
        &mut self,
        timeout: Duration,
    ) -> Result<Result<gst::StateChangeSuccess, gst::StateChangeError>, SourceError> {
        let (answer, answered) = mpsc::sync_channel(0);
        let pipeline = self.pipeline.clone();
        let start = move || {
            let paused = pipeline.set_state(gst::State::Paused);
            if answer.send(paused).is_err() {
                shutdown::to_null(&pipeline);
            }
        };
        let place = || lock(&self.faults).place().to_owned();
        std::thread::Builder::new().name("tsm-start".to_owned()).spawn(start).map_err(|error| {
            SourceError::Other { message: format!("{}: no thread could be started: {error}", place()) }
        })?;
        answered.recv_timeout(timeout).map_err(|_late| {
            let error = SourceError::NoAnswer { place: place(), timeout };
            self.ends_itself = true;
            error
        })
    }

    /// The fault behind a refused state change, from the bus.
    fn start_fault(&self) -> SourceError {
        // The message precedes the refusal, so no wait is needed; the second is for elements that post from a thread.
        while let Some(message) = self.bus.timed_pop(gst::ClockTime::from_seconds(1)) {
            if let Some(SessionEvent::Failed(error)) = self.event_of(&message) {
                return error;
            }
        }
        SourceError::Other {
            message: "the pipeline does not start; run with GST_DEBUG=2 to see why".to_owned(),
        }
    }

    fn event_of(&self, message: &gst::Message) -> Option<SessionEvent> {
        if let gst::MessageView::AsyncDone(_) = message.view() {
            self.note_opened();
        }
        let mut faults = lock(&self.faults);
        if faults.is_over() {
            return None;
        }
        match message.view() {
            gst::MessageView::Error(error) => {
                let fault = faults.of_error(error, &self.observer);
                Some(SessionEvent::Failed(self.with_file_evidence(fault)))
            }
            gst::MessageView::Eos(_) => {
                faults.end();
                Some(self.end_of_stream())
            }
            gst::MessageView::Element(_) => {
                faults.note_element(message);
                None
            }
            gst::MessageView::Warning(warning) => {
                debug!(text = %faults.cleaned(warning.error().message()), "pipeline warning");
                self.observer.note_warning(warning);
                faults.of_warning(&warning.error(), &self.observer).map(SessionEvent::Failed)
            }
            _ => None,
        }
    }

    fn with_file_evidence(&self, fault: SourceError) -> SourceError {
        match &self.file {
            Some(file) => file::explained(fault, file, &self.observer.summary(&self.pipeline)),
            None => fault,
        }
    }

    fn end_of_stream(&self) -> SessionEvent {
        let Some(file) = self.file.as_ref().filter(|_| !self.stopping.load(Ordering::Relaxed)) else {
            return SessionEvent::EndOfStream;
        };
        match file::damage(file, &self.observer.summary(&self.pipeline)) {
            Some(error) => SessionEvent::Failed(error),
            None => SessionEvent::EndOfStream,
        }
    }

    /// What the stream is, for [`crate::probe`].
    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if self.ends_itself {
            return;
        }
        shutdown::to_null(&self.pipeline);
    }
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bus_of(pipeline: &gst::Pipeline) -> gst::Bus {
    pipeline.bus().expect("a pipeline has a bus from its making")
}

/// Hands every sample of the sink to `on_frame`.
fn connect_sink(
    sink: &gst_app::AppSink,
    mut maker: FrameMaker,
    observer: Arc<Observer>,
    stopping: Arc<AtomicBool>,
    mut on_frame: impl FnMut(Frame) -> Flow + Send + 'static,
) {
    maker.watch_pad(&sink.static_pad("sink").expect("an appsink has a sink pad"));
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                if stopping.load(Ordering::Relaxed) {
                    return Err(gst::FlowError::Eos);
                }
                let sample = sink.pull_sample().map_err(|_ended| gst::FlowError::Eos)?;
                let frame = maker.frame(&sample).map_err(|reason| {
                    gst::element_error!(sink, gst::StreamError::Format, ("{reason}"));
                    gst::FlowError::NotNegotiated
                })?;
                observer.note_busy();
                let flow = on_frame(frame);
                observer.note_hungry(arrival_now());
                match flow {
                    Flow::Continue => Ok(gst::FlowSuccess::Ok),
                    Flow::Stop => {
                        stopping.store(true, Ordering::Relaxed);
                        Err(gst::FlowError::Eos)
                    }
                }
            })
            .build(),
    );
}
