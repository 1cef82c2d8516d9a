//! `tsm prepare`: lists of training and validation clips, and frames for fast reading.

use tsm_train::dataset;
use tsm_train::prepare::{FrameOptions, PrepareOptions, Progress, prepare};

use super::{eval, train};
use crate::args::offline::PrepareArgs;
use crate::exit_code::{Exit, Failure};
use crate::talk;

/// Writes the lists and says where they are.
///
/// # Errors
/// Clips that cannot be used or divided, a folder that cannot be written.
pub(crate) fn run(args: &PrepareArgs, is_quiet: bool) -> Result<Exit, Failure> {
    tsm_ingest::init()?;
    if !(0.0..1.0).contains(&args.validation) {
        let text = format!("--validation is {}, it must be at least 0 and below 1", args.validation);
        return Err(Failure::bad_input(text));
    }
    let found = dataset::read(&args.input, args.classes.as_deref())?;
    for missing in &found.missing {
        talk::line(&format!("tsm: not there: {missing}"));
    }
    let options = PrepareOptions {
        validation: args.validation,
        groups: train::group_rule(&args.grouping, &args.input)?,
        seed: args.seed,
        frames: args.frames.then(FrameOptions::default),
        workers: args.workers.get(),
    };
    let bar = eval::bar(found.dataset.clips.len(), is_quiet);
    let mut told = |Progress { done, .. }: Progress| bar.set_position(done as u64);
    let made = prepare(found.dataset, &args.output, &options, &mut told)?;
    bar.finish_and_clear();
    for reason in &made.unreadable {
        talk::line(&format!("tsm: left out: {reason}"));
    }
    let [train, validation] = made.clips;
    talk::result(&format!("{}: {train} clips", made.training_list.display()))?;
    talk::result(&format!("{}: {validation} clips", made.validation_list.display()))?;
    talk::result(&format!("{}", made.classes_file.display()))?;
    Ok(Exit::Done)
}
