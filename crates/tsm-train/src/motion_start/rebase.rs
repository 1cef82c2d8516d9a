//! A stream in new coordinates, so that its first channels are free.
//!
//! ```text
//! covariance C, what readers see A = Σ EᵀE:   C½ A C½ = V Λ Vᵀ      (which directions readers feel, strongest first)
//! new channels  [ circuits: 0 | copies of the strongest | Vᵀ C⁻½ (x - mean), the strongest ]
//! readers       [     0       |           0             | E C½ V                            ]
//! ```
//!
//! The kept coordinates have mean 0 and variance 1. What is given up is the tail of Λ. Copies, whose readers start at
//! zero, are what the shift moves: a block sees now and then of the same thing as soon as it learns to look.

use candle_core::Result;
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use tsm_model::checkpoint::Weights;

use super::affine::Affine;
use super::streams::Stream;
use super::survey::{Light, Survey};

/// Variances below this part of the largest count as this part.
const LEAST_VARIANCE: f64 = 1e-6;

/// Turns after which an eigenproblem is given up; they take a few a channel.
const MOST_TURNS: usize = 100_000;

/// Rewrites every stream in `weights`; gives the brightness as a combination of all channels of the first stream,
/// scaled to variance 1, and the largest part of what readers feel that was given up.
///
/// # Errors
/// If a tensor is missing or of another shape.
pub(super) fn rebase(streams: &[Stream], found: &Survey, weights: &mut Weights) -> Result<(Vec<f64>, f64)> {
    let (mut light, mut most) = (Vec::new(), 0.0f64);
    for (index, (stream, moments)) in streams.iter().zip(&found.streams).enumerate() {
        let (mean, covariance) = (moments.mean(), moments.covariance());
        let mut readers = Vec::new();
        let mut seen = DMatrix::zeros(stream.channels, stream.channels);
        for unit in &stream.readers {
            let reader = Affine::read(unit, weights)?;
            seen += reader.matrix.tr_mul(&reader.matrix);
            readers.push((unit, reader));
        }
        let basis = Basis::of(&covariance, &seen, stream.channels - stream.free)?;
        most = most.max(basis.given_up);
        for (unit, reader) in readers {
            read_in(&basis, stream, &mean, &reader).write(unit, weights)?;
        }
        let first = if index == 0 { Some(in_basis(&basis, &found.light)) } else { None };
        for (turn, unit) in stream.writers.iter().enumerate() {
            let writer = Affine::read(unit, weights)?;
            let mut written = write_in(&basis, stream, &mean, &writer, turn == 0);
            if let (Some(first), 0) = (&first, turn) {
                // The first free channel carries the brightness from where the stream begins.
                let kept = written.matrix.rows(stream.free, first.len()).into_owned();
                let offset = written.offset.rows(stream.free, first.len()).dot(first);
                written.matrix.set_row(0, &first.tr_mul(&kept));
                written.offset[0] = offset;
            }
            written.write(unit, weights)?;
        }
        if let Some(first) = first {
            light = vec![0.0; stream.free].into_iter().chain(first.iter().copied()).collect();
        }
    }
    Ok((light, most))
}

/// The kept coordinates `to · (x - mean)`, and the way back `x - mean ≈ back · z`.
struct Basis {
    to: DMatrix<f64>,
    back: DMatrix<f64>,
    given_up: f64,
}

impl Basis {
    fn of(covariance: &DMatrix<f64>, seen: &DMatrix<f64>, kept: usize) -> Result<Self> {
        let SymmetricEigen { eigenvectors: axes, eigenvalues: variances } = eigen(covariance.clone())?;
        let least = (variances.max() * LEAST_VARIANCE).max(f64::MIN_POSITIVE);
        let spread = variances.map(|variance| variance.max(least).sqrt());
        let root = &axes * DMatrix::from_diagonal(&spread) * axes.transpose();
        let inverse = &axes * DMatrix::from_diagonal(&spread.map(|s| 1.0 / s)) * axes.transpose();
        let SymmetricEigen { eigenvectors, eigenvalues } = eigen(&root * seen * &root)?;
        let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
        order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
        let strongest: Vec<_> = order[..kept].iter().map(|k| eigenvectors.column(*k).into_owned()).collect();
        let strongest = DMatrix::from_columns(&strongest);
        let lost: f64 = order[kept..].iter().map(|k| eigenvalues[*k].max(0.0)).sum();
        let all: f64 = eigenvalues.iter().map(|value| value.max(0.0)).sum();
        Ok(Self {
            to: strongest.tr_mul(&inverse),
            back: root * strongest,
            given_up: if all > 0.0 { lost / all } else { 0.0 },
        })
    }
}

/// Eigenvectors and eigenvalues of a symmetric matrix.
fn eigen(matrix: DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>> {
    let is_finite = matrix.iter().all(|value| value.is_finite());
    let found = if is_finite { SymmetricEigen::try_new(matrix, f64::EPSILON, MOST_TURNS) } else { None };
    match found {
        Some(found) => Ok(found),
        None => candle_core::bail!("the features of the start weights are no numbers; give others"),
    }
}

/// A reader of the new channels: the free ones at zero.
fn read_in(basis: &Basis, stream: &Stream, mean: &DVector<f64>, reader: &Affine) -> Affine {
    let mut matrix = DMatrix::zeros(reader.matrix.nrows(), stream.channels);
    matrix.columns_mut(stream.free, basis.back.ncols()).copy_from(&(&reader.matrix * &basis.back));
    Affine { matrix, offset: &reader.offset + &reader.matrix * mean }
}

/// A writer of the new channels; the first of a stream takes the mean away.
fn write_in(basis: &Basis, stream: &Stream, mean: &DVector<f64>, writer: &Affine, is_first: bool) -> Affine {
    let kept = &basis.to * &writer.matrix;
    let offset = if is_first { &writer.offset - mean } else { writer.offset.clone() };
    let kept_offset = &basis.to * offset;
    let mut matrix = DMatrix::zeros(stream.channels, writer.matrix.ncols());
    let mut all_offset = DVector::zeros(stream.channels);
    let copies = (stream.free - stream.circuit).min(kept.nrows());
    for (place, source) in
        (stream.circuit..stream.circuit + copies).zip(0..).chain((stream.free..).zip(0..kept.nrows()))
    {
        matrix.set_row(place, &kept.row(source));
        all_offset[place] = kept_offset[source];
    }
    Affine { matrix, offset: all_offset }
}

/// The brightness in the kept coordinates, at variance 1.
fn in_basis(basis: &Basis, light: &Light) -> DVector<f64> {
    basis.back.tr_mul(&light.weights) / light.spread.max(1e-12)
}
