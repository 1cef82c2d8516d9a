//! The recorded outputs are what the reference says today.
//!
//! `TSM_UPDATE_GOLDEN=1 cargo test --workspace --test recorded` writes them anew; the difference is then to be read.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::{Backbone, DType, Device, ExecutorChoice, Model};
use tsm_selftest::golden::{BUILT_IN, Recorded, SEED, SIZE_PX, record, recorded};
use tsm_selftest::made_up;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn reference(checkpoint: &Checkpoint) -> Model {
    Model::load_with(checkpoint, Device::Cpu, DType::F32, ExecutorChoice::Candle).unwrap()
}

fn recorded_now() -> Vec<Recorded> {
    let mut all: Vec<Recorded> = [Backbone::MobilenetV2, Backbone::Resnet50]
        .into_iter()
        .map(|backbone| {
            let checkpoint = made_up::checkpoint(backbone, SIZE_PX, SEED).unwrap();
            record(&mut reference(&checkpoint), backbone.name()).unwrap()
        })
        .collect();
    let file = crates().join("tsm-cli/models/actions.safetensors");
    let built_in = Checkpoint::open(&file, &SpecOverrides::default()).unwrap();
    all.push(record(&mut reference(&built_in), BUILT_IN).unwrap());
    all
}

#[test]
fn recorded_outputs_are_those_of_the_reference() {
    let now = recorded_now();
    if std::env::var_os("TSM_UPDATE_GOLDEN").is_some() {
        let text: Vec<String> = now.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
        let file = crates().join("tsm-selftest/golden/recorded.json");
        std::fs::write(file, format!("[\n{}\n]\n", text.join(",\n"))).unwrap();
        return;
    }
    let recorded = recorded().unwrap();
    assert_eq!(recorded.len(), now.len());
    for (recorded, now) in recorded.iter().zip(&now) {
        assert_eq!(recorded.network, now.network);
        let largest = recorded.logits.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        assert!(largest > 0.0 && recorded.logits.len() == now.logits.len());
        for (a, b) in recorded.logits.iter().zip(&now.logits) {
            assert!((a - b).abs() <= 1e-5 * largest, "{}: {a} recorded, {b} now", now.network);
        }
        assert_eq!(recorded.states.len(), now.states.len());
        for ([sum, size], [sum_now, size_now]) in recorded.states.iter().zip(&now.states) {
            assert!((sum - sum_now).abs() <= 1e-5 * size && (size - size_now).abs() <= 1e-5 * size);
        }
    }
}
