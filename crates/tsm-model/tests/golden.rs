//! Values that the reference code gave (`../shared/golden`), and torchvision's for the ImageNet weights.

use std::fs::File;
use std::path::{Path, PathBuf};

use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::verify::{Vectors, verify_with};
use tsm_model::{Device, ExecutorChoice};

/// The folder of reference data; none, said loudly, where this is not the project's own machine.
fn shared(part: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("TSM_REQUIRE_SHARED").is_none(), "{} is missing", folder.display());
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: {} is missing", folder.display());
    }
    None
}

/// Unpacks a checkpoint under its own name, which says what it is.
fn unpacked(packed: &Path, folder: &Path) -> PathBuf {
    let path = folder.join(packed.file_stem().unwrap());
    let mut reader = xz2::read::XzDecoder::new(File::open(packed).unwrap());
    std::io::copy(&mut reader, &mut File::create(&path).unwrap()).unwrap();
    path
}

/// The largest difference to the reference, all rows and states, of whichever executor is further off.
fn largest_difference(checkpoint: &str, vectors: &str, expect: Option<&str>) -> Option<f64> {
    let golden = shared("golden")?;
    let folder = tempfile::tempdir().unwrap();
    let path = unpacked(&golden.join(checkpoint), folder.path());
    let checkpoint = Checkpoint::open(&path, &SpecOverrides::default()).unwrap();
    let vectors = Vectors::open(&[golden.join("frames.safetensors"), golden.join(vectors)]).unwrap();
    let both = [ExecutorChoice::default(), ExecutorChoice::Candle].map(|choice| {
        let rows = verify_with(checkpoint.clone(), Device::Cpu, choice, &vectors, expect).unwrap();
        rows.iter().map(|row| row.largest).fold(0.0, f64::max)
    });
    Some(both[0].max(both[1]))
}

/// Golden logits differ from an independent implementation by up to 5e-5; 1e-3 is what they allow.
#[track_caller]
fn assert_golden(checkpoint: &str, vectors: &str, expect: Option<&str>) {
    if let Some(largest) = largest_difference(checkpoint, vectors, expect) {
        assert!(largest <= 1e-3, "{checkpoint}: {largest} off");
    }
}

#[test]
fn mits_online_network_gives_the_reference_logits_and_states() {
    assert_golden("mit-online-mobilenetv2.pth.tar.xz", "mit-online-mobilenetv2.safetensors", None);
    assert_golden("mit-online-mobilenetv2.zip.pth.tar.xz", "mit-online-mobilenetv2.safetensors", None);
}

#[test]
fn forgetting_the_state_is_not_the_reference() {
    let file = "mit-online-mobilenetv2";
    let off = largest_difference(
        &format!("{file}.pth.tar.xz"),
        &format!("{file}.safetensors"),
        Some("logits_stateless"),
    );
    assert!(off.is_none_or(|off| off > 1.0), "{off:?}");
}

#[test]
fn mits_offline_resnet50_gives_the_reference_logits() {
    let name = "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50";
    assert_golden(&format!("{name}.pth.xz"), &format!("{name}.safetensors"), None);
    assert_golden(&format!("{name}.pth.xz"), &format!("{name}.safetensors"), Some("logits_per_frame"));
}

#[test]
fn mits_offline_mobilenetv2_gives_the_reference_logits() {
    let name = "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense";
    assert_golden(&format!("{name}.pth.xz"), &format!("{name}.safetensors"), None);
}

#[test]
fn the_imagenet_backbone_gives_torchvisions_logits() {
    let Some(weights) = shared("weights") else { return };
    let path = weights.join("mobilenetv2-imagenet.safetensors");
    let checkpoint = Checkpoint::open(&path, &SpecOverrides::default()).unwrap();
    let check =
        candle_core::safetensors::load(weights.join("mobilenetv2-imagenet-check.safetensors"), &Device::Cpu);
    let check = check.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let renamed = folder.path().join("check.safetensors");
    let tensors =
        [("frames_u8", "frames_u8_nhwc"), ("logits", "logits")].map(|(to, from)| (to, check[from].clone()));
    candle_core::safetensors::save(&std::collections::HashMap::from(tensors), &renamed).unwrap();
    let vectors = Vectors::open(&[renamed]).unwrap();
    for choice in [ExecutorChoice::default(), ExecutorChoice::Candle] {
        let rows = verify_with(checkpoint.clone(), Device::Cpu, choice, &vectors, None).unwrap();
        let largest = rows.iter().map(|row| row.largest).fold(0.0, f64::max);
        assert!(rows.len() == 4 && largest <= 1e-3, "{choice:?}: {largest} off");
    }
}
