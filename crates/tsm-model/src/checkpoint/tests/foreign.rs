//! Made files in every naming, and what may not be said of them.

use super::made::{self, Tensors};
use crate::checkpoint::{Checkpoint, Origin, SpecOverrides};
use crate::shift::{ShiftKind, ShiftPlace};
use crate::spec::Backbone;

fn open(name: &str, tensors: &Tensors, overrides: &SpecOverrides) -> Result<Checkpoint, String> {
    let bytes = made::as_safetensors(tensors, None);
    Checkpoint::from_bytes(name, &bytes, overrides).map_err(|error| error.to_string())
}

fn opened(tensors: &Tensors) -> Checkpoint {
    open("m.pth", tensors, &SpecOverrides::default()).unwrap()
}

fn refusal(name: &str, tensors: &Tensors) -> String {
    open(name, tensors, &SpecOverrides::default()).unwrap_err()
}

/// Torchvision's `MobileNetV2` names in MIT's numbering.
fn mit_layout(name: &str) -> String {
    let name = name.replace("classifier.1.", "classifier.");
    let parts: Vec<&str> = name.split('.').collect();
    let rename = |block: &str, at: &str, field: &str| format!("features.{block}.conv.{at}.{field}");
    match parts.as_slice() {
        ["features", block, "conv", "0", at, field] => rename(block, at, field),
        ["features", "1", "conv", "1", field] => rename("1", "3", field),
        ["features", "1", "conv", "2", field] => rename("1", "4", field),
        ["features", block, "conv", "1", "0", field] => rename(block, "3", field),
        ["features", block, "conv", "1", "1", field] => rename(block, "4", field),
        ["features", block, "conv", "2", field] => rename(block, "6", field),
        ["features", block, "conv", "3", field] => rename(block, "7", field),
        _ => name,
    }
}

fn assert_same(model: &Checkpoint, tensors: &Tensors) {
    assert!(model.weights.names().eq(tensors.keys()));
    for (name, (_, values)) in tensors {
        let held: Vec<f32> = model.weights.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(&held, values, "{name}");
    }
}

#[test]
fn every_naming_leads_to_the_same_weights() {
    let tensors = made::tiny();
    let online = made::renamed(tensors.clone(), mit_layout);
    let offline = made::renamed(online.clone(), |name| {
        format!("module.{}", format!("base_model.{name}").replace("base_model.classifier", "new_fc"))
    });
    let shifted = made::renamed(offline.clone(), |name| {
        let blocks = ["3", "5", "6", "8", "9", "10", "12", "13", "15", "16"];
        let is_shifted = blocks.iter().any(|b| name.contains(&format!("features.{b}.conv.0.")));
        if is_shifted { name.replace("conv.0.", "conv.0.net.") } else { name.to_owned() }
    });
    for (file, origin, kind) in [
        (&tensors, Origin::Torchvision, ShiftKind::None),
        (&online, Origin::MitOnline, ShiftKind::Causal),
        (&offline, Origin::MitOffline, ShiftKind::None),
        (&shifted, Origin::MitOffline, ShiftKind::Mit),
    ] {
        let model = opened(file);
        assert_same(&model, &tensors);
        assert_eq!((model.origin, model.spec.shift.kind), (origin, kind));
        assert_eq!(model.spec.shift.blocks.len(), if kind == ShiftKind::None { 0 } else { 10 });
    }
}

#[test]
fn widths_are_found_by_their_shapes() {
    for width in [0.35, 0.75, 1.0, 1.4, 0.95] {
        let model = opened(&made::network(Backbone::MobilenetV2, width, 2));
        let same = crate::Architecture::of(&model.spec)
            == crate::Architecture::of(&crate::ModelSpec { width, ..model.spec.clone() });
        assert!(same, "{width} was taken for {}", model.spec.width);
    }
}

#[test]
fn an_imagenet_start_in_mits_layout_is_not_taken_for_an_online_network() {
    let start = made::renamed(made::network(Backbone::MobilenetV2, 0.05, 1000), mit_layout);
    assert_eq!(opened(&start).spec.shift.kind, ShiftKind::None);
}

