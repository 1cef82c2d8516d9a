//! A new linear layer in closed form: ridge regression on the features of the network as it starts.
//!
//! ```text
//! features [n, d] ─ standardise ─► Z ─► (ZᵀZ + λ·d·I) W = ZᵀY ─► W, b ─ × scale ─► logits = features · weightᵀ + bias
//!                    groups held out in turn: which λ is right most often, which scale is least surprised
//! ```
//!
//! A few features that tell what hundreds of others do not (motion, `motion_start.rs`) would be held back as hard as
//! each of those: they are tried louder, too.
//!
//! A random head sends noise into a pretrained network until it has learned something; one that starts
//! here does not, and on few clips ends higher (arXiv 2202.10054, "linear probing then fine-tuning").
//! Nothing is drawn: the same features give the same head.

use std::ops::Range;

use nalgebra::DVector;

mod equations;
mod sums;

use equations::Equations;
use sums::Spread;

use crate::counts::float;

/// Ridge strengths that are tried, per feature and per clip.
const STRENGTHS: [f64; 4] = [0.3, 1.0, 3.0, 10.0];

/// The one of them at which loudness is chosen.
const USUAL_STRENGTH: f64 = 3.0;

/// Parts that the groups are dealt into to judge strength and scale.
const PARTS: usize = 3;

/// Logit scales that are tried: from nearly even probabilities to nearly certain ones.
const SCALES: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0];

/// How much louder than the rest the features are tried, beside as loud, that tell something of their own.
const LOUDER: [f64; 3] = [2.0, 4.0, 8.0];

/// One row of features and what it shows.
#[derive(Debug, Clone)]
pub struct Example {
    /// The mean of a clip's features, `[d]`.
    pub features: Vec<f32>,
    /// Its class.
    pub class: usize,
    /// Number of its group: rows of one group are held out together.
    pub group: usize,
}

/// A linear layer.
#[derive(Debug, Clone)]
pub struct SolvedHead {
    /// `[classes, d]`, row by row.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
    /// Ridge strength that was chosen.
    pub strength: f64,
    /// Scale of the logits that was chosen.
    pub scale: f64,
    /// How much louder the features of their own are taken.
    pub loudness: f64,
    /// Part of the held-out rows that was right.
    pub held_out_top1: f64,
}

/// Solves the layer from `examples`, `views` rows a clip, with `own` features that may be louder than the rest; nothing
/// where there are fewer than two rows or no features, or `should_stop` said so meanwhile.
pub fn solve(
    examples: &[Example],
    classes: usize,
    views: usize,
    own: &[usize],
    should_stop: &dyn Fn() -> bool,
) -> Option<SolvedHead> {
    let d = examples.first().map_or(0, |example| example.features.len());
    if examples.len() < 2 || d == 0 || classes == 0 {
        return None;
    }
    let even = Problem::of(examples, classes, views);
    let Loudest { loudness, problem, usual } = even.loudest(own, should_stop)?;
    let (strength, held_out) = problem.strongest(usual, should_stop)?;
    let scale = held_out.scale();
    let (weight, bias) = problem.layer(strength, scale)?;
    Some(SolvedHead { weight, bias, strength, scale, loudness, held_out_top1: held_out.top1() })
}

impl SolvedHead {
    /// Moves what features say on average from the bias to the last of them, which is 1 where they are known: frames
    /// whose `features` are all 0 because nothing is known of them are then told by the others alone. Clips keep their
    /// logits, on average over `examples`.
    pub fn say_nothing_unknown(&mut self, examples: &[Example], features: Range<usize>) {
        let Some(known) = features.clone().next_back() else { return };
        let d = self.weight.len() / self.bias.len().max(1);
        let mean = |k: usize| {
            let sum: f64 = examples.iter().map(|example| f64::from(example.features[k])).sum();
            sum / float(examples.len().max(1))
        };
        let means: Vec<f64> = features.clone().map(mean).collect();
        let share = mean(known);
        if share <= 0.0 {
            return;
        }
        for (row, bias) in self.weight.chunks_exact_mut(d).zip(&mut self.bias) {
            let said = row[features.clone()].iter().zip(&means).map(|(w, mean)| f64::from(*w) * mean);
            let said: f64 = said.sum();
            row[known] -= narrow(said / share);
            *bias += narrow(said);
        }
    }
}

/// The rows to learn from, in parts that are held out in turn.
struct Problem<'a> {
    examples: &'a [Example],
    spread: Spread,
    equations: Equations,
    views: f64,
}

/// A problem whose features of their own are as loud as serves it best.
struct Loudest<'a> {
    loudness: f64,
    problem: Problem<'a>,
    /// What the layer of [`USUAL_STRENGTH`] says of the rows that it has not seen.
    usual: HeldOut,
}

impl<'a> Problem<'a> {
    fn of(examples: &'a [Example], classes: usize, views: usize) -> Self {
        let d = examples.first().map_or(0, |example| example.features.len());
        let spread = Spread::of(examples, d);
        let equations = Equations::of(&spread, examples, classes);
        Self { examples, spread, equations, views: float(views) }
    }

