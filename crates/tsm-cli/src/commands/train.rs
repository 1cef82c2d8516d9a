//! `tsm train`: clips become a model, with a report beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsm_model::checkpoint::Checkpoint;
use tsm_model::path_fault::{NO_FOLDER, why_unwritten};
use tsm_train::clip_store::ClipStore;
use tsm_train::evaluate::{EvaluateError, Evaluation};
use tsm_train::finish::{self, Clips, FinishError};
use tsm_train::loader::LoaderSource;
use tsm_train::output_folder::try_write;
use tsm_train::recipe::Recipe;
use tsm_train::run_state::Best;
use tsm_train::sides::{Division, Sides, divide};
use tsm_train::start::Start;
use tsm_train::teacher::Teachers;
use tsm_train::trainer::{self, End, Finished, Job, RunFolder, TrainError};

use super::{grouping, inputs};
use crate::args::train::TrainArgs;
use crate::exit_code::{Exit, Failure};
use crate::{gpu_build, model_source, signals, talk};

mod bar;
mod config;
mod earlier_run;
mod nearest_name;
mod settings;

use bar::Bar;
use settings::{Settings, named, relative_to};

/// The folds' own draw: one seed of training sees the same folds as another.
const SPLIT_SEED: u64 = 1;

/// Trains, judges and writes the model.
///
/// # Errors
/// Clips, recipe or weights that cannot be used; a loss that is not finite; a full disk.
pub(crate) fn run(args: &TrainArgs, is_quiet: bool) -> Result<Exit, Failure> {
    let settings = Settings::of(args)?;
    // The file may ask for a GPU, too. Before any thread or handler is there.
    gpu_build::hand_over(Some(settings.asked_device()))?;
    let should_stop = signals::stop_asked()?;
    signals::survive_file_limit()?;
    tsm_ingest::init()?;
    check_output(settings.output())?;
    let (division, divided) = division(settings.run(), settings.validation_part()?);
    let Sides { dataset, train, validation, .. } = sides(&settings, &division, is_quiet)?;
    let recipe = settings.recipe(train.len())?;
    let weights =
        recipe.pretrained.iter().chain(&recipe.tune_from).chain(&recipe.teacher).map(PathBuf::as_path);
    inputs::check_stay(settings.output(), "--output", weights.clone())?;
    // An earlier run's best model lies there, and goes when another begins.
    inputs::check_outside(RunFolder::beside(settings.output()).path(), "--output", weights)?;
    let start = Start::of(&recipe, &dataset.classes, Some(&model_source::shipped()?))?;
    let device = settings.device().open_telling(gpu_build::tell_why_none)?;
    let folder = RunFolder::beside(settings.output());
    let kept = settings.text(&recipe, train.len(), &|path| relative_to(folder.path(), path));
    let shared = settings.shared_text(&recipe, train.len());
    let judged = LoaderSource {
        dataset: Arc::new(dataset),
        clips: validation.as_slice().into(),
        store: Arc::new(ClipStore::new(cache_bytes(&recipe))),
        input: start.spec.input.clone(),
    };
    let job = Job {
        dataset: Arc::clone(&judged.dataset),
        store: Arc::clone(&judged.store),
        train: &train,
        validation: &validation,
        recipe: &recipe,
        settings: &kept,
        teachers: Teachers::open(&recipe.teacher, &start.spec, &device)?,
        start,
        device,
        // Before it is asked what lies there.
        lock: folder.take_if_there()?,
        resume: earlier_run::resumed(settings.run(), &folder, settings.output())?,
        folder: folder.clone(),
    };
    if !is_quiet {
        tell_begun(&settings, &job);
    }
    let mut bar = Bar::new(is_quiet);
    let finished = trainer::train(job, &mut bar, &should_stop).map_err(failure)?;
    bar.clear();
    tell_run(&finished, &folder, is_quiet);
    if finished.end == End::Stopped {
        return Ok(Exit::Done);
    }
    let source = named(settings.clips()).display().to_string();
    let clips = Clips {
        validation: &judged,
        train_clips: train.len(),
        source: &source,
        division: &divided,
        settings: &shared,
    };
    conclude(&settings, &folder, &recipe, clips, &should_stop)
}

/// Judges the best epoch's model, writes it and says how good it is.
fn conclude(
    settings: &Settings,
    folder: &RunFolder,
    recipe: &Recipe,
    clips: Clips<'_>,
    should_stop: &dyn Fn() -> bool,
) -> Result<Exit, Failure> {
    let output = (settings.output(), settings.storage());
    match finish::finish(folder, recipe, clips, output, &mut |_judged| !should_stop()) {
        Err(FinishError::Evaluate(EvaluateError::Stopped)) => tell_stopped(folder),
        finished => {
            let evaluation = finished.map_err(refused)?;
            talk::result(&told(evaluation.as_ref(), settings.output(), folder))?;
        }
    }
    Ok(Exit::Done)
}

