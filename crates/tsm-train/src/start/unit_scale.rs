//! Brings every convolution to one scale before training, without changing what the network computes.
//!
//! ```text
//!   w, mean, variance ─► w / s, mean / s, 1     with s = sqrt(variance + eps), a channel each
//!   norm((w / s) x) = norm(w x)                 the batch norm divides by what is left of s
//! ```
//!
//! Weights that had their batch norm multiplied out (quantised and exported networks) carry every channel's scale
//! in the convolution: a rate that suits one layer is far too high for the next. After this each convolution's
//! output has the variance 1 that a network trained with live batch norm has about. Channels that never fire keep
//! their variance of nearly nothing, divided by `sqrt(eps)` at most.

use candle_core::{Result, Tensor};
use tsm_model::Architecture;
use tsm_model::architecture::ConvUnit;
use tsm_model::checkpoint::Weights;

use crate::network::BATCH_NORM_EPS;

/// Rescales every convolution of `network` in `weights`; one whose tensors are missing is left alone.
///
/// # Errors
/// Shapes that are not the network's.
pub(super) fn rescale(network: &Architecture, weights: &mut Weights) -> Result<()> {
    for unit in network.convs() {
        rescale_unit(unit, weights)?;
    }
    Ok(())
}

fn rescale_unit(unit: &ConvUnit, weights: &mut Weights) -> Result<()> {
    let [kernel, mean, variance] = [
        format!("{}.weight", unit.conv),
        format!("{}.running_mean", unit.norm),
        format!("{}.running_var", unit.norm),
    ];
    let found = (weights.get(&kernel), weights.get(&mean), weights.get(&variance));
    let (Some(w), Some(m), Some(v)) = found else { return Ok(()) };
    let spread = (v + BATCH_NORM_EPS)?.sqrt()?;
    let scaled_kernel = w.broadcast_div(&spread.reshape((unit.out_channels, 1, 1, 1))?)?;
    let scaled_mean = (m / &spread)?;
    let left = (Tensor::ones_like(v)? - BATCH_NORM_EPS)?;
    weights.insert(kernel, scaled_kernel);
    weights.insert(mean, scaled_mean);
    weights.insert(variance, left);
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::recipe::{Preset, Recipe};
    use crate::start::Start;

    /// What convolution and batch norm multiply an input by and add to it.
    fn folded(weights: &Weights, unit: &ConvUnit) -> (Vec<f32>, Vec<f32>) {
        let norm = |field: &str| weights.get(&format!("{}.{field}", unit.norm)).unwrap();
        let scale =
            (norm("weight") / (norm("running_var") + BATCH_NORM_EPS).unwrap().sqrt().unwrap()).unwrap();
        let add = (norm("bias") - (norm("running_mean") * &scale).unwrap()).unwrap();
        let kernel = weights.get(&format!("{}.weight", unit.conv)).unwrap();
        let kernel = kernel.broadcast_mul(&scale.reshape((unit.out_channels, 1, 1, 1)).unwrap()).unwrap();
        (kernel.flatten_all().unwrap().to_vec1().unwrap(), add.to_vec1().unwrap())
    }

    #[test]
    fn the_function_is_the_same_and_every_variance_is_one() {
        let recipe = Recipe { width: 0.25, size: 32, from_scratch: true, ..Preset::Few.recipe() };
        let start = Start::of(&recipe, &["a".to_owned(), "b".to_owned()], None).unwrap();
        let network = Architecture::of(&start.spec);
        let mut before = start.weights;
        for unit in network.convs() {
            // From a channel that never fires to one far too loud.
            let spread: Vec<f32> = (0..unit.out_channels).map(|c| [0.0, 1e-4, 0.3, 40.0][c % 4]).collect();
            let mean: Vec<f32> = (0..unit.out_channels).map(|c| [0.0, -2.0, 5.0][c % 3]).collect();
            let tensor =
                |values: Vec<f32>| Tensor::from_vec(values, unit.out_channels, &Device::Cpu).unwrap();
            before.insert(format!("{}.running_var", unit.norm), tensor(spread));
            before.insert(format!("{}.running_mean", unit.norm), tensor(mean));
        }
        let mut after = before.clone();
        rescale(&network, &mut after).unwrap();
        for unit in network.convs() {
            let ((w, b), (w2, b2)) = (folded(&before, unit), folded(&after, unit));
            for (one, other) in w.iter().chain(&b).zip(w2.iter().chain(&b2)) {
                assert!(
                    (one - other).abs() <= 1e-4 * (1.0 + one.abs()),
                    "{}: {one} became {other}",
                    unit.conv
                );
            }
            let variance = after.get(&format!("{}.running_var", unit.norm)).unwrap();
            assert!(variance.to_vec1::<f32>().unwrap().iter().all(|v| (v - 1.0).abs() < 1e-4));
        }
    }
}
