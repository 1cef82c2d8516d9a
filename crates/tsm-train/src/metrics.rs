//! How good a model is, from its scores for clips whose classes are known.
//!
//! ```text
//! scores of each clip, true class -> Predictions -> Metrics (accuracies, classes, confusion, calibration)
//!                                                -> fit_temperature
//! two runs on the same clips      -> compare: bootstrap_by_group
//! the reports they left           -> side_by_side
//! ```
//!
//! Which frames and crops the scores come from, and what they are averaged over, is the caller's choice.

mod calibration;
mod classes;
mod compare;
mod predictions;
mod side_by_side;

use serde::{Deserialize, Serialize};

pub use calibration::{Calibration, CalibrationBin, FitEnd, TemperatureFit};
pub use classes::ClassMetrics;
pub use compare::{BootstrapSettings, CompareError, DifferenceInterval, PairedOutcome, bootstrap_by_group};
pub use predictions::{Predictions, PredictionsError, ScoreKind};
pub use side_by_side::{JudgedClip, SideBySide, SideBySideError, side_by_side};

/// What a model got right on a set of clips; every share is a fraction in 0..=1.
///
/// As JSON this is what `tsm eval --json` writes. A share of nothing (no clip at all) is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many clips were judged.
    pub clips: usize,
    /// Clips whose scores were all NaN; they count as wrong everywhere.
    pub clips_without_prediction: usize,
    /// The share of clips whose true class has the highest score.
    pub top1: Option<f64>,
    /// The share of clips whose true class is among the five highest scores.
    pub top5: Option<f64>,
    /// The mean of the classes' `top1`, over the classes that have clips.
    pub mean_class_accuracy: Option<f64>,
    /// How far the probabilities can be believed.
    pub calibration: Option<Calibration>,
    /// One row a class, in the model's order.
    pub classes: Vec<ClassMetrics>,
    /// `confusion[t][p]`: clips of the true class `t` that were taken for class `p`.
    pub confusion: Vec<Vec<usize>>,
}

impl Metrics {
    /// Judges the predictions, with the probabilities at temperature 1.
    pub fn of(predictions: &Predictions) -> Self {
        Self::at(predictions, 1.0)
    }

    /// Judges the predictions, with the probabilities at `temperature`.
    pub fn at(predictions: &Predictions, temperature: f64) -> Self {
        let clips = predictions.len();
        let confusion = classes::confusion(predictions);
        let rows = classes::table(predictions, &confusion);
        let within = |k| ratio(predictions.iter().filter(|clip| clip.is_within(k)).count(), clips);
        let seen: Vec<f64> = rows.iter().filter_map(|row| row.top1).collect();
        Self {
            clips,
            clips_without_prediction: predictions.iter().filter(|clip| clip.predicted().is_none()).count(),
            top1: within(1),
            top5: within(5),
            mean_class_accuracy: mean(&seen),
            calibration: predictions.calibration(temperature),
            classes: rows,
            confusion,
        }
    }
}

/// `part / whole`, or nothing where there is no whole.
#[expect(clippy::cast_precision_loss, reason = "counts of clips are far below 2^53")]
fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[expect(clippy::cast_precision_loss, reason = "counts of clips are far below 2^53")]
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("class{index}")).collect()
    }

    fn predictions(rows: &[(&[f32], usize)]) -> Predictions {
        let mut made = Predictions::new(ScoreKind::Logits, names(rows[0].0.len())).unwrap();
        for (scores, truth) in rows {
            made.push(scores, *truth).unwrap();
        }
        made
    }

    #[test]
    fn accuracies_are_the_ones_counted_by_hand() {
        // Two clips of class 0 (one right), one of class 1 (right), none of class 2.
        let metrics =
            Metrics::of(&predictions(&[(&[2.0, 1.0, 0.0], 0), (&[0.0, 1.0, 0.5], 0), (&[0.0, 3.0, 1.0], 1)]));
        assert_eq!(metrics.top1, Some(2.0 / 3.0));
        assert_eq!(metrics.top5, Some(1.0));
        assert_eq!(metrics.mean_class_accuracy, Some(0.75));
        assert_eq!(metrics.confusion, vec![vec![1, 1, 0], vec![0, 1, 0], vec![0, 0, 0]]);
        assert_eq!(metrics.classes[1].precision, Some(0.5));
        assert_eq!((metrics.classes[2].top1, metrics.classes[2].precision), (None, None));
    }

    #[test]
    fn the_sixth_best_score_is_not_in_the_top_five() {
        let scores = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let metrics = Metrics::of(&predictions(&[(&scores, 4), (&scores, 5)]));
        assert_eq!((metrics.top1, metrics.top5), (Some(0.0), Some(0.5)));
    }

    #[test]
    fn equal_scores_go_to_the_lowest_class() {
        let metrics = Metrics::of(&predictions(&[(&[1.0, 1.0], 0), (&[1.0, 1.0], 1)]));
        assert_eq!(metrics.confusion, vec![vec![1, 0], vec![1, 0]]);
    }

    #[test]
    fn nan_never_wins() {
        let nan = f32::NAN;
        let metrics = Metrics::of(&predictions(&[(&[nan, -9.0], 0), (&[nan, -9.0], 1), (&[nan, nan], 0)]));
        assert_eq!(metrics.confusion, vec![vec![0, 1], vec![0, 1]]);
        assert_eq!((metrics.clips, metrics.clips_without_prediction), (3, 1));
        assert_eq!(metrics.top1, Some(1.0 / 3.0));
        assert_eq!(metrics.top5, Some(1.0 / 3.0), "a NaN is in no top five either");
    }

    #[test]
    fn metrics_are_read_back_from_their_json() {
        let metrics = Metrics::of(&predictions(&[(&[0.0, 0.0], 0), (&[0.0, 0.0], 1)]));
        let text = serde_json::to_string(&metrics).unwrap();
        let read: Metrics = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (read.top1, read.classes, read.confusion),
            (metrics.top1, metrics.classes, metrics.confusion)
        );
    }

    #[test]
    fn the_json_has_the_documented_keys() {
        let json = serde_json::to_value(Metrics::of(&predictions(&[(&[1.0, 0.0], 0)]))).unwrap();
        for key in ["clips", "top1", "top5", "mean_class_accuracy", "classes", "confusion", "calibration"] {
            assert!(json.get(key).is_some(), "{key} is missing");
        }
        let class = &json["classes"][0];
        assert_eq!(
            (&class["name"], &class["clips"], &class["top1"]),
            (&"class0".into(), &1.into(), &1.0.into())
        );
    }

    #[test]
    fn no_clips_give_null_not_nan() {
        let metrics = Metrics::of(&Predictions::new(ScoreKind::Logits, names(2)).unwrap());
        let json = serde_json::to_value(&metrics).unwrap();
        assert!(json["top1"].is_null() && json["calibration"].is_null());
    }
}
