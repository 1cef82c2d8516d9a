//! Short runs on real clips: they learn, stop, go on to the same bits, and say why they cannot.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tempfile::TempDir;
use tsm_model::checkpoint::{Checkpoint, Origin, SpecOverrides, Storage};
use tsm_train::clip_store::ClipStore;
use tsm_train::dataset::groups::GroupRule;
use tsm_train::parameter_groups::{GroupPreset, HeadStart};
use tsm_train::progress::Silent;
use tsm_train::recipe::{Preset, Recipe};
use tsm_train::run_state::{Position, RunState};
use tsm_train::sides::{Division, Sides, divide};
use tsm_train::start::Start;
use tsm_train::teacher::Teachers;
use tsm_train::trainer::{End, Finished, Job, RunFolder, TrainError, train};

use crate::shared;

/// A folder for a test, and in it twelve clips of two actions, a folder each.
fn clips() -> Option<(TempDir, PathBuf)> {
    let shared = shared::folder("data")?;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("clips");
    for class in ["golf", "wave"] {
        let own = data.join(class);
        std::fs::create_dir_all(&own).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(shared.join("jhmdb-train").join(class))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files.iter().step_by(4).take(6) {
            std::os::unix::fs::symlink(file, own.join(file.file_name().unwrap())).unwrap();
        }
    }
    Some((folder, data))
}

/// A network small enough for a test, with everything on that a resumed run has to repeat.
fn recipe() -> Recipe {
    Recipe {
        from_scratch: true,
        width: 0.25,
        size: 64,
        segments: 4,
        epochs: 2,
        batch: 2,
        accumulate: 2,
        head_views: 0,
        head_epochs: 0,
        shift_ramp_epochs: 0.5,
        batch_norm: tsm_train::network::BatchNormMode::Train,
        cutmix: 0.5,
        validation: 0.3,
        lr: 0.01,
        ..Preset::Few.recipe()
    }
}

/// Trains on `clips` into `output`, asking to stop after `steps` polls.
fn run(
    clips: &Path,
    output: &Path,
    recipe: &Recipe,
    polls: usize,
    resume: bool,
) -> Result<Finished, TrainError> {
    run_on_first(usize::MAX, |_start| (), clips, output, recipe, polls, resume)
}

/// The same on so many training clips at most, from a start that `touch` has had a say in.
fn run_on_first(
    most: usize,
    touch: impl FnOnce(&mut Start),
    clips: &Path,
    output: &Path,
    recipe: &Recipe,
    polls: usize,
    resume: bool,
) -> Result<Finished, TrainError> {
    let division = Division::Part(recipe.validation);
    let Sides { dataset, train: learned, validation, .. } =
        divide(clips, None, &GroupRule::FileNames, &division, 1).unwrap();
    let folder = RunFolder::beside(output);
    let mut start = Start::of(recipe, &dataset.classes, None).unwrap();
    touch(&mut start);
    let job = Job {
        dataset: Arc::new(dataset),
        store: Arc::new(ClipStore::new(64 << 20)),
        train: &learned[..most.min(learned.len())],
        validation: &validation,
        recipe,
        settings: &recipe.to_toml(),
        start,
        teachers: Teachers::default(),
        device: Device::Cpu,
        lock: None,
        resume: resume.then(|| RunState::open(&folder.last()).unwrap()),
        folder,
    };
    let polled = Cell::new(0);
    train(job, &mut Silent, &|| {
        polled.set(polled.get() + 1);
        polled.get() > polls
    })
}

