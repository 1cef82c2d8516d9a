//! Preparing small real clips. Tests only.

use super::*;
use crate::dataset;
use crate::decode::{Keep, decode};
use crate::shared_data::own_clip;

/// Two classes of three clips each, one clip broken.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (class, clip) in [("sit down", "asl-walk.mkv"), ("walk", "pose-squats.mp4")] {
        let folder = root.path().join("clips").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["a [1]", "b 2", "ü 3"] {
            std::os::unix::fs::symlink(
                own_clip(clip).canonicalize().unwrap(),
                folder.join(name).with_extension(clip.rsplit_once('.').unwrap().1),
            )
            .unwrap();
        }
    }
    std::fs::write(root.path().join("clips/walk/broken.mp4"), b"no video").unwrap();
    root
}

fn options(frames: Option<FrameOptions>) -> PrepareOptions {
    PrepareOptions {
        source: PathBuf::from("clips"),
        validation: 0.34,
        groups: GroupRule::FileNames,
        seed: 1,
        frames,
        workers: 2,
    }
}

#[test]
fn a_tree_becomes_two_lists_and_names_its_broken_clip() {
    let root = tree();
    let found = dataset::read(&root.path().join("clips"), None).unwrap();
    let (mut seen, output) = (Vec::new(), root.path().join("out"));
    let made = prepare(found.dataset, &output, &options(None), &mut |progress| {
        seen.push(progress.done);
        true
    })
    .unwrap();
    assert_eq!(seen, (1..=7).collect::<Vec<_>>());
    assert_eq!(made.clips.iter().sum::<usize>(), 6);
    assert!(made.unreadable.len() == 1 && made.unreadable[0].contains("broken.mp4"), "{:?}", made.unreadable);
    for (list, count) in [(&made.training_list, made.clips[0]), (&made.validation_list, made.clips[1])] {
        let read = dataset::read(list, Some(&made.classes_file)).unwrap().dataset;
        assert_eq!(
            (read.clips.len(), &read.classes),
            (count, &vec!["sit down".to_owned(), "walk".to_owned()])
        );
        assert!(read.clips_by_class().iter().all(|count| *count > 0));
    }
}

#[test]
fn extracted_frames_are_the_clip_again() {
    let root = tree();
    let found = dataset::read(&root.path().join("clips"), None).unwrap();
    let output = root.path().join("out");
    let frames = FrameOptions { short_side_px: 96, quality: 95 };
    let made = prepare(found.dataset, &output, &options(Some(frames)), &mut |_| true).unwrap();
    let list = dataset::read(&made.training_list, Some(&made.classes_file)).unwrap().dataset;
    let clip = list.clips.iter().find(|clip| clip.class == 0).unwrap();
    assert!(clip.path.starts_with(&output) && clip.frames.is_some(), "{clip:?}");
    let keep = Keep::AllWithin { most_bytes: usize::MAX };
    let frames = decode(clip, keep).unwrap();
    let original = decode(&Clip::new(own_clip("asl-walk.mkv"), 0), keep).unwrap();
    assert_eq!(frames.pts().len(), original.pts().len());
    for (found, expected) in frames.pts().iter().zip(original.pts()) {
        assert!(found.abs_diff(*expected).as_micros() < 1);
    }
    let format = frames.frame(0).unwrap().format();
    assert_eq!((format.width_px, format.height_px), (128, 96));
    let hidden =
        |path: &Path| std::fs::read_dir(path).unwrap().flatten().any(|e| e.path().ends_with(".part"));
    assert!(!hidden(&output.join("frames/walk")));
}

#[test]
fn a_damaged_frame_of_a_folder_is_named() {
    let root = tree();
    let found = dataset::read(&root.path().join("clips"), None).unwrap();
    let (frames, lists) = (root.path().join("out"), root.path().join("lists"));
    prepare(found.dataset, &frames, &options(Some(FrameOptions::default())), &mut |_| true).unwrap();
    std::fs::write(frames.join("frames/walk/b 2/img_00007.jpg"), b"no picture").unwrap();
    let found = dataset::read(&frames.join("frames"), None).unwrap();
    let made = prepare(found.dataset, &lists, &options(None), &mut |_| true).unwrap();
    assert!(
        made.unreadable.len() == 1 && made.unreadable[0].contains("b 2/img_00007.jpg"),
        "{:?}",
        made.unreadable
    );
    assert_eq!(made.clips.iter().sum::<usize>(), 5);
}

#[test]
fn a_class_without_a_readable_clip_ends_it() {
    let root = tree();
    for name in ["a [1].mp4", "b 2.mp4", "ü 3.mp4"] {
        std::fs::remove_file(root.path().join("clips/walk").join(name)).unwrap();
    }
    let found = dataset::read(&root.path().join("clips"), None).unwrap();
    let output = root.path().join("out");
    let error = prepare(found.dataset, &output, &options(None), &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("no clip of 'walk'") && error.contains("broken.mp4"), "{error}");
    assert!(!output.join("train.txt").exists());
}

#[test]
fn what_no_list_can_name_is_refused_before_a_clip_is_read() {
    let root = tree();
    let output = root.path().join("out");
    let mut read = 0;
    let mut refusal = |dataset: Dataset, frames| {
        prepare(dataset, &output, &options(frames), &mut |_| {
            read += 1;
            true
        })
        .unwrap_err()
        .to_string()
    };
    let clips = root.path().join("clips");
    let mut dataset = dataset::read(&clips, None).unwrap().dataset;
    dataset.classes[1] = "wa\nlk".to_owned();
    assert!(refusal(dataset, None).contains("class name \"wa\\nlk\" is no line"));
    for name in ["walk/line\nbreak.mp4", "walk/edge "] {
        let mut dataset = dataset::read(&clips, None).unwrap().dataset;
        dataset.clips.push(Clip::new(clips.join(name), 1));
        assert!(refusal(dataset, None).contains("cannot stand in a list"));
    }
    let mut dataset = dataset::read(&clips, None).unwrap().dataset;
    dataset.clips[0].span = Some(dataset::Span { start_secs: 0.0, end_secs: 1.0 });
    assert!(refusal(dataset, None).contains("extract its frames"));
    assert_eq!(read, 0);
    assert!(!output.exists());
}

