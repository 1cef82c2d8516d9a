//! Labels for files whose classes nobody knows: a ranking each, in the order given.

use candle_core::D;
use serde::Serialize;
use tsm_model::Model;

use crate::evaluate::{EvaluateError, mean_of_views, one_clip_at_a_time};
use crate::loader::{EvalView, Loader, LoaderSource, Mode};

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// Its name.
    pub label: String,
    /// Its index among the logits.
    pub class: usize,
    /// Softmax at the model's temperature.
    pub probability: f64,
}

/// What a file shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its index in the data set.
    pub clip: usize,
    /// The most probable classes, or why the file cannot be read.
    pub ranking: Result<Vec<Ranked>, String>,
}

/// Labels the files of `source`; `told` takes each answer and says whether to go on.
///
/// # Errors
/// [`EvaluateError`]; a file that cannot be read is an answer.
pub fn infer(
    model: &mut Model,
    source: &LoaderSource,
    view: EvalView,
    top_k: usize,
    told: &mut dyn FnMut(Answer) -> bool,
) -> Result<(), EvaluateError> {
    let options = one_clip_at_a_time(view);
    for batch in Loader::start(source, Mode::Eval(view), &options)? {
        let batch = batch?;
        for skipped in &batch.skipped {
            let ranking = Err(skipped.reason.clone());
            if !told(Answer { clip: skipped.clip, ranking }) {
                return Ok(());
            }
        }
        let Some(clip) = batch.clips.first() else { continue };
        let logits = mean_of_views(model, &batch)?;
        let ranking = Ok(ranked(model, &logits, top_k)?);
        if !told(Answer { clip: *clip, ranking }) {
            return Ok(());
        }
    }
    Ok(())
}

fn ranked(model: &Model, logits: &[f32], top_k: usize) -> Result<Vec<Ranked>, EvaluateError> {
    let spec = model.spec();
    let logits = candle_core::Tensor::from_slice(logits, logits.len(), &candle_core::Device::Cpu)?;
    let heated = (logits.to_dtype(candle_core::DType::F64)? / f64::from(spec.temperature))?;
    let probabilities: Vec<f64> = candle_nn::ops::softmax(&heated, D::Minus1)?.to_vec1()?;
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    // A stable sort: of equal classes the first goes first.
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let ranked = order.into_iter().take(top_k).map(|class| Ranked {
        label: spec.classes[class].clone(),
        class,
        probability: probabilities[class],
    });
    Ok(ranked.collect())
}
