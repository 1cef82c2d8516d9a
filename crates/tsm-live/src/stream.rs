//! One stream as the model thread sees it: its queue, state, picture plan and decider.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use tracing::{info, warn};
use tsm_ingest::{Frame, Source};
use tsm_model::{FrameMut, Model, ModelSpec, StreamState};

use crate::decision::{Decider, Decision, Ranking};
use crate::intake::StreamProgress;
use crate::motion_reach::{MotionReach, reads_other_speeds};
use crate::newest_frame::{FrameReceiver, FrameSender, SampledFrame, newest_frame};
use crate::outcome::LiveError;
use crate::preprocess::{PreprocessError, Preprocessor};
use crate::sampler::SampleRate;
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
    /// The frame that the next step labels, and how its preparation went.
    taken: Option<(SampledFrame, Result<(), PreprocessError>)>,
    decider: Option<Decider>,
    reach: MotionReach,
    nominal_hz: Option<f64>,
    epoch: u64,
    labelled: u64,
    dropped: u64,
    /// Of these, the ones that the line of a frame without a label would have told.
    untold_dropped: u64,
    /// Whether it was told that a frame left no numbers.
    has_told_of_overflow: bool,
}

impl Stream {
    /// A stream of `source`, and the end that its supervisor sends frames into.
    pub(crate) fn new(
        source: &Source,
        model: &Model,
        rate: SampleRate,
        wake: Sender<()>,
    ) -> (Self, FrameSender) {
        let (sender, receiver) = newest_frame(wake);
        let is_live = matches!(source, Source::Webcam(_) | Source::Rtsp(_) | Source::Test);
        let stream = Self {
            name: source.to_string(),
            phase: StreamPhase::Running,
            state: model.fresh_state(),
            receiver,
            progress: Arc::new(StreamProgress::new(is_live)),
            preprocessor: Preprocessor::new(model.spec().input.clone()),
            taken: None,
            decider: None,
            reach: MotionReach::new(model_interval(model.spec()), rate),
            nominal_hz: None,
            epoch: 0,
            labelled: 0,
            dropped: 0,
            untold_dropped: 0,
            has_told_of_overflow: false,
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

    /// Takes the waiting frame, to be prepared, if there is one. What says nothing about it is forgotten.
    pub(crate) fn take(&mut self) -> bool {
        self.taken = self.receiver.take().map(|sampled| (sampled, Ok(())));
        if let Some((SampledFrame { epoch, pts, source_step, .. }, _)) = self.taken {
            self.forget_before(epoch, pts, source_step);
        }
        self.is_taken()
    }

    /// Whether a frame was taken that is not yet handed on.
    pub(crate) const fn is_taken(&self) -> bool {
        self.taken.is_some()
    }

    /// A new epoch begins with nothing remembered; behind missing frames, motion is unknown.
    fn forget_before(&mut self, epoch: u64, pts: Duration, source_step: Duration) {
        let is_out_of_reach = self.reach.is_exceeded(pts, source_step);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.forget();
        } else if is_out_of_reach {
            self.state.forget_motion();
        }
    }

    /// Goes on behind a frame whose outputs are no numbers: what is remembered of it is none. The next label's line
    /// tells of the frames `dropped` before it.
    pub(crate) fn forget_overflow(&mut self, dropped: u64) {
        self.forget();
        self.untold_dropped += dropped;
        if !self.has_told_of_overflow {
            self.has_told_of_overflow = true;
            warn!(
                "{}: a frame's outputs are no numbers: such a frame has no label, and the state starts anew",
                self.name
            );
        }
    }

    /// The next frame begins with nothing remembered.
    fn forget(&mut self) {
        self.state.reset();
        if let Some(decider) = &mut self.decider {
            decider.reset();
        }
    }

    /// Writes the network's input for the taken frame.
    pub(crate) fn prepare(&mut self, input: FrameMut<'_>) {
        if let Some((sampled, outcome)) = &mut self.taken {
            self.nominal_hz = nominal_hz(&sampled.frame);
            *outcome = self.preprocessor.run(&sampled.frame, input);
        }
    }

    /// Hands the taken frame on, with how its preparation went.
    pub(crate) const fn take_prepared(&mut self) -> Option<(SampledFrame, Result<(), PreprocessError>)> {
        self.taken.take()
    }

    /// Tells (at `-v`: the rate was asked for) where frames were chosen at a rate at which flow has other speeds than
    /// `spec`'s model learned, and whether it did.
    pub(crate) fn tell_of_other_speeds(&self, rate: RateChoice, spec: &ModelSpec) -> bool {
        let Some(hz) = other_speeds_hz(rate, self.nominal_hz, spec) else { return false };
        let (stream, model_hz) = (self.name.as_str(), model_hz(spec));
        info!(
            stream,
            hz,
            model_hz,
            "the model looks at optical flow, and at this rate motion has other speeds than it learned"
        );
        true
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
            RateChoice::Model => model_hz(spec),
        };
        let hz = wanted_hz.min(source_hz);
        let decider = self.decider.get_or_insert_with(|| Decider::new(settings, spec.classes.len(), hz));
        decider.decide_with(logits, ranking)
    }

