//! Batch norm folded into the convolution before it: what every executor starts from.
//!
//! ```text
//! norm(conv(x)) = weight · scale * x + (bias - mean · scale),   scale = weight / sqrt(var + eps)
//! ```

use candle_core::{DType, Result, Tensor};

use crate::architecture::ConvUnit;
use crate::checkpoint::Weights;

/// Torch's default, which all reference checkpoints were trained with.
const BATCH_NORM_EPS: f64 = 1e-5;

/// A layer's weight and bias on the CPU.
#[derive(Debug)]
pub(crate) struct Folded {
    /// As the layer's, `[out, in / groups, k, k]` or `[out, in]`.
    pub(crate) weight: Tensor,
    /// `[out]`.
    pub(crate) bias: Tensor,
}

impl Folded {
    /// A convolution with its batch norm, in f64.
    pub(crate) fn conv(weights: &Weights, unit: &ConvUnit) -> Result<Self> {
        let norm = |field: &str| tensor(weights, &format!("{}.{field}", unit.norm))?.to_dtype(DType::F64);
        let spread = (norm("running_var")? + BATCH_NORM_EPS)?.sqrt()?;
        let scale = (norm("weight")? / spread)?;
        let bias = (norm("bias")? - (norm("running_mean")? * &scale)?)?;
        let weight = tensor(weights, &format!("{}.weight", unit.conv))?.to_dtype(DType::F64)?;
        let weight = weight.broadcast_mul(&scale.reshape((unit.out_channels, 1, 1, 1))?)?;
        Ok(Self { weight, bias })
    }

    /// The linear layer of this name, in f32.
    pub(crate) fn linear(weights: &Weights, name: &str) -> Result<Self> {
        let weight = tensor(weights, &format!("{name}.weight"))?;
        Ok(Self { weight, bias: tensor(weights, &format!("{name}.bias"))? })
    }

    /// Weight and bias as plain numbers, row-major.
    pub(crate) fn into_vecs(self) -> Result<[Vec<f32>; 2]> {
        let plain = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
        Ok([plain(&self.weight)?, plain(&self.bias)?])
    }
}

fn tensor(weights: &Weights, name: &str) -> Result<Tensor> {
    match weights.get(name) {
        Some(tensor) => tensor.to_dtype(DType::F32),
        None => candle_core::bail!("tensor `{name}` is missing"),
    }
}
