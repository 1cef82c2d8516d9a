//! A run that must learn: windows sliding over real frames, which only the order of the frames tells apart.
//!
//! The clips of `left` and `right` hold the same pictures, as do those of `up` and `down` and of `zoom_in` and
//! `zoom_out`, so a network without a shift cannot pass half.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::{MotionFeatures, ShiftKind};
use tsm_train::clip_store::ClipStore;
use tsm_train::dataset;
use tsm_train::dataset::groups::GroupRule;
use tsm_train::optimiser::Method;
use tsm_train::progress::Silent;
use tsm_train::recipe::{Preset, Recipe};
use tsm_train::sides::{Division, Sides, divide};
use tsm_train::start::Start;
use tsm_train::teacher::Teachers;
use tsm_train::trainer::{Job, RunFolder, train};

use crate::shared;

#[path = "../examples/time_tasks/tasks.rs"]
mod tasks;

/// Writes a task made of every `stride`-th real clip into `folder`.
fn made(task: tasks::Task, stride: usize, folder: &Path) -> Option<()> {
    let shared = shared::folder("data/jhmdb-train")?;
    tsm_ingest::init().unwrap();
    let mut dataset = dataset::read(&shared, None).unwrap().dataset;
    GroupRule::FileNames.apply(&mut dataset).unwrap();
    dataset.clips = dataset.clips.into_iter().step_by(stride).collect();
    tasks::write(task, &dataset, folder).unwrap();
    Some(())
}

/// Validation top-1 after a short run from the shipped weights.
fn learned(slides: &Path, output: &Path, shift: ShiftKind, motion_features: MotionFeatures) -> f64 {
    let recipe = Recipe {
        shift,
        motion_features,
        // Circuits where the network is to see motion by itself.
        motion_start: motion_features == MotionFeatures::None,
        shift_ramp_epochs: 0.0,
        size: 64,
        epochs: 1,
        optimiser: Method::Adamw,
        lr: 1e-4,
        head_lr: 1.0,
        frozen_blocks: 14,
        mixup: 0.0,
        ..Preset::Few.recipe()
    };
    let rule = GroupRule::Table(slides.join("groups.csv"));
    let sides = divide(slides, None, &rule, &Division::Part(0.3), 1).unwrap();
    let Sides { dataset, train: learned, validation, .. } = sides;
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tsm-cli/models/actions.safetensors");
    let shipped = Checkpoint::open(&model, &SpecOverrides::default()).unwrap();
    let start = Start::of(&recipe, &dataset.classes, Some(&shipped)).unwrap();
    let job = Job {
        dataset: Arc::new(dataset),
        store: Arc::new(ClipStore::new(256 << 20)),
        train: &learned,
        validation: &validation,
        recipe: &recipe,
        settings: "",
        start,
        teachers: Teachers::default(),
        device: Device::Cpu,
        lock: None,
        resume: None,
        folder: RunFolder::beside(output),
    };
    let finished = train(job, &mut Silent, &|| false).unwrap();
    finished.record.history.last().unwrap().valid_top1.unwrap()
}

#[test]
fn a_shift_learns_what_only_time_tells() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("slides");
    if made(tasks::Task::Slides, 16, &data).is_none() {
        return;
    }
    let of = |name: &str, shift, motion| learned(&data, &folder.path().join(name), shift, motion);
    let causal = of("causal.safetensors", ShiftKind::Causal, MotionFeatures::None);
    let still = of("none.safetensors", ShiftKind::None, MotionFeatures::None);
    let flow = of("flow.safetensors", ShiftKind::Causal, MotionFeatures::Flow);
    assert!(causal >= 0.6, "with the shift {causal} of the validation clips are right");
    assert!(flow >= 0.8, "with flow beside it {flow}");
    assert!(still <= 0.5, "without one {still}, and no more than half can be");
}

#[test]
fn reversed_clips_hold_the_same_pictures_backwards() {
    let folder = tempfile::tempdir().unwrap();
    if made(tasks::Task::Reversed, 400, folder.path()).is_none() {
        return;
    }
    let pictures = |class: &str| -> Vec<Vec<Vec<u8>>> {
        let mut clips: Vec<_> = std::fs::read_dir(folder.path().join(class))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        clips.sort();
        let of_clip = |clip: &std::path::PathBuf| {
            let mut files: Vec<_> =
                std::fs::read_dir(clip).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.retain(|file| file.extension().is_some_and(|kind| kind == "jpg"));
            files.sort();
            files.iter().map(|file| std::fs::read(file).unwrap()).collect()
        };
        clips.iter().map(of_clip).collect()
    };
    let folders = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let folders: Vec<String> = folders.map(|name| name.into_string().unwrap()).collect();
    let actions: Vec<&str> = folders.iter().filter_map(|name| name.strip_suffix("-forward")).collect();
    assert_eq!(
        (actions.len(), folders.len()),
        (2, 5),
        "two actions in two orders, and the groups: {folders:?}"
    );
    for action in actions {
        let forward = pictures(&format!("{action}-forward"));
        let mut reversed = pictures(&format!("{action}-reversed"));
        assert!(!forward.is_empty() && forward.iter().all(|clip| clip.len() > 1));
        for clip in &mut reversed {
            clip.reverse();
        }
        assert_eq!(forward, reversed);
    }
}
