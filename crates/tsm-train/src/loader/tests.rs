//! The loader on small real clips. Tests only.

use std::path::PathBuf;

use super::online::{OnlineClips, OnlineFrame, OnlinePart};
use super::*;
use crate::augment::Flip;
use crate::dataset::Clip;
use crate::sampling::interval::Forgets;
use crate::sampling::{ShortClip, UniformRule};
use crate::shared_data::own_clip;

/// Parts of the repository's clips, and a broken one where asked for.
fn source(broken: Option<PathBuf>) -> LoaderSource {
    let part = |name: &str, second: f64, class| Clip {
        span: Some(crate::dataset::Span { start_secs: second, end_secs: second + 1.0 }),
        ..Clip::new(own_clip(name), class)
    };
    let mut clips: Vec<Clip> = (0..8).map(|i| part("pose-squats.mp4", f64::from(i), 0)).collect();
    clips.extend((0..2).map(|i| part("asl-walk.mkv", f64::from(i), 1)));
    clips.extend(broken.map(|path| Clip::new(path, 1)));
    let classes = ["turn left", "turn right"].map(str::to_owned).to_vec();
    let all = (0..clips.len()).collect();
    let dataset = Arc::new(Dataset { classes, clips });
    let store = Arc::new(ClipStore::new(1 << 30));
    LoaderSource { dataset, clips: all, store, input: InputSpec::with_size(64) }
}

fn train(source: &LoaderSource) -> Mode {
    Mode::Train(TrainView {
        sampling: Sampling::Uniform(UniformRule::Mit),
        segments: 3,
        crop: TrainCrop::MultiScale,
        flip: Flip::Auto.table(&source.dataset.classes).unwrap(),
        jitter: ColourJitter { brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.05 },
    })
}

fn eval(crops: EvalCrops, clips: ClipCount) -> Mode {
    let sampling = Sampling::FixedInterval { interval_millis: 83.3, short: ShortClip::RepeatLast };
    Mode::Eval(EvalView { sampling, phase: Phase::Test, segments: 3, clips, crops })
}

fn batches(source: &LoaderSource, mode: Mode, options: LoaderOptions) -> Vec<Batch> {
    let batches = Loader::start(source, mode, &options).unwrap();
    batches.map(|batch| Batch { waited: Duration::ZERO, ..batch.unwrap() }).collect()
}

const OPTIONS: LoaderOptions = LoaderOptions {
    batch_clips: 4,
    workers: 2,
    ahead_batches: 2,
    last_batch: LastBatch::Keep,
    seed: 5,
    start: Position { epoch: 0, batch: 0 },
    end_epoch: 2,
};

#[test]
fn batches_depend_on_the_seed_alone() {
    let source = source(None);
    let two = batches(&source, train(&source), OPTIONS);
    assert_eq!(two.len(), 6);
    assert_eq!(two.iter().map(|batch| batch.targets.len()).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 2]);
    for workers in [1, 3] {
        let fresh = LoaderSource { store: Arc::new(ClipStore::new(0)), ..source.clone() };
        let options = LoaderOptions { workers, ahead_batches: workers, ..OPTIONS };
        assert!(batches(&fresh, train(&source), options) == two, "{workers} workers");
    }
    let other = batches(&source, train(&source), LoaderOptions { seed: 6, ..OPTIONS });
    assert_ne!(other[0].clips, two[0].clips);
}

#[test]
fn a_resumed_run_sees_what_it_would_have_seen() {
    let source = source(None);
    let whole = batches(&source, train(&source), OPTIONS);
    for (skipped, start) in [(2, (0, 2)), (3, (1, 0)), (4, (1, 1)), (6, (2, 0))] {
        let start = Position { epoch: start.0, batch: start.1 };
        let resumed = batches(&source, train(&source), LoaderOptions { start, ..OPTIONS });
        assert!(resumed == whole[skipped..], "{start:?}");
    }
}

#[test]
fn an_epoch_shows_every_clip_once_and_the_next_in_another_order() {
    let source = source(None);
    let two = batches(&source, train(&source), OPTIONS);
    let epoch =
        |epoch| two.iter().filter(|b| b.epoch == epoch).flat_map(|b| b.clips.clone()).collect::<Vec<_>>();
    let (mut first, second) = (epoch(0), epoch(1));
    assert_ne!(first, second);
    first.sort_unstable();
    assert_eq!(first, (0..10).collect::<Vec<_>>());
    let dropped = batches(&source, train(&source), LoaderOptions { last_batch: LastBatch::Drop, ..OPTIONS });
    assert_eq!(dropped.iter().map(|batch| batch.targets.len()).collect::<Vec<_>>(), [4; 4]);
    let large = LoaderOptions { last_batch: LastBatch::Drop, batch_clips: 64, ..OPTIONS };
    assert_eq!(batches(&source, train(&source), large)[0].targets.len(), 10);
}

#[test]
fn mirrored_clips_of_left_and_right_change_their_labels() {
    let source = source(None);
    let two = batches(&source, train(&source), LoaderOptions { end_epoch: 4, ..OPTIONS });
    let label = |clip: usize| source.dataset.clips[clip].class;
    let rows = two.iter().flat_map(|batch| batch.clips.iter().zip(&batch.targets));
    let changed = rows.filter(|(clip, target)| label(**clip) != **target).count();
    assert!((5..35).contains(&changed), "{changed} of 40");
}

