//! Clips for streaming evaluation: every frame that live recognition would use, prepared as live prepares it.
//!
//! ```text
//! clip ─ all frames ─ FrameSampler (by PTS) ─ Preprocessor ─► OnlineClip [t, 3, h, w], with PTS and resets
//! ```
//!
//! Frames are chosen by [`tsm_live::FrameSampler`] and prepared by [`tsm_live::Preprocessor`] themselves. A whole clip is held
//! in memory: at 224 px and 12 frames a second 7 MB for each second of it.

use std::time::Duration;

use tsm_live::Preprocessor;

use super::{LoaderError, LoaderSource, Skipped};
use crate::ahead::{self, Ahead};
use crate::sampling::interval;

/// The frames that live recognition uses of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineClip {
    /// Its index in the data set.
    pub clip: usize,
    /// Its class.
    pub target: u32,
    /// `[frames, 3, side, side]`, normalised; at least one frame.
    pub pixels: Vec<f32>,
    /// Side of a frame, in pixels.
    pub side_px: usize,
    /// Media time of each frame.
    pub pts: Vec<Duration>,
    /// Whether live recognition forgets its state before the frame: at the first one and after a break.
    pub starts_afresh: Vec<bool>,
}

impl OnlineClip {
    /// The frames, `[3, side, side]` each.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.pixels.chunks_exact(self.side_px * self.side_px * 3)
    }
}

/// Clips in the order of the source, prepared ahead. Dropping it ends and joins its threads.
#[derive(Debug)]
pub struct OnlineClips {
    clips: Ahead<Result<OnlineClip, Skipped>>,
}

impl OnlineClips {
    /// Starts `workers` threads. Frames are `interval_millis` of media time apart.
    ///
    /// # Errors
    /// [`LoaderError::Threads`] if the system gives none.
    pub fn start(source: &LoaderSource, interval_millis: f64, workers: usize) -> Result<Self, LoaderError> {
        /// Clips prepared ahead, each of which may be large.
        const DEPTH: u64 = 4;
        let interval = interval::duration(interval_millis);
        let make_worker = || {
            let source = source.clone();
            let mut preprocessor = Preprocessor::new(source.input.clone());
            move |job: u64| {
                let place = ahead::index(job);
                let clip = source.clips[place];
                online_clip(&source, clip, interval, &mut preprocessor)
                    .map_err(|reason| Skipped { clip, reason })
            }
        };
        let clips = Ahead::start(0..source.clips.len() as u64, workers, DEPTH, make_worker);
        Ok(Self { clips: clips.map_err(LoaderError::Threads)? })
    }

    /// How long the caller has waited in all.
    pub fn waited(&self) -> Duration {
        self.clips.waited()
    }
}

impl Iterator for OnlineClips {
    /// A clip, or why it cannot be read; the outer error ends the evaluation.
    type Item = Result<Result<OnlineClip, Skipped>, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.clips.next().map(|clip| clip.map_err(LoaderError::from))
    }
}

fn online_clip(
    source: &LoaderSource,
    clip: usize,
    interval: Duration,
    preprocessor: &mut Preprocessor,
) -> Result<OnlineClip, String> {
    let entry = &source.dataset.clips[clip];
    let mut used = Vec::new();
    let chosen = source.store.frames(clip, entry, |times| {
        used = interval::stream(times.pts, times.shape_changes, interval);
        used.iter().map(|frame| frame.index).collect()
    });
    let frames = chosen.map_err(|error| error.to_string())?.frames;
    let side_px = source.input.size_px;
    let mut pixels = vec![0.0; used.len() * side_px * side_px * 3];
    for (used, input) in used.iter().zip(pixels.chunks_exact_mut(side_px * side_px * 3)) {
        let named = |reason: String| format!("{}: {reason}", entry.path.display());
        let frame = frames.frame(used.index).ok_or_else(|| named("a frame is gone".to_owned()))?;
        let picture = frame.picture().map_err(|error| named(error.to_string()))?;
        preprocessor
            .run_picture(frame.format(), &picture, input)
            .map_err(|error| named(error.to_string()))?;
    }
    Ok(OnlineClip {
        clip,
        target: entry.class,
        pixels,
        side_px,
        pts: used.iter().map(|frame| frames.pts()[frame.index]).collect(),
        starts_afresh: used.iter().map(|frame| frame.starts_afresh).collect(),
    })
}
