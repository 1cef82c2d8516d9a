//! `convert`, `info` and `verify` on checkpoints of the reference systems.

use std::fs::File;
use std::path::{Path, PathBuf};

use tsm_tests::program::run;
use tsm_tests::shared;

fn unpacked(name: &str, folder: &Path) -> Option<PathBuf> {
    let packed = shared::shared(&format!("golden/{name}"))?;
    let path = folder.join(packed.file_stem().unwrap());
    let mut reader = xz2::read::XzDecoder::new(File::open(packed).unwrap());
    std::io::copy(&mut reader, &mut File::create(&path).unwrap()).unwrap();
    Some(path)
}

fn vectors(name: &str) -> Option<[String; 2]> {
    let path = |part: &str| shared::shared(&format!("golden/{part}")).map(|p| p.to_str().unwrap().to_owned());
    Some([path("frames.safetensors")?, path(name)?])
}

#[test]
fn a_converted_checkpoint_still_gives_the_reference_values() {
    let folder = tempfile::tempdir().unwrap();
    let Some(online) = unpacked("mit-online-mobilenetv2.pth.tar.xz", folder.path()) else { return };
    let [frames, logits] = vectors("mit-online-mobilenetv2.safetensors").unwrap();
    let converted = folder.path().join("online.safetensors");
    let labels = folder.path().join("labels.txt");
    std::fs::write(&labels, (0..27).map(|i| format!("gesture {i}")).collect::<Vec<_>>().join("\n")).unwrap();
    let [online, converted, labels] = [&online, &converted, &labels].map(|path| path.to_str().unwrap());
    let finished = run(&["convert", online, converted, "--labels", labels]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    for model in [online, converted] {
        let finished = run(&["verify", "--model", model, "--vectors", &frames, "--vectors", &logits]);
        assert_eq!(finished.code(), 0, "{} {}", finished.stdout, finished.stderr);
        // 16 rows, 10 states, the verdict.
        assert_eq!(finished.stdout.lines().count(), 27, "{}", finished.stdout);
    }
    let stateless = [
        "verify",
        "--model",
        online,
        "--vectors",
        &frames,
        "--vectors",
        &logits,
        "--expect",
        "logits_stateless",
    ];
    assert_eq!(run(&stateless).code(), 1);
    let info = run(&["info", converted, "--json"]).json_lines().remove(0);
    assert_eq!(info["state_bytes"], 108_192);
    assert_eq!(info["backbone"], "mobilenetv2");
    assert_eq!(info["shift"]["kind"], "causal");
    assert_eq!(info["classes"][26], "gesture 26");
}

#[test]
fn an_offline_checkpoint_is_verified_by_clips_and_refused_for_streams() {
    let folder = tempfile::tempdir().unwrap();
    let name = "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense";
    let Some(offline) = unpacked(&format!("{name}.pth.xz"), folder.path()) else { return };
    let offline = offline.to_str().unwrap();
    let [frames, logits] = vectors(&format!("{name}.safetensors")).unwrap();
    let finished = run(&["verify", "--model", offline, "--vectors", &frames, "--vectors", &logits]);
    assert_eq!(finished.code(), 0, "{} {}", finished.stdout, finished.stderr);
    let reversed =
        ["verify", "--model", offline, "--shift", "paddle", "--vectors", &frames, "--vectors", &logits];
    assert_eq!(run(&reversed).code(), 1, "the other fold order is another network");
    let clip = shared::clip("asl-walk.mkv");
    run(&["live", clip.to_str().unwrap(), "--model", offline])
        .assert_bad_input(&format!("{offline}: a two-way shift needs frames that are still to come"));
    let asked = ["live", clip.to_str().unwrap(), "--model", offline, "--shift", "causal", "--frames", "1"];
    let warned = run(&asked);
    assert_eq!(warned.code(), 0, "{}", warned.stderr);
    let told =
        "its weights learned with the shift mit, as the file says; with --shift causal labels may be wrong";
    assert_eq!(warned.stderr.lines().filter(|line| line.contains(told)).count(), 1, "{}", warned.stderr);
    let quiet = run(&[&asked[..], &["--quiet"]].concat());
    assert_eq!((quiet.code(), quiet.stderr.as_str()), (0, ""));
    // The weights are no vectors.
    let weights = folder.path().join("weights.safetensors");
    assert_eq!(run(&["convert", offline, weights.to_str().unwrap()]).code(), 0);
    let refused = run(&["verify", "--model", offline, "--vectors", weights.to_str().unwrap()]);
    refused.assert_bad_input("the vectors hold no `logits`, but ");
    assert!(refused.stderr.len() < 400, "{}", refused.stderr);
}

#[test]
fn the_doctor_looks_at_a_source() {
    let clip = shared::clip("asl-walk.mkv");
    let finished = run(&["doctor", clip.to_str().unwrap()]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    for needle in
        ["GStreamer  1.", "H.264", "cameras", "cpu", "gpu", "built-in model", "640x480", "30.0 frames/s"]
    {
        assert!(finished.stdout.contains(needle), "`{needle}` is not in {}", finished.stdout);
    }
}

#[test]
fn the_built_in_model_tells_what_it_is() {
    let info = run(&["info", "--json"]).json_lines().remove(0);
    assert_eq!((&info["parameters"], &info["multiply_adds"]), (&2_259_467.into(), &220_063_488.into()));
    let finished = run(&["live", shared::clip("asl-walk.mkv").to_str().unwrap(), "--frames", "1"]);
    assert!(finished.stderr.contains("knows 21 actions"), "{}", finished.stderr);
}
