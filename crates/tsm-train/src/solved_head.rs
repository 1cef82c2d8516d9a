//! A new linear layer in closed form: ridge regression on the features of the network as it starts.
//!
//! ```text
//! features [n, d] ─ standardise ─► Z ─► (ZᵀZ + λ·d·I) W = ZᵀY ─► W, b ─ × scale ─► logits = features · weightᵀ + bias
//!                    groups held out in turn: which λ is right most often, which scale is least surprised
//! ```
//!
//! A few features that tell what hundreds of others do not (motion, `motion_start.rs`) would be held back as hard as each
//! of those: they are tried louder, too.
//!
//! A random head sends noise into a pretrained network until it has learned something; one that starts
//! here does not, and on few clips ends higher (arXiv 2202.10054, "linear probing then fine-tuning").
//! Nothing is drawn: the same features give the same head.

use std::ops::Range;

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// Ridge strengths that are tried, per feature and per clip.
const STRENGTHS: [f64; 4] = [0.3, 1.0, 3.0, 10.0];

/// The strength at which loudness is chosen.
const USUAL_STRENGTH: f64 = 3.0;

/// Parts that the groups are dealt into to judge strength and scale.
const PARTS: usize = 3;

/// Logit scales that are tried: from nearly even probabilities to nearly certain ones.
const SCALES: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0];

/// How much louder than the rest the features are tried that tell something of their own.
const LOUDNESS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// Spread below which a feature says nothing.
const LEAST_SPREAD: f64 = 1e-4;

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
/// where there are fewer than two rows or no features.
pub fn solve(examples: &[Example], classes: usize, views: usize, own: &[usize]) -> Option<SolvedHead> {
    let d = examples.first().map_or(0, |example| example.features.len());
    if examples.len() < 2 || d == 0 || classes == 0 {
        return None;
    }
    let even = Spread::of(examples, d);
    let even_parts: Vec<Sums> =
        (0..PARTS).map(|part| Sums::of(&even, examples, classes, |group| group % PARTS == part)).collect();
    let right = |rows: &[(DVector<f64>, usize)]| rows.iter().filter(|(y, class)| y.imax() == *class).count();
    let louder = |loudness: f64| {
        let mut gains = vec![1.0; d];
        own.iter().filter(|k| **k < d).for_each(|k| gains[*k] = loudness);
        let parts: Vec<Sums> = even_parts.iter().map(|part| part.scaled(&gains)).collect();
        (even.scaled(&gains), parts)
    };
    let loudness = if own.is_empty() {
        1.0
    } else {
        let tried = LOUDNESS.map(|loudness| {
            let (spread, parts) = louder(loudness);
            let whole = parts.iter().fold(Sums::empty(d, classes), Sums::plus);
            let rows = held_out(&whole, &parts, &spread, examples, USUAL_STRENGTH * float(views));
            (loudness, right(&rows))
        });
        tried.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a })?.0
    };
    let (spread, parts) = louder(loudness);
    let whole = parts.iter().fold(Sums::empty(d, classes), Sums::plus);
    let tried = STRENGTHS.map(|strength| {
        let rows = held_out(&whole, &parts, &spread, examples, strength * float(views));
        (strength, rows)
    });
    // The first of equals: the weakest that does as well.
    let (strength, rows) = tried.into_iter().reduce(|a, b| if right(&b.1) > right(&a.1) { b } else { a })?;
    let loss = |scale: f64| rows.iter().map(|(y, class)| surprise(y, *class, scale)).sum::<f64>();
    let scale = SCALES.into_iter().reduce(|a, b| if loss(b) < loss(a) { b } else { a })?;
    let held_out_top1 = if rows.is_empty() { 0.0 } else { float(right(&rows)) / float(rows.len()) };
    let (weight, bias) = whole.solve(strength * float(views))?;
    let mut out = SolvedHead {
        weight: Vec::with_capacity(classes * d),
        bias: Vec::with_capacity(classes),
        strength,
        scale,
        loudness,
        held_out_top1,
    };
    for class in 0..classes {
        let own = weight.column(class);
        let raw: Vec<f64> = own.iter().zip(&spread.inverse).map(|(w, inverse)| w * inverse * scale).collect();
        let moved: f64 = raw.iter().zip(&spread.mean).map(|(w, mean)| w * mean).sum();
        out.bias.push(narrow(bias[class] * scale - moved));
        out.weight.extend(raw.into_iter().map(narrow));
    }
    Some(out)
}

impl SolvedHead {
    /// Moves what features say on average from the bias to the last of them, which is 1 where they are known: frames whose
    /// `features` are all 0 because nothing is known of them are then told by the others alone. Clips keep their logits,
    /// on average over `examples`.
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

/// Mean and inverse deviation of each feature.
struct Spread {
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

impl Spread {
    fn of(examples: &[Example], d: usize) -> Self {
        let n = float(examples.len());
        let (mut mean, mut square) = (vec![0.0; d], vec![0.0; d]);
        for example in examples {
            for ((mean, square), x) in mean.iter_mut().zip(&mut square).zip(&example.features) {
                *mean += f64::from(*x) / n;
                *square += f64::from(*x).powi(2) / n;
            }
        }
        let deviation = |(mean, square): (&f64, &f64)| (square - mean * mean).max(0.0).sqrt();
        // A feature that never changes stays out of it.
        let inverse = mean.iter().zip(&square).map(deviation);
        let inverse = inverse.map(|s| if s < LEAST_SPREAD { 0.0 } else { 1.0 / s }).collect();
        Self { mean, inverse }
    }

