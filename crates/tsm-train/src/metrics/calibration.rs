//! How far probabilities can be believed, and the temperature that mends them.
//!
//! A temperature `T` turns logits `z` into `softmax(z / T)`: it changes how sure the model sounds and never which
//! class wins ('On Calibration of Modern Neural Networks', Guo et al. 2017, section 4.2). Fit it on clips
//! that were not trained on.

use serde::{Deserialize, Serialize};

use super::predictions::Predictions;
use super::{mean, ratio};

/// Equal widths of confidence over which the calibration error is taken, as in the paper's tables.
const BINS: u8 = 15;

/// The least log-probability a clip is charged: a class that was ruled out would cost infinitely much.
const LEAST_LOG_PROBABILITY: f64 = -100.0;

/// Temperatures outside 1/50 to 50 say that there is nothing to fit: all clips right, or pure noise.
const LIMIT: f64 = 50.0;

/// Halvings at most: the bracket has long shrunk to nothing after so many.
const FIT_STEPS: usize = 200;

/// How well probabilities agree with what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The logits were divided by this.
    pub temperature: f64,
    /// The mean of minus the natural logarithm of the true class's probability, in nats; at most 100 a clip.
    pub negative_log_likelihood: f64,
    /// The mean distance of confidence from accuracy over bins of equal width, in 0..=1.
    pub expected_calibration_error: f64,
    /// The mean of the highest probability, in 0..=1; above the accuracy, the model sounds too sure.
    pub mean_confidence: f64,
    /// The bins that hold clips, by rising confidence.
    pub bins: Vec<CalibrationBin>,
}

/// The clips whose highest probability lies in one range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Confidences above this (the lowest bin: from 0) …
    pub from: f64,
    /// … up to this.
    pub to: f64,
    /// How many clips.
    pub clips: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub top1: f64,
}

/// Where the search for a temperature ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitEnd {
    /// At the least negative log likelihood.
    Minimum,
    /// At the end of the range allowed: the clips do not determine a temperature, better keep 1.
    Limit,
}

/// The temperature that makes clips most likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemperatureFit {
    /// Divide logits by this before softmax; 0.02 to 50, above 1 where the model was too sure.
    pub temperature: f64,
    /// Whether that is a minimum.
    pub end: FitEnd,
    /// At temperature 1.
    pub before: Calibration,
    /// At the temperature found.
    pub after: Calibration,
}

impl Predictions {
    /// How far the probabilities at a temperature can be believed; nothing where there is no clip.
    ///
    /// A clip whose scores are all NaN counts as even between all classes, and as wrong.
    ///
    /// # Panics
    /// Where the temperature is not above 0.
    pub fn calibration(&self, temperature: f64) -> Option<Calibration> {
        assert!(temperature > 0.0, "a temperature is above 0, not {temperature}");
        let (mut losses, mut sure) = (Vec::new(), Vec::new());
        for clip in self.iter() {
            let logits: Vec<f64> = clip.logits().iter().map(|logit| logit / temperature).collect();
            let total = log_sum_exp(&logits);
            losses.push(-(logits[clip.truth] - total).max(LEAST_LOG_PROBABILITY));
            sure.push(((highest(&logits) - total).exp(), clip.is_within(1)));
        }
        let confidences: Vec<f64> = sure.iter().map(|(confidence, _)| *confidence).collect();
        let bins: Vec<_> = (0..BINS).filter_map(|bin| calibration_bin(bin, &sure)).collect();
        let error = |bin: &CalibrationBin| {
            ratio(bin.clips, sure.len()).unwrap_or(0.0) * (bin.confidence - bin.top1).abs()
        };
        Some(Calibration {
            temperature,
            negative_log_likelihood: mean(&losses)?,
            expected_calibration_error: bins.iter().map(error).sum(),
            mean_confidence: mean(&confidences)?,
            bins,
        })
    }

    /// The temperature of the least negative log likelihood; nothing where there is no clip.
    ///
    /// The likelihood is convex in `1 / T`: Newton's steps on its slope, halving where a step would leave the bracket.
    pub fn fit_temperature(&self) -> Option<TemperatureFit> {
        let before = self.calibration(1.0)?;
        // Clips whose true class is ruled out are beyond any temperature's help.
        let clips: Vec<(Vec<f64>, usize)> = self.iter().map(|clip| (clip.logits(), clip.truth)).collect();
        let clips: Vec<_> = clips.into_iter().filter(|(logits, truth)| logits[*truth].is_finite()).collect();
        let (inverse, end) = least_inverse_temperature(&clips);
        let temperature = inverse.recip();
        let after = self.calibration(temperature)?;
        Some(TemperatureFit { temperature, end, before, after })
    }
}

/// The clips with a confidence in `(bin / BINS, (bin + 1) / BINS]`.
fn calibration_bin(bin: u8, sure: &[(f64, bool)]) -> Option<CalibrationBin> {
    let edge = |bin: u8| f64::from(bin) / f64::from(BINS);
    // The first and last are open: rounding may put a confidence a hair above 1.
    let from = if bin == 0 { f64::NEG_INFINITY } else { edge(bin) };
    let to = if bin + 1 == BINS { f64::INFINITY } else { edge(bin + 1) };
    let held: Vec<_> =
        sure.iter().filter(|(confidence, _)| *confidence > from && *confidence <= to).collect();
    let confidences: Vec<f64> = held.iter().map(|(confidence, _)| *confidence).collect();
    Some(CalibrationBin {
        from: edge(bin),
        to: edge(bin + 1),
        clips: held.len(),
        confidence: mean(&confidences)?,
        top1: ratio(held.iter().filter(|(_, right)| *right).count(), held.len())?,
    })
}

