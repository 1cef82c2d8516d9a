//! `tsm prepare`: lists of training and validation clips, and frames for fast reading.

use tsm_train::prepare::{FrameOptions, PrepareError, PrepareOptions, Prepared, Progress, prepare};
use tsm_train::{dataset, sides};

use super::clips_bar::clips_bar;
use super::grouping;
use crate::args::offline::PrepareArgs;
use crate::exit_code::{Exit, Failure};
use crate::{signals, talk};

/// Writes the lists and says where they are.
///
/// # Errors
/// Clips that cannot be used or divided, a folder that cannot be written.
pub(crate) fn run(args: &PrepareArgs, is_quiet: bool) -> Result<Exit, Failure> {
    signals::survive_file_limit()?;
    tsm_ingest::init()?;
    let found = dataset::read(&args.input, args.classes.as_deref())?;
    for missing in found.missing.iter().filter(|_| !is_quiet) {
        talk::line(&format!("tsm: not there: {}", talk::escaped(missing)));
    }
    let groups = grouping::rule(&args.grouping, &args.input)?;
    for nested in found.nested.iter().filter(|_| !is_quiet) {
        talk::line(&format!("tsm: {}", talk::escaped(&sides::nested_clips(nested, &groups))));
    }
    let options = PrepareOptions {
        source: args.input.clone(),
        validation: args.validation,
        groups,
        seed: args.seed,
        frames: args.frames.then(FrameOptions::default),
        workers: args.workers.get(),
    };
    let should_stop = signals::stop_asked()?;
    let bar = clips_bar(found.dataset.clips.len(), is_quiet);
    let mut told = |Progress { done, .. }: Progress| {
        bar.set_position(done as u64);
        !should_stop()
    };
    let classes = found.dataset.classes.clone();
    let made = prepare(found.dataset, &args.output, &options, &mut told);
    bar.finish_and_clear();
    if let Err(PrepareError::Stopped) = &made {
        talk::line(&format!("tsm: {}", PrepareError::Stopped));
        return Ok(Exit::Done);
    }
    let made = made?;
    for reason in &made.unreadable {
        talk::line(&format!("tsm: left out: {}", talk::escaped(reason)));
    }
    for warning in warnings(&made, &classes).iter().filter(|_| !is_quiet) {
        talk::line(&format!("tsm: {}", talk::escaped(warning)));
    }
    let [train, validation] = made.clips;
    talk::result(&format!("{}: {train} clips", made.training_list.display()))?;
    talk::result(&format!("{}: {validation} clips", made.validation_list.display()))?;
    talk::result(&format!("{}", made.classes_file.display()))?;
    Ok(Exit::Done)
}

/// What of the lists may surprise, a line each.
fn warnings(made: &Prepared, classes: &[String]) -> Vec<String> {
    let name =
        |class: &u32| usize::try_from(*class).ok().and_then(|class| classes.get(class)).map_or("?", |n| n);
    let ungrouped = made.ungrouped.iter().map(|class| sides::ungrouped_class(name(class)));
    let unvalidated = sides::unvalidated_classes(classes, &made.unvalidated);
    ungrouped.chain(unvalidated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_groups_or_validation_are_named() {
        let made = Prepared {
            training_list: "train.txt".into(),
            validation_list: "validation.txt".into(),
            classes_file: "classes.txt".into(),
            clips: [2, 1],
            unreadable: Vec::new(),
            unvalidated: vec![1],
            ungrouped: vec![0],
        };
        let said = warnings(&made, &["sit".to_owned(), "walk".to_owned()]);
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("'sit' tell no source videos"), "{said:?}");
        assert!(said[1].contains("no clip of 'walk' is among the validation clips"), "{said:?}");
    }
}