#[test]
fn evaluation_gives_all_views_in_the_order_of_the_clips() {
    let source = source(None);
    let options = LoaderOptions { end_epoch: 1, ..OPTIONS };
    let all = batches(&source, eval(EvalCrops::ThreeFullRes, ClipCount::Twice), options);
    // 73 px of the short side, as far as they are a multiple of 32.
    assert_eq!(all[0].shape(), [4 * 6, 3, 3, 64, 64]);
    assert_eq!(all[0].pixels.len(), all[0].shape().iter().product::<usize>());
    let clips: Vec<usize> = all.iter().flat_map(|batch| batch.clips.iter().step_by(6).copied()).collect();
    assert_eq!(clips, (0..10).collect::<Vec<_>>());
    let ten = batches(&source, eval(EvalCrops::Ten, ClipCount::One), options);
    let view = |index: usize| {
        let len = 3 * 3 * 64 * 64;
        &ten[0].pixels[index * len..][..len]
    };
    let mirrored =
        |row: &[f32]| row.chunks_exact(64).flat_map(|line| line.iter().rev().copied()).collect::<Vec<_>>();
    assert!(mirrored(view(0)) == view(5) && mirrored(view(4)) == view(9) && view(0) != view(5));
}

#[test]
fn a_broken_clip_is_named_and_replaced_in_training_but_left_out_in_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.mp4");
    std::fs::write(&broken, b"no video").unwrap();
    let source = source(Some(broken));
    let skipped = |batches: &[Batch]| {
        let skipped: Vec<_> = batches.iter().flat_map(|batch| batch.skipped.clone()).collect();
        assert!(
            skipped.iter().all(|skip| skip.clip == 10 && skip.reason.contains("broken.mp4")),
            "{skipped:?}"
        );
        skipped.len()
    };
    let trained = batches(&source, train(&source), OPTIONS);
    assert!(skipped(&trained) >= 2);
    assert_eq!(trained.iter().map(|batch| batch.targets.len()).sum::<usize>(), 22);
    assert!(trained.iter().all(|batch| !batch.clips.contains(&10)));
    let judged =
        batches(&source, eval(EvalCrops::Centre, ClipCount::One), LoaderOptions { end_epoch: 1, ..OPTIONS });
    assert_eq!((skipped(&judged), judged.iter().map(|batch| batch.targets.len()).sum::<usize>()), (1, 10));
}

#[test]
fn nothing_but_broken_clips_ends_training() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.mp4");
    std::fs::write(&broken, b"no video").unwrap();
    let mut source = source(Some(broken));
    source.clips = Arc::new([10]);
    let mut loader = Loader::start(&source, train(&source), &OPTIONS).unwrap();
    let error = loader.next().unwrap().unwrap_err();
    assert!(
        matches!(&error, LoaderError::NothingReadable { first } if first.contains("broken.mp4")),
        "{error}"
    );
}

#[test]
fn no_clips_give_no_batches() {
    let mut source = source(None);
    source.clips = Arc::new([]);
    assert!(batches(&source, train(&source), OPTIONS).is_empty());
}

#[test]
fn streaming_evaluation_sees_what_live_sees() {
    let source = source(None);
    let mut clips: Vec<Vec<OnlineFrame>> = vec![Vec::new()];
    let mut order = Vec::new();
    for part in OnlineClips::start(&source, 1000.0 / 12.0, 2).unwrap() {
        match part.unwrap() {
            OnlinePart::Frame(frame) => clips.last_mut().unwrap().push(frame),
            OnlinePart::End { clip, outcome, .. } => {
                outcome.unwrap();
                order.push(clip);
                clips.push(Vec::new());
            }
        }
    }
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    // 5 frames a second are all used, 30 at 12 a second.
    assert_eq!((clips[0].len(), clips[9].len()), (5, 12));
    for clip in &clips[..10] {
        let resets = clip.iter().filter(|frame| frame.forgets == Forgets::Everything).count();
        assert!(
            clip[0].forgets == Forgets::Everything && resets == 1 && clip.is_sorted_by_key(|frame| frame.pts)
        );
    }
    let mode = eval(EvalCrops::Centre, ClipCount::One);
    let Mode::Eval(view) = mode else { unreachable!() };
    let all = EvalView {
        sampling: Sampling::FixedInterval { interval_millis: 1000.0 / 12.0, short: ShortClip::Loop },
        segments: 5,
        ..view
    };
    let batch = &batches(&source, Mode::Eval(all), LoaderOptions { end_epoch: 1, ..OPTIONS })[0];
    let pixels: Vec<f32> = clips[0].iter().flat_map(|frame| frame.pixels.iter().copied()).collect();
    assert!(batch.pixels[..pixels.len()] == pixels);
}

#[test]
fn streaming_evaluation_can_be_left_in_the_middle_of_a_clip() {
    let mut online = OnlineClips::start(&source(None), 1.0, 2).unwrap();
    assert!(matches!(online.next(), Some(Ok(OnlinePart::Frame(_)))));
    drop(online);
}

#[test]
fn streaming_evaluation_names_a_broken_clip_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.mp4");
    std::fs::write(&broken, b"no video").unwrap();
    let source = source(Some(broken));
    let last = OnlineClips::start(&source, 1000.0 / 12.0, 3).unwrap().last().unwrap().unwrap();
    let OnlinePart::End { clip: 10, outcome: Err(reason), .. } = last else { panic!("{last:?}") };
    assert!(reason.contains("broken.mp4"), "{reason}");
}
