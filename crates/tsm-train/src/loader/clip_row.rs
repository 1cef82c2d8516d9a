//! One job of a loader: a clip becomes the rows of a batch.
//!
//! ```text
//! draws of (seed, epoch, clip): frames, then crop ┊ look: mirrored or not, then colours
//! frames ─ cut ─ mirror ─ colour map ─ normalise ─► [views, t, 3, h, w]
//! ```
//!
//! Knows no threads.

use std::path::Path;

use tsm_kernels::normalise::planar_from_rgb;
use tsm_live::UprightShape;

use super::{EvalView, LoaderSource, Mode, Skipped, TrainView};
use crate::augment::mirror;
use crate::clip_store::ChosenFrames;
use crate::crop::Cut;
use crate::cutter::Cutter;
use crate::decode::StoredFrame;
use crate::draws::{Draw, Draws};
use crate::sampling::{ClipCount, Sampling, Timeline};

/// How many other clips are tried in the place of one that cannot be read.
const REPLACEMENTS: usize = 8;

/// The rows of a clip.
#[derive(Debug, Default)]
pub(super) struct ClipRow {
    /// The clip and its class; `None` where none could be read.
    pub(super) shown: Option<(usize, u32)>,
    /// `[views, t, 3, h, w]`, empty where none could be read.
    pub(super) pixels: Vec<f32>,
    /// The frames of each view that the clip has.
    pub(super) shown_frames: Vec<usize>,
    /// The clips that could not be read.
    pub(super) skipped: Vec<Skipped>,
}

/// What a clip that could be read gives.
struct Views {
    pixels: Vec<f32>,
    shown_frames: Vec<usize>,
    target: u32,
}

/// The draws of a clip; what the one sequence gives does not depend on how much was taken of the other.
struct ClipDraws {
    view: Draws,
    look: Draws,
}

impl ClipDraws {
    fn of(seed: u64, epoch: u64, clip: usize) -> Self {
        Self { view: Draws::for_clip(seed, epoch, clip), look: Draws::for_look(seed, epoch, clip) }
    }
}

/// Makes rows; keeps its buffers.
#[derive(Debug)]
pub(super) struct RowMaker {
    source: LoaderSource,
    mode: Mode,
    cutter: Cutter,
    rgb: Vec<u8>,
}

impl RowMaker {
    pub(super) fn new(source: LoaderSource, mode: Mode) -> Self {
        Self { source, mode, cutter: Cutter::new(), rgb: Vec::new() }
    }

    /// The rows of the clip with index `clip`, or of its replacement.
    pub(super) fn row(&mut self, seed: u64, epoch: u64, clip: usize) -> ClipRow {
        let mut row = ClipRow::default();
        let mut draws = ClipDraws::of(seed, epoch, clip);
        let mut candidate = clip;
        for attempt in 0..=REPLACEMENTS {
            match self.read(candidate, &mut draws) {
                Ok(Views { pixels, shown_frames, target }) => {
                    let shown = Some((candidate, target));
                    return ClipRow { shown, pixels, shown_frames, skipped: row.skipped };
                }
                Err(reason) => row.skipped.push(Skipped { clip: candidate, reason }),
            }
            if matches!(self.mode, Mode::Eval(_)) {
                return row;
            }
            let attempt = u64::try_from(attempt).expect("a small number");
            let mut place = Draws::for_replacement(seed, epoch, clip, attempt);
            candidate = self.source.clips[place.below(self.source.clips.len())];
            draws = ClipDraws { view: place.clone(), look: place };
        }
        row
    }

    fn read(&mut self, clip: usize, draws: &mut ClipDraws) -> Result<Views, String> {
        let class = self.source.dataset.clips[clip].class;
        match self.mode.clone() {
            Mode::Train(view) => self.train(clip, class, &view, draws),
            Mode::Eval(view) => self.evaluate(clip, class, &view),
        }
    }

