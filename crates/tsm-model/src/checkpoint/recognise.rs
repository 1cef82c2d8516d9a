//! Which network a set of tensors is: by the names of its layers and the shapes of its weights.
//!
//! ```text
//! layer{1..4}.{i}, conv3? ─► ResNet-18/34/50/101/152
//! features.N shapes ───────► MobileNetV2 and its width multiplier
//! ```

use super::error::{Fault, shown};
use super::naming::{HEAD, Translated};
use crate::architecture::Architecture;
use crate::spec::{Backbone, ModelSpec};

/// A network and its width multiplier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recognised {
    pub(super) backbone: Backbone,
    pub(super) width: f64,
}

/// The network that the tensors make, as far as their names and shapes tell; whether every tensor
/// is there and fits is checked afterwards.
pub(super) fn recognise(file: &Translated<'_>) -> Result<Recognised, Fault> {
    if let Some(shape) = shape(file, "conv1.weight").or_else(|| shape(file, "features.0.0.weight"))
        && shape.len() == 4
        && shape[1] != 3
    {
        let text =
            format!("its first convolution takes {} channels (10: optical flow), run are 3 (RGB)", shape[1]);
        return Err(Fault::Unsupported(text));
    }
    if file.tensors.keys().any(|name| name.starts_with("features.")) {
        return Ok(Recognised { backbone: Backbone::MobilenetV2, width: width(file) });
    }
    if file.tensors.keys().any(|name| name.starts_with("layer1.")) {
        return resnet(file).map(|backbone| Recognised { backbone, width: 1.0 });
    }
    let first = file.tensors.keys().next().map_or("", String::as_str);
    let text = format!(
        "its tensors (`{}`, …) make no ResNet and no MobileNetV2; pass a checkpoint of MIT's code or torchvision",
        shown(first)
    );
    Err(Fault::NotAModel(text))
}

fn shape<'f>(file: &'f Translated<'_>, name: &str) -> Option<&'f [usize]> {
    file.tensors.get(name).map(|(_, tensor)| tensor.shape())
}

fn resnet(file: &Translated<'_>) -> Result<Backbone, Fault> {
    let depths = [1, 2, 3, 4].map(|layer| {
        let prefix = format!("layer{layer}.");
        let index = |name: &String| name.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok();
        file.tensors.keys().filter_map(index).max().map_or(0, |last| last.saturating_add(1))
    });
    let has_bottlenecks = file.tensors.keys().any(|name| name.ends_with(".conv3.weight"));
    if let (Some([_, per_group, ..]), Some([_, width, ..])) = (
        shape(file, "layer1.0.conv2.weight"),
        shape(file, "layer1.0.bn2.weight").map(|s| [0, s[0]]).as_ref().map(<[_; 2]>::as_slice),
    ) && per_group * 2 <= *width
        && has_bottlenecks
    {
        return Err(Fault::Unsupported(
            "a ResNeXt (grouped 3x3 convolutions); run are the plain ResNets".to_owned(),
        ));
    }
    let found = Backbone::ALL.into_iter().find(|candidate| {
        let network = Architecture::of(&ModelSpec::new(*candidate, 1));
        let block = |layer: usize, index: usize| {
            let name = format!("layer{layer}.{index}");
            network.blocks.iter().find(|block| block.name == name)
        };
        let has_depths = (1..).zip(depths).all(|(layer, depth)| {
            depth > 0 && block(layer, depth - 1).is_some() && block(layer, depth).is_none()
        });
        has_depths && block(1, 0).is_some_and(|block| (block.convs.len() == 3) == has_bottlenecks)
    });
    found.ok_or_else(|| {
        let kind = if has_bottlenecks { "bottleneck" } else { "basic" };
        Fault::Unsupported(format!(
            "a ResNet of {depths:?} {kind} blocks; run are ResNet-18, 34, 50, 101 and 152"
        ))
    })
}

/// The multiplier whose network has most of the shapes. Several may have all: then the usual one.
fn width(file: &Translated<'_>) -> f64 {
    const USUAL: [f64; 6] = [1.0, 1.4, 0.75, 0.5, 0.35, 1.3];
    let steps = (1..=40u8).map(|step| f64::from(step) / 20.0);
    let mut best = (0, 1.0);
    for width in USUAL.into_iter().chain(steps) {
        let spec = ModelSpec { width, ..ModelSpec::new(Backbone::MobilenetV2, 1) };
        let agrees = |name: &str, needed: &[usize]| shape(file, name).is_some_and(|found| found == needed);
        let parameters = Architecture::of(&spec).parameters();
        let fitting = parameters.iter().filter(|p| agrees(&p.name, &p.shape)).count();
        if fitting > best.0 {
            best = (fitting, width);
        }
    }
    best.1
}

/// Rows of the linear layer, whose weight must be `[classes, features]`.
pub(super) fn classes(file: &Translated<'_>, features: usize) -> Result<usize, Fault> {
    let weight = format!("{HEAD}.weight");
    let Some((name, tensor)) = file.tensors.get(&weight) else {
        let text =
            "it has no linear layer (`new_fc`, `fc` or `classifier`): a backbone alone gives no labels";
        return Err(Fault::Unsupported(text.to_owned()));
    };
    match *tensor.shape() {
        [rows, columns] if rows > 0 && columns == features => Ok(rows),
        [0, _] => Err(Fault::Unsupported(format!(
            "`{}` has no rows, so the model has no classes; pass a checkpoint with its linear layer as it was trained",
            shown(name)
        ))),
        ref other => Err(Fault::Contradiction(format!(
            "`{}` is {other:?}, but the network needs [classes, {features}]; pass another --backbone or another model",
            shown(name)
        ))),
    }
}
