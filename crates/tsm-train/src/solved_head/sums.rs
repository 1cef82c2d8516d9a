//! The normal equations of a ridge regression: standardised features, their sums, and the layer that satisfies them.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::Example;
use crate::counts::float;

/// Spread below which a feature says nothing.
const LEAST_SPREAD: f64 = 1e-4;

/// Mean and inverse deviation of each feature.
pub(super) struct Spread {
    pub(super) mean: Vec<f64>,
    pub(super) inverse: Vec<f64>,
}

impl Spread {
    pub(super) fn of(examples: &[Example], d: usize) -> Self {
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
    pub(super) fn scaled(&self, gains: &[f64]) -> Self {
        let inverse = self.inverse.iter().zip(gains).map(|(inverse, gain)| inverse * gain);
        Self { mean: self.mean.clone(), inverse: inverse.collect() }
    }

    pub(super) fn standardised(&self, features: &[f32]) -> impl Iterator<Item = f64> {
        let moved = features.iter().zip(&self.mean).map(|(x, mean)| f64::from(*x) - mean);
        moved.zip(&self.inverse).map(|(x, inverse)| x * inverse)
    }
}

/// What the normal equations need of some rows; sums of sums are those of all rows.
#[derive(Clone)]
pub(super) struct Sums {
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
    pub(super) fn empty(d: usize, classes: usize) -> Self {
        Self {
            gram: DMatrix::zeros(d, d),
            product: DMatrix::zeros(d, classes),
            features: DVector::zeros(d),
            counts: DVector::zeros(classes),
        }
    }

    pub(super) fn of(
        spread: &Spread,
        examples: &[Example],
        classes: usize,
        is_own: impl Fn(usize) -> bool,
    ) -> Self {
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
    pub(super) fn scaled(&self, gains: &[f64]) -> Self {
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

    pub(super) fn plus(mut self, other: &Self) -> Self {
        self.gram += &other.gram;
        self.product += &other.product;
        self.features += &other.features;
        self.counts += &other.counts;
        self
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self {
            gram: &self.gram - &other.gram,
            product: &self.product - &other.product,
            features: &self.features - &other.features,
            counts: &self.counts - &other.counts,
        }
    }

    /// Weights `[d, classes]` and biases `[classes]` on standardised features. The bias is not held back.
    pub(super) fn solve(&self, strength: f64) -> Option<(DMatrix<f64>, DVector<f64>)> {
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