    /// The same with `own` features so much louder.
    fn louder(&self, own: &[usize], loudness: f64) -> Self {
        let mut gains = vec![1.0; self.spread.mean.len()];
        for feature in own {
            if let Some(gain) = gains.get_mut(*feature) {
                *gain = loudness;
            }
        }
        Self { spread: self.spread.scaled(&gains), equations: self.equations.scaled(&gains), ..*self }
    }

    /// Of equally good loudnesses the least.
    fn loudest(self, own: &[usize], should_stop: &dyn Fn() -> bool) -> Option<Loudest<'a>> {
        let usual = self.held_out(USUAL_STRENGTH, should_stop)?;
        let mut best = Loudest { loudness: 1.0, problem: self.louder(&[], 1.0), usual };
        for loudness in LOUDER.into_iter().filter(|_| !own.is_empty()) {
            let problem = self.louder(own, loudness);
            let usual = problem.held_out(USUAL_STRENGTH, should_stop)?;
            if usual.right() > best.usual.right() {
                best = Loudest { loudness, problem, usual };
            }
        }
        Some(best)
    }

    /// Of equally good strengths the weakest.
    fn strongest(&self, usual: HeldOut, should_stop: &dyn Fn() -> bool) -> Option<(f64, HeldOut)> {
        let weaker = STRENGTHS.into_iter().filter(|strength| *strength < USUAL_STRENGTH);
        let stronger = STRENGTHS.into_iter().filter(|strength| *strength > USUAL_STRENGTH);
        let mut tried = Vec::new();
        for strength in weaker {
            tried.push((strength, self.held_out(strength, should_stop)?));
        }
        tried.push((USUAL_STRENGTH, usual));
        for strength in stronger {
            tried.push((strength, self.held_out(strength, should_stop)?));
        }
        tried.into_iter().reduce(|a, b| if b.1.right() > a.1.right() { b } else { a })
    }

    /// What layers say of every row, each from the parts that it is not in; nothing where `should_stop` said so.
    fn held_out(&self, strength: f64, should_stop: &dyn Fn() -> bool) -> Option<HeldOut> {
        let mut rows = Vec::new();
        for part in 0..PARTS {
            if should_stop() {
                return None;
            }
            let layer = self.equations.solve(Some(part), strength * self.views);
            let Some((weight, bias)) = layer else { continue };
            for example in self.examples.iter().filter(|example| example.group % PARTS == part) {
                let z = self.spread.standardised(&example.features);
                let z = DVector::from_iterator(self.spread.mean.len(), z);
                rows.push((weight.tr_mul(&z) + &bias, example.class));
            }
        }
        Some(HeldOut(rows))
    }

    /// The layer of all rows, on features as they are: weights `[classes, d]`, biases `[classes]`.
    fn layer(&self, strength: f64, scale: f64) -> Option<(Vec<f32>, Vec<f32>)> {
        let (weight, bias) = self.equations.solve(None, strength * self.views)?;
        let (mut rows, mut biases) = (Vec::with_capacity(weight.len()), Vec::with_capacity(bias.len()));
        for (own, bias) in weight.column_iter().zip(bias.iter()) {
            let raw = own.iter().zip(&self.spread.inverse).map(|(w, inverse)| w * inverse * scale);
            let raw: Vec<f64> = raw.collect();
            let moved: f64 = raw.iter().zip(&self.spread.mean).map(|(w, mean)| w * mean).sum();
            biases.push(narrow(bias * scale - moved));
            rows.extend(raw.into_iter().map(narrow));
        }
        Some((rows, biases))
    }
}

/// Outputs and classes of rows, from layers that have not seen them.
struct HeldOut(Vec<(DVector<f64>, usize)>);

impl HeldOut {
    fn right(&self) -> usize {
        self.0.iter().filter(|(outputs, class)| outputs.imax() == *class).count()
    }

    fn top1(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { float(self.right()) / float(self.0.len()) }
    }

    /// The scale that is surprised least.
    fn scale(&self) -> f64 {
        let loss = |scale: f64| self.0.iter().map(|(y, class)| surprise(y, *class, scale)).sum::<f64>();
        SCALES.into_iter().reduce(|a, b| if loss(b) < loss(a) { b } else { a }).unwrap_or(1.0)
    }
}

/// Minus the logarithm of the probability that scaled outputs give to `class`.
fn surprise(outputs: &DVector<f64>, class: usize, scale: f64) -> f64 {
    let most = outputs.max() * scale;
    let sum: f64 = outputs.iter().map(|y| (y * scale - most).exp()).sum();
    sum.ln() + most - outputs[class] * scale
}

