//! The equations of a ridge regression, by whatever there is less of: features, or rows.
//!
//! ```text
//! by features   (ZᵀZ + λ·d·I) W = ZᵀY              d unknowns a class; sums over rows, a few parts of which can be left out
//! by rows       W = Zᵀ (ZZᵀ + λ·d·I)⁻¹ Y           n unknowns a class; the rows themselves
//! ```
//!
//! Both have the same solution (push-through identity; Saunders et al. 1998, "dual variables"). Work grows with the
//! cube of the unknowns, and a few clips have far fewer rows than a network has features.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::sums::{Spread, Sums};
use super::{Example, PARTS};
use crate::counts::float;

/// Rows in [`PARTS`] that can be left out.
pub(super) enum Equations {
    /// For more rows than features.
    ByFeature {
        /// The sums of each part.
        parts: Vec<Sums>,
        /// The sums of all of them.
        whole: Sums,
    },
    /// For more features than rows.
    ByRow(Rows),
}

/// Weights `[d, classes]` and biases `[classes]` on standardised features.
pub(super) type Layer = (DMatrix<f64>, DVector<f64>);

impl Equations {
    pub(super) fn of(spread: &Spread, examples: &[Example], classes: usize) -> Self {
        if examples.len() < spread.mean.len() {
            Self::ByRow(Rows::of(spread, examples, classes))
        } else {
            Self::by_feature(spread, examples, classes)
        }
    }

    fn by_feature(spread: &Spread, examples: &[Example], classes: usize) -> Self {
        let part = |part| Sums::of(spread, examples, classes, |group| group % PARTS == part);
        let parts: Vec<Sums> = (0..PARTS).map(part).collect();
        let whole = parts.iter().fold(Sums::empty(spread.mean.len(), classes), Sums::plus);
        Self::ByFeature { parts, whole }
    }

    /// Those of features times their gains.
    pub(super) fn scaled(&self, gains: &[f64]) -> Self {
        match self {
            Self::ByFeature { parts, whole } => Self::ByFeature {
                parts: parts.iter().map(|part| part.scaled(gains)).collect(),
                whole: whole.scaled(gains),
            },
            Self::ByRow(rows) => Self::ByRow(rows.scaled(gains)),
        }
    }

    /// The layer of all rows but those of one part. The bias is not held back.
    pub(super) fn solve(&self, left_out: Option<usize>, strength: f64) -> Option<Layer> {
        match (self, left_out) {
            (Self::ByFeature { whole, .. }, None) => whole.solve(strength),
            (Self::ByFeature { parts, whole }, Some(part)) => whole.without(&parts[part]).solve(strength),
            (Self::ByRow(rows), _) => rows.solve(left_out, strength),
        }
    }
}

/// Standardised rows as they are.
pub(super) struct Rows {
    /// `[d, n]`.
    z: DMatrix<f64>,
    /// `[n, classes]`: 1 where a row is of the class.
    y: DMatrix<f64>,
    /// The part of each row.
    parts: Vec<usize>,
}

impl Rows {
    fn of(spread: &Spread, examples: &[Example], classes: usize) -> Self {
        let values = examples.iter().flat_map(|example| spread.standardised(&example.features));
        let z = DMatrix::from_iterator(spread.mean.len(), examples.len(), values);
        let y =
            DMatrix::from_fn(
                examples.len(),
                classes,
                |row, class| {
                    if examples[row].class == class { 1.0 } else { 0.0 }
                },
            );
        Self { z, y, parts: examples.iter().map(|example| example.group % PARTS).collect() }
    }

    fn scaled(&self, gains: &[f64]) -> Self {
        let gains = DVector::from_row_slice(gains);
        let mut z = self.z.clone();
        z.column_iter_mut().for_each(|mut row| row.component_mul_assign(&gains));
        Self { z, y: self.y.clone(), parts: self.parts.clone() }
    }

    fn solve(&self, left_out: Option<usize>, strength: f64) -> Option<Layer> {
        let used: Vec<usize> =
            (0..self.parts.len()).filter(|row| Some(self.parts[*row]) != left_out).collect();
        if used.is_empty() {
            return None;
        }
        let (mut z, y) = (self.z.select_columns(&used), self.y.select_rows(&used));
        let (mean, prior) = (z.column_mean(), y.row_mean().transpose());
        z.column_iter_mut().for_each(|mut row| row -= &mean);
        let mut kernel = z.tr_mul(&z);
        for row in 0..used.len() {
            kernel[(row, row)] += strength * float(z.nrows());
        }
        // Centred rows take no notice of what all targets have in common.
        let weight = &z * Cholesky::<f64, Dyn>::new(kernel)?.solve(&y);
        let bias = prior - weight.tr_mul(&mean);
        Some((weight, bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    /// 30 rows of 24 features and four classes in nine groups.
    fn examples() -> Vec<Example> {
        let mut draws = Draws::for_purpose(7, "equations", 0);
        let mut row = |index: usize| Example {
            features: (0..24)
                .map(|k| draws.between(-1.0, 1.0) + if k % 4 == index % 4 { 0.5 } else { 0.0 })
                .collect(),
            class: index % 4,
            group: index / 4,
        };
        (0..30).map(&mut row).collect()
    }

    #[test]
    fn by_rows_and_by_features_the_layer_is_the_same() {
        let examples = examples();
        let spread = Spread::of(&examples, 24);
        let gains: Vec<f64> = (0..24).map(|k| if k < 3 { 4.0 } else { 1.0 }).collect();
        let by_feature = Equations::by_feature(&spread, &examples, 4).scaled(&gains);
        let by_row = Equations::ByRow(Rows::of(&spread, &examples, 4)).scaled(&gains);
        for (left_out, strength) in [(None, 0.3), (Some(0), 0.01), (Some(2), 3.0)] {
            let (weight, bias) = by_feature.solve(left_out, strength).unwrap();
            let (other_weight, other_bias) = by_row.solve(left_out, strength).unwrap();
            assert!((&weight - other_weight).amax() < 1e-9 && weight.amax() > 1e-3, "{left_out:?}");
            assert!((bias - other_bias).amax() < 1e-9, "{left_out:?}");
        }
    }

    #[test]
    fn what_there_is_less_of_is_unknown() {
        let examples = examples();
        let spread = Spread::of(&examples, 24);
        assert!(matches!(Equations::of(&spread, &examples, 4), Equations::ByFeature { .. }));
        assert!(matches!(Equations::of(&spread, &examples[..20], 4), Equations::ByRow(_)));
    }

    #[test]
    fn without_rows_there_is_no_layer() {
        let one_part: Vec<Example> = examples().into_iter().map(|e| Example { group: 0, ..e }).collect();
        let spread = Spread::of(&one_part, 24);
        for rows in [20, 30] {
            assert!(Equations::of(&spread, &one_part[..rows], 4).solve(Some(0), 1.0).is_none());
        }
    }
}
