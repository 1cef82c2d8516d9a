//! Files of several codecs and containers, labelled from the first frame to the last.

use std::path::Path;

use serde_json::Value;
use tsm_tests::program::run;
use tsm_tests::{media, shared};

fn labelled(file: &Path, flags: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["live", file.to_str().unwrap(), "--format", "jsonl"];
    arguments.extend(flags);
    let finished = run(&arguments);
    assert_eq!(finished.code(), 0, "{}: {}", file.display(), finished.stderr);
    assert!(finished.stderr.contains(" processed "), "no summary: {}", finished.stderr);
    let frames = finished.frames();
    assert!(!frames.is_empty(), "{}: no frame", file.display());
    frames
}

fn millis(line: &Value) -> f64 {
    line["pts_millis"].as_f64().unwrap()
}

#[test]
fn every_codec_and_container_gives_the_same_number_of_frames() {
    let clip = shared::clip("asl-walk.mkv");
    let ways = [
        ("-c:v libx264 -pix_fmt yuv420p", "walk.mp4"),
        ("-c:v libx264 -pix_fmt yuv420p -bf 2", "walk.ts"),
        ("-c:v mpeg4 -q:v 3", "walk-mpeg4.avi"),
        ("-c:v libvpx -b:v 2M -deadline realtime -cpu-used 8", "walk.webm"),
        ("-c:v mjpeg -q:v 3", "walk-mjpeg.avi"),
    ];
    for (arguments, name) in ways {
        let frames = labelled(&media::ffmpeg(&clip, arguments, name), &[]);
        // 89 frames at 30 Hz, one at each multiple of 83.3 ms: 0 to 2917 ms.
        assert!((35..=36).contains(&frames.len()), "{name}: {} frames", frames.len());
        assert!(frames.iter().all(|line| line["dropped"] == 0), "{name}: a file drops nothing");
    }
}

#[test]
fn lines_carry_all_that_is_promised() {
    let frames = labelled(&shared::clip("asl-walk.mkv"), &["--top-k", "3"]);
    for (index, line) in frames.iter().enumerate() {
        assert_eq!((&line["stream"], &line["frame"]), (&0.into(), &index.into()));
        assert_eq!(line["state_age"], index + 1);
        assert!(line.get("source_state").is_none());
        let top_k = line["top_k"].as_array().unwrap();
        assert_eq!(top_k.len(), 3);
        assert!(top_k.is_sorted_by(|a, b| a["probability"].as_f64() >= b["probability"].as_f64()));
        for part in ["queue", "preprocess", "model", "since_arrival"] {
            assert!(line["latency_millis"][part].as_f64().unwrap() >= 0.0, "{part}");
        }
        assert!(line["latency_millis"]["since_capture"].is_null());
        for field in ["label", "raw_label"] {
            assert!(!line[field].as_str().unwrap().is_empty());
        }
        let sum = ["queue", "preprocess", "model"].map(|part| line["latency_millis"][part].as_f64().unwrap());
        assert!(line["latency_millis"]["since_arrival"].as_f64().unwrap() + 0.01 >= sum.iter().sum());
    }
}

#[test]
fn the_rate_follows_the_media_time_and_not_the_count() {
    let clip = shared::clip("asl-walk.mkv");
    let every_frame = labelled(&clip, &["--fps", "all"]);
    assert_eq!(every_frame.len(), 89);
    let six = labelled(&clip, &["--fps", "6"]);
    assert_eq!(six.len(), 18);
    for (index, line) in six.iter().enumerate() {
        let due = 1000.0 / 6.0 * f64::from(u32::try_from(index).unwrap());
        assert!((-1.0..34.0).contains(&(millis(line) - millis(&six[0]) - due)), "{line}");
    }
    let half_rate = media::ffmpeg(&clip, "-vf fps=15 -c:v libx264 -pix_fmt yuv420p", "walk-15fps.mp4");
    assert_eq!(labelled(&half_rate, &["--fps", "6"]).len(), 18);
    assert_eq!(labelled(&half_rate, &["--fps", "30"]).len(), labelled(&half_rate, &["--fps", "all"]).len());
}

#[test]
fn a_variable_rate_is_sampled_by_time() {
    let clip = shared::clip("asl-walk.mkv");
    // Every third frame of the first second, every frame afterwards.
    let arguments = "-vf select=not(mod(n\\,3))+gte(t\\,1) -vsync vfr -c:v libx264 -pix_fmt yuv420p";
    let variable = media::ffmpeg(&clip, arguments, "walk-vfr.mp4");
    let frames = labelled(&variable, &[]);
    assert!(frames.len() > 25, "{} frames", frames.len());
    let gaps: Vec<f64> = frames.windows(2).map(|pair| millis(&pair[1]) - millis(&pair[0])).collect();
    assert!(gaps.iter().all(|gap| (50.0..140.0).contains(gap)), "{gaps:?}");
}

#[test]
fn intact_files_of_unusual_shape_are_not_called_damaged() {
    let clip = shared::clip("asl-walk.mkv");
    let late = media::ffmpeg(&clip, "-c copy -output_ts_offset 100", "walk-late.mkv");
    let two_tracks =
        media::ffmpeg(&clip, "-map 0:v -map 0:v -c:v libx264 -pix_fmt yuv420p", "walk-two-tracks.mp4");
    for file in [late, two_tracks] {
        labelled(&file, &["--fps", "4"]);
    }
}

