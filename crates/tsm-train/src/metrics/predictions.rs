//! The scores of clips beside their true classes, and who wins among the scores.
//!
//! It judges one clip at a time; sums over clips are in the other files of this folder.

use thiserror::Error;

/// What the numbers of a clip are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreKind {
    /// Before softmax.
    Logits,
    /// After softmax, or a mean of such; they need not sum to exactly 1.
    Probabilities,
}

/// Why scores or class names were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PredictionsError {
    /// There is nothing to predict.
    #[error("no class names: predictions need at least one class")]
    NoClasses,
    /// The model's output does not fit the list of classes.
    #[error("clip {clip} has {found} scores, but there are {classes} classes")]
    ScoreCount {
        /// Which clip, counted from 0 in the order given.
        clip: usize,
        /// How many scores came.
        found: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// The true class is not in the list of classes.
    #[error("clip {clip} is labelled class {class}, but the classes are 0 to {last}")]
    ClassOutOfRange {
        /// Which clip, counted from 0 in the order given.
        clip: usize,
        /// Its label.
        class: usize,
        /// The highest label there is.
        last: usize,
    },
}

/// The scores of clips, in the order given, each with its true class.
#[derive(Debug, Clone)]
pub struct Predictions {
    kind: ScoreKind,
    class_names: Vec<String>,
    /// One row of `class_names.len()` scores a clip.
    scores: Vec<f32>,
    truths: Vec<usize>,
}

impl Predictions {
    /// Begins with no clip.
    ///
    /// # Errors
    /// [`PredictionsError::NoClasses`] for an empty list of names.
    pub fn new(kind: ScoreKind, class_names: Vec<String>) -> Result<Self, PredictionsError> {
        if class_names.is_empty() {
            return Err(PredictionsError::NoClasses);
        }
        Ok(Self { kind, class_names, scores: Vec::new(), truths: Vec::new() })
    }

    /// Adds a clip: one score a class, and the index of its true class. Unchanged after an error.
    ///
    /// # Errors
    /// Where the number of scores is not that of the classes, or the true class is none of them.
    pub fn push(&mut self, scores: &[f32], true_class: usize) -> Result<(), PredictionsError> {
        let (clip, classes) = (self.len(), self.class_names.len());
        if scores.len() != classes {
            return Err(PredictionsError::ScoreCount { clip, found: scores.len(), classes });
        }
        if true_class >= classes {
            return Err(PredictionsError::ClassOutOfRange { clip, class: true_class, last: classes - 1 });
        }
        self.scores.extend_from_slice(scores);
        self.truths.push(true_class);
        Ok(())
    }

    /// How many clips there are.
    pub fn len(&self) -> usize {
        self.truths.len()
    }

    /// Whether there is no clip.
    pub fn is_empty(&self) -> bool {
        self.truths.is_empty()
    }

    /// The classes' names in the model's order.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Whether each clip's true class has the highest score, in the order given: what a comparison needs.
    pub fn right(&self) -> Vec<bool> {
        self.iter().map(|clip| clip.is_within(1)).collect()
    }

    /// The class each clip was taken for; none where all its scores are NaN.
    pub fn predicted(&self) -> Vec<Option<usize>> {
        self.iter().map(|clip| clip.predicted()).collect()
    }

    /// How many clips have a score that is infinite or NaN: an output of a model that overflows.
    pub fn without_numbers(&self) -> usize {
        self.iter().filter(|clip| !clip.scores.iter().all(|score| score.is_finite())).count()
    }

    /// The clips in the order given.
    pub(super) fn iter(&self) -> impl Iterator<Item = Judged<'_>> {
        let rows = self.scores.chunks_exact(self.class_names.len());
        rows.zip(&self.truths).map(|(scores, truth)| Judged { kind: self.kind, scores, truth: *truth })
    }
}

/// One clip's scores and its true class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    kind: ScoreKind,
    scores: &'a [f32],
    /// The true class: an index into the scores.
    pub(super) truth: usize,
}

impl Judged<'_> {
    /// The class with the highest score, the lowest index among equals; none where all are NaN.
    pub(super) fn predicted(&self) -> Option<usize> {
        let mut best: Option<(usize, f32)> = None;
        for (class, score) in self.scores.iter().enumerate() {
            if !score.is_nan() && best.is_none_or(|(_, highest)| *score > highest) {
                best = Some((class, *score));
            }
        }
        best.map(|(class, _)| class)
    }

    /// Whether the true class is among the `k` highest scores; equals in the order of their index.
    pub(super) fn is_within(&self, k: usize) -> bool {
        let own = self.scores[self.truth];
        let before = |(class, score): (usize, &f32)| *score > own || (*score >= own && class < self.truth);
        !own.is_nan() && self.scores.iter().enumerate().filter(|scored| before(*scored)).count() < k
    }

    /// The scores as logits: finite, or minus infinity for a class that is ruled out (NaN, probability 0).
    ///
    /// A clip with nothing left is undecided: all classes even. Infinite scores share the clip.
    pub(super) fn logits(&self) -> Vec<f64> {
        let logit = |score: &f32| match self.kind {
            _ if score.is_nan() => f64::NEG_INFINITY,
            ScoreKind::Logits => f64::from(*score),
            ScoreKind::Probabilities => f64::from(score.max(0.0)).ln(),
        };
        let logits: Vec<f64> = self.scores.iter().map(logit).collect();
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if highest.is_finite() {
            return logits;
        }
        logits.iter().map(|logit| if *logit >= highest { 0.0 } else { f64::NEG_INFINITY }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Predictions {
        Predictions::new(ScoreKind::Logits, vec!["a".into(), "b".into()]).unwrap()
    }

    #[test]
    fn what_does_not_fit_the_classes_is_refused_and_leaves_nothing() {
        let mut clips = two();
        assert_eq!(
            clips.push(&[1.0], 0),
            Err(PredictionsError::ScoreCount { clip: 0, found: 1, classes: 2 })
        );
        assert_eq!(
            clips.push(&[1.0, 2.0], 2),
            Err(PredictionsError::ClassOutOfRange { clip: 0, class: 2, last: 1 })
        );
        assert!(clips.is_empty());
        assert!(Predictions::new(ScoreKind::Logits, Vec::new()).is_err());
    }

    #[test]
    fn infinity_wins_and_keeps_the_logits_usable() {
        let mut clips = two();
        clips.push(&[1.0, f32::INFINITY], 1).unwrap();
        clips.push(&[f32::NAN, f32::NEG_INFINITY], 1).unwrap();
        assert_eq!(clips.right(), [true, true]);
        clips.push(&[1.0, 2.0], 1).unwrap();
        assert_eq!((clips.len(), clips.without_numbers()), (3, 2));
        let logits: Vec<_> = clips.iter().map(|clip| clip.logits()).collect();
        assert_eq!(logits, [vec![f64::NEG_INFINITY, 0.0], vec![0.0, 0.0], vec![1.0, 2.0]]);
    }

    #[test]
    fn probabilities_rank_as_their_logits_do() {
        let mut clips = Predictions::new(ScoreKind::Probabilities, vec!["a".into(), "b".into()]).unwrap();
        clips.push(&[0.25, 0.75], 0).unwrap();
        assert_eq!(clips.predicted(), [Some(1)]);
        let logits = clips.iter().next().unwrap().logits();
        assert!((logits[1] - logits[0] - 3f64.ln()).abs() < 1e-6);
    }
}
