//! The first weights of a run whose recipe wants a start that sees motion (`motion_start.rs`).
//!
//! It happens before the head is solved and is over before the first save: a run that is killed meanwhile starts again.

use candle_core::Tensor;

use super::plan;
use super::{Job, TrainError};
use crate::learner::Learner;
use crate::loader::{Loader, LoaderOptions};
use crate::motion_start;
use crate::progress::{Event, Observer};
use crate::run_state::Position;

/// How it ended.
pub(super) enum Begun {
    /// The network is ready; these features tell motion.
    With(Vec<usize>),
    /// The caller asked to stop.
    Stopped,
}

/// Writes the circuits into the network of `learner`, measured on the first clips of the first epoch.
///
/// # Errors
/// As for a training batch, and if the network has no room for them.
pub(super) fn put_in(
    job: &Job<'_>,
    learner: &mut Learner,
    observer: &mut dyn Observer,
    should_stop: &dyn Fn() -> bool,
) -> Result<Begun, TrainError> {
    if !job.recipe.motion_start {
        return Ok(Begun::With(Vec::new()));
    }
    let options = LoaderOptions { end_epoch: 1, ..plan::loader_options(job.recipe, Position::default()) };
    let loader = Loader::start(&plan::source(job, job.train), plan::train_mode(job)?, &options)?;
    let (mut batches, mut clips) = (Vec::new(), 0);
    for batch in loader {
        let mut batch = batch?;
        if should_stop() {
            return Ok(Begun::Stopped);
        }
        clips += batch.clips.len();
        let shape = (batch.clips.len() * batch.frames, 3, batch.side_px, batch.side_px);
        batches.push(Tensor::from_vec(std::mem::take(&mut batch.pixels), shape, &job.device)?);
        if clips >= motion_start::SURVEY_CLIPS {
            break;
        }
    }
    let spec = &job.start.spec;
    let paths = motion_start::put_in(learner.network_mut(), spec, &batches, job.recipe.segments)?;
    observer.event(&Event::MotionPaths { paths: &paths });
    Ok(Begun::With(paths.features))
}
