//! The run: frames of all streams in, one step for those that wait, a decision each, reports out.
//!
//! ```text
//! source threads ─[1 frame each]─┐                       ┌─[64]─ writer thread ─ sinks
//!                                ├─► model thread (here) ─┤
//! supervisors ───[notices]───────┘   preprocess, step,    └─ streams' states, deciders
//!                                    decide
//! ```
//!
//! The model thread owns every state. Pictures are prepared on the model's other threads as well (`batch.rs`), whose
//! next one a lock hands out; no other lock of the runtime lies on a frame's way.

use std::cell::OnceCell;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded, select_biased, tick};
use tsm_ingest::Source;
use tsm_model::{Model, StepError};

use crate::batch::{Batch, Pictures};
use crate::clock::{self, MonotonicClock};
use crate::connection::Pipelines;
use crate::crew::Crew;
use crate::decision::Ranking;
use crate::outcome::{Finished, LiveError, OutputEnd};
use crate::report::{FrameReport, Latency, Report};
use crate::settings::LiveSettings;
use crate::sinks::Sink;
use crate::stream::{Stream, StreamPhase, model_interval};
use crate::summary::Summary;
use crate::supervisor::{Notice, Supervisor};
use crate::viewer::{Viewer, Window};
use crate::writer::{RunEnding, Sent, Writer};

/// How long the first frame of a batch waits for those of other streams: a twentieth of a frame
/// interval at 12 Hz, against a step that costs several times as much for each stream alone.
const GATHER: Duration = Duration::from_millis(4);

/// How often a run without frames looks at its streams.
const IDLE: Duration = Duration::from_millis(100);

/// Labels `sources` with `model` until they end, `stop` gets a message or closes, the frame limit is
/// reached or the `viewer`'s window is closed. Blocks the calling thread, which becomes the model's.
///
/// # Errors
/// [`LiveError`]: what makes the whole run pointless. A source that fails once it worked is tried
/// again instead, as the settings say.
pub fn run<'a>(
    model: &'a mut Model,
    sources: &[Source],
    settings: &'a LiveSettings,
    sinks: Vec<Box<dyn Sink>>,
    viewer: Option<&'a mut (dyn Viewer + 'a)>,
    stop: &'a Receiver<()>,
) -> Result<Finished, LiveError> {
    if !model.spec().shift.is_streamable() {
        return Err(StepError::NotStreamable.into());
    }
    let top_k = settings.decision.top_k.min(model.spec().classes.len());
    let writer = Writer::start(sinks, top_k).map_err(LiveError::Thread)?;
    let mut runtime = Runtime::start(model, sources, settings, writer, viewer, stop)?;
    let outcome = runtime.serve();
    runtime.close(outcome)
}

/// Everything the model thread holds.
struct Runtime<'a> {
    model: &'a mut Model,
    settings: &'a LiveSettings,
    streams: Vec<Stream>,
    wake: Receiver<()>,
    notices: Receiver<Notice>,
    stop: &'a Receiver<()>,
    crew: Crew,
    writer: Writer,
    viewer: Option<&'a mut (dyn Viewer + 'a)>,
    batch: Batch,
    processed: u64,
    steps: u64,
    first_label: Option<Instant>,
    last_label: Option<Instant>,
    given_up: Option<LiveError>,
    /// The first source that failed after it had worked.
    failed: Option<LiveError>,
    /// That flow has other speeds at the chosen rate is said once, whatever the number of streams.
    has_told_of_speeds: bool,
    /// That of a frame without a label, for the next one.
    spare_ranking: Option<Ranking>,
    ending: RunEnding,
}

/// Whether the run goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// Everything is labelled, or nobody reads.
    Done,
    /// Somebody asked for a stop.
    Stopped,
}