    /// Whether a frame has had a label.
    pub(crate) const fn has_labels(&self) -> bool {
        self.labelled > 0
    }

    /// The number of the next labelled frame, from 0.
    pub(crate) fn count_frame(&mut self) -> u64 {
        self.labelled += 1;
        self.labelled - 1
    }

    /// Frames dropped since the last call, and those that it was given back.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        let dropped = self.receiver.take_dropped();
        self.dropped += dropped;
        dropped + std::mem::take(&mut self.untold_dropped)
    }

    /// Frames dropped in all, those after the last line included.
    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped + self.receiver.take_dropped()
    }
}

/// The time between two frames that the model learned from.
pub(crate) fn model_interval(spec: &ModelSpec) -> Duration {
    Duration::from_secs_f64(spec.sampling.frame_interval_millis / 1000.0)
}

fn model_hz(spec: &ModelSpec) -> f64 {
    1000.0 / spec.sampling.frame_interval_millis
}

/// The rate of the frames of a source of `source_hz`, where it was chosen, the model looks at flow, and the rate is
/// clearly not the model's. Of all frames of a source that does not tell its rate nothing is known.
fn other_speeds_hz(rate: RateChoice, source_hz: Option<f64>, spec: &ModelSpec) -> Option<f64> {
    let chosen_hz = match rate {
        RateChoice::Model => return None,
        RateChoice::Hertz(hz) => source_hz.map_or(hz, |source_hz| hz.min(source_hz)),
        RateChoice::All => source_hz?,
    };
    let is_other = !spec.motion_features.is_none() && reads_other_speeds(model_hz(spec), chosen_hz);
    is_other.then_some(chosen_hz)
}

/// Frames a second that the stream says it has; none for a variable rate.
fn nominal_hz(frame: &Frame) -> Option<f64> {
    let (frames, seconds) = frame.format().nominal_rate?;
    (frames > 0 && seconds > 0).then(|| f64::from(frames) / f64::from(seconds))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
    use tsm_model::{Backbone, Device, MotionFeatures};

    use super::*;

    #[test]
    fn a_chosen_rate_of_other_speeds_is_told_of_models_that_look_at_flow() {
        use RateChoice::{All, Hertz, Model};
        let blind = ModelSpec::new(Backbone::MobilenetV2, 3);
        let spec = ModelSpec { motion_features: MotionFeatures::Flow, ..blind.clone() };
        let cases = [
            (Model, Some(5.0), None),
            (Hertz(30.0), None, Some(30.0)),
            (Hertz(30.0), Some(25.0), Some(25.0)),
            (Hertz(30.0), Some(12.5), None),
            (Hertz(6.0), Some(30.0), Some(6.0)),
            (Hertz(10.0), Some(30.0), None),
            (All, Some(30.0), Some(30.0)),
            (All, Some(15.0), None),
            (All, None, None),
        ];
        for (rate, source_hz, told) in cases {
            assert_eq!(other_speeds_hz(rate, source_hz, &spec), told, "{rate:?} of {source_hz:?}");
            assert_eq!(other_speeds_hz(rate, source_hz, &blind), None);
        }
    }

    #[test]
    fn missing_frames_forget_motion_and_a_break_forgets_everything() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tsm-cli/models/actions.safetensors");
        let checkpoint = Checkpoint::open(&file, &SpecOverrides::default()).unwrap();
        assert_eq!(checkpoint.spec.motion_features, MotionFeatures::Flow, "else there is nothing to forget");
        let mut model = tsm_model::Model::load(&checkpoint, Device::Cpu).unwrap();
        let (side, classes) = (checkpoint.spec.input.size_px, checkpoint.spec.classes.len());
        let rate = SampleRate::Every(model_interval(&checkpoint.spec));
        let (wake, _woken) = crossbeam_channel::bounded(1);
        let (mut stream, _sender) = Stream::new(&Source::Test, &model, rate, wake);
        let mut twin = model.fresh_state();
        let mut logits = [vec![0.0; classes], vec![0.0; classes]];
        for (at, (epoch, millis)) in (0u8..).zip([(1, 0), (1, 83), (1, 167), (1, 333), (1, 417), (2, 500)]) {
            let row = |x: usize| f32::from(u16::try_from(x % 17).unwrap()) / 8.0 - f32::from(at) / 6.0;
            let frame: Vec<f32> = (0..3 * side * side).map(|i| row(i + i / side * usize::from(at))).collect();
            stream.forget_before(epoch, Duration::from_millis(millis), Duration::from_millis(33));
            match millis {
                333 => twin.forget_motion(),
                500 => twin.reset(),
                _ => {}
            }
            let [ours, expected] = &mut logits;
            model.step(&frame, &mut [&mut stream.state], ours).unwrap();
            model.step(&frame, &mut [&mut twin], expected).unwrap();
            assert_eq!(ours, expected, "frame at {millis} ms");
            assert_eq!(stream.state.age_steps(), if epoch == 2 { 1 } else { u64::from(at) + 1 });
        }
    }
}
