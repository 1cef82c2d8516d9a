//! A 1x1 convolution with its batch norm as what it computes: `y = matrix · x + offset`.

use candle_core::{Device, Result, Tensor};
use nalgebra::{DMatrix, DVector};
use tsm_model::architecture::ConvUnit;
use tsm_model::checkpoint::Weights;

use crate::network::BATCH_NORM_EPS;

/// Matrix `[out, in]` and offset `[out]`.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub(super) matrix: DMatrix<f64>,
    pub(super) offset: DVector<f64>,
}

impl Affine {
    /// What `unit` computes with these weights.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub(super) fn read(unit: &ConvUnit, weights: &Weights) -> Result<Self> {
        let kernel = read(weights, &format!("{}.weight", unit.conv))?;
        let norm = |field: &str| read(weights, &format!("{}.{field}", unit.norm));
        let (gain, shift, mean, variance) =
            (norm("weight")?, norm("bias")?, norm("running_mean")?, norm("running_var")?);
        let mut matrix = DMatrix::from_row_iterator(unit.out_channels, unit.in_channels, kernel);
        let mut offset = DVector::from_vec(shift);
        for row in 0..unit.out_channels {
            let scale = gain[row] / (variance[row] + BATCH_NORM_EPS).sqrt();
            matrix.row_mut(row).scale_mut(scale);
            offset[row] -= mean[row] * scale;
        }
        Ok(Self { matrix, offset })
    }

    /// Writes it as the weights of `unit`, with a batch norm that adds the offset and does nothing else.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub(super) fn write(&self, unit: &ConvUnit, weights: &mut Weights) -> Result<()> {
        let rows = self.matrix.row_iter().flat_map(|row| row.iter().copied().collect::<Vec<_>>());
        put(weights, &format!("{}.weight", unit.conv), rows.collect(), &unit.weight_shape())?;
        let out = unit.out_channels;
        let norm = |field: &str| format!("{}.{field}", unit.norm);
        put(weights, &norm("weight"), vec![1.0; out], &[out])?;
        put(weights, &norm("bias"), self.offset.iter().copied().collect(), &[out])?;
        put(weights, &norm("running_mean"), vec![0.0; out], &[out])?;
        put(weights, &norm("running_var"), vec![1.0 - BATCH_NORM_EPS; out], &[out])
    }
}

/// Sets what single channels of `unit` compute: kernel `[in / groups, k, k]` and offset, without any scale.
///
/// # Errors
/// If a tensor is missing or of another shape.
pub(super) fn set_channels(
    unit: &ConvUnit,
    weights: &mut Weights,
    channels: &[(usize, Vec<f64>, f64)],
) -> Result<()> {
    let name = format!("{}.weight", unit.conv);
    let mut kernel = read(weights, &name)?;
    let per_channel = kernel.len() / unit.out_channels;
    for (channel, own, _) in channels {
        kernel[channel * per_channel..(channel + 1) * per_channel].copy_from_slice(own);
    }
    put(weights, &name, kernel, &unit.weight_shape())?;
    for (field, value) in [
        ("weight", Some(1.0)),
        ("bias", None),
        ("running_mean", Some(0.0)),
        ("running_var", Some(1.0 - BATCH_NORM_EPS)),
    ] {
        let name = format!("{}.{field}", unit.norm);
        let mut values = read(weights, &name)?;
        for (channel, _, offset) in channels {
            values[*channel] = value.unwrap_or(*offset);
        }
        put(weights, &name, values, &[unit.out_channels])?;
    }
    Ok(())
}

/// A tensor's values in double precision.
pub(super) fn read(weights: &Weights, name: &str) -> Result<Vec<f64>> {
    match weights.get(name) {
        Some(tensor) => Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect()),
        None => candle_core::bail!("tensor `{name}` is missing"),
    }
}

/// Puts values under a name, in single precision.
pub(super) fn put(weights: &mut Weights, name: &str, values: Vec<f64>, shape: &[usize]) -> Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    weights.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    Ok(())
}