/// The run in one line: the model, how good it is and by which view, and where the report is.
fn told(evaluation: Option<&Evaluation>, output: &Path, folder: &RunFolder) -> String {
    let said = evaluation.and_then(|evaluation| {
        let how = if evaluation.online.is_some() { "streamed as live does it" } else { "centre view" };
        let percent = 100.0 * evaluation.metrics().top1?;
        Some(format!(": top-1 {percent:.1} % of the validation clips ({how})"))
    });
    format!("{}{}; report in {}", output.display(), said.unwrap_or_default(), folder.path().display())
}

/// What a new run loses and replaces, and every run's options.
fn tell_begun(settings: &Settings, job: &Job<'_>) {
    if job.resume.is_none() {
        tell_lost_head(job.recipe, &job.start);
        if settings.run().restart != Some(true) {
            earlier_run::tell_replaced(settings.output(), &job.folder);
        }
    }
    tell_settings(&settings.told_text(job.recipe, job.train.len()), &job.folder);
}

/// Every option with its value, as a file that `--config` takes, and where that file is.
fn tell_settings(text: &str, folder: &RunFolder) {
    let all = talk::escaped(&folder.settings().display().to_string());
    talk::line(&format!(
        "# this run's options; they are in {all}, too, with which tsm train --config repeats it"
    ));
    talk::line(text.trim_end());
}

/// How the clips are divided, for the code and in words.
fn division(args: &TrainArgs, validation: f64) -> (Division, String) {
    match (&args.validation_list, args.fold, args.folds) {
        (Some(list), ..) => {
            let name = named(list);
            (Division::List(list.clone()), format!("a list of their own: {}", name.display()))
        }
        (None, Some(fold), Some(folds)) => (
            Division::Fold { fold, folds: folds.get() },
            format!("fold {fold} of {folds}: clips of one group are on one side"),
        ),
        _ => (
            Division::Part(validation),
            format!("{validation} of each class: clips of one group are on one side"),
        ),
    }
}

/// The clips, read, grouped and divided, with what is worth a warning said.
fn sides(settings: &Settings, division: &Division, is_quiet: bool) -> Result<Sides, Failure> {
    let (run, clips) = (settings.run(), settings.clips());
    let groups = grouping::rule(&run.grouping, clips)?;
    let sides = divide(clips, run.classes.as_deref(), &groups, division, SPLIT_SEED)?;
    for warning in sides.warnings.iter().filter(|_| !is_quiet) {
        talk::line(&format!("tsm: {}", talk::escaped(warning)));
    }
    Ok(sides)
}

/// What a new run does not take of the model that it tunes; one that goes on has its head from the save.
fn tell_lost_head(recipe: &Recipe, start: &Start) {
    if let (Some(tuned), Some(lost)) = (&recipe.tune_from, start.lost_head()) {
        talk::line(&format!("tsm: {}", talk::escaped(&format!("{}: {lost}", tuned.display()))));
    }
}

/// Memory for decoded clips: what the recipe allows, but no more than half of what the computer has free.
fn cache_bytes(recipe: &Recipe) -> usize {
    let about = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = about.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    let wanted = recipe.cache_mib.saturating_mul(1 << 20);
    kib.map_or(wanted, |kib| wanted.min(kib.saturating_mul(512)))
}

fn tell_run(finished: &Finished, folder: &RunFolder, is_quiet: bool) {
    for reason in finished.record.unreadable.values() {
        talk::line(&format!("tsm: left out: {}", talk::escaped(reason)));
    }
    if !is_quiet {
        talk::line(&format!(
            "{}, {}; {:.0} s here, of which the model waited {:.1} s for clips; {} left out",
            counted(finished.record.history.len(), "epoch"),
            kept(finished.record.best.as_ref(), finished.record.history.len(), finished.end),
            finished.elapsed.as_secs_f64(),
            finished.waited.as_secs_f64(),
            counted(finished.record.unreadable.len(), "clip")
        ));
    }
    if finished.end == End::Stopped {
        tell_stopped(folder);
    }
}

/// Which of a run's models is the best so far.
fn kept(best: Option<&Best>, epochs: usize, end: End) -> String {
    let is_over = end == End::Complete;
    match best {
        None if epochs > 0 => "the last is kept".to_owned(),
        None if !is_over => "none is kept yet".to_owned(),
        None | Some(Best { is_start: true, .. }) if epochs == 0 => {
            "the model is the one that training starts from".to_owned()
        }
        Some(Best { is_start: false, epoch, .. }) => format!("that of epoch {} is kept", epoch + 1),
        _ => {
            let (so_far, kept) = if is_over { ("", "is written") } else { (" so far", "is kept") };
            format!("none{so_far} better than the model that training started from, so that one {kept}")
        }
    }
}

