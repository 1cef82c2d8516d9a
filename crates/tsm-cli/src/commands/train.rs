//! `tsm train`: clips become a model, with a report beside it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsm_model::checkpoint::Storage;
use tsm_train::clip_store::ClipStore;
use tsm_train::dataset::groups::GroupRule;
use tsm_train::finish::{self, Clips};
use tsm_train::loader::LoaderSource;
use tsm_train::recipe::{Preset, Recipe};
use tsm_train::run_state::RunState;
use tsm_train::sides::{Division, Sides, divide};
use tsm_train::start::Start;
use tsm_train::teacher::Teachers;
use tsm_train::trainer::{self, End, Job, RunFolder, TrainError};

use crate::args::offline::{GroupArgs, TrainArgs};
use crate::args::StorageArg;
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
    let validation = table.get("validation").and_then(toml::Value::as_float);
    let division = division(args, validation);
    let Sides { dataset, train, validation, warnings } = divide(
        args.list.as_deref().or(args.data.as_deref()).unwrap_or(Path::new("")),
        args.classes.as_deref(),
        &group_rule(&args.grouping)?,
        &division,
        SPLIT_SEED,
    )?;
    for warning in warnings.iter().filter(|_| !is_quiet) {
        talk::line(&format!("tsm: {warning}"));
    }
    let preset = match &args.preset {
        Some(name) => name.parse().map_err(Failure::bad_input)?,
        None => Preset::for_clips(train.len()),
    };
    let recipe = Recipe::from_table(&preset.recipe_for(train.len()), &table)?;
    if !is_quiet {
        talk::line(&format!("# preset {}\n{}", preset.name(), recipe.to_toml().trim_end()));
    }
    let shipped = model_source::shipped()?;
    let start = Start::of(&recipe, &dataset.classes, Some(&shipped))?;
    drop(shipped);
    let device = args.device.open()?;
    let teachers = Teachers::open(&recipe.teacher, &dataset.classes, &start.spec.input, &device)?;
    let folder = RunFolder::beside(&args.output);
    let resume = resumed(args, &folder)?;
    let store = Arc::new(ClipStore::new(recipe.cache_mib << 20));
    let judged = LoaderSource {
        dataset: Arc::new(dataset),
        clips: validation.as_slice().into(),
        store,
        input: start.spec.input.clone(),
    };
    let job = Job {
        dataset: Arc::clone(&judged.dataset),
        store: Arc::clone(&judged.store),
        train: &train,
        validation: &validation,
        recipe: &recipe,
        start,
        teachers,
        device,
        folder: folder.clone(),
        resume,
    };
    let is_stopped = Cell::new(false);
    let should_stop = || {
        is_stopped.set(is_stopped.get() || stop.try_recv().is_ok());
        is_stopped.get()
    };
    let mut bar = Bar::new(is_quiet);
    let finished = trainer::train(job, &mut bar, &should_stop).map_err(failure)?;
    bar.clear();
    for (clip, reason) in &finished.record.skipped {
        talk::line(&format!("tsm: left out {clip}: {reason}"));
    }
    if finished.end == End::Stopped {
        let saved = folder.last();
        talk::line(&format!("tsm: stopped; {} goes on with --resume", saved.display()));
        return Ok(Exit::Done);
    }
    let source = args.list.as_deref().or(args.data.as_deref()).unwrap_or(Path::new("")).display().to_string();
    let clips = Clips { validation: &judged, train_clips: train.len(), source: &source };
    let storage = match args.storage {
        StorageArg::F32 => Storage::F32,
        StorageArg::F16 => Storage::F16,
    };
    let evaluation = finish::finish(&folder, &recipe, clips, (&args.output, storage), &mut |_| ())?;
    let secs = finished.elapsed.as_secs_f64();
    let waited = finished.waited.as_secs_f64();
    let skipped = finished.record.skipped.len();
    talk::line(&format!(
        "{} epochs in {secs:.0} s, of which the model waited {waited:.1} s for clips; {skipped} clips left out",
        finished.record.history.len()
    ));
    let top1 = evaluation.and_then(|evaluation| evaluation.metrics().top1);
    let said = top1.map_or(String::new(), |top1| format!(": top-1 {:.1} % of the validation clips", 100.0 * top1));
    talk::result(&format!("{}{said}; report in {}", args.output.display(), folder.path().display()))?;
    Ok(Exit::Done)
}

/// What goes before the preset: the file, then the flags.
fn table(args: &TrainArgs) -> Result<toml::Table, Failure> {
    let mut table = toml::Table::new();
    if let Some(path) = &args.config {
        let named = |what: String| Failure::bad_input(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(format!("cannot be read: {error}")))?;
        table = text.parse().map_err(|error: toml::de::Error| named(error.message().to_owned()))?;
    }
    table.extend(args.recipe.table()?);
    Ok(table)
}

fn division(args: &TrainArgs, validation: Option<f64>) -> Division {
    match (&args.validation_list, args.fold, args.folds) {
        (Some(list), ..) => Division::List(list.clone()),
        (None, Some(fold), Some(folds)) => Division::Fold { fold, folds: folds.get() },
        _ => Division::Part(validation.unwrap_or(Preset::Few.recipe().validation)),
    }
}

/// How clips are grouped.
///
/// # Errors
/// An expression that is none.
pub(super) fn group_rule(args: &GroupArgs) -> Result<GroupRule, Failure> {
    Ok(match (&args.groups, &args.group_regex) {
        (Some(table), _) => GroupRule::Table(table.clone()),
        (None, Some(regex)) => GroupRule::regex(regex)?,
        (None, None) => GroupRule::FileNames,
    })
}

/// The saved run to go on from; without `--resume` a run of this output must not be overwritten unseen.
fn resumed(args: &TrainArgs, folder: &RunFolder) -> Result<Option<RunState>, Failure> {
    if args.resume {
        return Ok(Some(RunState::open(&folder.last())?));
    }
    Ok(None)
}

/// An output that cannot be written is told before hours of training, not after.
fn check_output(output: &PathBuf) -> Result<(), Failure> {
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