    fn train(
        &mut self,
        clip: usize,
        class: u32,
        view: &TrainView,
        draws: &mut ClipDraws,
    ) -> Result<Views, String> {
        let ClipDraws { view: of_view, look } = draws;
        let choose = |times: Timeline<'_>| view.sampling.train(times, view.segments, of_view);
        let chosen = self.frames(clip, choose)?;
        let input = self.source.input.clone();
        let side = input.size_px;
        // Frames of another shape draw the same numbers.
        let cut = |width, height| view.crop.cut(&input, width, height, &mut of_view.clone());
        self.cut_frames(clip, &chosen, side, cut)?;
        let (wants_mirror, colours) = (look.coin(), view.jitter.draw(look));
        let mirrored = view.flip.mirrored(class).filter(|_| wants_mirror);
        if mirrored.is_some() {
            mirror(&mut self.rgb, side);
        }
        if !view.jitter.is_off() {
            colours.apply(&mut self.rgb);
        }
        let mut pixels = vec![0.0; self.rgb.len()];
        self.normalise(side, &mut pixels);
        let shown_frames = vec![view.sampling.shown_frames(&chosen.indices)];
        Ok(Views { pixels, shown_frames, target: mirrored.unwrap_or(class) })
    }

    fn evaluate(&mut self, clip: usize, class: u32, view: &EvalView) -> Result<Views, String> {
        let EvalView { sampling, phase, segments, clips, crops } = *view;
        let choose = |times: Timeline<'_>| Sampling::evaluate(sampling, phase, times, segments, clips);
        let chosen = self.frames(clip, choose)?;
        let input = self.source.input.clone();
        let side = crops.side_px(&input);
        let mut pixels = vec![0.0; crops.count() * chosen.indices.len() * side * side * 3];
        let crop_len = pixels.len() / crops.count();
        for (index, pixels) in pixels.chunks_exact_mut(crop_len).enumerate() {
            let view = |width, height| crops.views(&input, width, height)[index];
            self.cut_frames(clip, &chosen, side, |width, height| view(width, height).cut)?;
            if crops.is_mirrored(index) {
                mirror(&mut self.rgb, side);
            }
            self.normalise(side, pixels);
        }
        let shown_of_clips = chosen.indices.chunks(segments.max(1)).map(|indices| match clips {
            // Its windows are those of dense sampling, whatever the sampling.
            ClipCount::DenseTen => indices.len(),
            ClipCount::One | ClipCount::Twice => sampling.shown_frames(indices),
        });
        let crop_shown: Vec<usize> = shown_of_clips.collect();
        Ok(Views { pixels, shown_frames: crop_shown.repeat(crops.count()), target: class })
    }

    fn frames(
        &self,
        clip: usize,
        choose: impl FnOnce(Timeline<'_>) -> Vec<usize>,
    ) -> Result<ChosenFrames, String> {
        let chosen = self.source.store.frames(clip, &self.source.dataset.clips[clip], choose);
        chosen.map_err(|error| error.to_string())
    }

    /// Fills `self.rgb` `[t, side, side, 3]` with the chosen frames,
    /// cut as `cut_of(width, height)` says for their shape.
    fn cut_frames(
        &mut self,
        clip: usize,
        chosen: &ChosenFrames,
        side: usize,
        cut_of: impl Fn(usize, usize) -> Cut,
    ) -> Result<(), String> {
        let path = &self.source.dataset.clips[clip].path;
        let frame_len = side * side * 3;
        self.rgb.resize(chosen.indices.len() * frame_len, 0);
        let mut last: Option<(UprightShape, Cut)> = None;
        for (index, rgb) in chosen.indices.iter().zip(self.rgb.chunks_exact_mut(frame_len)) {
            let frame: &StoredFrame = chosen.frames.frame(*index).ok_or_else(|| lost(path, *index))?;
            let shape = UprightShape::of(frame.format());
            let cut = match last {
                Some((of, cut)) if of == shape => cut,
                _ => cut_of(shape.shown_width, shape.shown_height),
            };
            last = Some((shape, cut));
            self.cutter.run(frame, &cut, rgb).map_err(|error| named(path, &error))?;
        }
        Ok(())
    }

    fn normalise(&self, side: usize, pixels: &mut [f32]) {
        let frame_len = side * side * 3;
        let frames = self.rgb.chunks_exact(frame_len).zip(pixels.chunks_exact_mut(frame_len));
        for (rgb, pixels) in frames {
            planar_from_rgb(rgb, self.source.input.mean, self.source.input.std, pixels);
        }
    }
}

fn named(path: &Path, reason: &impl ToString) -> String {
    format!("{}: {}", path.display(), reason.to_string())
}

/// A file that gives fewer frames at a second reading than at the first.
fn lost(path: &Path, index: usize) -> String {
    named(path, &format!("frame {index} is gone; the file changed while it was used"))
}