fn least_inverse_temperature(clips: &[(Vec<f64>, usize)]) -> (f64, FitEnd) {
    let (mut low, mut high) = (LIMIT.recip(), LIMIT);
    if clips.is_empty() {
        return (1.0, FitEnd::Limit);
    }
    if slope(clips, low).0 >= 0.0 {
        return (low, FitEnd::Limit);
    }
    if slope(clips, high).0 <= 0.0 {
        return (high, FitEnd::Limit);
    }
    let mut inverse = 1.0;
    for _ in 0..FIT_STEPS {
        let (slope, curvature) = slope(clips, inverse);
        if slope > 0.0 {
            high = inverse;
        } else {
            low = inverse;
        }
        let newton = inverse - slope / curvature;
        // A curvature of zero gives an infinite or NaN step: then, too, halve.
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        if (next - inverse).abs() <= 1e-12 * inverse {
            break;
        }
        inverse = next;
    }
    (inverse, FitEnd::Minimum)
}

/// The negative log likelihood's first and second derivative by `1 / T`, summed over the clips.
fn slope(clips: &[(Vec<f64>, usize)], inverse: f64) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for (logits, truth) in clips {
        let top = highest(logits);
        let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
        // Ruled-out classes weigh nothing, and minus infinity times nothing would be NaN.
        for logit in logits.iter().filter(|logit| logit.is_finite()) {
            let (share, distance) = (((logit - top) * inverse).exp(), logit - top);
            weight += share;
            first += share * distance;
            second += share * distance * distance;
        }
        let expected = first / weight;
        slope += expected - (logits[*truth] - top);
        curvature += second / weight - expected * expected;
    }
    (slope, curvature)
}

fn highest(logits: &[f64]) -> f64 {
    logits.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn log_sum_exp(logits: &[f64]) -> f64 {
    let top = highest(logits);
    top + logits.iter().map(|logit| (logit - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::super::ScoreKind;
    use super::*;

    fn two_classes(kind: ScoreKind, rows: &[([f32; 2], usize)]) -> Predictions {
        let mut clips = Predictions::new(kind, vec!["a".into(), "b".into()]).unwrap();
        for (scores, truth) in rows {
            clips.push(scores, *truth).unwrap();
        }
        clips
    }

    #[test]
    fn likelihood_and_calibration_error_are_the_ones_counted_by_hand() {
        let clips =
            two_classes(ScoreKind::Probabilities, &[([0.8, 0.2], 0), ([0.8, 0.2], 1), ([0.4, 0.6], 1)]);
        let found = clips.calibration(1.0).unwrap();
        let nats = -(0.8f64.ln() + 0.2f64.ln() + 0.6f64.ln()) / 3.0;
        assert!((found.negative_log_likelihood - nats).abs() < 1e-6);
        // Bin of 0.8: two clips, half right; bin of 0.6: one, right.
        let error = (2.0 * 0.3 + 0.4) / 3.0;
        assert!((found.expected_calibration_error - error).abs() < 1e-6, "{found:?}");
        assert_eq!(found.bins.iter().map(|bin| bin.clips).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_fitted_temperature_turns_the_confidence_into_the_accuracy() {
        // Three of four right with a margin of 6 logits: the best margin is ln 3.
        let rows = [([6.0, 0.0], 0), ([6.0, 0.0], 0), ([0.0, 6.0], 1), ([0.0, 6.0], 0)];
        let fit = two_classes(ScoreKind::Logits, &rows).fit_temperature().unwrap();
        assert_eq!(fit.end, FitEnd::Minimum);
        assert!((fit.temperature - 6.0 / 3f64.ln()).abs() < 1e-9, "{}", fit.temperature);
        assert!(fit.after.expected_calibration_error < 1e-9);
        assert!(fit.after.negative_log_likelihood < fit.before.negative_log_likelihood);
    }

    #[test]
    fn no_temperature_near_the_fitted_one_is_better() {
        let rows = [([0.3, 1.7], 1), ([2.2, -0.4], 0), ([0.1, 0.9], 0), ([5.0, 1.0], 0), ([1.1, 0.2], 1)];
        let clips = two_classes(ScoreKind::Logits, &rows);
        let fit = clips.fit_temperature().unwrap();
        for factor in [0.9, 0.99, 1.01, 1.1] {
            let other = clips.calibration(fit.temperature * factor).unwrap();
            assert!(other.negative_log_likelihood > fit.after.negative_log_likelihood, "{factor}");
        }
    }

    #[test]
    fn clips_that_are_all_right_or_all_wrong_determine_no_temperature() {
        let right = two_classes(ScoreKind::Logits, &[([1.0, 0.0], 0)]).fit_temperature().unwrap();
        let wrong = two_classes(ScoreKind::Logits, &[([1.0, 0.0], 1)]).fit_temperature().unwrap();
        assert_eq!((right.end, wrong.end), (FitEnd::Limit, FitEnd::Limit));
        assert!(right.temperature < 1.0 && wrong.temperature > 1.0);
    }

    #[test]
    fn unusable_scores_cost_much_but_not_infinitely() {
        let rows = [([f32::NAN, 0.0], 0), ([f32::NAN, f32::NAN], 0), ([2.0, 0.0], 0), ([2.0, 0.0], 1)];
        let clips = two_classes(ScoreKind::Logits, &rows);
        let found = clips.calibration(1.0).unwrap();
        assert!(found.negative_log_likelihood.is_finite() && found.negative_log_likelihood > 25.0);
        assert!(clips.fit_temperature().unwrap().temperature.is_finite());
    }
}
