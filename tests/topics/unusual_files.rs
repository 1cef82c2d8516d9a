//! Files at the edge of what is a video: stills, GIFs, transparency, archives, odd names, and damage that a pipeline of
//! the user's own meets.

use std::path::{Path, PathBuf};

use tsm_tests::program::{Finished, run};
use tsm_tests::{media, shared};

fn live(file: &Path) -> Finished {
    run(&["live", file.to_str().unwrap(), "--format", "jsonl", "--fps", "all"])
}

#[track_caller]
fn assert_labelled(file: &Path, frames: usize) -> Finished {
    let finished = live(file);
    assert_eq!(finished.code(), 0, "{}: {}", file.display(), finished.stderr);
    assert_eq!(finished.frames().len(), frames, "{}", file.display());
    finished
}

#[test]
fn a_gif_that_holds_its_last_picture_ends_with_it() {
    let clip = shared::clip("asl-walk.mkv");
    let gif = media::ffmpeg(&clip, "-vf scale=160:120,fps=10 -t 1 -final_delay 300", "held.gif");
    assert_labelled(&gif, 10);
}

#[test]
fn a_still_picture_is_one_frame() {
    let clip = shared::clip("asl-walk.mkv");
    for name in ["still.png", "still.jpg", "still.bmp", "still.tiff"] {
        assert_labelled(&media::ffmpeg(&clip, "-frames:v 1", name), 1);
    }
}

#[test]
fn a_damaged_picture_is_told_in_one_line() {
    let whole = media::ffmpeg(&shared::clip("asl-walk.mkv"), "-frames:v 1", "still.png");
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.png");
    let mut bytes = std::fs::read(whole).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].fill(0x5A);
    std::fs::write(&damaged, bytes).unwrap();
    live(&damaged).assert_bad_input("damaged from its start");
}

#[test]
fn a_gif_keeps_its_times_and_comes_to_an_end() {
    let clip = shared::clip("asl-walk.mkv");
    let gif = media::ffmpeg(&clip, "-vf scale=160:120,fps=10 -t 1", "walk.gif");
    let finished = assert_labelled(&gif, 10);
    for (index, line) in finished.frames().iter().enumerate() {
        let due = 100.0 * f64::from(u32::try_from(index).unwrap());
        assert!((line["pts_millis"].as_f64().unwrap() - due).abs() < 11.0, "{line}");
    }
}

#[test]
fn a_cut_gif_is_refused_by_name() {
    let gif = media::ffmpeg(&shared::clip("asl-walk.mkv"), "-vf scale=160:120,fps=10 -t 1", "walk.gif");
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.gif");
    let bytes = std::fs::read(gif).unwrap();
    for length in [bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        live(&cut).assert_bad_input("cut.gif: the file is cut short");
    }
}

#[test]
fn recordings_joined_in_one_transport_stream_have_a_state_each() {
    let clip = shared::clip("asl-walk.mkv");
    let folder = tempfile::tempdir().unwrap();
    let codecs =
        ["-c:v libx264 -pix_fmt yuv420p -bf 2", "-c:v libx264 -pix_fmt yuv420p -bf 0", "-c:v mpeg2video"];
    for (place, codec) in codecs.into_iter().enumerate() {
        let part =
            std::fs::read(media::ffmpeg(&clip, &format!("{codec} -an"), &format!("part{place}.ts"))).unwrap();
        let joined = folder.path().join(format!("joined{place}.ts"));
        std::fs::write(&joined, [&part[..], &part[..]].concat()).unwrap();
        let frames = assert_labelled(&joined, 178).frames();
        let starts: Vec<usize> = (0..178).filter(|&frame| frames[frame]["state_age"] == 1).collect();
        assert_eq!(starts, [0, 89], "{codec}");
        let times: Vec<f64> = frames.iter().map(|line| line["pts_millis"].as_f64().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{codec}: {times:?}");
    }
}

#[test]
fn transparency_is_no_hindrance() {
    let clip = shared::clip("asl-walk.mkv");
    let arguments = "-t 0.5 -vf scale=320:240,format=yuva420p -auto-alt-ref 0 -deadline realtime -cpu-used 8";
    for (codec, name) in [("libvpx", "alpha-vp8.webm"), ("libvpx-vp9", "alpha-vp9.webm")] {
        assert_labelled(&media::ffmpeg(&clip, &format!("{arguments} -c:v {codec}"), name), 15);
    }
}

#[test]
fn an_archive_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clips.zip");
    // The header of a stored file of no bytes, and a directory of none.
    let mut bytes = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0x".to_vec();
    bytes.extend(b"PK\x05\x06");
    bytes.resize(200, 0);
    std::fs::write(&path, bytes).unwrap();
    let finished = live(&path);
    finished.assert_bad_input("not a video file (application/zip)");
    assert!(!finished.stderr.contains("apt-get"), "{}", finished.stderr);
}