#[cfg(unix)]
#[test]
fn lists_are_as_readable_as_any_file_made_here() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    let root = tree();
    let plain = root.path().join("plain");
    std::fs::write(&plain, b"").unwrap();
    let found = dataset::read(&root.path().join("clips"), None).unwrap();
    let made = prepare(found.dataset, &root.path().join("out"), &options(None), &mut |_| true).unwrap();
    for list in [made.training_list, made.validation_list, made.classes_file] {
        assert_eq!(mode(&list), mode(&plain), "{}", list.display());
    }
}

#[test]
fn what_is_read_is_never_written_over() {
    let root = tree();
    let (output, clips) = (root.path().join("out"), root.path().join("clips"));
    let made = prepare(dataset::read(&clips, None).unwrap().dataset, &output, &options(None), &mut |_| true);
    let list = made.unwrap().training_list;
    let before = std::fs::read(&list).unwrap();
    let again = dataset::read(&list, None).unwrap().dataset;
    let from_list = PrepareOptions { source: list.clone(), ..options(None) };
    let error = prepare(again, &output, &from_list, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("train.txt") && error.contains("choose another --output"), "{error}");
    assert_eq!(std::fs::read(&list).unwrap(), before);

    let data = root.path().join("data");
    let frames = options(Some(FrameOptions::default()));
    prepare(dataset::read(&clips, None).unwrap().dataset, &data, &frames, &mut |_| true).unwrap();
    let folders = dataset::read(&data.join("frames"), None).unwrap().dataset;
    let first = folders.clips[0].path.join("img_00001.jpg");
    let before = std::fs::metadata(&first).unwrap().modified().unwrap();
    let error = prepare(folders, &data, &frames, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("would be written over"), "{error}");
    assert_eq!(std::fs::metadata(&first).unwrap().modified().unwrap(), before);
}

#[test]
fn times_that_are_not_of_the_frames_beside_them_are_refused() {
    let root = tree();
    let output = root.path().join("out");
    let frames = options(Some(FrameOptions::default()));
    let dataset = dataset::read(&root.path().join("clips"), None).unwrap().dataset;
    prepare(dataset, &output, &frames, &mut |_| true).unwrap();
    let folder = output.join("frames/walk/b 2");
    std::fs::remove_file(folder.join("img_00003.jpg")).unwrap();
    let error = decode(&Clip::new(&folder, 0), Keep::Only(&[0])).unwrap_err().to_string();
    assert!(error.contains("pts_micros.txt: has ") && error.contains("extract the frames again"), "{error}");
}

#[test]
fn a_stopped_preparation_writes_no_list_and_leaves_whole_clips_only() {
    let root = tree();
    let output = root.path().join("out");
    let dataset = dataset::read(&root.path().join("clips"), None).unwrap().dataset;
    let frames = options(Some(FrameOptions::default()));
    let error = prepare(dataset, &output, &frames, &mut |progress| progress.done < 2).unwrap_err();
    assert!(matches!(error, PrepareError::Stopped), "{error}");
    assert!(!output.join("train.txt").exists());
    for class in std::fs::read_dir(output.join("frames")).unwrap().flatten() {
        for clip in std::fs::read_dir(class.path()).unwrap().flatten() {
            assert!(clip.path().join("pts_micros.txt").is_file(), "{} is not whole", clip.path().display());
        }
    }
}

#[test]
fn a_preparation_that_comes_to_nothing_leaves_no_empty_folder_of_frames() {
    let root = tree();
    let (clips, output) = (root.path().join("clips"), root.path().join("out"));
    for class in ["sit down", "walk"] {
        for clip in std::fs::read_dir(clips.join(class)).unwrap().flatten() {
            std::fs::remove_file(clip.path()).unwrap();
            std::fs::write(clip.path(), b"no video").unwrap();
        }
    }
    let stopped = || {
        let dataset = dataset::read(&clips, None).unwrap().dataset;
        let frames = options(Some(FrameOptions::default()));
        let error = prepare(dataset, &output, &frames, &mut |_| false).unwrap_err();
        assert!(matches!(error, PrepareError::Stopped), "{error}");
    };
    stopped();
    assert!(output.is_dir() && !output.join("frames").exists());
    // One that was there before is somebody's.
    std::fs::create_dir(output.join("frames")).unwrap();
    stopped();
    assert!(output.join("frames").is_dir());
}

#[test]
fn a_folder_that_cannot_be_written_or_is_written_already_is_told_before_a_clip_is_read() {
    let root = tree();
    let output = root.path().join("out");
    let refused = |output: &Path, frames| {
        let found = dataset::read(&root.path().join("clips"), None).unwrap();
        prepare(found.dataset, output, &options(frames), &mut |_| panic!("a clip is read"))
            .unwrap_err()
            .to_string()
    };
    let held = FolderLock::take(&output).unwrap();
    let told = refused(&output, None);
    assert!(told.contains("another tsm prepare writes there; wait for its end"), "{told}");
    drop(held);
    let frames = output.join("frames");
    std::fs::write(&frames, b"a file").unwrap();
    assert!(refused(&output, Some(FrameOptions::default())).contains("frames: is a file; give a folder"));
    #[cfg(target_os = "linux")]
    assert!(refused(Path::new("/proc/self"), None).starts_with("/proc/self: "));
}