    /// With each feature times its gain.
    fn scaled(&self, gains: &[f64]) -> Self {
        let inverse = self.inverse.iter().zip(gains).map(|(inverse, gain)| inverse * gain);
        Self { mean: self.mean.clone(), inverse: inverse.collect() }
    }

    fn standardised(&self, features: &[f32]) -> impl Iterator<Item = f64> {
        let moved = features.iter().zip(&self.mean).map(|(x, mean)| f64::from(*x) - mean);
        moved.zip(&self.inverse).map(|(x, inverse)| x * inverse)
    }
}

/// What the normal equations need of some rows; sums of sums are those of all rows.
#[derive(Clone)]
struct Sums {
    /// `ZᵀZ`, `[d, d]`.
    gram: DMatrix<f64>,
    /// `ZᵀY`, `[d, classes]`.
    product: DMatrix<f64>,
    /// Sum of the rows of `Z`, `[d]`.
    features: DVector<f64>,
    /// Rows of each class.
    counts: DVector<f64>,
}

impl Sums {
    fn empty(d: usize, classes: usize) -> Self {
        Self {
            gram: DMatrix::zeros(d, d),
            product: DMatrix::zeros(d, classes),
            features: DVector::zeros(d),
            counts: DVector::zeros(classes),
        }
    }

    fn of(spread: &Spread, examples: &[Example], classes: usize, is_own: impl Fn(usize) -> bool) -> Self {
        let d = spread.mean.len();
        let rows: Vec<&Example> = examples.iter().filter(|example| is_own(example.group)).collect();
        let values = rows.iter().flat_map(|row| spread.standardised(&row.features));
        let z = DMatrix::from_iterator(d, rows.len(), values);
        let mut y = DMatrix::zeros(rows.len(), classes);
        for (index, row) in rows.iter().enumerate() {
            y[(index, row.class)] = 1.0;
        }
        Self {
            gram: &z * z.transpose(),
            product: &z * &y,
            features: z.column_sum(),
            counts: y.row_sum().transpose(),
        }
    }

    /// Those of features times their gains.
    fn scaled(&self, gains: &[f64]) -> Self {
        let gains = DVector::from_row_slice(gains);
        let mut out = self.clone();
        for (mut column, gain) in out.gram.column_iter_mut().zip(gains.iter()) {
            column.component_mul_assign(&gains);
            column *= *gain;
        }
        out.product.column_iter_mut().for_each(|mut column| column.component_mul_assign(&gains));
        out.features.component_mul_assign(&gains);
        out
    }

    fn plus(mut self, other: &Self) -> Self {
        self.gram += &other.gram;
        self.product += &other.product;
        self.features += &other.features;
        self.counts += &other.counts;
        self
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            gram: &self.gram - &other.gram,
            product: &self.product - &other.product,
            features: &self.features - &other.features,
            counts: &self.counts - &other.counts,
        }
    }

    /// Weights `[d, classes]` and biases `[classes]` on standardised features. The bias is not held back.
    fn solve(&self, strength: f64) -> Option<(DMatrix<f64>, DVector<f64>)> {
        let n = self.counts.sum();
        let d = self.features.len();
        if n < 1.0 {
            return None;
        }
        let mean = &self.features / n;
        let prior = &self.counts / n;
        let mut gram = &self.gram - (&mean * mean.transpose()) * n;
        for k in 0..d {
            gram[(k, k)] += strength * float(d);
        }
        let product = &self.product - (&mean * prior.transpose()) * n;
        let weight = Cholesky::<f64, Dyn>::new(gram)?.solve(&product);
        let bias = prior - weight.tr_mul(&mean);
        Some((weight, bias))
    }
}

/// Outputs and classes of every row, each from a layer that has not seen its part.
fn held_out(
    whole: &Sums,
    parts: &[Sums],
    spread: &Spread,
    examples: &[Example],
    strength: f64,
) -> Vec<(DVector<f64>, usize)> {
    let mut rows = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let Some((weight, bias)) = whole.without(part).solve(strength) else { continue };
        for example in examples.iter().filter(|example| example.group % parts.len() == index) {
            let z = DVector::from_iterator(
                bias.len().max(spread.mean.len()),
                spread.standardised(&example.features),
            );
            rows.push((weight.tr_mul(&z) + &bias, example.class));
        }
    }
    rows
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

#[expect(clippy::cast_precision_loss, reason = "rows and features are far below 2^53")]
fn float(n: usize) -> f64 {
    n as f64
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
        let head = solve(&examples, 3, 1, &[]).unwrap();
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
        let before = solve(&examples, 3, 1, &[]).unwrap();
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
        let even = solve(&examples, 2, 1, &[]).unwrap();
        let louder = solve(&examples, 2, 1, &[0]).unwrap();
        assert!((even.loudness - 1.0).abs() < 1e-9 && louder.loudness > 1.0, "{}", louder.loudness);
        assert!(louder.held_out_top1 > even.held_out_top1);
        let share = |head: &SolvedHead| f64::from(head.weight[0].abs() / head.weight[1].abs().max(1e-9));
        assert!(share(&louder) > share(&even));
    }

    #[test]
    fn a_solved_layer_satisfies_the_normal_equations() {
        let examples = examples();
        let spread = Spread::of(&examples, 4);
        let sums = Sums::of(&spread, &examples, 3, |_| true);
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
    fn nothing_comes_of_nothing() {
        assert!(solve(&[], 3, 1, &[]).is_none());
        assert!(solve(&vec![Example { features: Vec::new(), class: 0, group: 0 }; 2], 3, 1, &[]).is_none());
        let one_group: Vec<Example> = examples().into_iter().map(|e| Example { group: 0, ..e }).collect();
        assert!(solve(&one_group, 3, 1, &[]).is_some(), "one group still gives a head");
    }
}
