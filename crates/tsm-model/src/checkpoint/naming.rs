//! Foreign names to torchvision's, and what the names themselves tell about the shift.
//!
//! ```text
//! module.base_model.layer1.0.conv1.net.weight ─ mit.rs ─► layer1.0.conv1.weight   (shifted, blockres)
//! features.3.conv.3.weight (MIT's layout) ──── mit.rs ─► features.3.conv.1.0.weight
//! new_fc.weight, classifier.weight, … ───────── here ──► {linear}.weight
//! ```
//!
//! Another naming scheme is another file beside `mit.rs`, tried in [`translate`].

pub(super) mod file_name;
mod mit;

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Fault, shown};
use super::raw::RawTensor;
use crate::shift::ShiftPlace;

/// What stands for the linear layer until the network is known.
pub(super) const HEAD: &str = "<head>";

/// Names under which the linear layer is found.
const HEADS: [&str; 4] = ["new_fc", "fc", "classifier", "classifier.1"];

/// The tensors of a foreign file by torchvision's names, and what the old names told.
#[derive(Debug)]
pub(super) struct Translated<'a> {
    /// By torchvision's name (the linear layer under [`HEAD`]): the name in the file, the tensor.
    pub(super) tensors: BTreeMap<String, (String, RawTensor<'a>)>,
    /// Blocks whose wrapper (`.net`) says that they are shifted.
    pub(super) wrapped: BTreeSet<String>,
    /// What the wrappers say about the place.
    pub(super) place: Option<ShiftPlace>,
    /// Whether `base_model.` stood before the names: MIT's training code.
    pub(super) has_base_model: bool,
    /// Whether `MobileNetV2`'s blocks are numbered as in MIT's code.
    pub(super) has_mit_layout: bool,
}

/// Translates every name.
///
/// # Errors
/// `Unsupported` for other systems' schemes, `Contradiction` where two tensors get one name.
pub(super) fn translate(tensors: Vec<(String, RawTensor<'_>)>) -> Result<Translated<'_>, Fault> {
    refuse_other_systems(&tensors)?;
    let has_mit_layout = tensors.iter().any(|(name, _)| mit::is_mit_layout(name));
    let mut result = Translated {
        tensors: BTreeMap::new(),
        wrapped: BTreeSet::new(),
        place: None,
        has_base_model: false,
        has_mit_layout,
    };
    for (name, tensor) in tensors {
        // A counter of batch norm; no weight is a whole number.
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let bare = mit::without_wrapper(&name)?;
        result.has_base_model |= bare.has_base_model;
        if let Some((block, place)) = bare.shifted {
            if result.place.is_some_and(|known| known != place) {
                let text = format!("`{}` is wrapped otherwise than the blocks before it", shown(&name));
                return Err(Fault::Contradiction(text));
            }
            result.place = Some(place);
            result.wrapped.insert(block);
        }
        let canonical = if has_mit_layout { mit::torchvision_name(&bare.name) } else { bare.name };
        let canonical = head_name(&canonical).unwrap_or(canonical);
        if let Some((other, _)) = result.tensors.get(&canonical) {
            let text =
                format!("`{}` and `{}` are the same tensor of the network", shown(other), shown(&name));
            return Err(Fault::Contradiction(format!("{text}; remove one of them")));
        }
        result.tensors.insert(canonical, (name, tensor));
    }
    Ok(result)
}

/// `<head>.weight` for `fc.weight` and its like.
fn head_name(name: &str) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    HEADS.contains(&layer).then(|| format!("{HEAD}.{field}"))
}

/// Schemes that we know by sight but do not read.
fn refuse_other_systems(tensors: &[(String, RawTensor<'_>)]) -> Result<(), Fault> {
    /// Found in a name with a dot before it.
    const SIGHTS: [(&str, &str); 7] = [
        (".cls_head.", "a checkpoint of MMAction2"),
        (".backbone.", "a checkpoint of MMAction2 or PaddleVideo"),
        (".bn_conv1_scale", "a checkpoint of Paddle 1.x"),
        (".nl.", "a network with non-local blocks"),
        (".conv1_7x7_s2", "a BNInception network"),
        (".inception_3a", "a BNInception network"),
        ("_packed_params", "an 8-bit network"),
    ];
    for (name, _) in tensors {
        let dotted = format!(".{name}");
        if let Some((_, system)) = SIGHTS.iter().find(|(sight, _)| dotted.contains(sight)) {
            let read = "read are ResNet and MobileNetV2 of MIT's code and torchvision";
            return Err(Fault::Unsupported(format!("{system} (`{}`); {read}", shown(name))));
        }
    }
    Ok(())
}
