//! `tsm train`: clips become a model, with a report beside it.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use tsm_train::clip_store::ClipStore;
use tsm_train::dataset::groups::GroupRule;
use tsm_train::evaluate::EvaluateError;
use tsm_train::finish::{self, Clips, FinishError};
use tsm_train::loader::LoaderSource;
use tsm_train::recipe::{Preset, Recipe};
use tsm_train::run_state::RunState;
use tsm_train::sides::{Division, Sides, divide};
use tsm_train::start::Start;
use tsm_train::teacher::Teachers;
use tsm_train::trainer::{self, End, Finished, Job, RunFolder, TrainError};

use crate::args::offline::{GroupArgs, TrainArgs};
use crate::exit_code::{Exit, Failure};
use crate::{model_source, signals, talk};

mod bar;

use bar::Bar;

/// The folds' own draw: one seed of training sees the same folds as another.
const SPLIT_SEED: u64 = 1;

/// Trains, judges and writes the model.
///
/// # Errors
/// Clips, recipe or weights that cannot be used; a loss that is not finite; a full disk.
pub(crate) fn run(args: &TrainArgs, is_quiet: bool) -> Result<Exit, Failure> {
    let stop = signals::stop_signal()?;
    tsm_ingest::init()?;
    check_output(&args.output)?;
    let table = table(args)?;
    // Every option is checked before a clip is looked at; how much data there is shows only then.
    let part = Recipe::from_table(&Preset::Few.recipe(), &table)?.validation;
    let (division, divided) = division(args, part);
    let Sides { dataset, train, validation, .. } = sides(args, &division, is_quiet)?;
    let recipe = recipe(args, train.len(), &table, is_quiet)?;
    let start = Start::of(&recipe, &dataset.classes, Some(&model_source::shipped()?))?;
    let device = args.device.open()?;
    let folder = RunFolder::beside(&args.output);
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
        teachers: Teachers::open(&recipe.teacher, &judged.dataset.classes, &start.spec.input, &device)?,
        start,
        device,
        resume: resumed(args, &folder, &recipe)?,
        folder: folder.clone(),
    };
    let is_stopped = Cell::new(false);
    let should_stop = || {
        is_stopped.set(is_stopped.get() || stop.try_recv().is_ok());
        is_stopped.get()
    };
    let mut bar = Bar::new(is_quiet);
    let finished = trainer::train(job, &mut bar, &should_stop).map_err(failure)?;
    bar.clear();
    tell_run(&finished, &folder);
    if finished.end == End::Stopped {
        return Ok(Exit::Done);
    }
    let source = clips_path(args).display().to_string();
    let clips = Clips { validation: &judged, train_clips: train.len(), source: &source, division: &divided };
    let output = (args.output.as_path(), args.storage.into());
    let evaluation = match finish::finish(&folder, &recipe, clips, output, &mut |_judged| !should_stop()) {
        Err(FinishError::Evaluate(EvaluateError::Stopped)) => {
            tell_stopped(&folder);
            return Ok(Exit::Done);
        }
        finished => finished?,
    };
    let top1 = evaluation.and_then(|evaluation| evaluation.metrics().top1);
    let said =
        top1.map_or(String::new(), |top1| format!(": top-1 {:.1} % of the validation clips", 100.0 * top1));
    talk::result(&format!("{}{said}; report in {}", args.output.display(), folder.path().display()))?;
    Ok(Exit::Done)
}

/// Where the clips are; one of the two is given.
fn clips_path(args: &TrainArgs) -> &Path {
    args.list.as_deref().or(args.data.as_deref()).unwrap_or(Path::new(""))
}