#[test]
fn file_names_may_hold_anything() {
    let clip = shared::clip("asl-walk.mkv");
    let folder = tempfile::tempdir().unwrap();
    for name in ["a b[1]?#%20.mkv", "new\nline.mkv", "clip:1.mkv", "-lead.mkv", "ünï.mkv"] {
        let path = folder.path().join(name);
        std::fs::copy(&clip, &path).unwrap();
        let finished = run(&["live", path.to_str().unwrap(), "--frames", "1"]);
        assert_eq!(finished.code(), 0, "{name:?}: {}", finished.stderr);
    }
    live(&folder.path().join("not\nhere.mkv")).assert_bad_input("not\\nhere.mkv: no such file");
}

/// A template that reads any file.
fn template(folder: &Path) -> PathBuf {
    let path = folder.join("mine.launch");
    std::fs::write(&path, "uridecodebin uri={uri} ! videoconvert ! appsink name=tsm\n").unwrap();
    path
}

#[test]
fn a_pipeline_of_the_users_own_is_told_of_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mine = template(folder.path());
    let through = |file: &Path| {
        run(&["live", "--pipeline", mine.to_str().unwrap(), file.to_str().unwrap(), "--format", "jsonl"])
    };
    let finished = through(&media::cut_short(&shared::clip("asl-walk.mkv")));
    finished.assert_bad_input("cut.mp4: the file is cut short");
    assert!((5..34).contains(&finished.frames().len()), "{} frames", finished.frames().len());
    through(&folder.path().join("absent.mp4")).assert_bad_input("absent.mp4: no such file");
    through(folder.path()).assert_bad_input("is a folder");
    let text = folder.path().join("text.mp4");
    std::fs::write(&text, "this is no video\n").unwrap();
    through(&text).assert_bad_input("not a video file");
}

#[test]
fn a_picture_left_out_by_the_users_own_pipeline_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("slow.launch");
    let text =
        "uridecodebin uri={uri} ! videorate drop-only=true max-rate=5 ! videoconvert ! appsink name=tsm";
    std::fs::write(&mine, text).unwrap();
    let clip = shared::clip("asl-walk.mkv");
    let finished = run(&["live", "--pipeline", mine.to_str().unwrap(), clip.to_str().unwrap()]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
}

#[test]
fn a_transport_stream_that_ends_within_a_packet_is_cut_short() {
    let clip = shared::clip("asl-walk.mkv");
    let whole = media::ffmpeg(&clip, "-c:v libx264 -pix_fmt yuv420p -bf 2", "walk.ts");
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.ts");
    std::fs::write(&cut, &std::fs::read(whole).unwrap()[..188 * 900 + 100]).unwrap();
    let finished = live(&cut);
    finished.assert_bad_input("cut.ts: the file is cut short (it ends within its last part)");
    assert!(finished.frames().len() > 5, "{} frames", finished.frames().len());
}

#[test]
fn a_picture_that_cannot_be_scaled_names_its_file() {
    let clip = shared::clip("asl-walk.mkv");
    let wide = media::ffmpeg(&clip, "-t 0.2 -vf scale=8192:16 -c:v mjpeg", "wide.avi");
    live(&wide).assert_bad_input("wide.avi: ");
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_a_file() {
    use std::os::unix::ffi::OsStrExt;
    let clip = shared::clip("asl-walk.mkv");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"walk\xff.mkv"));
    std::fs::copy(clip, &path).unwrap();
    for command in [&["live", "--frames", "1"][..], &["doctor"]] {
        let mut program = tsm_tests::program::command();
        let output = program.args(command).arg(&path).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn mits_decision_takes_no_confirmation_of_ours() {
    let clip = shared::clip("asl-walk.mkv");
    let finished = run(&["live", clip.to_str().unwrap(), "--decision", "mit", "--confirm", "3"]);
    finished.assert_bad_input("--confirm");
}

#[test]
fn a_model_is_not_written_over_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = shared::workspace().join("crates/tsm-cli/models/actions.safetensors");
    let model = folder.path().join("model.safetensors");
    std::fs::copy(source, &model).unwrap();
    let model = model.to_str().unwrap();
    run(&["convert", model, model]).assert_bad_input("is IN, too");
    let video = folder.path().join("clip.mp4");
    std::fs::write(&video, b"\0\0\0\x20ftypisom").unwrap();
    let mut rights = std::fs::metadata(&video).unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(&video, rights).unwrap();
    run(&["convert", model, video.to_str().unwrap()])
        .assert_bad_input("clip.mp4: is there and no whole .safetensors file");
    assert_eq!(std::fs::read(&video).unwrap(), b"\0\0\0\x20ftypisom");
    std::fs::remove_file(&video).unwrap();
    run(&["convert", model, "/dev/null"]).assert_bad_input("/dev/null: cannot be written");
    let folder = folder.path().to_str().unwrap();
    run(&["convert", model, folder]).assert_bad_input("it is a folder");
    run(&["convert", model, &format!("{folder}/none/x.safetensors")])
        .assert_bad_input("its folder does not exist");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "half a file stayed");
}