fn block_wrapped(name: &str) -> String {
    let name = name.replace("fc.", "new_fc.");
    match name.splitn(3, '.').collect::<Vec<_>>().as_slice() {
        [layer, index, rest] if layer.starts_with("layer") => format!("{layer}.{index}.net.{rest}"),
        _ => name,
    }
}

#[test]
fn resnets_say_block_or_blockres_and_nothing_in_between() {
    let plain = made::network(Backbone::Resnet18, 1.0, 2);
    let mut block = made::renamed(plain.clone(), block_wrapped);
    let model = opened(&block);
    assert_eq!((model.spec.shift.kind, model.spec.shift.place), (ShiftKind::Mit, ShiftPlace::Block));
    assert_same(&model, &plain);

    let named = "TSM_ucf_RGB_resnet18_shift8_blockres_avg_segment8_e50.pth";
    let line = refusal(named, &plain);
    assert!(line.contains("no tensor's name has the shift's `.net`; pass --shift mit"), "{line}");
    let flags = SpecOverrides { shift: Some(ShiftKind::Mit), ..SpecOverrides::default() };
    assert_eq!(open(named, &plain, &flags).unwrap().spec.shift.blocks.len(), 8);

    let wrapped: Vec<String> =
        block.keys().filter(|name| name.starts_with("layer2.1.net.")).cloned().collect();
    for name in wrapped {
        let tensor = block.remove(&name).unwrap();
        block.insert(name.replace(".net.", "."), tensor);
    }
    let line = refusal("m.pth", &block);
    assert!(
        line.contains("`layer2.1` is not shifted by its tensors' names (`.net`), but is in MIT's code"),
        "{line}"
    );
}

#[test]
fn a_foreign_file_tells_a_two_way_shift_by_its_tensors_alone() {
    let folder = tempfile::tempdir().unwrap();
    let plain = made::network(Backbone::Resnet18, 1.0, 2);
    let told = |name: &str, tensors: &Tensors| {
        let path = folder.path().join(name);
        std::fs::write(&path, made::as_safetensors(tensors, None)).unwrap();
        Checkpoint::told_shift(&path).unwrap()
    };
    assert_eq!(told("m.pth", &plain), None);
    assert_eq!(told("m.pth", &made::renamed(plain.clone(), block_wrapped)), Some(ShiftKind::Mit));
    let named = "TSM_ucf_RGB_resnet18_shift8_blockres_avg_segment8_e50.pth";
    assert_eq!(told(named, &plain), None, "such a network may have learned either way");
}

fn replaced(name: &str, shape: &[usize]) -> Tensors {
    let mut tensors = made::tiny();
    tensors.insert(name.to_owned(), (shape.to_vec(), vec![0.5; shape.iter().product()]));
    tensors
}

#[test]
fn what_is_not_run_is_named() {
    for (name, shape, says) in [
        ("features.0.0.weight", &[8usize, 10, 3, 3][..], "takes 10 channels (10: optical flow)"),
        ("cls_head.fc_cls.weight", &[3, 8], "MMAction2"),
        ("module.base_model.layer2.0.nl.theta.weight", &[1], "non-local"),
        ("module.base_model.layer2.net.0.conv1.weight", &[1], "temporal pooling"),
        ("new_fc.weight", &[3, 1280], "are the same tensor of the network; remove one"),
    ] {
        let line = refusal("m.pth", &replaced(name, shape));
        assert!(line.contains(says) && !line.contains('\n'), "{line}");
    }
    let flow = "TSM_kinetics_Flow_mobilenetv2_shift8_blockres_avg_segment8_e50.pth";
    assert!(refusal(flow, &made::tiny()).contains("optical flow"));
}

#[test]
fn counters_are_ignored_and_a_missing_head_is_said() {
    let mut tensors = replaced("features.0.1.num_batches_tracked", &[1]);
    assert!(opened(&tensors).weights.get("features.0.1.num_batches_tracked").is_none());
    tensors.remove("classifier.1.weight");
    assert!(refusal("m.pth", &tensors).contains("it has no linear layer"));
}
