//! The table a class a row, and which class is taken for which.

use serde::{Deserialize, Serialize};

use super::predictions::Predictions;
use super::ratio;

/// How one class fares; shares are fractions in 0..=1, `None` where they would be of nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The class's name.
    pub name: String,
    /// Clips that are of this class.
    pub clips: usize,
    /// Clips of this class that were taken for it.
    pub right: usize,
    /// Clips that were taken for this class, rightly or not.
    pub predicted: usize,
    /// The share of the class's clips that were taken for it: the class's recall.
    pub top1: Option<f64>,
    /// The share of the class's clips with the class among the five highest scores.
    pub top5: Option<f64>,
    /// The share of the clips taken for this class that are of it.
    pub precision: Option<f64>,
}

/// `[true class][class taken for]`, counts of clips; those without a prediction are in no column.
pub(super) fn confusion(predictions: &Predictions) -> Vec<Vec<usize>> {
    let classes = predictions.class_names().len();
    let mut counts = vec![vec![0; classes]; classes];
    for clip in predictions.iter() {
        if let Some(predicted) = clip.predicted() {
            counts[clip.truth][predicted] += 1;
        }
    }
    counts
}

/// One row a class, in the order of the classes.
pub(super) fn table(predictions: &Predictions, confusion: &[Vec<usize>]) -> Vec<ClassMetrics> {
    let classes = predictions.class_names().len();
    let (mut clips, mut within_five) = (vec![0; classes], vec![0; classes]);
    for clip in predictions.iter() {
        clips[clip.truth] += 1;
        within_five[clip.truth] += usize::from(clip.is_within(5));
    }
    let row = |(class, name): (usize, &String)| {
        let (right, predicted) = (confusion[class][class], confusion.iter().map(|row| row[class]).sum());
        ClassMetrics {
            name: name.clone(),
            clips: clips[class],
            right,
            predicted,
            top1: ratio(right, clips[class]),
            top5: ratio(within_five[class], clips[class]),
            precision: ratio(right, predicted),
        }
    };
    predictions.class_names().iter().enumerate().map(row).collect()
}
