//! The end of a run: the best model, calibrated, judged as it will be used, and written with its report.
//!
//! ```text
//! best.safetensors ─ validation clips, streamed where the shift allows ─┬─ temperature ─► MODEL.safetensors
//!                                                                       ├─ confusion.svg, validation.json
//!                                                                       └─ README.md (model card)
//! ```

use std::path::Path;

use tsm_model::Model;
use tsm_model::checkpoint::{Checkpoint, SpecOverrides, Storage};

use crate::evaluate::{EvaluateError, Evaluation, Joints, Judged, by_views, online};
use crate::loader::LoaderSource;
use crate::metrics::{FitEnd, TemperatureFit};
use crate::recipe::Recipe;
use crate::report::{DataFacts, ModelCard, ResultRow, confusion_svg};
use crate::trainer::{RunFolder, TrainError, centre_view};

/// Why a finished run gives no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// The best model cannot be read, the model or a report not written.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The validation clips cannot be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// What was judged cannot be written as JSON.
    #[error("the figures cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// What the model card says about the data.
#[derive(Debug, Clone, Copy)]
pub struct Clips<'a> {
    /// The validation clips.
    pub validation: &'a LoaderSource,
    /// How many clips were learned from.
    pub train_clips: usize,
    /// What they are called.
    pub source: &'a str,
    /// How the two sides were made, in words.
    pub division: &'a str,
    /// All options of the run as TOML, fit to be shared: no paths of this machine.
    pub settings: &'a str,
}

/// Calibrates and judges the best model of `folder` and writes it to `output`.
///
/// # Errors
/// [`FinishError`]; `output` is then as before, unless it was the model card that could not be written.
pub fn finish(
    folder: &RunFolder,
    recipe: &Recipe,
    clips: Clips<'_>,
    output: (&Path, Storage),
    told: &mut dyn FnMut(Judged) -> bool,
) -> Result<Option<Evaluation>, FinishError> {
    let open = Checkpoint::open(&folder.best(), &SpecOverrides::default());
    let mut checkpoint = open.map_err(TrainError::from)?;
    let mut evaluation = None;
    let mut fit = None;
    if !clips.validation.clips.is_empty() {
        let judged = judge(&checkpoint, recipe, clips.validation, told)?;
        fit = judged.predictions.fit_temperature().filter(|fit| fit.end == FitEnd::Minimum);
        let metrics = judged.metrics();
        let picture = confusion_svg("Validation clips", &metrics).map_err(TrainError::from)?;
        folder.write("confusion.svg", picture.as_bytes())?;
        folder.write(
            "validation.json",
            serde_json::to_string_pretty(&judged.json(&clips.validation.dataset))?.as_bytes(),
        )?;
        evaluation = Some(judged);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a temperature is stored in single precision")]
    let temperature = fit.as_ref().map_or(1.0, |fit| fit.temperature as f32);
    checkpoint.spec.temperature = temperature;
    let provenance = &mut checkpoint.spec.provenance;
    provenance.insert("config".to_owned(), clips.settings.to_owned());
    provenance.insert("data".to_owned(), clips.source.to_owned());
    let mut card = card(&checkpoint, clips, evaluation.as_ref(), fit);
    if evaluation.is_some() {
        let chose = if recipe.epochs > 0 { "chose the best epoch" } else { "fitted the confidence" };
        card.limits.push(format!("The figures are of validation clips that also {chose}."));
    }
    checkpoint.save(output.0, output.1).map_err(TrainError::from)?;
    folder.write_card(&card.markdown())?;
    Ok(evaluation)
}

/// Streams where the model can be streamed, as its users will; else the centre view.
fn judge(
    checkpoint: &Checkpoint,
    recipe: &Recipe,
    source: &LoaderSource,
    told: &mut dyn FnMut(Judged) -> bool,
) -> Result<Evaluation, FinishError> {
    let load = Model::load(checkpoint, tsm_model::Device::Cpu);
    let mut model = load.map_err(TrainError::from)?;
    if model.spec().shift.is_streamable() {
        return Ok(online(&mut model, source, Joints::Apart, recipe.workers, told)?);
    }
    Ok(by_views(&mut model, source, centre_view(recipe), recipe.workers, told)?)
}

fn card(
    checkpoint: &Checkpoint,
    clips: Clips<'_>,
    evaluation: Option<&Evaluation>,
    calibration: Option<TemperatureFit>,
) -> ModelCard {
    let spec = &checkpoint.spec;
    let metrics = evaluation.map(Evaluation::metrics);
    let table: toml::Table = clips.settings.parse().unwrap_or_default();
    let how = if spec.shift.is_streamable() { "validation clips, streamed" } else { "validation clips" };
    let row = metrics.as_ref().map(|metrics| ResultRow {
        name: how.to_owned(),
        clips: metrics.clips,
        top1: metrics.top1,
        top1_interval: None,
        top5: metrics.top5,
        mean_class_accuracy: metrics.mean_class_accuracy,
    });
    let groups: std::collections::BTreeSet<&str> =
        clips.validation.dataset.clips.iter().map(|clip| clip.group.as_str()).collect();
    ModelCard {
        name: format!(
            "{} with {} shift, {} classes",
            spec.backbone,
            spec.shift.kind.name(),
            spec.classes.len()
        ),
        summary: "Labels what somebody in a video is doing, frame by frame.".to_owned(),
        data: DataFacts {
            source: clips.source.to_owned(),
            licence: "as the clips' owner says".to_owned(),
            classes: spec.classes.len(),
            groups: groups.len(),
            train_clips: clips.train_clips,
            valid_clips: metrics.as_ref().map_or(0, |metrics| metrics.clips),
            split: clips.division.to_owned(),
        },
        recipe: table.into_iter().map(|(name, value)| (name, value.to_string())).collect(),
        results: row.into_iter().collect(),
        calibration,
        classes: metrics.map(|metrics| metrics.classes).unwrap_or_default(),
        limits: vec!["It knows only these classes and will name one of them whatever it sees.".to_owned()],
        credits: Vec::new(),
        commands: Vec::new(),
    }
}