#[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    /// Rows of three classes: one feature tells them apart, one is noise, one never changes.
    fn examples() -> Vec<Example> {
        let mut draws = Draws::for_purpose(3, "examples", 0);
        let row = |index: usize| {
            let class = index % 3;
            let told = [-1.0, 4.0, 0.5][class] + draws.between(-0.2, 0.2);
            let also = [1.0, 1.0, -1.0][class] + draws.between(-0.2, 0.2);
            Example { features: vec![told, also, draws.between(-5.0, 5.0), 7.0], class, group: index / 2 }
        };
        (0..60).map(row).collect()
    }

    fn logits(head: &SolvedHead, features: &[f32]) -> Vec<f32> {
        let row = |(weight, bias): (&[f32], &f32)| {
            weight.iter().zip(features).map(|(w, x)| w * x).sum::<f32>() + bias
        };
        head.weight.chunks(features.len()).zip(&head.bias).map(row).collect()
    }

    #[test]
    fn what_features_tell_apart_is_told_apart_at_once() {
        let examples = examples();
        let head = solve(&examples, 3, 1, &[], &|| false).unwrap();
        assert!(head.held_out_top1 > 0.99, "{head:?}");
        for Example { features, class, .. } in &examples {
            assert_eq!(crate::largest::largest(&logits(&head, features)), *class);
        }
        let constant = head.weight.chunks(4).map(|row| row[3]);
        assert!(constant.into_iter().all(|w| w == 0.0), "a feature that never changes says nothing");
    }

    #[test]
    fn what_is_unknown_says_nothing_and_clips_keep_their_logits() {
        // The second half of the features: two that tell something, and a 1; known in three frames of four.
        let shown = |example: &Example| [example.features[2], 0.75 * 3.0, 0.75 * example.features[1], 0.75];
        let mut examples = examples();
        for example in &mut examples {
            example.features = shown(example).to_vec();
        }
        let before = solve(&examples, 3, 1, &[], &|| false).unwrap();
        let mut after = before.clone();
        after.say_nothing_unknown(&examples, 1..4);
        let mean = |head: &SolvedHead, class: usize| -> f32 {
            let of = |example: &Example| logits(head, &example.features)[class];
            examples.iter().map(of).sum::<f32>() / 60.0
        };
        for class in 0..3 {
            assert!((mean(&before, class) - mean(&after, class)).abs() < 1e-4);
            let known = [0.0, 3.0, examples.iter().map(|e| e.features[2]).sum::<f32>() / 45.0, 1.0];
            let (unknown, usual) = (logits(&after, &[0.0; 4])[class], logits(&after, &known)[class]);
            assert!(
                (unknown - usual).abs() < 1e-4,
                "usual motion and none known are alike: {usual} {unknown}"
            );
        }
    }

    #[test]
    fn one_telling_feature_among_many_is_taken_louder() {
        let mut draws = Draws::for_purpose(5, "louder", 0);
        let mut row = |index: usize| {
            let class = index % 2;
            let told = [-1.0, 1.0][class] + draws.between(-0.9, 0.9);
            let noise: Vec<f32> = (0..40).map(|_| draws.between(-1.0, 1.0)).collect();
            Example { features: [vec![told], noise].concat(), class, group: index / 2 }
        };
        let examples: Vec<Example> = (0..60).map(&mut row).collect();
        let even = solve(&examples, 2, 1, &[], &|| false).unwrap();
        let louder = solve(&examples, 2, 1, &[0], &|| false).unwrap();
        assert!((even.loudness - 1.0).abs() < 1e-9 && louder.loudness > 1.0, "{}", louder.loudness);
        assert!(louder.held_out_top1 > even.held_out_top1);
        let share = |head: &SolvedHead| f64::from(head.weight[0].abs() / head.weight[1].abs().max(1e-9));
        assert!(share(&louder) > share(&even));
    }

    #[test]
    fn a_solved_layer_satisfies_the_normal_equations() {
        let examples = examples();
        let spread = Spread::of(&examples, 4);
        let sums = sums::Sums::of(&spread, &examples, 3, |_| true);
        let (weight, bias) = sums.solve(0.5).unwrap();
        // The gradient of Σ |Zw + b - y|² + λd|w|² by the weights is nothing.
        let mut gradient = &weight * (0.5 * 4.0);
        for example in &examples {
            let z = DVector::from_iterator(4, spread.standardised(&example.features));
            let mut error = weight.tr_mul(&z) + &bias;
            error[example.class] -= 1.0;
            gradient += &z * error.transpose();
        }
        assert!(gradient.amax() < 1e-9, "{gradient}");
    }

    #[test]
    fn there_may_be_more_classes_than_features() {
        let row =
            |index: usize| Example { features: vec![[-1.0, 1.0][index % 2]], class: index % 5, group: index };
        let examples: Vec<Example> = (0..30).map(row).collect();
        let head = solve(&examples, 5, 1, &[], &|| false).unwrap();
        assert_eq!((head.weight.len(), head.bias.len()), (5, 5));
    }

    #[test]
    fn solving_can_be_stopped() {
        assert!(solve(&examples(), 3, 1, &[], &|| true).is_none());
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(solve(&[], 3, 1, &[], &|| false).is_none());
        assert!(
            solve(&vec![Example { features: Vec::new(), class: 0, group: 0 }; 2], 3, 1, &[], &|| false)
                .is_none()
        );
        let one_group: Vec<Example> = examples().into_iter().map(|e| Example { group: 0, ..e }).collect();
        assert!(solve(&one_group, 3, 1, &[], &|| false).is_some(), "one group still gives a head");
    }
}
