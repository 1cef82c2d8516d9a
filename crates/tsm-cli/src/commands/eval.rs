//! `tsm eval`: how well a model labels known clips.

use std::path::Path;
use std::sync::Arc;

use tsm_model::Model;
use tsm_model::path_fault::NO_FOLDER;
use tsm_train::clip_store::ClipStore;
use tsm_train::dataset::{self, ClassesOf, Dataset, Found, groups::GroupRule};
use tsm_train::evaluate::{EvaluateError, Evaluation, Joints, Judged, by_views, online};
use tsm_train::loader::LoaderSource;
use tsm_train::metrics::Metrics;
use tsm_train::report::write_atomically;
use tsm_train::streaming::OnlineFigures;

use super::clips_bar::clips_bar;
use super::{inputs, views};
use crate::args::offline::EvalArgs;
use crate::exit_code::{Exit, Failure};
use crate::{model_source, signals, talk};

/// Threads that decode ahead.
const WORKERS: usize = 2;

/// Prints accuracies, a row a class, and the confusions; writes JSON where asked.
///
/// # Errors
/// Clips or a model that cannot be used, classes that the model does not have.
pub(crate) fn run(args: &EvalArgs, is_quiet: bool) -> Result<Exit, Failure> {
    signals::survive_file_limit()?;
    tsm_ingest::init()?;
    if args.online && (args.views.crops != "1" || args.views.sampling.is_some()) {
        let text = "--online sees what a stream sees, the centre of each due frame; leave --crops and --sampling out";
        return Err(Failure::bad_input(text));
    }
    check_json(args)?;
    let checkpoint = model_source::open(&args.model)?;
    let path = args.data.as_deref().or(args.list.as_deref()).unwrap_or(Path::new(""));
    let found = dataset::read_for(path, &checkpoint.spec.classes)?;
    if !is_quiet {
        tell_found(&found);
    }
    check_clips_stay(args, &found.dataset)?;
    let mut data = found.dataset.with_classes(&checkpoint.spec.classes, ClassesOf::Model)?;
    // For the report alone: who compares runs draws by group.
    GroupRule::of_source(path).apply(&mut data)?;
    let source = LoaderSource {
        clips: (0..data.clips.len()).collect(),
        dataset: Arc::new(data),
        // Each clip is read once.
        store: Arc::new(ClipStore::new(0)),
        input: checkpoint.spec.input.clone(),
    };
    let mut model = Model::load(&checkpoint, args.device.open()?)?;
    drop(checkpoint);
    let should_stop = signals::stop_asked()?;
    let bar = clips_bar(source.clips.len(), is_quiet);
    let mut told = |judged: Judged| {
        bar.set_position(judged.done as u64);
        bar.set_message(format!("{} right", judged.right));
        !should_stop()
    };
    let judged = if args.online {
        let joints = if args.joined { Joints::Joined } else { Joints::Apart };
        online(&mut model, &source, joints, WORKERS, &mut told)
    } else {
        let view = views::view(&args.views, model.spec());
        by_views(&mut model, &source, view, WORKERS, &mut told)
    };
    bar.finish_and_clear();
    let evaluation = match judged {
        Err(EvaluateError::Stopped) => {
            talk::line("tsm: stopped; figures of a part of the clips would mislead, so none are given");
            return Ok(Exit::Done);
        }
        judged => judged?,
    };
    for skipped in &evaluation.skipped {
        talk::line(&format!("tsm: left out: {}", talk::escaped(&skipped.reason)));
    }
    if evaluation.predictions.is_empty() {
        return Err(Failure::bad_input(format!("{}: none of its clips can be read", path.display())));
    }
    // A disk that is full costs the file and not the figures, a reader that goes away the figures and not the file.
    let told = tell(&evaluation);
    if let Some(json) = &args.json {
        let text = serde_json::to_string_pretty(&evaluation.json(&source.dataset))?;
        write_atomically(json, text.as_bytes())?;
    }
    told.map(|()| Exit::Done)
}

