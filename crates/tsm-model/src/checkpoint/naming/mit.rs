//! MIT's names: prefixes of its wrappers, `.net` around what is shifted, its `MobileNetV2` numbering.
//!
//! ```text
//! blockres   layer1.0.conv1.net.weight      features.3.conv.0.net.weight
//! block      layer1.0.net.conv1.weight
//! t = 1      conv.{0,1}  depthwise + norm            conv.{3,4} project + norm
//! t = 6      conv.{0,1}  expand + norm   {3,4} depthwise + norm   {6,7} project + norm
//! ```

use super::{Fault, shown};
use crate::shift::ShiftPlace;

/// A name without wrappers, and what they told.
pub(super) struct Bare {
    pub(super) name: String,
    pub(super) has_base_model: bool,
    /// The block and the place of its shift.
    pub(super) shifted: Option<(String, ShiftPlace)>,
}

/// The name behind `module.` and `base_model.`.
pub(super) fn without_prefixes(name: &str) -> &str {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.strip_prefix("base_model.").unwrap_or(name)
}

/// Takes prefixes and the shift's wrapper off.
pub(super) fn without_wrapper(name: &str) -> Result<Bare, Fault> {
    let short = name.strip_prefix("module.").unwrap_or(name);
    let has_base_model = short.starts_with("base_model.");
    let short = without_prefixes(name);
    let parts: Vec<&str> = short.split('.').collect();
    let (kept, shifted): (Vec<&str>, _) = match parts.as_slice() {
        [layer, index, "conv1", "net", field] if layer.starts_with("layer") => {
            (vec![layer, index, "conv1", field], Some((format!("{layer}.{index}"), ShiftPlace::Blockres)))
        }
        [layer, index, "net", rest @ ..] if layer.starts_with("layer") && *index != "net" => {
            let kept = [layer, index].into_iter().chain(rest).copied().collect();
            (kept, Some((format!("{layer}.{index}"), ShiftPlace::Block)))
        }
        ["features", index, "conv", "0", "net", field] => (
            vec!["features", index, "conv", "0", field],
            Some((format!("features.{index}"), ShiftPlace::Blockres)),
        ),
        [layer, "net", ..] if layer.starts_with("layer") => {
            let text = format!("a network with temporal pooling (`{}`)", shown(name));
            return Err(Fault::Unsupported(format!(
                "{text}; its clips shrink in time, which is not run here"
            )));
        }
        other => (other.to_vec(), None),
    };
    Ok(Bare { name: kept.join("."), has_base_model, shifted })
}

/// Whether a name shows MIT's numbering: a convolution directly at `conv.0`.
pub(super) fn is_mit_layout(name: &str) -> bool {
    let parts: Vec<&str> = without_prefixes(name).split('.').filter(|part| *part != "net").collect();
    matches!(parts.as_slice(), ["features", _, "conv", "0", "weight"])
}

/// Torchvision's name for one of MIT's `MobileNetV2`; any other name stays.
pub(super) fn torchvision_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let ["features", block, "conv", at, field] = parts.as_slice() else {
        return name.to_owned();
    };
    // The first block does not expand, so it lacks the first pair.
    let place = match (*block, *at) {
        (_, "0") => "0.0",
        (_, "1") => "0.1",
        ("1", "3") => "1",
        (_, "3") => "1.0",
        ("1", "4") | (_, "6") => "2",
        (_, "4") => "1.1",
        (_, "7") => "3",
        _ => return name.to_owned(),
    };
    format!("features.{block}.conv.{place}.{field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(name: &str) -> (String, bool, Option<(String, ShiftPlace)>) {
        let bare = without_wrapper(name).unwrap();
        (bare.name, bare.has_base_model, bare.shifted)
    }

    #[test]
    fn wrappers_come_off_and_tell_block_and_place() {
        let blockres = |block: &str| Some((block.to_owned(), ShiftPlace::Blockres));
        assert_eq!(
            bare("module.base_model.layer1.0.conv1.net.weight"),
            ("layer1.0.conv1.weight".to_owned(), true, blockres("layer1.0"))
        );
        assert_eq!(
            bare("base_model.layer3.5.net.downsample.0.weight"),
            (
                "layer3.5.downsample.0.weight".to_owned(),
                true,
                Some(("layer3.5".to_owned(), ShiftPlace::Block))
            )
        );
        assert_eq!(
            bare("features.3.conv.0.net.weight"),
            ("features.3.conv.0.weight".to_owned(), false, blockres("features.3"))
        );
        assert_eq!(bare("module.new_fc.bias"), ("new_fc.bias".to_owned(), false, None));
        assert!(matches!(
            without_wrapper("module.base_model.layer2.net.0.conv1.weight"),
            Err(Fault::Unsupported(_))
        ));
    }

    #[test]
    fn mits_numbers_become_torchvisions() {
        for (mit, torchvision) in [
            ("features.1.conv.0.weight", "features.1.conv.0.0.weight"),
            ("features.1.conv.3.weight", "features.1.conv.1.weight"),
            ("features.1.conv.4.bias", "features.1.conv.2.bias"),
            ("features.3.conv.3.weight", "features.3.conv.1.0.weight"),
            ("features.3.conv.7.running_var", "features.3.conv.3.running_var"),
            ("features.0.1.bias", "features.0.1.bias"),
            ("features.18.0.weight", "features.18.0.weight"),
        ] {
            assert_eq!(torchvision_name(mit), torchvision);
        }
        assert!(is_mit_layout("module.base_model.features.3.conv.0.net.weight"));
        assert!(!is_mit_layout("features.3.conv.0.0.weight"));
    }
}
