//! The own format: a `.safetensors` whose metadata has one key, `tsm`, with a JSON [`ModelSpec`].
//!
//! ```text
//! u64 length │ {"__metadata__": {"tsm": "{…ModelSpec…}"}, "layer1.0.conv1.weight": …} │ numbers
//! ```
//!
//! Written to a file beside the target first, then renamed: a cut-off write leaves the old model.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::content::OWN_KEY;
use super::error::{CheckpointError, Fault, first_line, shown};
use super::raw::RawTensors;
use super::{Checkpoint, Origin, SpecOverrides, Storage, fit, spec_check};
use crate::architecture::{Architecture, ParameterShape};
use crate::atomic_file;
use crate::shift::{ShiftKind, ShiftSpec};
use crate::spec::{ModelSpec, SPEC_VERSION};

/// Makes a model of a file in the own format.
pub(super) fn open(
    path: &Path,
    description: &str,
    tensors: RawTensors<'_>,
    overrides: &SpecOverrides,
) -> Result<Checkpoint, CheckpointError> {
    let mut spec = parse(path, description)?;
    check(path, &spec)?;
    apply(path, &mut spec, overrides)?;
    check(path, &spec)?;
    let named = |(name, raw): (String, _)| (name.clone(), (name, raw));
    let tensors: BTreeMap<_, _> = tensors.tensors.into_iter().map(named).collect();
    check_rows(path, &spec, &tensors)?;
    let weights = fit::load(path, &spec, tensors)?;
    Ok(Checkpoint { spec, weights, origin: Origin::Own })
}

/// The shift that the description tells.
pub(super) fn told_shift(path: &Path, description: &str) -> Result<ShiftKind, CheckpointError> {
    Ok(parse(path, description)?.shift.kind)
}

fn check(path: &Path, spec: &ModelSpec) -> Result<(), CheckpointError> {
    spec_check::check(spec).map_err(|what| Fault::BadSpec(what).at(path))
}

/// The version first: a newer description may have fields that we do not understand.
fn parse(path: &Path, description: &str) -> Result<ModelSpec, CheckpointError> {
    let wrong = |error: serde_json::Error| Fault::BadSpec(shown(&error.to_string())).at(path);
    let value: serde_json::Value = serde_json::from_str(description).map_err(wrong)?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    match version {
        Some(known) if known == u64::from(SPEC_VERSION) => serde_json::from_value(value).map_err(wrong),
        Some(found) if found > u64::from(SPEC_VERSION) => {
            Err(CheckpointError::NewerVersion { path: path.to_owned(), found })
        }
        _ => Err(Fault::BadSpec(format!("`version` is missing or below {SPEC_VERSION}")).at(path)),
    }
}

fn apply(path: &Path, spec: &mut ModelSpec, overrides: &SpecOverrides) -> Result<(), CheckpointError> {
    if let Some(flag) = overrides.backbone
        && flag != spec.backbone
    {
        let text = format!("--backbone says {flag}, but the file is a {}; drop the flag", spec.backbone);
        return Err(Fault::Contradiction(text).at(path));
    }
    if let Some(names) = &overrides.classes {
        if names.len() != spec.classes.len() {
            let (names, classes) = (names.len(), spec.classes.len());
            return Err(Fault::LabelCount { names, classes }.at(path));
        }
        spec.classes.clone_from(names);
    }
    let old = &spec.shift;
    let kind = overrides.shift.unwrap_or(old.kind);
    let place = overrides.place.unwrap_or(old.place);
    let div = overrides.shift_div.unwrap_or(old.div);
    let segments = overrides.segments.unwrap_or(old.segments);
    let mut shift = ShiftSpec::new(kind, place, div, segments, spec.backbone);
    // The file's own list of blocks stays where it still means the same.
    if kind != ShiftKind::None && old.kind != ShiftKind::None && place == old.place {
        shift.blocks.clone_from(&old.blocks);
    }
    spec.shift = shift;
    Ok(())
}

/// A linear layer of other rows than there are classes is said in these words.
fn check_rows<T>(
    path: &Path,
    spec: &ModelSpec,
    tensors: &BTreeMap<String, (T, super::raw::RawTensor<'_>)>,
) -> Result<(), CheckpointError> {
    let weight = format!("{}.weight", Architecture::of(spec).linear);
    match tensors.get(&weight).map(|(_, raw)| raw.shape()) {
        Some([rows, _]) if *rows != spec.classes.len() => {
            let text = format!("it names {} classes, but `{weight}` has {rows} rows", spec.classes.len());
            Err(Fault::BadSpec(text).at(path))
        }
        _ => Ok(()),
    }
}

/// Writes a model.
pub(super) fn save(model: &Checkpoint, path: &Path, storage: Storage) -> Result<(), CheckpointError> {
    check(path, &model.spec)?;
    let parameters = Architecture::of(&model.spec).parameters();
    let known = |name: &str| parameters.iter().any(|p| p.name == name);
    if let Some(extra) = model.weights.names().find(|name| !known(name)) {
        let (path, tensor) = (path.to_owned(), shown(extra));
        return Err(CheckpointError::UnknownTensor { path, tensor, backbone: model.spec.backbone });
    }
    let encode = |p: &ParameterShape| encode(model, path, p, storage);
    let encoded: Vec<Encoded> = parameters.iter().map(encode).collect::<Result<_, _>>()?;
    let failed = |what: String| Fault::BadSpec(what).at(path);
    let description = serde_json::to_string(&model.spec).map_err(|error| failed(error.to_string()))?;
    let metadata = HashMap::from([(OWN_KEY.to_owned(), description)]);
    let mut views = Vec::with_capacity(encoded.len());
    for (parameter, (dtype, bytes)) in parameters.iter().zip(&encoded) {
        let view = TensorView::new(*dtype, parameter.shape.clone(), bytes);
        views.push((parameter.name.as_str(), view.map_err(|error| failed(first_line(&error)))?));
    }
    let file = safetensors::serialize(views, Some(metadata)).map_err(|error| failed(first_line(&error)))?;
    atomic_file::replace(path, &file)
        .map_err(|source| CheckpointError::Write { path: path.to_owned(), source })
}

type Encoded = (Dtype, Vec<u8>);

fn encode(
    model: &Checkpoint,
    path: &Path,
    needed: &ParameterShape,
    storage: Storage,
) -> Result<Encoded, CheckpointError> {
    let (path, backbone) = (path.to_owned(), model.spec.backbone);
    let (tensor, shape) = (needed.name.clone(), needed.shape.clone());
    let Some(held) = model.weights.get(&tensor) else {
        return Err(CheckpointError::MissingTensor { path, tensor, needed: shape, backbone });
    };
    if held.dims() != shape {
        let found = held.dims().to_vec();
        return Err(CheckpointError::Shape { path, tensor, found, needed: shape, backbone });
    }
    let is_half = storage == Storage::F16 && shape.len() > 1;
    let encoded =
        values(held).map_err(|error| format!("cannot be read: {}", first_line(&error))).and_then(|values| {
            fit::check_values(&tensor, &values)?;
            if !is_half {
                return Ok((Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
            }
            if let Some(at) = values.iter().position(|v| !f16::from_f32(*v).is_finite()) {
                let value = values[at];
                return Err(format!(
                    "holds {value} at element {at}, beyond f16; store it as f32 (--storage f32)"
                ));
            }
            Ok((Dtype::F16, values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()))
        });
    encoded.map_err(|what| CheckpointError::BadValues { path, tensor, what })
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
