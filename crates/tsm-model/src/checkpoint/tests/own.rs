//! The own format: written, read again, and refused where it does not hold together.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::made;
use crate::checkpoint::{Checkpoint, Origin, SpecOverrides, Storage};
use crate::shift::{ShiftKind, ShiftPlace};
use crate::spec::{Backbone, DecisionSpec, ModelSpec, MotionFeatures};

fn model() -> Checkpoint {
    let bytes = made::as_safetensors(&made::tiny(), None);
    let overrides = SpecOverrides { shift: Some(ShiftKind::Causal), ..SpecOverrides::default() };
    let mut model = Checkpoint::from_bytes("tiny.safetensors", &bytes, &overrides).unwrap();
    model.spec.classes = ["run", "jump", "pour \"tea\"\n"].map(str::to_owned).into();
    model.spec.temperature = 1.25;
    model.spec.decision = DecisionSpec { window: Some(5), confirm: None };
    model
}

fn elements(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.weights.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn saved_and_opened(model: &Checkpoint, storage: Storage) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    model.save(&path, storage).unwrap();
    model.save(&path, storage).unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "a partial file stayed");
    Checkpoint::open(&path, &SpecOverrides::default()).unwrap()
}

#[test]
fn what_is_saved_is_loaded_again() {
    let model = model();
    let loaded = saved_and_opened(&model, Storage::F32);
    assert_eq!((&loaded.spec, loaded.origin), (&model.spec, Origin::Own));
    assert!(loaded.weights.names().eq(model.weights.names()));
    for name in model.weights.names() {
        assert_eq!(elements(&loaded, name), elements(&model, name), "{name}");
    }
}

#[test]
fn a_layer_on_motion_is_described_saved_and_missed() {
    let mut model = model();
    model.spec.motion_features = MotionFeatures::Flow;
    let folder = tempfile::tempdir().unwrap();
    let error = model.save(&folder.path().join("m"), Storage::F32).unwrap_err().to_string();
    assert!(error.contains("motion.weight"), "{error}");
    let shape = (3, MotionFeatures::Flow.count());
    let weight = Tensor::full(0.5f32, shape, &Device::Cpu).unwrap().contiguous().unwrap();
    model.weights.insert("motion.weight", weight);
    let loaded = saved_and_opened(&model, Storage::F16);
    assert_eq!(loaded.spec, model.spec);
    assert_eq!(elements(&loaded, "motion.weight"), elements(&model, "motion.weight"));
    model.spec.motion_features = MotionFeatures::None;
    let error = model.save(&folder.path().join("m"), Storage::F32).unwrap_err().to_string();
    assert!(error.contains("motion.weight"), "what nobody reads is not written: {error}");
}

#[test]
fn a_model_may_be_written_over_a_model_or_nothing_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    model().save(&path("m.safetensors"), Storage::F32).unwrap();
    assert_eq!(Checkpoint::told_shift(&path("m.safetensors")).unwrap(), Some(ShiftKind::Causal));
    std::fs::write(path("foreign.safetensors"), made::as_safetensors(&made::tiny(), None)).unwrap();
    std::fs::write(path("empty"), b"").unwrap();
    for free in ["m.safetensors", "foreign.safetensors", "empty", "absent", "."] {
        Checkpoint::check_target(&path(free)).unwrap();
    }
    let whole = std::fs::read(path("m.safetensors")).unwrap();
    std::fs::write(path("cut.safetensors"), &whole[..whole.len() - 1]).unwrap();
    std::fs::write(path("clip.mp4"), b"\0\0\0\x20ftypisom").unwrap();
    std::fs::write(path("notes.txt"), b"what I know").unwrap();
    std::fs::write(path("ckpt.pth"), made::as_zip(&made::tiny())).unwrap();
    for taken in ["cut.safetensors", "clip.mp4", "notes.txt", "ckpt.pth"] {
        let line = Checkpoint::check_target(&path(taken)).unwrap_err().to_string();
        assert!(
            line.contains(taken) && line.ends_with("not written over; remove it or name another file"),
            "{line}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_written_through_and_what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [file, link] = ["m.safetensors", "link.safetensors"].map(|name| folder.path().join(name));
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    model().save(&link, Storage::F32).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(Checkpoint::open(&file, &SpecOverrides::default()).is_ok());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (target, needle) in [(socket.as_path(), "pipe or a device"), (folder.path(), "folder")] {
        let error = model().save(target, Storage::F32).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "a partial file stayed");
}

#[test]
fn half_precision_rounds_weights_and_keeps_vectors() {
    let model = model();
    let loaded = saved_and_opened(&model, Storage::F16);
    for (name, tensor) in model.weights.iter() {
        let (a, b) = (elements(&model, name), elements(&loaded, name));
        let bound = if tensor.dims().len() > 1 { 2f32.powi(-11) } else { 0.0 };
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= bound * a.abs()), "{name}");
    }
}

