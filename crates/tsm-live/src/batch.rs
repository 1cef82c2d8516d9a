//! The frames of one step, on their way from the streams' queues to the network.
//!
//! ```text
//! stream 0 ─ waiting frame ─┐ the model's team, a       ┌─ frames of n streams ─► step ─► logits [n, classes]
//! stream 2 ─ waiting frame ─┤ stream after the other ──►┤
//! stream 5 ─ waiting frame ─┘                           └─ members: whose they are, and where their time went
//! ```
//!
//! A picture takes some tenths of a millisecond to prepare, a step of many streams on a GPU a few: so whoever is free
//! takes the next picture. A picture is prepared by one thread, so no bit depends on how many there are. Buffers are
//! kept, and are of the form and in the place in which the model's device takes them best: a processor normalised
//! numbers, a GPU bytes, which it normalises itself.

use std::time::Duration;

use tsm_ingest::Frame;
use tsm_kernels::blocked::Shared;
use tsm_model::{FrameMemory, FrameMut, Model, StepError, StreamState};

use crate::clock;
use crate::preprocess::PreprocessError;
use crate::report::Latency;
use crate::stream::Stream;

/// The frames of one step, in buffers that are kept.
pub(crate) struct Batch {
    /// Room for a frame of each stream there is.
    frames: FrameMemory,
    /// `[n, classes]`.
    logits: Vec<f32>,
    pub(crate) members: Vec<Member>,
    /// Empty between steps: its memory is lent to the list of states.
    no_states: Vec<&'static mut StreamState>,
    values_a_frame: usize,
}

/// A frame of the batch on its way.
pub(crate) struct Member {
    pub(crate) stream: usize,
    pub(crate) pts: Duration,
    pub(crate) dropped: u64,
    pub(crate) latency: Latency,
    /// Kept for the viewer only: the pipeline wants its buffers back.
    pub(crate) frame: Option<Frame>,
}

/// Whether the pictures are looked at once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pictures {
    /// Given back to the pipeline once they are prepared.
    GivenBack,
    /// Kept for the viewer.
    Shown,
}

impl Batch {
    /// Empty, with room for a frame of each of `streams` streams.
    pub(crate) fn new(model: &Model, streams: usize) -> Self {
        Self {
            frames: model.frame_memory(streams),
            logits: Vec::new(),
            members: Vec::new(),
            no_states: Vec::new(),
            values_a_frame: 3 * model.spec().input.pixels(),
        }
    }

    /// Takes and prepares the waiting frames, in the order of the streams.
    ///
    /// # Errors
    /// The first stream whose picture could not be read, and why.
    pub(crate) fn collect(
        &mut self,
        model: &mut Model,
        streams: &mut [Stream],
        pictures: Pictures,
    ) -> Result<(), (usize, PreprocessError)> {
        self.members.clear();
        let taken = clock::now();
        let count = streams.iter_mut().map(Stream::take).filter(|has_frame| *has_frame).count();
        let values = self.values_a_frame;
        match &mut self.frames {
            FrameMemory::Normalised(all) => {
                prepare(model, streams, all.chunks_exact_mut(values).map(FrameMut::Normalised), count);
            }
            FrameMemory::Rgb(all) => {
                prepare(model, streams, all.chunks_exact_mut(values).map(FrameMut::Rgb), count);
            }
        }
        let prepared = clock::now();
        for (index, stream) in streams.iter_mut().enumerate() {
            let Some((sampled, outcome)) = stream.take_prepared() else { continue };
            outcome.map_err(|error| (index, error))?;
            let arrival = sampled.frame.arrival();
            self.members.push(Member {
                stream: index,
                pts: sampled.pts,
                dropped: stream.take_dropped(),
                latency: Latency {
                    arrival,
                    age_at_arrival: sampled.frame.capture_age(),
                    queue: taken.saturating_duration_since(arrival),
                    preprocess: prepared.saturating_duration_since(taken.max(arrival)),
                    model: Duration::ZERO,
                },
                frame: (pictures == Pictures::Shown).then_some(sampled.frame),
            });
        }
        Ok(())
    }

    /// Labels the members: the next step of their streams.
    ///
    /// # Errors
    /// If the network fails.
    pub(crate) fn step(&mut self, model: &mut Model, streams: &mut [Stream]) -> Result<(), StepError> {
        let Self { frames, logits, members, no_states, values_a_frame } = self;
        let mut states = emptied(std::mem::take(no_states));
        // Both are in the order of the streams.
        let mut numbers = members.iter().map(|member| member.stream).peekable();
        states.extend(
            streams
                .iter_mut()
                .enumerate()
                .filter_map(|(index, stream)| numbers.next_if_eq(&index).map(|_member| &mut stream.state)),
        );
        logits.resize(members.len() * model.spec().classes.len(), 0.0);
        model.step(frames.frames().first(members.len() * *values_a_frame), &mut states, logits)?;
        *no_states = emptied(states);
        Ok(())
    }

    /// `[n, classes]` of the last step.
    pub(crate) fn logits(&self) -> &[f32] {
        &self.logits
    }
}

/// Writes the `count` taken frames' inputs, on whatever threads the model has idle.
fn prepare<'a>(
    model: &mut Model,
    streams: &mut [Stream],
    inputs: impl Iterator<Item = FrameMut<'a>> + Send,
    count: usize,
) {
    let taken = Shared::new(streams.iter_mut().filter(|stream| stream.is_taken()).zip(inputs));
    let job = |_part: usize| {
        while let Some((stream, input)) = taken.take_next() {
            stream.prepare(input);
        }
    };
    // One alone is not worth the waking of others.
    if count > 1 { model.team(count).run(&job) } else { job(0) }
}

/// An empty list in the memory of another one, for references that live elsewhere:
/// collecting in place keeps the memory.
fn emptied<'a, T: ?Sized>(mut list: Vec<&mut T>) -> Vec<&'a mut T> {
    list.clear();
    list.into_iter().map(|_none| unreachable!("the list is empty")).collect()
}
