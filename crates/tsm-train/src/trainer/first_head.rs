//! A new head's first weights, from the training clips as the network sees them before it learns.
//!
//! ```text
//! head-views epochs of the training loader ─► features of every clip, seen anew each time ─► solved_head ─► judged
//! ```
//!
//! It happens before the first step and is over before the first save: a run that is killed meanwhile starts again.

use std::collections::BTreeMap;

use super::{End, Run, TrainError, plan};
use crate::clip_means::clip_mean;
use crate::dataset::class_index;
use crate::loader::{Batch, Loader, LoaderOptions};
use crate::parameter_groups::HeadStart;
use crate::progress::{Event, Observer};
use crate::run_state::Position;
use crate::solved_head::{Example, SolvedHead, solve};

use candle_core::Tensor;
use tsm_model::motion_head::HALVES;

/// How solving ended.
enum FirstHead {
    /// There is one to start from.
    Solved(SolvedHead),
    /// The clips do not determine one.
    Undetermined,
    /// The caller asked to stop.
    Stopped,
}

impl Run<'_> {
    /// Whether the recipe, and the start, want a solved head.
    pub(super) fn wants_first_head(&self) -> bool {
        let recipe = self.job.recipe;
        // Circuits give features another meaning, so that a kept head would misread them;
        // without epochs the head is all.
        let is_new = self.job.start.head == HeadStart::New || recipe.motion_start || recipe.epochs == 0;
        recipe.head_views > 0 && is_new
    }

    /// Judges the network as it starts, with a head solved for the whole shift that it will run with, and goes on with
    /// one for as much of the shift as the first step sees.
    pub(super) fn start_from_head(
        &mut self,
        own_features: &[usize],
        observer: &mut dyn Observer,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<End, TrainError> {
        let at_first = self.plan.shift_strength(0, 0);
        let strengths = if at_first < 1.0 { vec![1.0, at_first] } else { vec![1.0] };
        let Some(examples) = self.gather(&strengths, observer, should_stop)? else { return Ok(End::Stopped) };
        match self.first_head(&examples[0], own_features, should_stop) {
            FirstHead::Solved(head) => {
                observer.event(&Event::HeadSolved { held_out_top1: head.held_out_top1 });
                self.learner.set_head(head)?;
            }
            FirstHead::Undetermined if self.job.recipe.epochs == 0 => return Err(TrainError::NoHead),
            FirstHead::Undetermined => return Ok(End::Complete),
            FirstHead::Stopped => return Ok(End::Stopped),
        }
        if self.judge_start(observer, should_stop)? == End::Stopped {
            return Ok(End::Stopped);
        }
        for examples in examples.iter().skip(1) {
            match self.first_head(examples, own_features, should_stop) {
                FirstHead::Solved(head) => self.learner.set_head(head)?,
                FirstHead::Undetermined => {}
                FirstHead::Stopped => return Ok(End::Stopped),
            }
        }
        self.save()?;
        Ok(End::Complete)
    }

    /// Solves the head of `examples`; `own_features` tell what the rest do not.
    fn first_head(
        &self,
        examples: &[Example],
        own_features: &[usize],
        should_stop: &dyn Fn() -> bool,
    ) -> FirstHead {
        let network = self.learner.network().architecture();
        let (features, all) = (network.features, network.features + network.motion_features);
        let own: Vec<usize> = own_features.iter().copied().chain(features..all).collect();
        let (classes, views) = (self.job.dataset.classes.len(), self.job.recipe.head_views);
        let Some(mut head) = solve(examples, classes, views, &own, should_stop) else {
            return if should_stop() { FirstHead::Stopped } else { FirstHead::Undetermined };
        };
        for half in HALVES.into_iter().filter(|_| all > features) {
            head.say_nothing_unknown(examples, features + half.start..features + half.end);
        }
        FirstHead::Solved(head)
    }

    /// The features of every view of every training clip, for each of some strengths of the shift; nothing where
    /// `should_stop` said so.
    ///
    /// # Errors
    /// As for a training batch.
    fn gather(
        &mut self,
        strengths: &[f64],
        observer: &mut dyn Observer,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<Example>>>, TrainError> {
        let recipe = self.job.recipe;
        let end_epoch = recipe.head_views as u64;
        let options = LoaderOptions { end_epoch, ..plan::loader_options(recipe, Position::default()) };
        let source = plan::source(&self.job, self.job.train);
        let all = recipe.head_views * self.plan.clips_an_epoch();
        let groups = self.numbered_groups();
        let mut examples = vec![Vec::new(); strengths.len()];
        for batch in Loader::start(&source, plan::train_mode(&self.job)?, &options)? {
            let mut batch = batch?;
            self.head_waited += batch.waited;
            if should_stop() {
                return Ok(None);
            }
            self.note_clips(&batch, observer);
            self.show_as_labelled(&mut batch);
            let motion = self.motion.as_mut().map(|eyes| eyes.of(&batch)).unwrap_or_default();
            let shape = (batch.shape()[0] * batch.frames, 3, batch.side_px, batch.side_px);
            let pictures = Tensor::from_vec(std::mem::take(&mut batch.pixels), shape, &self.job.device)?;
            for (examples, strength) in examples.iter_mut().zip(strengths) {
                let features = self.learner.frame_features(&pictures, batch.frames, *strength)?;
                examples.extend(self.examples(&batch, &features, &motion, &groups));
            }
            let clips = examples.first().map_or(0, Vec::len);
            observer.event(&Event::HeadBatch { clips, all });
        }
        self.check_classes_left()?;
        Ok(Some(examples))
    }

    /// An example of each clip of a batch whose features are numbers.
    fn examples(
        &self,
        batch: &Batch,
        features: &[f32],
        motion: &[f32],
        groups: &BTreeMap<String, usize>,
    ) -> Vec<Example> {
        let width = self.learner.network().architecture().features;
        let motion_width = motion.len() * width / features.len().max(1);
        let mut examples = Vec::with_capacity(batch.clips.len());
        for (row, shown) in batch.shown_frames.iter().enumerate() {
            let frames = row * batch.frames..row * batch.frames + shown;
            let features = &features[frames.start * width..frames.end * width];
            let motion = &motion[frames.start * motion_width..frames.end * motion_width];
            let features = clip_mean(features, width, motion);
            if features.iter().all(|x| x.is_finite()) {
                let group = groups[&self.job.dataset.clips[batch.clips[row]].group];
                examples.push(Example { features, class: class_index(batch.targets[row]), group });
            }
        }
        examples
    }

    /// The training clips' groups, numbered.
    fn numbered_groups(&self) -> BTreeMap<String, usize> {
        let mut numbers = BTreeMap::new();
        for clip in self.job.train {
            let next = numbers.len();
            numbers.entry(self.job.dataset.clips[*clip].group.clone()).or_insert(next);
        }
        numbers
    }
}