fn bits(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<&str, Vec<u32>> {
    let bits = |x: &Tensor| -> Vec<u32> {
        x.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
    };
    tensors.iter().map(|(name, tensor)| (name.as_str(), bits(tensor))).collect()
}

#[test]
fn a_resumed_run_ends_at_the_same_bits() {
    let Some((folder, data)) = clips() else { return };
    let (whole, parts) = (folder.path().join("whole.safetensors"), folder.path().join("parts.safetensors"));
    let recipe = recipe();
    assert_eq!(run(&data, &whole, &recipe, usize::MAX, false).unwrap().end, End::Complete);
    let stopped = |polls, resume| {
        let finished = run(&data, &parts, &recipe, polls, resume).unwrap();
        assert_eq!(finished.end, End::Stopped);
        let Position { epoch, batch, .. } = finished.record.position;
        (epoch, batch, finished.record.history.len())
    };
    // Within an epoch, twice; between its last batch and its end, that is in the validation; in the next epoch.
    assert_eq!(stopped(0, false), (0, 2, 0));
    assert_eq!(stopped(0, true), (0, 4, 0));
    assert_eq!(stopped(0, true), (0, 4, 0));
    assert_eq!(stopped(1, true), (1, 2, 1));
    assert_eq!(run(&data, &parts, &recipe, usize::MAX, true).unwrap().end, End::Complete);
    let best = |output: &Path| std::fs::read(RunFolder::beside(output).best()).unwrap();
    assert_eq!(best(&whole), best(&parts));
    let open = |path: &Path| RunState::open(&RunFolder::beside(path).last()).unwrap();
    let (whole, parts) = (open(&whole), open(&parts));
    assert_eq!(whole.record, parts.record);
    assert_eq!(bits(&whole.network), bits(&parts.network));
    assert_eq!(bits(&whole.velocities), bits(&parts.velocities));
    assert_eq!(bits(&whole.average), bits(&parts.average));
}

#[test]
fn circuits_a_solved_head_still_layers_and_adamw_are_resumed_at_the_same_bits() {
    let Some((folder, data)) = clips() else { return };
    let (whole, parts) = (folder.path().join("whole.safetensors"), folder.path().join("parts.safetensors"));
    let recipe = Recipe {
        head_views: 1,
        motion_start: true,
        motion_features: tsm_model::MotionFeatures::None,
        shift_ramp_epochs: 0.0,
        batch_norm: tsm_train::network::BatchNormMode::Partial,
        frozen_blocks: 7,
        optimiser: tsm_train::optimiser::Method::Adamw,
        lr: 0.001,
        epochs: 1,
        ..recipe()
    };
    run(&data, &whole, &recipe, usize::MAX, false).unwrap();
    // Stopped while the head is solved there is nothing to go on from yet.
    assert_eq!(run(&data, &parts, &recipe, 0, false).unwrap().end, End::Stopped);
    assert!(!RunFolder::beside(&parts).last().exists());
    // Circuits, features and head ask some thirty times before the first save.
    let mut polls = 27;
    while !RunFolder::beside(&parts).last().exists() {
        run(&data, &parts, &recipe, polls, false).unwrap();
        polls += 1;
    }
    assert_eq!(run(&data, &parts, &recipe, usize::MAX, true).unwrap().end, End::Complete);
    let open = |path: &Path| RunState::open(&RunFolder::beside(path).last()).unwrap();
    let (ended, resumed) = (open(&whole), open(&parts));
    assert_eq!(bits(&ended.network), bits(&resumed.network));
    assert_eq!(bits(&ended.velocities), bits(&resumed.velocities));
    // A new run in the same place that ends before its first save leaves nothing of this one to go on from.
    assert_eq!(run(&data, &whole, &recipe, 0, false).unwrap().end, End::Stopped);
    assert!(!RunFolder::beside(&whole).last().exists());
}

#[test]
fn a_solved_head_is_judged_before_the_first_step_and_may_be_all() {
    let Some((folder, data)) = clips() else { return };
    let output = folder.path().join("m.safetensors");
    let solved = Recipe { head_views: 1, epochs: 0, ..recipe() };
    assert_eq!(run(&data, &output, &solved, 0, false).unwrap().end, End::Stopped);
    assert!(!RunFolder::beside(&output).last().exists());
    let finished = run(&data, &output, &solved, usize::MAX, false).unwrap();
    assert_eq!((finished.end, finished.record.history.len()), (End::Complete, 0));
    let start = finished.record.best.unwrap();
    assert!(start.is_start);
    let (best, last) = (RunFolder::beside(&output).best(), RunFolder::beside(&output).last());
    let model = Checkpoint::open(&best, &SpecOverrides::default()).unwrap();
    let motion = model.weights.get(tsm_model::Architecture::MOTION_WEIGHT).unwrap();
    assert!(motion.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 0.0, "flow has a say");
    assert_eq!(RunState::open(&last).unwrap().record.best.unwrap(), start);
}

/// The default of few clips: the start is judged with the whole shift, the first step sees none of it yet.
#[test]
fn a_run_whose_shift_comes_in_gradually_starts_from_two_heads_and_goes_on_to_the_same_bits() {
    let Some((folder, data)) = clips() else { return };
    let (whole, parts) = (folder.path().join("whole.safetensors"), folder.path().join("parts.safetensors"));
    let recipe = Recipe {
        // Few features: their head is solved at once.
        backbone: tsm_model::Backbone::Resnet18,
        width: 1.0,
        motion_features: tsm_model::MotionFeatures::None,
        head_views: 1,
        shift_ramp_epochs: 1.5,
        epochs: 1,
        ..recipe()
    };
    run(&data, &whole, &recipe, usize::MAX, false).unwrap();
    let report = RunFolder::beside(&parts);
    // Features and heads ask some thirty times before the first save.
    let mut polls = 25;
    while !report.last().exists() {
        run(&data, &parts, &recipe, polls, false).unwrap();
        polls += 1;
    }
    let begun = RunState::open(&report.last()).unwrap();
    assert!(begun.record.best.is_some_and(|best| best.is_start), "the start was judged");
    let judged = Checkpoint::open(&report.best(), &SpecOverrides::default()).unwrap();
    let head = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let own = begun.network.iter().find(|(name, _)| name.ends_with("fc.weight")).unwrap().1;
    assert_ne!(head(own), head(judged.weights.get("fc.weight").unwrap()));
    assert_eq!(run(&data, &parts, &recipe, usize::MAX, true).unwrap().end, End::Complete);
    let open = |path: &Path| RunState::open(&RunFolder::beside(path).last()).unwrap();
    let (ended, resumed) = (open(&whole), open(&parts));
    assert_eq!(bits(&ended.network), bits(&resumed.network));
    assert_eq!(bits(&ended.velocities), bits(&resumed.velocities));
}

#[test]
fn without_epochs_a_head_that_is_not_determined_is_no_model() {
    let Some((folder, data)) = clips() else { return };
    let output = folder.path().join("m.safetensors");
    let recipe = Recipe { head_views: 1, epochs: 0, ..recipe() };
    let error =
        run_on_first(1, |_start| (), &data, &output, &recipe, usize::MAX, false).unwrap_err().to_string();
    assert!(error.contains("--epochs 0 learns nothing else"), "{error}");
}

/// Such a head was new once, and learned faster: a run of then, or of a start that has changed, ends as it would have.
#[test]
fn a_head_that_was_new_stays_so_after_a_resume_that_would_keep_one() {
    let Some((folder, data)) = clips() else { return };
    let path = |name: &str| folder.path().join(name);
    let model = path("model.safetensors");
    let other_order = ["wave", "golf"].map(str::to_owned);
    let Start { spec, weights, .. } = Start::of(&recipe(), &other_order, None).unwrap();
    Checkpoint { spec, weights, origin: Origin::Own }.save(&model, Storage::F32).unwrap();
    let tuned = Recipe {
        from_scratch: false,
        tune_from: Some(model),
        lr_groups: GroupPreset::Mit,
        epochs: 1,
        ..recipe()
    };
    let run_new = |output: &Path, polls| {
        let make_new = |start: &mut Start| start.head = HeadStart::New;
        run_on_first(usize::MAX, make_new, &data, output, &tuned, polls, false).unwrap().end
    };
    let open = |path: &Path| RunState::open(&RunFolder::beside(path).last()).unwrap();
    let whole = path("whole.safetensors");
    assert_eq!(run_new(&whole, usize::MAX), End::Complete);
    for (name, is_told) in [("told.safetensors", true), ("old.safetensors", false)] {
        let parts = path(name);
        assert_eq!(run_new(&parts, 0), End::Stopped);
        let mut begun = open(&parts);
        assert_eq!(begun.record.head, Some(HeadStart::New));
        begun.record.head = begun.record.head.filter(|_| is_told);
        begun.save(&RunFolder::beside(&parts).last()).unwrap();
        assert_eq!(run(&data, &parts, &tuned, usize::MAX, true).unwrap().end, End::Complete);
        let (ended, resumed) = (open(&whole), open(&parts));
        assert_eq!(bits(&ended.network), bits(&resumed.network), "{name}");
        assert_eq!(ended.record, resumed.record, "{name}");
    }
}

#[test]
fn a_run_of_other_choices_is_not_resumed() {
    let Some((folder, data)) = clips() else { return };
    let output = folder.path().join("m.safetensors");
    run(&data, &output, &recipe(), 0, false).unwrap();
    let other = Recipe { lr: 0.02, ..recipe() };
    let error = run(&data, &output, &other, 0, true).unwrap_err().to_string();
    assert!(error.contains("has lr = 0.01, this one 0.02"), "{error}");
    let other = Recipe { backbone: tsm_model::Backbone::Resnet18, width: 1.0, ..recipe() };
    let error = run(&data, &output, &other, 0, true).unwrap_err().to_string();
    assert!(error.contains("is of a mobilenetv2, this one of a resnet18"), "{error}");
}

#[test]
fn a_run_whose_teacher_was_replaced_is_not_resumed() {
    let Some((folder, data)) = clips() else { return };
    let (output, teacher) = (folder.path().join("m.safetensors"), folder.path().join("teacher.safetensors"));
    std::fs::write(&teacher, b"one").unwrap();
    let taught = Recipe { teacher: vec![teacher.clone()], ..recipe() };
    run(&data, &output, &taught, 0, false).unwrap();
    std::fs::write(&teacher, b"two").unwrap();
    let error = run(&data, &output, &taught, 0, true).unwrap_err().to_string();
    assert!(error.contains("teacher.safetensors: is not the teacher that the saved run "), "{error}");
    std::fs::write(&teacher, b"one").unwrap();
    run(&data, &output, &taught, 0, true).unwrap();
}

#[test]
fn a_clip_that_cannot_be_read_is_one_clip_after_a_resume_from_another_folder() {
    let Some((folder, data)) = clips() else { return };
    std::fs::write(data.join("golf/torn_1.mp4"), b"no video").unwrap();
    let output = folder.path().join("m.safetensors");
    let longer = Recipe { epochs: 4, ..recipe() };
    // Behind the first epoch, in which every clip is met once.
    let begun = run(&data, &output, &longer, 8, false).unwrap();
    assert!(begun.record.position.epoch > 0, "{:?}", begun.record.position);
    assert_eq!((begun.end, begun.record.unreadable.len()), (End::Stopped, 1));
    drop(begun);
    let moved = folder.path().join("moved");
    std::fs::rename(&data, &moved).unwrap();
    let finished = run(&moved, &output, &longer, usize::MAX, true).unwrap();
    assert_eq!((finished.end, finished.record.unreadable.len()), (End::Complete, 1));
}

#[test]
fn a_loss_that_is_no_number_names_the_clips_of_its_batch() {
    let Some((folder, data)) = clips() else { return };
    let wild = Recipe { lr: 9e5, clip_norm: 0.0, warmup_epochs: 0.0, epochs: 6, ..recipe() };
    let error = run(&data, &folder.path().join("m.safetensors"), &wild, usize::MAX, false).unwrap_err();
    assert!(matches!(&error, TrainError::NotFinite { clips, .. } if !clips.is_empty()), "{error}");
}

/// In training each batch has its own statistics; only what is kept of them is of no use, as after a wild first epoch.
#[test]
fn a_model_whose_statistics_are_lost_is_told_by_its_epoch_though_training_went_well() {
    let Some((folder, data)) = clips() else { return };
    let (backbone, width) = (tsm_model::Backbone::Resnet18, 1.0);
    let recipe =
        Recipe { backbone, width, size: 32, segments: 2, epochs: 1, shift_ramp_epochs: 0.0, ..recipe() };
    let lose = |start: &mut Start| {
        let name = "layer4.1.bn2.running_mean";
        let lost = start.weights.get(name).unwrap().affine(0.0, -3e38).unwrap();
        start.weights.insert(name, lost);
    };
    let output = folder.path().join("m.safetensors");
    let error = run_on_first(usize::MAX, lose, &data, &output, &recipe, usize::MAX, false).unwrap_err();
    assert!(matches!(error, TrainError::ValidationNotFinite { epoch: 1 }), "{error}");
    assert!(!RunFolder::beside(&output).best().exists());
}
