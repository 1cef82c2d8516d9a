//! Files that the reference code wrote, and torchvision's weights.

use std::io::Read;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::Architecture;
use crate::checkpoint::{Checkpoint, CheckpointError, Origin, SpecOverrides, content};
use crate::shift::{ShiftKind, ShiftPlace, ShiftSpec};
use crate::spec::{Backbone, SamplingKind};

const RESNET: &str = "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50";
const MOBILENET: &str = "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense.pth";

/// The shared data, or `None` where this checkout has none.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("TSM_REQUIRE_SHARED").is_none_or(|v| v != "1"), "{} is missing", path.display());
    skipped(&path);
    None
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(path: &Path) {
    eprintln!("skipped: {} is missing", path.display());
}

/// A packed golden file.
fn golden(name: &str) -> Option<Vec<u8>> {
    let packed = std::fs::File::open(shared(&format!("golden/{name}.xz"))?).unwrap();
    let mut bytes = Vec::new();
    xz2::read::XzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn open(name: &str, overrides: &SpecOverrides) -> Option<Result<Checkpoint, CheckpointError>> {
    Some(Checkpoint::from_bytes(name, &golden(name)?, overrides))
}

fn elements(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.weights.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_equal(a: &Checkpoint, b: &Checkpoint) {
    assert!(a.weights.names().eq(b.weights.names()));
    for name in a.weights.names() {
        assert_eq!(a.weights.get(name).unwrap().dims(), b.weights.get(name).unwrap().dims(), "{name}");
        assert!(elements(a, name) == elements(b, name), "{name} differs");
    }
}

#[test]
fn both_forms_of_mits_resnet_are_the_same_model() {
    let (Some(bytes), Some(legacy)) =
        (golden(&format!("{RESNET}.pth")), golden(&format!("{RESNET}.legacy.pth")))
    else {
        return;
    };
    let overrides = SpecOverrides::default();
    let zip = Checkpoint::from_bytes(&format!("{RESNET}.pth"), &bytes, &overrides).unwrap();
    let legacy = Checkpoint::from_bytes(&format!("{RESNET}.legacy.pth"), &legacy, &overrides).unwrap();
    assert_equal(&zip, &legacy);
    let spec = &zip.spec;
    assert_eq!(
        (zip.origin, spec.backbone, spec.classes.len()),
        (Origin::MitOffline, Backbone::Resnet50, 400)
    );
    assert_eq!(spec.shift, ShiftSpec::new(ShiftKind::Mit, ShiftPlace::Blockres, 8, 8, Backbone::Resnet50));
    assert_eq!(spec.sampling.kind, SamplingKind::Uniform);
    assert_eq!(spec.provenance["source"], format!("{RESNET}.pth (MIT offline, torch zip)"));
    assert_eq!(legacy.spec.provenance["source"], format!("{RESNET}.legacy.pth (MIT offline, torch legacy)"));
    assert_eq!(spec.provenance["data"], "kinetics");
    assert_eq!(zip.weights.len(), Architecture::of(spec).parameters().len());
    contradicting_flags_are_refused(&bytes);
}

/// With the 98 MB at hand: what names and flags may not say of them.
fn contradicting_flags_are_refused(bytes: &[u8]) {
    let refused = |name: &str, overrides: SpecOverrides, says: &str| {
        let line = Checkpoint::from_bytes(name, bytes, &overrides).unwrap_err().to_string();
        assert!(line.starts_with(name) && line.contains(says) && !line.contains('\n'), "{line}");
    };
    let none = SpecOverrides::default;
    refused(
        "x.pth",
        SpecOverrides { backbone: Some(Backbone::Resnet34), ..none() },
        "the tensors are a resnet50",
    );
    refused(
        "x.pth",
        SpecOverrides { place: Some(ShiftPlace::Block), ..none() },
        "say blockres; drop the flag",
    );
    refused("x.pth", SpecOverrides { shift_div: Some(1), ..none() }, "shift_div is 1");
    refused("x.pth", SpecOverrides { segments: Some(0), ..none() }, "segments is 0");
    refused(
        "x.pth",
        SpecOverrides { classes: Some(vec!["a".to_owned()]), ..none() },
        "1 labels do not fit 400 classes",
    );
    refused("TSM_k_RGB_resnet101_shift8_blockres_avg_segment8_e5.pth", none(), "pass --backbone resnet50");
    refused("TSM_k_RGB_resnet50_shift8_block_avg_segment8_e5.pth", none(), "pass --place blockres");
    refused("TSM_k_RGB_resnet50_avg_segment8_e5.pth", none(), "nothing of a shift");
}

#[test]
fn mits_mobilenet_is_read_and_flags_go_first() {
    let Some(model) = open(MOBILENET, &SpecOverrides::default()) else { return };
    let model = model.unwrap();
    assert_eq!(
        (model.spec.backbone, model.spec.width, model.spec.classes.len()),
        (Backbone::MobilenetV2, 1.0, 400)
    );
    assert_eq!(
        model.spec.shift,
        ShiftSpec::new(ShiftKind::Mit, ShiftPlace::Blockres, 8, 8, Backbone::MobilenetV2)
    );
    assert_eq!(model.spec.sampling.kind, SamplingKind::Dense);
    let overrides = SpecOverrides {
        shift: Some(ShiftKind::Causal),
        shift_div: Some(4),
        segments: Some(16),
        classes: Some((0..400).map(|i| format!("class {i}")).collect()),
        ..SpecOverrides::default()
    };
    let spec = open(MOBILENET, &overrides).unwrap().unwrap().spec;
    let blocks = model.spec.shift.blocks;
    let expected =
        ShiftSpec { kind: ShiftKind::Causal, place: ShiftPlace::Blockres, div: 4, segments: 16, blocks };
    assert_eq!((spec.shift, spec.classes[399].as_str()), (expected, "class 399"));
}

#[test]
fn mits_online_network_is_causal_in_both_forms() {
    let Some(legacy) = open("mit-online-mobilenetv2.pth.tar", &SpecOverrides::default()) else { return };
    let legacy = legacy.unwrap();
    let zip = open("mit-online-mobilenetv2.zip.pth.tar", &SpecOverrides::default()).unwrap().unwrap();
    assert_equal(&legacy, &zip);
    assert_eq!((zip.origin, zip.spec.classes.len()), (Origin::MitOnline, 27));
    assert_eq!(zip.spec.shift, ShiftSpec::causal(Backbone::MobilenetV2));
}

#[test]
fn a_start_for_training_keeps_its_linear_layer_in_the_base_model() {
    let Some(model) = open("mit-train-start-resnet18.pth", &SpecOverrides::default()) else { return };
    let model = model.unwrap();
    assert_eq!((model.spec.backbone, model.spec.classes.len()), (Backbone::Resnet18, 27));
    assert_eq!(model.weights.get("fc.weight").unwrap().dims(), [27, 512]);
    assert_eq!(model.spec.shift.kind, ShiftKind::Mit);
}

#[test]
fn torchvisions_mobilenet_has_no_shift_until_the_flag_says_so() {
    let Some(path) = shared("weights/mobilenetv2-imagenet.safetensors") else { return };
    let model = Checkpoint::open(&path, &SpecOverrides::default()).unwrap();
    assert_eq!((model.origin, model.spec.classes.len()), (Origin::Torchvision, 1000));
    assert_eq!((model.spec.width, model.spec.shift.kind), (1.0, ShiftKind::None));
    assert!(model.spec.shift.blocks.is_empty());
    let overrides = SpecOverrides { shift: Some(ShiftKind::Causal), ..SpecOverrides::default() };
    let causal = Checkpoint::open(&path, &overrides).unwrap();
    assert_eq!(causal.spec.shift, ShiftSpec::causal(Backbone::MobilenetV2));
    assert_equal(&model, &causal);
}

#[test]
fn vectors_and_paddle_files_are_refused_in_one_line() {
    let Some(path) = shared("golden/frames.safetensors") else { return };
    let line = Checkpoint::open(&path, &SpecOverrides::default()).unwrap_err().to_string();
    assert!(line.contains("is not a model: its tensors (`frames_u8`"), "{line}");
    for name in ["paddle-tsm-v18-static.pdparams", "paddlevideo-tsm.pdparams"] {
        let line = open(name, &SpecOverrides::default()).unwrap().unwrap_err().to_string();
        let says = format!("{name}: not supported: a checkpoint of PaddlePaddle (");
        assert!(line.starts_with(&says) && !line.contains('\n'), "{line}");
    }
}

#[test]
fn changed_and_cut_golden_files_never_panic() {
    for name in ["mit-online-mobilenetv2.pth.tar", "mit-online-mobilenetv2.zip.pth.tar"] {
        let Some(bytes) = golden(name) else { return };
        let len = bytes.len();
        // Both ends hold the structure (pickles, central directory); the middle is numbers.
        let place = prop_oneof![0..60_000usize, len - 40_000..len, 0..len];
        let strategy = (prop::collection::vec((place.clone(), any::<u8>()), 1..6), prop::option::of(place));
        proptest!(ProptestConfig::with_cases(150), |((flips, cut) in strategy)| {
            let mut changed = bytes.clone();
            for (at, byte) in flips {
                changed[at] = byte;
            }
            changed.truncate(cut.unwrap_or(len));
            drop(content::parse(&changed));
            if let Err(error) = Checkpoint::from_bytes(name, &changed, &SpecOverrides::default()) {
                let line = error.to_string();
                prop_assert!(line.starts_with(name) && !line.contains('\n'), "{:?}", line);
            }
        });
    }
}
