//! A clip as a camera would show it: one frame after another through the streaming network.
//!
//! ```text
//! frames chosen by PTS ─ step ─ step ─ step ─ … ─► logits of each frame ─ what they say, not the logits, is kept
//!            state: fresh for each clip, or running on over the joints
//! ```
//!
//! Early recognition reads the mean of the logits so far. How long a clip is shows at its end, so the answer of the
//! mean is noted whenever it changes: a few bytes a frame, whatever the size of the pictures. It decodes nothing.

use serde::Serialize;
use tsm_model::{Model, StepError, StreamState};

use crate::counts::float;
use crate::largest::largest;
use crate::row_mean::RowMean;
use crate::sampling::interval::Forgets;

/// Parts of a clip after which the answer is looked at.
pub const LOOKS_PERCENT: [usize; 5] = [10, 25, 50, 75, 100];

/// What a clip's frames said, one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedClip {
    /// Mean of all frames' logits, `[classes]`.
    pub mean: Vec<f32>,
    /// The last frame's logits.
    pub last: Vec<f32>,
    /// The class of each frame's own logits.
    pub frames: Vec<u32>,
    /// The class of the mean so far, at each of [`LOOKS_PERCENT`].
    pub looks: [usize; 5],
}

/// What streamed clips come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnlineFigures {
    /// The share of clips whose mean logits are right.
    pub top1: f64,
    /// The share of clips whose last frame is right.
    pub last_frame_top1: f64,
    /// The share of all frames that are right.
    pub frame_top1: f64,
    /// Frames seen.
    pub frames: usize,
    /// The share of clips that are right after a part of their frames.
    pub early: Vec<EarlyFigure>,
}

/// Early recognition at one point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EarlyFigure {
    /// Part of the clip's frames, in percent, at least one frame.
    pub percent: usize,
    /// The share of clips whose mean logits so far are right.
    pub top1: f64,
}

/// A stream of clips, the frames of one after those of another.
#[derive(Debug)]
pub struct ClipStream {
    state: StreamState,
    logits: Vec<f32>,
    clip: OpenClip,
}

/// The clip under way.
#[derive(Debug)]
struct OpenClip {
    mean: RowMean,
    frames: Vec<u32>,
    /// The frame from which on the mean gives an answer, and the answer.
    answers: Vec<(usize, usize)>,
    /// The state before its first frame.
    before: StreamState,
}

impl OpenClip {
    fn on(state: &StreamState, classes: usize) -> Self {
        let mean = RowMean::new(classes);
        Self { mean, frames: Vec::new(), answers: Vec::new(), before: state.clone() }
    }

    /// The next clip begins, on this state.
    fn restart(&mut self, state: &StreamState) {
        self.mean.reset();
        self.frames.clear();
        self.answers.clear();
        self.before.clone_from(state);
    }
}

impl ClipStream {
    /// A stream of `model` that has seen nothing.
    pub fn new(model: &Model) -> Self {
        let (state, classes) = (model.fresh_state(), model.spec().classes.len());
        Self { clip: OpenClip::on(&state, classes), logits: vec![0.0; classes], state }
    }

    /// Takes the clip's next frame `[3, size, size]`, normalised, in. Before a frame within the clip the state
    /// `forgets` as live recognition's does, after a gap or at a new picture size. What happens before the first frame
    /// is the caller's choice: [`ClipStream::forget`].
    ///
    /// # Errors
    /// [`StepError`] if the frame is not the model's, or the device fails.
    pub fn step(&mut self, model: &mut Model, frame: &[f32], forgets: Forgets) -> Result<(), StepError> {
        let OpenClip { mean, frames, answers, .. } = &mut self.clip;
        match forgets {
            Forgets::Everything if !frames.is_empty() => self.state.reset(),
            Forgets::Motion if !frames.is_empty() => self.state.forget_motion(),
            _ => {}
        }
        model.step(frame, &mut [&mut self.state], &mut self.logits)?;
        mean.add(&self.logits);
        let answer = largest(mean.sums());
        if answers.last().is_none_or(|(_, last)| *last != answer) {
            answers.push((frames.len(), answer));
        }
        frames.push(u32::try_from(largest(&self.logits)).unwrap_or(u32::MAX));
        Ok(())
    }

    /// What the clip's frames said; the next frame is another clip's. None for a clip without frames.
    pub fn finish(&mut self) -> Option<StreamedClip> {
        let OpenClip { mean, frames, answers, .. } = &mut self.clip;
        let (mean, frames) = (mean.mean(), std::mem::take(frames));
        let looks = LOOKS_PERCENT.map(|percent| answer_after(frames_at(percent, frames.len()), answers));
        self.clip.restart(&self.state);
        (!frames.is_empty()).then(|| StreamedClip { mean, last: self.logits.clone(), frames, looks })
    }

    /// Takes the clip's frames back, as if they had never come: it cannot be read to its end.
    pub fn take_back(&mut self) {
        self.state.clone_from(&self.clip.before);
        self.clip.restart(&self.state);
    }

    /// Forgets what it remembers of earlier clips.
    pub fn forget(&mut self) {
        self.state.reset();
        self.clip.restart(&self.state);
    }
}