/// `1 epoch`, `2 epochs`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn tell_stopped(folder: &RunFolder) {
    let last = folder.last();
    if last.exists() {
        talk::line(&format!("tsm: stopped; {} goes on with --resume", last.display()));
    } else {
        talk::line("tsm: stopped before the first step; the same command starts again");
    }
}

/// An output that cannot be written, or would cost another file, is told before hours of training, not after.
fn check_output(output: &Path) -> Result<(), Failure> {
    let named = |what: &str| Failure::bad_input(format!("{}: {what}", output.display()));
    if output.is_dir() {
        return Err(named("is a folder; give the name of a model file"));
    }
    if output.exists() && !output.is_file() {
        return Err(named("is a pipe or a device; give the name of a model file"));
    }
    if output.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(named(NO_FOLDER));
    }
    Checkpoint::check_target(output)?;
    // What a link names is replaced, in its own folder.
    let whole = output.canonicalize().or_else(|_new| std::path::absolute(output));
    let tried = whole.and_then(|whole| whole.parent().map_or(Ok(()), try_write));
    tried.map_err(|error| named(&why_unwritten(&error)))?;
    check_report(RunFolder::beside(output).path())
}

/// The same of the folder of its report, where something is called so.
fn check_report(report: &Path) -> Result<(), Failure> {
    let named = |what: &str| Failure::bad_input(format!("{}: {what}", report.display()));
    if report.is_dir() {
        return try_write(report).map_err(|error| named(&why_unwritten(&error)));
    }
    if report.symlink_metadata().is_ok() {
        let text = "is no folder, and this run's report goes there; choose another --output, or move it away";
        return Err(named(text));
    }
    Ok(())
}

fn failure(error: TrainError) -> Failure {
    if matches!(
        error,
        TrainError::NotFinite { .. } | TrainError::ValidationNotFinite { .. } | TrainError::StartNotFinite
    ) {
        return Failure { exit: Exit::NotFinite, ..Failure::bad_input(error) };
    }
    refused(error)
}

/// An error in its one line, with what to do where the disk is full.
fn refused(error: impl std::error::Error + 'static) -> Failure {
    if is_out_of_room(&error) {
        return Failure::bad_input(format!(
            "{error}; what was saved before is as it was: make room and go on with --resume, or, if nothing was, start anew"
        ));
    }
    Failure::bad_input(error)
}

/// Whether the disk, a quota or the system's limit leaves no room for a file.
fn is_out_of_room(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut kinds = causes.filter_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()));
    kinds.any(|kind| matches!(kind, FileTooLarge | QuotaExceeded | StorageFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_where_no_report_can_be_written_is_told_before_a_clip_is_read() {
        let root = tempfile::tempdir().unwrap();
        let (output, report) = (root.path().join("m.safetensors"), root.path().join("m-report"));
        let refused = || check_output(&output).err().and_then(|failure| failure.line);
        assert_eq!(refused(), None);
        std::fs::create_dir(&report).unwrap();
        assert_eq!(refused(), None);
        std::fs::remove_dir(&report).unwrap();
        std::fs::write(&report, b"a file").unwrap();
        let told = refused().unwrap();
        assert!(told.contains("m-report: is no folder, and this run's report goes there; choose"), "{told}");
        assert_eq!(std::fs::read(&report).unwrap(), b"a file");
        // Nobody makes a file there, whatever the user's rights are.
        #[cfg(target_os = "linux")]
        {
            std::fs::remove_file(&report).unwrap();
            std::os::unix::fs::symlink("/proc/self", &report).unwrap();
            let told = refused().unwrap();
            assert!(told.contains("m-report: "), "{told}");
        }
    }

    #[test]
    fn the_model_that_is_kept_is_told_so_that_a_newcomer_understands() {
        let best = |is_start| Best { epoch: 1, is_start, top1: 0.5, loss: 1.0 };
        let check = |is_start: Option<bool>, epochs, end, expected: &str| {
            let told = kept(is_start.map(best).as_ref(), epochs, end);
            assert_eq!(format!("{}, {told}", counted(epochs, "epoch")), expected);
        };
        let start = "better than the model that training started from, so that one is";
        check(Some(true), 1, End::Complete, &format!("1 epoch, none {start} written"));
        check(Some(true), 2, End::Stopped, &format!("2 epochs, none so far {start} kept"));
        check(Some(true), 0, End::Complete, "0 epochs, the model is the one that training starts from");
        check(Some(true), 0, End::Stopped, "0 epochs, the model is the one that training starts from");
        check(None, 0, End::Complete, "0 epochs, the model is the one that training starts from");
        check(None, 0, End::Stopped, "0 epochs, none is kept yet");
        check(None, 3, End::Complete, "3 epochs, the last is kept");
        check(Some(false), 3, End::Complete, "3 epochs, that of epoch 2 is kept");
    }
}
