//! Motion of the streams of one step, on several threads.
//!
//! ```text
//!           ┌─ before: the state's own ─ read, a frame each ─► after, logits of motion ─┐
//! states ◄──┤     the executor's Team once it idles, or spare threads meanwhile         ├─ all went well: after, + logits
//!           └─ Executor::step ──────────────────────────────────────────────────────────┘  an error: before
//! ```
//!
//! A stream's motion takes a quarter of a millisecond of one core, a step on a GPU two for tens of streams. A stream is
//! read by one thread, so no bit depends on how many there are. Nothing is allocated once a number of streams was seen:
//! memories change places, and whoever is free takes the next stream.

use tsm_kernels::blocked::Shared;
use tsm_kernels::frames::{FrameForm, Frames, NormalisedFrames};

use super::{FEATURES, Layer, MotionMemory, MotionReader};
use crate::executor::{Executor, StepError, StreamState};
use crate::spare_threads::SpareThreads;

/// What reads the motion of several streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// One a thread that reads.
    readers: Vec<Reader>,
    /// One a stream of the largest step so far.
    motions: Vec<StreamMotion>,
}

/// What one thread reads with.
#[derive(Debug)]
struct Reader {
    motion: MotionReader,
    /// A frame of bytes, normalised.
    normalised: NormalisedFrames,
    /// `[FEATURES]`.
    features: Vec<f32>,
}

/// One stream of a step.
#[derive(Debug)]
struct StreamMotion {
    /// What was remembered: the state's own while the step runs, which has a forgotten one meanwhile.
    before: MotionMemory,
    /// What is remembered if all goes well.
    after: MotionMemory,
    /// What motion says `[classes]`.
    logits: Vec<f32>,
}

impl Streams {
    /// As [`super::MotionHead::step`], whose checks have passed.
    pub(super) fn step(
        &mut self,
        layer: &Layer,
        executor: &mut dyn Executor,
        spare: &mut SpareThreads,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        if states.is_empty() {
            return executor.step(frames, states, logits);
        }
        self.take(layer, states);
        let outcome = self.run(layer, executor, spare, frames, states, logits);
        for (stream, (state, logits)) in
            self.motions.iter_mut().zip(states.iter_mut().zip(logits.chunks_exact_mut(layer.classes)))
        {
            let remembered = if outcome.is_ok() { &mut stream.after } else { &mut stream.before };
            state.motion_mut().into_iter().for_each(|memory| std::mem::swap(memory, remembered));
            if outcome.is_ok() {
                logits.iter_mut().zip(&stream.logits).for_each(|(logit, own)| *logit += own);
            }
        }
        outcome
    }

    /// Takes over what the states remember.
    fn take(&mut self, layer: &Layer, states: &mut [&mut StreamState]) {
        while self.motions.len() < states.len() {
            let (before, after) = (layer.fresh_memory(), layer.fresh_memory());
            self.motions.push(StreamMotion { before, after, logits: vec![0.0; layer.classes] });
        }
        for (stream, state) in self.motions.iter_mut().zip(states) {
            // A state that an executor's panic leaves behind has forgotten, and has nothing of another stream.
            stream.before.forget();
            state.motion_mut().into_iter().for_each(|memory| std::mem::swap(memory, &mut stream.before));
        }
    }

    /// Runs the executor's step, and reads motion.
    fn run(
        &mut self,
        layer: &Layer,
        executor: &mut dyn Executor,
        spare: &mut SpareThreads,
        frames: Frames<'_>,
        states: &mut [&mut StreamState],
        logits: &mut [f32],
    ) -> Result<(), StepError> {
        let n = states.len();
        if executor.team().is_none() {
            let team = spare.team_for(n);
            self.make_readers(layer, frames.form(), team.parts().min(n));
            let job = job(layer, &mut self.readers, &mut self.motions[..n], frames);
            return team.run_beside(&job, || executor.step(frames, states, logits));
        }
        executor.step(frames, states, logits)?;
        let team = executor.team();
        self.make_readers(layer, frames.form(), team.as_ref().map_or(1, |team| team.parts()).min(n));
        let job = job(layer, &mut self.readers, &mut self.motions[..n], frames);
        match team {
            Some(team) if n > 1 => team.run(&job),
            _ => job(0),
        }
        Ok(())
    }

    /// Sees that there are `count` readers, all with room for a frame of `form`: any of them may have the next one.
    fn make_readers(&mut self, layer: &Layer, form: FrameForm, count: usize) {
        while self.readers.len() < count {
            let motion = MotionReader::with_room(&layer.input, layer.size_px());
            let (normalised, features) = (NormalisedFrames::default(), vec![0.0; FEATURES]);
            self.readers.push(Reader { motion, normalised, features });
        }
        if form == FrameForm::Rgb {
            let [height, width] = layer.size_px();
            self.readers.iter_mut().for_each(|reader| reader.normalised.reserve(3 * height * width));
        }
    }
}

/// What each part of a team does: reads one stream's frame after another until none is left.
fn job<'a>(
    layer: &'a Layer,
    readers: &'a mut [Reader],
    streams: &'a mut [StreamMotion],
    frames: Frames<'a>,
) -> impl Fn(usize) + Sync + 'a {
    let [height, width] = layer.size_px();
    let readers = Shared::new(readers.iter_mut());
    let streams = Shared::new(streams.iter_mut().zip(frames.each(3 * height * width)));
    move |_part| {
        // More parts than streams: the others have them all.
        let Some(Reader { motion, normalised, features }) = readers.take_next() else { return };
        while let Some((stream, frame)) = streams.take_next() {
            let StreamMotion { before, after, logits } = stream;
            let frame = normalised.of(frame, height * width, layer.input.mean, layer.input.std);
            motion.look(before, frame, [height, width], after, features);
            layer.weigh(features, logits);
        }
    }
}