#[test]
fn flags_change_an_own_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    model().save(&path, Storage::F32).unwrap();
    let open =
        |overrides: SpecOverrides| Checkpoint::open(&path, &overrides).map_err(|error| error.to_string());
    let none = SpecOverrides::default;
    let spec = open(SpecOverrides { shift: Some(ShiftKind::None), ..none() }).unwrap().spec;
    assert!(spec.shift.blocks.is_empty());
    let spec =
        open(SpecOverrides { place: Some(ShiftPlace::Block), segments: Some(4), ..none() }).unwrap().spec;
    assert_eq!(
        (spec.shift.kind, spec.shift.place, spec.shift.segments),
        (ShiftKind::Causal, ShiftPlace::Block, 4)
    );
    let line = open(SpecOverrides { backbone: Some(Backbone::Resnet18), ..none() }).unwrap_err();
    assert!(line.contains("--backbone says resnet18, but the file is a mobilenetv2"), "{line}");
    let line = open(SpecOverrides { classes: Some(vec![String::new(); 4]), ..none() }).unwrap_err();
    assert!(line.contains("4 labels do not fit 3 classes"), "{line}");
}

#[test]
fn a_model_that_does_not_hold_together_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let refused = |change: &dyn Fn(&mut Checkpoint), says: &str| {
        let mut model = model();
        change(&mut model);
        let line = model.save(&path, Storage::F16).unwrap_err().to_string();
        assert!(line.contains(says) && !line.contains('\n'), "{line}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    };
    refused(
        &|m| drop(m.weights.remove("features.0.0.weight")),
        "`features.0.0.weight` [8, 3, 3, 3] is missing",
    );
    refused(&|m| m.spec.classes.truncate(2), "`classifier.1.weight` is [3, 1280]");
    refused(&|m| m.spec.input.size_px = 225, "size_px is 225");
    refused(&|m| m.spec.shift.blocks.swap(0, 1), "out of order");
    let scaled = |m: &mut Checkpoint, factor: f64| {
        let weight = m.weights.get("features.0.0.weight").unwrap().affine(factor, 0.0).unwrap();
        m.weights.insert("features.0.0.weight", weight);
    };
    refused(&|m| scaled(m, 1e6), "beyond f16; store it as f32");
    refused(&|m| scaled(m, f64::NAN), "holds NaN");
    let line = model().save(&folder.path().join("none/m.safetensors"), Storage::F32).unwrap_err().to_string();
    assert!(line.ends_with("m.safetensors: its folder does not exist; make it first"), "{line}");
}

fn described(change: impl Fn(&mut serde_json::Value)) -> String {
    let mut value = serde_json::to_value(model().spec).unwrap();
    change(&mut value);
    let bytes = made::as_safetensors(&made::tiny(), Some(&value.to_string()));
    Checkpoint::from_bytes("m.safetensors", &bytes, &SpecOverrides::default()).unwrap_err().to_string()
}

#[test]
fn a_description_that_does_not_hold_is_refused() {
    let newer = described(|v| v["version"] = 2.into());
    assert!(newer.contains("has version 2, this program reads up to 1; update the program"), "{newer}");
    for (line, says) in [
        (described(|v| v["version"] = 0.into()), "`version` is missing or below 1"),
        (described(|v| v["version"] = "1".into()), "`version` is missing"),
        (described(|v| v["backbone"] = "vgg".into()), "unknown variant `vgg`"),
        (described(|v| v["shift"]["div"] = 0.into()), "shift_div is 0"),
        (described(|v| v["shift"]["segments"] = 0.into()), "segments is 0"),
        (described(|v| v["shift"]["blocks"][0] = "layer1.0".into()), "shifted block `layer1.0`"),
        (described(|v| v["width"] = 1e300.into()), "width is 1000"),
        (described(|v| v["input"]["std"][1] = 0.into()), "std is"),
        (described(|v| v["input"]["short_side_px"] = 10.into()), "short_side_px is 10"),
        (described(|v| v["temperature"] = (-1).into()), "temperature is -1"),
        (described(|v| v["sampling"]["frame_interval_millis"] = 0.into()), "frame_interval_millis is 0"),
        (described(|v| v["decision"]["window"] = 0.into()), "decision.window is 0"),
        (described(|v| v["classes"] = Vec::<String>::new().into()), "it has no classes"),
        (
            described(|v| v["classes"] = vec!["a"].into()),
            "it names 1 classes, but `classifier.1.weight` has 3 rows",
        ),
        (described(|v| v["width"] = 1.0.into()), "but mobilenetv2 needs"),
        (described(|v| *v = "text".into()), "`version` is missing"),
    ] {
        assert!(line.starts_with("m.safetensors: ") && line.contains(says) && !line.contains('\n'), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_changed_byte_gives_a_model_or_a_line(at in 0usize..60_000, byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let description = serde_json::to_string(&ModelSpec { width: 0.05, ..ModelSpec::new(Backbone::MobilenetV2, 3) }).unwrap();
        let mut bytes = made::as_safetensors(&made::tiny(), Some(&description));
        bytes[at] = byte;
        drop(Checkpoint::from_bytes("m", &bytes, &SpecOverrides::default()));
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Checkpoint::from_bytes("m", &bytes, &SpecOverrides::default()).is_err());
    }
}
