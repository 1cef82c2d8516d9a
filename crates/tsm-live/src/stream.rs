//! One stream as the model thread sees it: its queue, state, picture plan and decider.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tsm_ingest::{Frame, Source};
use tsm_model::{Model, ModelSpec, StreamState};

use crate::decision::{Decider, Decision, Ranking};
use crate::intake::StreamProgress;
use crate::newest_frame::{FrameReceiver, FrameSender, SampledFrame, newest_frame};
use crate::preprocess::{PreprocessError, Preprocessor};
use crate::runtime::LiveError;
use crate::settings::{DecisionSettings, RateChoice};

/// Frames a second assumed of a source that does not say, for the length of the window only.
const ASSUMED_HZ: f64 = 30.0;

/// Where a stream is in its life.
#[derive(Debug)]
pub(crate) enum StreamPhase {
    /// Frames come, or may come again.
    Running,
    /// No more frames but the one that may wait; with what is wrong, if something is.
    Ending(Option<LiveError>),
    /// Nothing more.
    Done,
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) phase: StreamPhase,
    pub(crate) state: StreamState,
    receiver: FrameReceiver,
    progress: Arc<StreamProgress>,
    preprocessor: Preprocessor,
    decider: Option<Decider>,
    nominal_hz: Option<f64>,
    epoch: u64,
    labelled: u64,
    dropped: u64,
}

impl Stream {
    /// A stream of `source`, and the end that its supervisor sends frames into.
    pub(crate) fn new(source: &Source, model: &Model, wake: Sender<()>) -> (Self, FrameSender) {
        let (sender, receiver) = newest_frame(wake);
        let is_live = matches!(source, Source::Webcam(_) | Source::Rtsp(_) | Source::Test);
        let stream = Self {
            name: source.to_string(),
            phase: StreamPhase::Running,
            state: model.fresh_state(),
            receiver,
            progress: Arc::new(StreamProgress::new(is_live)),
            preprocessor: Preprocessor::new(model.spec().input.clone()),
            decider: None,
            nominal_hz: None,
            epoch: 0,
            labelled: 0,
            dropped: 0,
        };
        (stream, sender)
    }

    /// What is shared with the source's threads.
    pub(crate) fn progress(&self) -> Arc<StreamProgress> {
        Arc::clone(&self.progress)
    }

    /// Whether a frame waits.
    pub(crate) fn has_frame(&self) -> bool {
        self.receiver.has_frame()
    }

    /// Whether it has given a frame.
    pub(crate) fn has_worked(&self) -> bool {
        self.progress.frames_in() > 0
    }

    /// The waiting frame. A new epoch begins with nothing remembered.
    pub(crate) fn take(&mut self) -> Option<SampledFrame> {
        let sampled = self.receiver.take()?;
        if sampled.epoch != self.epoch {
            self.epoch = sampled.epoch;
            self.state.reset();
            if let Some(decider) = &mut self.decider {
                decider.reset();
            }
        }
        Some(sampled)
    }

    /// Writes the network's input for the frame, `[3, size, size]`.
    pub(crate) fn prepare(
        &mut self,
        sampled: &SampledFrame,
        input: &mut [f32],
    ) -> Result<(), PreprocessError> {
        self.nominal_hz = nominal_hz(&sampled.frame);
        self.preprocessor.run(&sampled.frame, input)
    }

    /// Decides about a frame, in the memory of a used ranking; the first frame fixes the length of the window.
    pub(crate) fn decide(
        &mut self,
        logits: &[f32],
        settings: &DecisionSettings,
        rate: RateChoice,
        spec: &ModelSpec,
        ranking: Ranking,
    ) -> Decision {
        let source_hz = self.nominal_hz.unwrap_or(ASSUMED_HZ);
        let wanted_hz = match rate {
            RateChoice::All => source_hz,
            RateChoice::Hertz(hz) => hz,
            RateChoice::Model => 1000.0 / spec.sampling.frame_interval_millis,
        };
        let hz = wanted_hz.min(source_hz);
        let decider = self.decider.get_or_insert_with(|| Decider::new(settings, spec.classes.len(), hz));
        decider.decide_with(logits, ranking)
    }

    /// The number of the next labelled frame, from 0.
    pub(crate) fn count_frame(&mut self) -> u64 {
        self.labelled += 1;
        self.labelled - 1
    }

    /// Frames dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        let dropped = self.receiver.take_dropped();
        self.dropped += dropped;
        dropped
    }

    /// Frames dropped in all, those after the last line included.
    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped + self.receiver.take_dropped()
    }
}

/// Frames a second that the stream says it has; none for a variable rate.
fn nominal_hz(frame: &Frame) -> Option<f64> {
    let (frames, seconds) = frame.format().nominal_rate?;
    (frames > 0 && seconds > 0).then(|| f64::from(frames) / f64::from(seconds))
}