/// How the clips are divided, for the code and in words.
fn division(args: &TrainArgs, validation: f64) -> (Division, String) {
    match (&args.validation_list, args.fold, args.folds) {
        (Some(list), ..) => {
            (Division::List(list.clone()), format!("a list of their own: {}", list.display()))
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
fn sides(args: &TrainArgs, division: &Division, is_quiet: bool) -> Result<Sides, Failure> {
    let groups = group_rule(&args.grouping, clips_path(args))?;
    let sides = divide(clips_path(args), args.classes.as_deref(), &groups, division, SPLIT_SEED)?;
    for warning in sides.warnings.iter().filter(|_| !is_quiet) {
        talk::line(&format!("tsm: {warning}"));
    }
    Ok(sides)
}

/// Memory for decoded clips: what the recipe allows, but no more than half of what the computer has free.
fn cache_bytes(recipe: &Recipe) -> usize {
    let about = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = about.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    let wanted = recipe.cache_mib.saturating_mul(1 << 20);
    kib.map_or(wanted, |kib| wanted.min(kib.saturating_mul(512)))
}

/// The preset's recipe under the file's and the flags' options, printed in full.
fn recipe(args: &TrainArgs, clips: usize, table: &toml::Table, is_quiet: bool) -> Result<Recipe, Failure> {
    let preset: Preset = match &args.preset {
        Some(name) => name.parse().map_err(Failure::bad_input)?,
        None => Preset::for_clips(clips),
    };
    let recipe = Recipe::from_table(&preset.recipe_for(clips), table)?;
    if !is_quiet {
        talk::line(&format!("# preset {}\n{}", preset.name(), recipe.to_toml().trim_end()));
    }
    Ok(recipe)
}

fn tell_run(finished: &Finished, folder: &RunFolder) {
    for reason in finished.record.skipped.values() {
        talk::line(&format!("tsm: left out: {reason}"));
    }
    talk::line(&format!(
        "{} epochs; {:.0} s here, of which the model waited {:.1} s for clips; {} clips left out",
        finished.record.history.len(),
        finished.elapsed.as_secs_f64(),
        finished.waited.as_secs_f64(),
        finished.record.skipped.len()
    ));
    if finished.end == End::Stopped {
        tell_stopped(folder);
    }
}

fn tell_stopped(folder: &RunFolder) {
    let last = folder.last();
    if last.exists() {
        talk::line(&format!("tsm: stopped; {} goes on with --resume", last.display()));
    } else {
        talk::line("tsm: stopped before the first step; the same command starts again");
    }
}

/// What goes before the preset: the file, then the flags.
fn table(args: &TrainArgs) -> Result<toml::Table, Failure> {
    let mut table = toml::Table::new();
    if let Some(path) = &args.config {
        let named = |what: String| Failure::bad_input(format!("{}: {what}", path.display()));
        let text =
            std::fs::read_to_string(path).map_err(|error| named(format!("cannot be read: {error}")))?;
        table = text.parse().map_err(|error: toml::de::Error| named(error.message().to_owned()))?;
    }
    table.extend(args.recipe.table()?);
    Ok(table)
}

/// How clips are grouped.
///
/// # Errors
/// An expression that is none.
pub(super) fn group_rule(args: &GroupArgs, source: &Path) -> Result<GroupRule, Failure> {
    Ok(match (&args.groups, &args.group_regex) {
        (Some(table), _) => GroupRule::Table(table.clone()),
        (None, Some(regex)) => GroupRule::regex(regex)?,
        (None, None) => GroupRule::of_source(source),
    })
}

/// The saved run to go on from. One that is unfinished is not thrown away unasked.
fn resumed(args: &TrainArgs, folder: &RunFolder, recipe: &Recipe) -> Result<Option<RunState>, Failure> {
    if args.resume {
        return Ok(Some(RunState::open(&folder.last())?));
    }
    let left = RunState::open(&folder.last()).ok().map(|saved| saved.record.position.epoch);
    match left {
        Some(epoch) if epoch < recipe.epochs && !args.restart => Err(Failure::bad_input(format!(
            "{}: an unfinished run of {epoch} epochs; go on with --resume, or throw it away with --restart",
            folder.path().display()
        ))),
        _ => Ok(None),
    }
}

/// An output that cannot be written is told before hours of training, not after.
fn check_output(output: &Path) -> Result<(), Failure> {
    let named = |what: &str| Failure::bad_input(format!("{}: {what}", output.display()));
    if output.is_dir() {
        return Err(named("is a folder; give the name of a model file"));
    }
    match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(named("its folder does not exist; make it first"))
        }
        _ => Ok(()),
    }
}

fn failure(error: TrainError) -> Failure {
    let exit = if matches!(error, TrainError::NotFinite { .. }) { Exit::NotFinite } else { Exit::BadInput };
    Failure { exit, ..Failure::bad_input(error) }
}
