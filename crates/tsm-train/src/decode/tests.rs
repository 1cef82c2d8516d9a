//! Decoding of small real clips. Tests only.

use super::*;
use crate::shared_data::{own_clip, shared};

const ALL: Keep<'_> = Keep::AllWithin { most_bytes: usize::MAX };

#[test]
fn every_frame_comes_with_its_time() {
    let clip = decode(&Clip::new(own_clip("asl-walk.mkv"), 0), ALL).unwrap();
    assert!(clip.is_complete());
    assert!(clip.pts().len() > 60 && clip.pts().is_sorted(), "{:?}", clip.pts());
    let bytes: usize = (0..clip.pts().len()).map(|i| clip.frame(i).unwrap().bytes()).sum();
    assert_eq!((clip.bytes(), bytes), (bytes, clip.pts().len() * 640 * 480 * 3 / 2));
}

#[test]
fn only_the_wanted_frames_are_kept_and_they_are_the_same() {
    let file = Clip::new(own_clip("asl-walk.mkv"), 0);
    let all = decode(&file, ALL).unwrap();
    let some = decode(&file, Keep::Only(&[0, 7, 7, 30])).unwrap();
    for index in 0..some.pts().len() {
        assert_eq!(some.frame(index).is_some(), [0, 7, 30].contains(&index));
    }
    assert!(some.pts().len() < all.pts().len());
    let rgb = |clip: &ClipFrames| {
        let picture = clip.frame(30).unwrap().picture().unwrap();
        let mut rgb = vec![0; 640 * 480 * 3];
        tsm_kernels::colour::rgb_from_picture(&picture, 0..480, &mut rgb);
        rgb
    };
    assert!(rgb(&all) == rgb(&some));
}

#[test]
fn a_clip_too_large_to_keep_still_tells_its_times() {
    let file = Clip::new(own_clip("asl-walk.mkv"), 0);
    let times = decode(&file, Keep::AllWithin { most_bytes: 1_000_000 }).unwrap();
    assert_eq!((times.bytes(), times.is_complete()), (0, false));
    assert_eq!(times.pts(), decode(&file, ALL).unwrap().pts());
}

#[test]
fn a_part_of_a_video_is_a_clip() {
    let span = |start_secs, end_secs| {
        let span = Some(Span { start_secs, end_secs });
        decode(&Clip { span, ..Clip::new(own_clip("pose-squats.mp4"), 0) }, ALL)
    };
    let part = span(2.0, 4.0).unwrap();
    assert_eq!(part.pts().len(), 10);
    assert!(part.pts().iter().all(|pts| (2.0..4.0).contains(&pts.as_secs_f64())));
    let error = span(100.0, 110.0).unwrap_err().to_string();
    assert!(error.contains("pose-squats.mp4") && error.contains("between 100"), "{error}");
}

#[test]
fn broken_clips_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        decode(&Clip::new(path, 0), ALL).unwrap_err().to_string()
    };
    let whole = std::fs::read(own_clip("pose-squats.mp4")).unwrap();
    for error in [
        write("broken.mp4", b""),
        write("broken.mp4", b"text, not video"),
        write("broken.mp4", &whole[..whole.len() / 2]),
    ] {
        assert!(error.contains("broken.mp4") && !error.contains('\n'), "{error}");
    }
    let missing = decode(&Clip::new(folder.path().join("missing.mp4"), 0), ALL).unwrap_err();
    assert!(matches!(missing, DecodeError::Source(SourceError::NotFound { .. })), "{missing}");
}

#[test]
fn jhmdb_clips_have_as_many_frames_as_their_table_says() {
    let (Some(table), Some(data)) = (shared("data/jhmdb-train.csv"), shared("data")) else { return };
    let table = std::fs::read_to_string(table).unwrap();
    for line in table.lines().skip(1).step_by(100) {
        let fields: Vec<_> = line.split(',').collect();
        let clip = decode(&Clip::new(data.join(fields[0]), 0), ALL).unwrap();
        assert_eq!(clip.pts().len().to_string(), fields[3], "{line}");
    }
}