#[test]
fn a_gap_in_the_media_time_resets_the_state() {
    let clip = shared::clip("asl-walk.mkv");
    let arguments = "-vf setpts=PTS+gte(T\\,1)*3/TB -vsync vfr -c:v libx264 -pix_fmt yuv420p";
    let frames = labelled(&media::ffmpeg(&clip, arguments, "walk-gap.mkv"), &[]);
    let resets: Vec<f64> = frames.iter().filter(|line| line["state_age"] == 1).map(millis).collect();
    assert_eq!(resets.len(), 2, "{resets:?}");
    assert!(resets[1] > 3500.0, "{resets:?}");
}

#[test]
fn a_new_picture_size_resets_the_state() {
    let clip = shared::clip("asl-walk.mkv");
    let common = "-c:v libx264 -pix_fmt yuv420p -bsf:v h264_mp4toannexb -f mpegts";
    let small = media::ffmpeg(&clip, &format!("-vf scale=320:240 {common}"), "walk-small.ts");
    let large = media::ffmpeg(&clip, &format!("-output_ts_offset 2.967 {common}"), "walk-large.ts");
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("both.ts");
    std::fs::write(&both, [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat()).unwrap();
    let frames = labelled(&both, &[]);
    let resets = frames.iter().filter(|line| line["state_age"] == 1).count();
    assert_eq!(resets, 2, "{} frames", frames.len());
}

#[test]
fn a_limit_of_frames_ends_the_run() {
    assert_eq!(labelled(&shared::clip("asl-walk.mkv"), &["--frames", "7"]).len(), 7);
}

#[test]
fn several_files_are_several_streams_with_states_of_their_own() {
    let clips = [shared::clip("asl-walk.mkv"), shared::clip("pose-squats.mp4")];
    let [walk, squats] = clips.each_ref().map(|clip| clip.to_str().unwrap());
    let together = run(&["live", walk, squats, "--format", "jsonl"]).frames();
    for (stream, clip) in clips.iter().enumerate() {
        let alone = labelled(clip, &[]);
        let among: Vec<&Value> = together.iter().filter(|line| line["stream"] == stream).collect();
        assert_eq!(alone.len(), among.len());
        for (a, b) in alone.iter().zip(among) {
            assert_eq!((&a["raw_class"], &a["label"]), (&b["raw_class"], &b["label"]));
            let off = a["raw_confidence"].as_f64().unwrap() - b["raw_confidence"].as_f64().unwrap();
            assert!(off.abs() < 1e-4, "{off}");
        }
    }
}

#[test]
fn real_time_takes_as_long_as_the_clip() {
    let began = std::time::Instant::now();
    labelled(&shared::clip("asl-walk.mkv"), &["--realtime"]);
    assert!(began.elapsed() > std::time::Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[test]
fn a_damaged_file_does_not_end_the_others() {
    let clip = shared::clip("asl-walk.mkv");
    let cut = media::cut_short(&clip);
    let finished = run(&["live", cut.to_str().unwrap(), clip.to_str().unwrap(), "--format", "jsonl"]);
    finished.assert_bad_input("cut.mp4");
    let of_the_whole = finished.frames().iter().filter(|line| line["stream"] == 1).count();
    assert_eq!(of_the_whole, labelled(&clip, &[]).len());
}

#[test]
fn a_live_pipeline_of_the_users_own_has_source_states() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("mine.launch");
    std::fs::write(&template, "videotestsrc is-live=true ! appsink name=tsm\n").unwrap();
    let finished =
        run(&["live", "--pipeline", template.to_str().unwrap(), "--format", "jsonl", "--frames", "3"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let states: Vec<Value> =
        finished.json_lines().into_iter().filter(|l| l.get("source_state").is_some()).collect();
    assert_eq!(
        (&states[0]["source_state"], &states[1]["source_state"]),
        (&"connecting".into(), &"live".into())
    );
}

#[test]
fn a_pipeline_of_the_users_own_is_run_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("mine.launch");
    std::fs::write(&template, "# mine\nuridecodebin uri={uri} ! videoconvert ! appsink name=tsm\n").unwrap();
    let clip = shared::clip("asl-walk.mkv");
    let finished =
        run(&["live", "--pipeline", template.to_str().unwrap(), clip.to_str().unwrap(), "--format", "jsonl"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.frames().len(), labelled(&clip, &[]).len());
    assert!(!finished.stdout.contains("source_state"), "a recording has no source states");
}

#[test]
fn text_is_a_line_a_frame_where_there_is_no_terminal() {
    let finished = run(&["live", shared::clip("asl-walk.mkv").to_str().unwrap(), "--frames", "3"]);
    assert_eq!(finished.stdout.lines().count(), 3);
    assert!(
        finished.stdout.lines().all(|line| line.starts_with("[0]") && line.ends_with('%')),
        "{}",
        finished.stdout
    );
    assert!(!finished.stdout.contains('\u{1b}'), "no cursor tricks");
}

#[test]
fn a_terminal_has_a_line_that_lives_and_one_that_knows_no_escape_sequences_has_lines() {
    let (program, clip) = (tsm_tests::program::tsm(), shared::clip("asl-walk.mkv"));
    let line = format!("'{}' live '{}' --frames 3 --quiet", program.display(), clip.display());
    let on_terminal = |name: &str| {
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).envs([("TERM", name), ("TSM_CUDA", "")]);
        command.stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let living = on_terminal("xterm");
    assert_eq!((living.matches("\r\u{1b}[2K").count(), living.lines().count()), (3, 1), "{living:?}");
    let dumb = on_terminal("dumb");
    assert!(!dumb.contains('\u{1b}') && dumb.lines().count() == 3, "{dumb:?}");
}