/// What the mean says after so many frames.
fn answer_after(frames: usize, answers: &[(usize, usize)]) -> usize {
    answers.iter().take_while(|(from, _)| *from < frames).last().map_or(0, |(_, answer)| *answer)
}

/// The figures of streamed clips with their true classes.
pub fn figures(clips: &[(StreamedClip, usize)]) -> OnlineFigures {
    let clip_part = |is_right: &dyn Fn(&StreamedClip, usize) -> bool| {
        part(clips.iter().filter(|(clip, class)| is_right(clip, *class)).count(), clips.len())
    };
    let right = |clip: &StreamedClip, class: usize| {
        clip.frames.iter().filter(|frame| u32::try_from(class) == Ok(**frame)).count()
    };
    let right_frames: usize = clips.iter().map(|(clip, class)| right(clip, *class)).sum();
    let frames = clips.iter().map(|(clip, _)| clip.frames.len()).sum();
    let early = LOOKS_PERCENT.into_iter().enumerate().map(|(at, percent)| EarlyFigure {
        percent,
        top1: clip_part(&|clip, class| clip.looks[at] == class),
    });
    OnlineFigures {
        top1: clip_part(&|clip, class| largest(&clip.mean) == class),
        last_frame_top1: clip_part(&|clip, class| largest(&clip.last) == class),
        frame_top1: part(right_frames, frames),
        frames,
        early: early.collect(),
    }
}

/// Frames of `count` that make up `percent` of them, rounded up.
const fn frames_at(percent: usize, count: usize) -> usize {
    (count * percent).div_ceil(100)
}

fn part(some: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { float(some) / float(all) }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tsm_model::checkpoint::{Checkpoint, Origin};

    use super::*;
    use crate::recipe::{Preset, Recipe};
    use crate::start::Start;

    fn clip(mean: [f32; 2], frames: &[u32], looks: [usize; 5]) -> StreamedClip {
        StreamedClip { mean: mean.into(), last: vec![0.0, 1.0], frames: frames.into(), looks }
    }

    #[test]
    fn figures_count_clips_frames_and_early_answers() {
        let clips = [
            (clip([1.0, 0.0], &[0, 0, 1, 0], [1, 0, 0, 0, 0]), 0),
            (clip([1.0, 0.0], &[0, 1], [0, 0, 1, 1, 0]), 1),
        ];
        let figures = figures(&clips);
        assert_eq!((figures.top1, figures.last_frame_top1, figures.frames), (0.5, 0.5, 6));
        assert!((figures.frame_top1 - 4.0 / 6.0).abs() < 1e-9);
        let early: Vec<f64> = figures.early.iter().map(|look| look.top1).collect();
        assert_eq!(early, [0.0, 0.5, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn a_look_comes_after_at_least_one_frame() {
        assert_eq!(LOOKS_PERCENT.map(|percent| frames_at(percent, 3)), [1, 1, 2, 3, 3]);
        assert_eq!(frames_at(10, 40), 4);
        let answers = [(0, 7), (2, 5), (3, 7)];
        assert_eq!([1, 2, 3, 4, 9].map(|frames| answer_after(frames, &answers)), [7, 7, 5, 7, 7]);
    }

    fn model() -> Model {
        let recipe = Recipe { from_scratch: true, width: 0.25, size: 32, ..Preset::Few.recipe() };
        let Start { spec, weights, .. } =
            Start::of(&recipe, &["a".to_owned(), "b".to_owned()], None).unwrap();
        Model::load(&Checkpoint { spec, weights, origin: Origin::Own }, Device::Cpu).unwrap()
    }

    /// A frame whose pixels are all alike.
    fn frame(level: f32) -> Vec<f32> {
        vec![level; 3 * 32 * 32]
    }

    /// Streams a clip, which starts afresh before the frame `afresh`.
    fn show(model: &mut Model, stream: &mut ClipStream, levels: &[f32], afresh: usize) {
        for (index, level) in levels.iter().enumerate() {
            let forgets = if index == afresh { Forgets::Everything } else { Forgets::Nothing };
            stream.step(model, &frame(*level), forgets).unwrap();
        }
    }

    #[test]
    fn what_a_broken_clip_showed_is_taken_back_and_a_break_within_a_clip_forgets() {
        let mut model = model();
        let (mut plain, mut broken) = (ClipStream::new(&model), ClipStream::new(&model));
        assert_eq!(plain.finish(), None);
        for stream in [&mut plain, &mut broken] {
            show(&mut model, stream, &[0.1, 0.5], 0);
            assert_eq!(stream.finish().unwrap().frames.len(), 2);
        }
        show(&mut model, &mut broken, &[0.9, -0.9], 0);
        broken.take_back();
        for stream in [&mut plain, &mut broken] {
            show(&mut model, stream, &[0.3], 0);
        }
        let joined = plain.finish().unwrap();
        assert_eq!(broken.finish().unwrap(), joined);
        plain.forget();
        show(&mut model, &mut plain, &[0.3], 0);
        let alone = plain.finish().unwrap();
        assert_ne!(alone.last, joined.last, "the state runs on over a joint");
        show(&mut model, &mut broken, &[0.7, 0.3], 1);
        assert_eq!(broken.finish().unwrap().last, alone.last);
    }
}
