//! A new head's first weights, from the training clips as the network sees them before it learns.
//!
//! ```text
//! head-views epochs of the training loader ─► features of every clip, seen anew each time ─► solved_head
//! ```
//!
//! It happens before the first step and is over before the first save: a run that is killed meanwhile starts again.

use std::collections::BTreeMap;

use super::motion_eyes::{MotionEyes, motion_tensor};
use super::plan::{self, Plan};
use super::{Job, TrainError};
use crate::dataset::class_index;
use crate::learner::Learner;
use crate::loader::{Loader, LoaderOptions};
use crate::parameter_groups::HeadStart;
use crate::progress::{Event, Observer};
use crate::run_state::Position;
use crate::solved_head::{Example, SolvedHead, solve};

use candle_core::Tensor;
use tsm_model::motion_head::HALVES;

/// How gathering ended.
pub(super) enum FirstHead {
    /// There is one to start from.
    Solved(SolvedHead),
    /// The recipe, or the start, wants none; or the clips do not determine one.
    Unwanted,
    /// The caller asked to stop.
    Stopped,
}

/// Solves the head that `job` starts from; `own_features` tell what the rest do not.
///
/// # Errors
/// As for a training batch.
pub(super) fn solved(
    job: &Job<'_>,
    plan: &Plan,
    learner: &mut Learner,
    own_features: &[usize],
    observer: &mut dyn Observer,
    should_stop: &dyn Fn() -> bool,
) -> Result<FirstHead, TrainError> {
    let views = job.recipe.head_views;
    // Circuits give features another meaning, so that a kept head would misread them.
    if views == 0 || (job.start.head == HeadStart::Kept && !job.recipe.motion_start) {
        return Ok(FirstHead::Unwanted);
    }
    let options =
        LoaderOptions { end_epoch: views as u64, ..plan::loader_options(job.recipe, Position::default()) };
    let loader = Loader::start(&plan::source(job, job.train), plan::train_mode(job)?, &options)?;
    let groups = numbered_groups(job);
    let mut examples = Vec::new();
    let mut eyes = MotionEyes::of_start(&job.start);
    for batch in loader {
        let mut batch = batch?;
        if should_stop() {
            return Ok(FirstHead::Stopped);
        }
        let motion = eyes.as_mut().map(|eyes| eyes.of(&batch)).unwrap_or_default();
        let motion = motion_tensor(motion, batch.clips.len() * batch.frames, &job.device)?;
        let shape = (batch.clips.len() * batch.frames, 3, batch.side_px, batch.side_px);
        let pictures = Tensor::from_vec(std::mem::take(&mut batch.pixels), shape, &job.device)?;
        let (t, shift_strength) = (batch.frames, plan.shift_strength(0, 0));
        let features = learner.clip_features(&pictures, motion.as_ref(), t, shift_strength)?;
        for ((features, clip), class) in features.into_iter().zip(&batch.clips).zip(&batch.targets) {
            if features.iter().all(|x| x.is_finite()) {
                let group = groups[job.dataset.clips[*clip].group.as_str()];
                examples.push(Example { features, class: class_index(*class), group });
            }
        }
        observer.event(&Event::HeadBatch { clips: examples.len(), all: views * job.train.len() });
    }
    let network = learner.network().architecture();
    let seen = network.features..network.features + network.motion_features;
    let own_features: Vec<usize> = own_features.iter().copied().chain(seen).collect();
    let mut head = solve(&examples, job.dataset.classes.len(), views, &own_features);
    if let (Some(head), true) = (&mut head, network.motion_features > 0) {
        for half in HALVES {
            head.say_nothing_unknown(&examples, network.features + half.start..network.features + half.end);
        }
    }
    Ok(head.map_or(FirstHead::Unwanted, |head| {
        observer.event(&Event::HeadSolved { held_out_top1: head.held_out_top1 });
        FirstHead::Solved(head)
    }))
}

/// The training clips' groups, numbered.
fn numbered_groups<'a>(job: &'a Job<'_>) -> BTreeMap<&'a str, usize> {
    let names = job.train.iter().map(|clip| job.dataset.clips[*clip].group.as_str());
    let mut numbers = BTreeMap::new();
    for name in names {
        let next = numbers.len();
        numbers.entry(name).or_insert(next);
    }
    numbers
}
