//! Whether tensors are the network's: every one there, with its shape, sane numbers, nothing else.
//!
//! Only what has passed here is read into memory.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::error::{CheckpointError, first_line, shown};
use super::raw::RawTensor;
use super::weights::Weights;
use crate::architecture::Architecture;
use crate::spec::ModelSpec;

/// Reads the tensors that `spec` needs out of `tensors` (by torchvision's name: name in the file,
/// tensor).
///
/// # Errors
/// `MissingTensor`, `Shape`, `UnknownTensor`, `BadValues`, each naming the tensor.
pub(super) fn load(
    path: &Path,
    spec: &ModelSpec,
    mut tensors: BTreeMap<String, (String, RawTensor<'_>)>,
) -> Result<Weights, CheckpointError> {
    let parameters = Architecture::of(spec).parameters();
    let backbone = spec.backbone;
    for needed in &parameters {
        let (path, tensor, needed) = (path.to_owned(), needed.name.clone(), needed.shape.clone());
        match tensors.get(&tensor) {
            None => return Err(CheckpointError::MissingTensor { path, tensor, needed, backbone }),
            Some((name, raw)) if raw.shape() != needed => {
                let (tensor, found) = (shown(name), raw.shape().to_vec());
                return Err(CheckpointError::Shape { path, tensor, found, needed, backbone });
            }
            Some(_) => {}
        }
    }
    let mut weights = Weights::new();
    for needed in parameters {
        let bad =
            |what| CheckpointError::BadValues { path: path.to_owned(), tensor: needed.name.clone(), what };
        let Some((_, raw)) = tensors.remove(&needed.name) else { continue };
        let values = raw
            .read()
            .ok_or_else(|| bad("holds whole numbers, not floats; pass another model".to_owned()))?;
        check_values(&needed.name, &values).map_err(bad)?;
        let tensor = Tensor::from_vec(values, needed.shape.as_slice(), &Device::Cpu);
        let tensor = tensor.map_err(|error| bad(format!("cannot be held: {}", first_line(&error))))?;
        weights.insert(needed.name, tensor);
    }
    if let Some((_, (name, _))) = tensors.into_iter().find(|(_, (_, raw))| !raw.is_whole()) {
        let (path, tensor) = (path.to_owned(), shown(&name));
        return Err(CheckpointError::UnknownTensor { path, tensor, backbone });
    }
    Ok(weights)
}

/// Finite everywhere; a variance is not negative.
pub(super) fn check_values(name: &str, values: &[f32]) -> Result<(), String> {
    const REMEDY: &str = "pass a checkpoint from before the training went wrong";
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("holds {} at element {at}; {REMEDY}", values[at]));
    }
    if name.ends_with(".running_var")
        && let Some(at) = values.iter().position(|value| *value < 0.0)
    {
        return Err(format!("holds the negative variance {} at element {at}; {REMEDY}", values[at]));
    }
    Ok(())
}