impl<'a> Runtime<'a> {
    fn start(
        model: &'a mut Model,
        sources: &[Source],
        settings: &'a LiveSettings,
        writer: Writer,
        viewer: Option<&'a mut (dyn Viewer + 'a)>,
        stop: &'a Receiver<()>,
    ) -> Result<Self, LiveError> {
        let (wake_sender, wake) = bounded(1);
        let (notice_sender, notices) = bounded(64);
        let mut crew = Crew::new();
        let rate = settings.rate.sample_rate(model_interval(model.spec()));
        let mut streams = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            let (stream, sender) = Stream::new(source, model, rate, wake_sender.clone());
            let supervisor = Supervisor {
                stream: index,
                source: source.clone(),
                connector: Box::new(Pipelines),
                clock: Box::new(MonotonicClock),
                pinned: OnceCell::new(),
                settings: settings.clone(),
                rate,
                sender,
                progress: stream.progress(),
                notices: notice_sender.clone(),
                stop: crew.stopped(),
            };
            streams.push(stream);
            crew.start(supervisor).map_err(LiveError::Thread)?;
        }
        Ok(Self {
            batch: Batch::new(model, sources.len()),
            model,
            settings,
            streams,
            wake,
            notices,
            stop,
            crew,
            writer,
            viewer,
            processed: 0,
            steps: 0,
            first_label: None,
            last_label: None,
            given_up: None,
            failed: None,
            has_told_of_speeds: false,
            spare_ranking: None,
            ending: RunEnding::ByItself,
        })
    }

    /// Until every stream is done, or a stop is asked for.
    fn serve(&mut self) -> Result<(), LiveError> {
        let next = self.warm_up()?;
        if next != Next::GoOn {
            self.ending = ending(next);
            return Ok(());
        }
        let idle = tick(IDLE);
        loop {
            // The stop comes first: a file keeps the model busy without a pause.
            let next = select_biased! {
                recv(self.stop) -> _ => Next::Stopped,
                recv(self.notices) -> notice => notice.map_or(Next::GoOn, |notice| self.hear(notice)),
                recv(self.wake) -> _ => Next::GoOn,
                recv(idle) -> _ => Next::GoOn,
            };
            for next in [next, self.label_waiting()?, self.retire()?] {
                if next != Next::GoOn {
                    self.ending = ending(next);
                    return Ok(());
                }
            }
        }
    }

    /// Gets ready for steps of any number of streams, while sources connect or fail to.
    fn warm_up(&mut self) -> Result<Next, LiveError> {
        let streams = self.streams.len();
        let smaller = (0..usize::BITS).map(|power| 1 << power).take_while(|n| *n < streams);
        // The largest first: a device's memory is taken once.
        for n in std::iter::once(streams).chain(smaller) {
            if self.stop.try_recv() != Err(TryRecvError::Empty) {
                return Ok(Next::Stopped);
            }
            match self.model.warm_up(n) {
                Ok(true) => tracing::info!(streams = n, "the GPU is ready for steps of as many"),
                Ok(false) => break,
                Err(error) if n == 1 => return Err(error.into()),
                // As many may never have a frame at once.
                Err(error) => tracing::warn!("a step of {n} streams at once would end this run: {error}"),
            }
            while let Ok(notice) = self.notices.try_recv() {
                let next = self.hear(notice);
                if next != Next::GoOn {
                    return Ok(next);
                }
            }
            let next = self.retire()?;
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        Ok(Next::GoOn)
    }

    /// Takes note of what a supervisor says.
    fn hear(&mut self, notice: Notice) -> Next {
        match notice {
            Notice::Source(report) => return self.tell(Report::Source(report)),
            Notice::Finished { stream } => self.streams[stream].phase = StreamPhase::Ending(None),
            Notice::Failed { stream, error } => {
                self.streams[stream].phase = StreamPhase::Ending(Some(LiveError::Source(error)));
            }
            Notice::GivenUp { stream, attempts, reason } => {
                let name = self.streams[stream].name.clone();
                let error = LiveError::GivenUp { stream, name, attempts, reason };
                self.streams[stream].phase = StreamPhase::Ending(None);
                if self.streams.iter().any(|stream| matches!(stream.phase, StreamPhase::Running)) {
                    // Where it was the last one, the run ends with this line.
                    tracing::warn!("{error}; the others go on");
                }
                self.given_up = Some(error);
            }
        }
        Next::GoOn
    }

    /// Hands a report to the writer.
    fn tell(&self, report: Report) -> Next {
        match self.writer.send(report, self.stop) {
            Sent::Yes => Next::GoOn,
            Sent::Closed => Next::Done,
            Sent::Stopped => Next::Stopped,
        }
    }

    /// Streams that have ended and whose last frame is labelled are done.
    ///
    /// A source that cannot be used from the start ends the run: the user has to mend the command. One
    /// that fails after it has worked lets the others go on, and is told at the end.
    fn retire(&mut self) -> Result<Next, LiveError> {
        for stream in &mut self.streams {
            if stream.has_frame() {
                continue;
            }
            let has_worked = stream.has_worked();
            if let StreamPhase::Ending(error) = &mut stream.phase {
                match error.take() {
                    Some(error) if has_worked => self.failed = self.failed.take().or(Some(error)),
                    Some(error) => return Err(error),
                    None => {}
                }
                stream.phase = StreamPhase::Done;
            }
        }
        let is_over = self.streams.iter().all(|stream| matches!(stream.phase, StreamPhase::Done));
        Ok(if is_over { Next::Done } else { Next::GoOn })
    }

    /// One step for every stream that has a frame.
    fn label_waiting(&mut self) -> Result<Next, LiveError> {
        if !self.streams.iter().any(Stream::has_frame) {
            return Ok(Next::GoOn);
        }
        self.gather();
        self.collect()?;
        // What was told before these frames were sent is told before their labels.
        while let Ok(notice) = self.notices.try_recv() {
            let next = self.hear(notice);
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        let began = clock::now();
        self.batch.step(self.model, &mut self.streams)?;
        self.steps += 1;
        let model_time = clock::now().saturating_duration_since(began);
        self.report(model_time)
    }

    /// Gives the other streams a moment, so that frames of one instant share a step.
    fn gather(&self) {
        let deadline = clock::now() + GATHER;
        let is_missing =
            |stream: &Stream| matches!(stream.phase, StreamPhase::Running) && !stream.has_frame();
        while self.streams.iter().any(is_missing) {
            if self.wake.recv_deadline(deadline).is_err() {
                return;
            }
        }
    }

    /// Takes and prepares the waiting frames.
    fn collect(&mut self) -> Result<(), LiveError> {
        let pictures = if self.viewer.is_some() { Pictures::Shown } else { Pictures::GivenBack };
        let collected = self.batch.collect(self.model, &mut self.streams, pictures);
        collected.map_err(|(stream, source)| LiveError::Preprocess {
            name: self.streams[stream].name.clone(),
            source,
        })?;
        for member in &self.batch.members {
            let stream = &self.streams[member.stream];
            self.has_told_of_speeds =
                self.has_told_of_speeds || stream.tell_of_other_speeds(self.settings.rate, self.model.spec());
        }
        Ok(())
    }

    fn report(&mut self, model_time: Duration) -> Result<Next, LiveError> {
        let classes = self.model.spec().classes.len().max(1);
        for (member, logits) in self.batch.members.iter().zip(self.batch.logits().chunks_exact(classes)) {
            let stream = &mut self.streams[member.stream];
            let memory = self.spare_ranking.take().unwrap_or_else(|| self.writer.used_ranking());
            let decision =
                stream.decide(logits, &self.settings.decision, self.settings.rate, self.model.spec(), memory);
            if !decision.is_finite() {
                // Where no frame has had a label it is the model's fault. A frame that overflows later, in f16 say,
                // must not end cameras that ran for months, nor may a few in a row.
                if !stream.has_labels() {
                    return Err(LiveError::NotFinite { name: stream.name.clone() });
                }
                stream.forget_overflow(member.dropped);
                self.spare_ranking = Some(decision.ranking);
                continue;
            }
            let report = FrameReport {
                stream: member.stream,
                frame: stream.count_frame(),
                pts: member.pts,
                decision,
                latency: Latency { model: model_time, ..member.latency },
                state_age_steps: stream.state.age_steps(),
                dropped: member.dropped,
            };
            if let (Some(viewer), Some(frame)) = (&mut self.viewer, &member.frame)
                && viewer.show(member.stream, frame, &report.decision) == Window::Closed
            {
                return Ok(Next::Done);
            }
            let now = clock::now();
            self.first_label.get_or_insert(now);
            self.last_label = Some(now);
            self.processed += 1;
            let next = self.tell(Report::Frame(report));
            if next != Next::GoOn {
                return Ok(next);
            }
            if self.settings.frame_limit == Some(self.processed) {
                return Ok(Next::Done);
            }
        }
        Ok(Next::GoOn)
    }

    /// Stops everything in order: sources first, then what is written.
    fn close(self, outcome: Result<(), LiveError>) -> Result<Finished, LiveError> {
        let mut summary = Summary { processed: self.processed, steps: self.steps, ..Summary::default() };
        for stream in &self.streams {
            summary.frames_in += stream.progress().frames_in();
            summary.stale += stream.progress().stale();
            summary.dropped += stream.dropped_total();
        }
        if let (Some(first), Some(last)) = (self.first_label, self.last_label) {
            summary.elapsed = last.saturating_duration_since(first);
        }
        // Receivers go first: a source that waits to hand over a frame lets go and can be stopped.
        drop((self.streams, self.notices, self.wake));
        self.crew.stop();
        let written = self.writer.finish(self.ending, self.stop);
        summary.latency = written.latency;
        outcome?;
        let output = match written.error {
            None => OutputEnd::Open,
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => OutputEnd::BrokenPipe,
            Some(error) => return Err(LiveError::Output(error)),
        };
        let is_stopped = self.ending == RunEnding::Stopped;
        match self.failed.filter(|_failure| !is_stopped && output == OutputEnd::Open) {
            Some(failure) => Err(failure),
            None => Ok(Finished { summary, given_up: self.given_up.filter(|_error| !is_stopped), output }),
        }
    }
}

/// How a run ends that does not go on.
fn ending(next: Next) -> RunEnding {
    if next == Next::Stopped { RunEnding::Stopped } else { RunEnding::ByItself }
}
