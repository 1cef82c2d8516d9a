//! Makes a model of a foreign file: the tensors tell the network, the names the shift, flags the rest.
//!
//! ```text
//! tensors ─ naming ─ recognise ─┐
//! file name ────────────────────┼─ settled or refused ─► ModelSpec ─ fit ─► Checkpoint
//! SpecOverrides (go first) ─────┘
//! ```

use std::path::Path;

use super::error::{CheckpointError, Fault};
use super::naming::file_name::{self, NameFacts};
use super::naming::{self, HEAD, Translated};
use super::raw::RawTensors;
use super::recognise::{self, Recognised};
use super::{Checkpoint, Origin, SpecOverrides, fit, spec_check};
use crate::architecture::{Architecture, default_shifted_blocks};
use crate::shift::{ShiftKind, ShiftPlace, ShiftSpec};
use crate::spec::{ModelSpec, SamplingKind};

/// Classes of `ImageNet`: a bare `MobileNetV2` of so many in MIT's layout is where training starts
/// from, not an online network.
const IMAGENET_CLASSES: usize = 1000;

/// The fold of MIT's checkpoints whose name does not say.
const MIT_SHIFT_DIV: usize = 8;

/// Segments of a model whose name does not say.
const USUAL_SEGMENTS: usize = 8;

/// Imports a foreign file.
pub(super) fn import(
    path: &Path,
    tensors: RawTensors<'_>,
    overrides: &SpecOverrides,
) -> Result<Checkpoint, CheckpointError> {
    let format = tensors.format;
    let (mut file, spec, origin) =
        settle(path, tensors, overrides, format).map_err(|fault| fault.at(path))?;
    let linear = Architecture::of(&spec).linear;
    for field in ["weight", "bias"] {
        if let Some(tensor) = file.tensors.remove(&format!("{HEAD}.{field}")) {
            file.tensors.insert(format!("{linear}.{field}"), tensor);
        }
    }
    let weights = fit::load(path, &spec, file.tensors)?;
    Ok(Checkpoint { spec, weights, origin })
}

/// The shift that MIT's wrappers tell; a file's name says that there is one, and not which way it looks.
pub(super) fn told_shift(tensors: RawTensors<'_>) -> Result<Option<ShiftKind>, Fault> {
    let is_wrapped = naming::translate(tensors.tensors)?.place.is_some();
    Ok(is_wrapped.then_some(ShiftKind::Mit))
}

fn settle<'a>(
    path: &Path,
    tensors: RawTensors<'a>,
    overrides: &SpecOverrides,
    format: &str,
) -> Result<(Translated<'a>, ModelSpec, Origin), Fault> {
    let facts = file_name::facts(path)?;
    let file = naming::translate(tensors.tensors)?;
    let network = recognise::recognise(&file)?;
    check_backbone(network, facts.as_ref(), overrides)?;
    let mut spec = ModelSpec { width: network.width, ..ModelSpec::new(network.backbone, 1) };
    let classes = recognise::classes(&file, Architecture::of(&spec).features)?;
    let origin = origin(&file, classes);
    spec.classes = match &overrides.classes {
        Some(names) if names.len() != classes => {
            return Err(Fault::LabelCount { names: names.len(), classes });
        }
        Some(names) => names.clone(),
        None => (0..classes).map(|class| class.to_string()).collect(),
    };
    spec.shift = shift(network, &file, origin, facts.as_ref(), overrides)?;
    let source = path.file_name().unwrap_or_default().to_string_lossy();
    spec.provenance.insert("source".to_owned(), format!("{source} ({origin}, {format})"));
    if let Some(facts) = facts {
        spec.sampling.kind = if facts.is_dense { SamplingKind::Dense } else { SamplingKind::Uniform };
        spec.provenance.insert("data".to_owned(), facts.dataset);
    }
    spec_check::check(&spec).map_err(Fault::BadSpec)?;
    Ok((file, spec, origin))
}

fn origin(file: &Translated<'_>, classes: usize) -> Origin {
    if file.has_base_model || file.place.is_some() {
        Origin::MitOffline
    } else if file.has_mit_layout && classes != IMAGENET_CLASSES {
        Origin::MitOnline
    } else {
        Origin::Torchvision
    }
}