/// Figures that cannot be written, or would cost what is read, are told before the clips are judged, not after.
fn check_json(args: &EvalArgs) -> Result<(), Failure> {
    let Some(json) = args.json.as_deref() else { return Ok(()) };
    let refused = |what: &str| Err(Failure::bad_input(format!("{}: {what}", json.display())));
    if json.is_dir() {
        return refused("it is a folder; name a file for --json");
    }
    if json.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return refused(NO_FOLDER);
    }
    let model = [args.model.model.as_deref(), args.model.spec.labels.as_deref()];
    let inputs = model.into_iter().chain([args.list.as_deref(), args.data.as_deref()]);
    inputs::check_stay(json, "--json", inputs.flatten())
}

/// Accuracies alone would not tell: a clip without numbers is one more that is wrong, or even right.
fn tell_overflow(evaluation: &Evaluation) {
    let (wild, of) = (evaluation.predictions.without_numbers(), evaluation.predictions.len());
    if wild > 0 {
        talk::line(&format!(
            "tsm: {wild} of {of} clips have outputs that are no numbers (infinite or NaN): the weights overflow, and what \
             the figures say of these clips means nothing"
        ));
    }
}

/// A clip is not written over by its figures.
fn check_clips_stay(args: &EvalArgs, dataset: &Dataset) -> Result<(), Failure> {
    // Where nothing is there, nothing is lost, and a large data set need not be asked for its files.
    let Some(json) = args.json.as_deref().filter(|json| json.exists()) else { return Ok(()) };
    inputs::check_stay(json, "--json", dataset.clips.iter().map(|clip| clip.path.as_path()))
}

/// What was not there, and what was found deeper than it is looked for.
fn tell_found(found: &Found) {
    for missing in &found.missing {
        talk::line(&format!("tsm: not there: {}", talk::escaped(missing)));
    }
    if let Some(nested) = &found.nested {
        talk::line(&format!("tsm: {}", talk::escaped(&nested.to_string())));
    }
}

fn tell(evaluation: &Evaluation) -> Result<(), Failure> {
    tell_overflow(evaluation);
    let metrics = evaluation.metrics();
    talk::result(&format!(
        "clips {}, top-1 {}, top-5 {}, mean of classes {}",
        metrics.clips,
        percent(metrics.top1),
        percent(metrics.top5),
        percent(metrics.mean_class_accuracy)
    ))?;
    if let Some(figures) = &evaluation.online {
        tell_online("streamed", figures)?;
    }
    if let Some(joined) = &evaluation.joined {
        tell_online("joined, state reset", &joined.with_reset)?;
        tell_online("joined, state kept", &joined.without_reset)?;
    }
    tell_classes(&metrics)
}

fn tell_online(name: &str, figures: &OnlineFigures) -> Result<(), Failure> {
    let early: Vec<String> =
        figures.early.iter().map(|look| format!("{} %: {:.1} %", look.percent, 100.0 * look.top1)).collect();
    talk::result(&format!(
        "{name}: top-1 {:.1} %, last frame {:.1} %, each frame {:.1} %; after {}",
        100.0 * figures.top1,
        100.0 * figures.last_frame_top1,
        100.0 * figures.frame_top1,
        early.join(", ")
    ))
}

/// A row a class: clips, accuracy, and what it is mostly taken for.
fn tell_classes(metrics: &Metrics) -> Result<(), Failure> {
    let width = metrics.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).min(40);
    for (class, row) in metrics.classes.iter().zip(&metrics.confusion) {
        if class.clips == 0 {
            continue;
        }
        let mut others: Vec<(usize, &str)> = row
            .iter()
            .zip(&metrics.classes)
            .filter(|(count, other)| **count > 0 && other.name != class.name)
            .map(|(count, other)| (*count, other.name.as_str()))
            .collect();
        others.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let taken: Vec<String> =
            others.iter().take(3).map(|(count, name)| format!("{name} {count}")).collect();
        let row = format!(
            "{:width$}  {:4} clips  {:>7}  {}",
            class.name,
            class.clips,
            percent(class.top1),
            taken.join(", ")
        );
        talk::result(&talk::escaped(row.trim_end()))?;
    }
    Ok(())
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", 100.0 * part))
}
