//! Window and confirmation as a person sees them, and a model whose numbers overflow.

use std::path::Path;

use tsm_tests::program::run;
use tsm_tests::shared;

#[test]
fn window_and_confirmation_of_one_show_the_raw_class() {
    let clip = shared::clip("asl-walk.mkv");
    let finished =
        run(&["live", clip.to_str().unwrap(), "--format", "jsonl", "--window", "1", "--confirm", "1"]);
    let frames = finished.frames();
    assert!(frames.len() > 30, "{}", finished.stderr);
    for line in frames {
        assert_eq!(line["class"], line["raw_class"]);
        assert_eq!(line["confidence"], line["raw_confidence"]);
    }
}

#[test]
fn a_long_confirmation_holds_the_first_label() {
    let clip = shared::clip("asl-walk.mkv");
    let finished =
        run(&["live", clip.to_str().unwrap(), "--format", "jsonl", "--window", "1", "--confirm", "99"]);
    let frames = finished.frames();
    assert!(frames.iter().all(|line| line["label"] == frames[0]["label"]));
    assert!(frames.iter().any(|line| line["raw_label"] != frames[0]["raw_label"]), "the clip never changes");
}

/// The built-in model in single precision, a tensor of it filled with `value`.
fn model_with(folder: &Path, tensor: &str, value: f32) -> String {
    let source = shared::workspace().join("crates/tsm-cli/models/actions.safetensors");
    let model = folder.join("model.safetensors").to_str().unwrap().to_owned();
    assert_eq!(run(&["convert", source.to_str().unwrap(), &model]).code(), 0);
    let mut bytes = std::fs::read(&model).unwrap();
    let (length, rest) = bytes.split_first_chunk_mut::<8>().unwrap();
    let (header, data) = rest.split_at_mut(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let offset = |at: usize| usize::try_from(header[tensor]["data_offsets"][at].as_u64().unwrap()).unwrap();
    for element in data[offset(0)..offset(1)].chunks_exact_mut(4) {
        element.copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(&model, bytes).unwrap();
    model
}

#[test]
fn outputs_that_are_no_numbers_are_no_label() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with(folder.path(), "classifier.1.weight", 3e38);
    let clip = shared::clip("asl-walk.mkv");
    for command in ["live", "infer"] {
        for format in ["jsonl", "text"] {
            let arguments = [command, clip.to_str().unwrap(), "--model", &model, "--format", format];
            let finished = run(&arguments);
            finished.assert_bad_input("asl-walk.mkv: the model's outputs are no numbers");
            assert_eq!(finished.stdout, "", "{command}: a label is told");
        }
    }
    let list = folder.path().join("list.txt");
    std::fs::write(&list, format!("{} 0\n", clip.display())).unwrap();
    let finished = run(&["eval", "--list", list.to_str().unwrap(), "--model", &model]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("1 of 1 clips have outputs that are no numbers"), "{}", finished.stderr);
}

#[test]
fn a_frame_without_numbers_costs_its_label_and_not_the_run() {
    let folder = tempfile::tempdir().unwrap();
    // Motion is unknown on the first frame behind a fresh start, so that this one has numbers.
    let model = model_with(folder.path(), "motion.weight", 3e38);
    let clip = shared::clip("asl-walk.mkv");
    let finished = run(&["live", clip.to_str().unwrap(), "--model", &model, "--format", "jsonl"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let frames = finished.frames();
    assert!(frames.len() > 2 && frames.iter().all(|line| line["state_age"] == 1), "{frames:?}");
    let numbered = frames.iter().zip(0..).all(|(line, number)| line["frame"] == number);
    assert!(numbered, "labelled frames are counted, and no others: {frames:?}");
    assert_eq!(finished.stderr.matches("outputs are no numbers").count(), 1, "{}", finished.stderr);
}