fn check_backbone(
    network: Recognised,
    facts: Option<&NameFacts>,
    overrides: &SpecOverrides,
) -> Result<(), Fault> {
    let is = network.backbone;
    match (overrides.backbone, facts.map(|facts| facts.backbone)) {
        (Some(flag), _) if flag != is => Err(Fault::Contradiction(format!(
            "--backbone says {flag}, but the tensors are a {is}; drop the flag"
        ))),
        (None, Some(name)) if name != is => Err(Fault::Contradiction(format!(
            "the file name says {name}, but the tensors are a {is}; pass --backbone {is} or rename the file"
        ))),
        _ => Ok(()),
    }
}

fn shift(
    network: Recognised,
    file: &Translated<'_>,
    origin: Origin,
    facts: Option<&NameFacts>,
    overrides: &SpecOverrides,
) -> Result<ShiftSpec, Fault> {
    check_shift(file, facts, overrides)?;
    let named = facts.and_then(|facts| facts.shift);
    let kind = overrides.shift.unwrap_or(match (file.place, origin) {
        (Some(_), _) => ShiftKind::Mit,
        (None, Origin::MitOnline) => ShiftKind::Causal,
        (None, _) => ShiftKind::None,
    });
    let place =
        overrides.place.or(file.place).or(named.map(|(_, place)| place)).unwrap_or(ShiftPlace::Blockres);
    let div = overrides.shift_div.or(named.map(|(div, _)| div)).unwrap_or(MIT_SHIFT_DIV);
    let segments = overrides.segments.or(facts.and_then(|facts| facts.segments)).unwrap_or(USUAL_SEGMENTS);
    let mut shift = ShiftSpec::new(kind, place, div, segments, network.backbone);
    if file.place.is_some() {
        let expected = default_shifted_blocks(network.backbone, ShiftKind::Mit, place);
        check_wrapped(file, &expected)?;
        if kind != ShiftKind::None {
            // Whatever the order of the folds: these blocks were trained with a shift.
            shift.blocks = expected;
        }
    }
    Ok(shift)
}

/// The shift in the file name, the wrappers around tensors and the flags.
fn check_shift(
    file: &Translated<'_>,
    facts: Option<&NameFacts>,
    overrides: &SpecOverrides,
) -> Result<(), Fault> {
    let contradiction = |text: String| Err(Fault::Contradiction(text));
    if let (Some(flag), Some(place)) = (overrides.place, file.place)
        && flag != place
    {
        return contradiction(format!(
            "--place says {}, but the tensors' names (`.net`) say {}; drop the flag",
            place_name(flag),
            place_name(place)
        ));
    }
    match (facts.map(|facts| facts.shift), file.place) {
        (Some(Some((div, place))), None) if overrides.shift.is_none() => contradiction(format!(
            "the file name says shift{div}_{}, but no tensor's name has the shift's `.net`; pass --shift mit or causal \
             if it was trained so, else --shift none",
            place_name(place)
        )),
        (Some(None), Some(place)) if overrides.shift.is_none() => contradiction(format!(
            "the file name says nothing of a shift, but the tensors' names (`.net`) say {}; pass --shift mit or none",
            place_name(place)
        )),
        (Some(Some((_, name))), Some(place)) if name != place && overrides.place.is_none() => {
            contradiction(format!(
                "the file name says {}, but the tensors' names (`.net`) say {place}; pass --place {place}",
                place_name(name),
                place = place_name(place)
            ))
        }
        _ => Ok(()),
    }
}

/// The wrapped blocks must be those that MIT's code wraps.
fn check_wrapped(file: &Translated<'_>, expected: &[String]) -> Result<(), Fault> {
    let missing = expected.iter().find(|block| !file.wrapped.contains(*block));
    let extra = file.wrapped.iter().find(|block| !expected.contains(block));
    let (block, is, should) = match (missing, extra) {
        (Some(block), _) => (block, "not", "is"),
        (None, Some(block)) => (block, "", "is not"),
        (None, None) => return Ok(()),
    };
    let is = if is.is_empty() { "shifted" } else { "not shifted" };
    Err(Fault::Contradiction(format!(
        "`{block}` is {is} by its tensors' names (`.net`), but {should} in MIT's code; the file is of another system"
    )))
}

const fn place_name(place: ShiftPlace) -> &'static str {
    match place {
        ShiftPlace::Blockres => "blockres",
        ShiftPlace::Block => "block",
    }
}
