//! The same scene in other shapes and colours gets the same answer: odd sizes, rotated, anamorphic,
//! BT.709, full range.

use std::path::Path;

use serde_json::Value;
use tsm_tests::program::run;
use tsm_tests::{media, shared};

fn frames(file: &Path) -> Vec<Value> {
    let finished =
        run(&["live", file.to_str().unwrap(), "--format", "jsonl", "--frames", "12", "--top-k", "21"]);
    assert_eq!(finished.code(), 0, "{}: {}", file.display(), finished.stderr);
    finished.frames()
}

/// The smoothed probabilities by class.
fn probabilities(line: &Value) -> Vec<f64> {
    let mut by_class = vec![0.0; 21];
    for ranked in line["top_k"].as_array().unwrap() {
        by_class[usize::try_from(ranked["class"].as_u64().unwrap()).unwrap()] =
            ranked["probability"].as_f64().unwrap();
    }
    by_class
}

/// Half the summed difference of the two answers about the last frame: 0 for equal, 1 for disjoint.
fn distance(a: &Path, b: &Path) -> f64 {
    let [a, b] = [a, b].map(|file| probabilities(frames(file).last().unwrap()));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

const LOSSLESS: &str = "-c:v libx264 -qp 0 -preset ultrafast";

#[test]
fn a_rotated_file_is_seen_upright() {
    let clip = shared::clip("asl-walk.mkv");
    let upright = media::ffmpeg(&clip, &format!("-pix_fmt yuv420p {LOSSLESS}"), "upright.mp4");
    let lying =
        media::ffmpeg(&clip, &format!("-pix_fmt yuv420p -vf transpose=clock {LOSSLESS}"), "lying.mp4");
    let tagged = media::ffmpeg(&lying, "-c copy -metadata:s:v:0 rotate=90", "lying-tagged.mp4");
    assert!(distance(&upright, &lying) > 0.2, "the scene looks the same lying down");
    assert!(distance(&upright, &tagged) < 0.02, "{}", distance(&upright, &tagged));
}

#[test]
fn an_anamorphic_file_is_seen_in_its_display_shape() {
    let clip = shared::clip("asl-walk.mkv");
    let plain = media::ffmpeg(&clip, &format!("-pix_fmt yuv420p {LOSSLESS}"), "upright.mp4");
    let narrow = media::ffmpeg(
        &clip,
        &format!("-pix_fmt yuv420p -vf scale=440:480,setsar=16/11 {LOSSLESS}"),
        "narrow.mp4",
    );
    assert!(distance(&plain, &narrow) < 0.1, "{}", distance(&plain, &narrow));
}

#[test]
fn colour_descriptions_are_followed() {
    let clip = shared::clip("asl-walk.mkv");
    let reference = media::ffmpeg(&clip, &format!("-pix_fmt yuv420p {LOSSLESS}"), "upright.mp4");
    let bt709 = "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709";
    let described = media::ffmpeg(&clip, &format!("{bt709} {LOSSLESS}"), "bt709.mp4");
    assert!(distance(&reference, &described) < 0.1, "{}", distance(&reference, &described));
    assert!(distance(&reference, &clip) < 0.1, "full range: {}", distance(&reference, &clip));
}

#[test]
fn odd_sizes_are_read_to_the_last_column() {
    for (width, height) in [(321, 241), (65, 333), (33, 33), (640, 17), (17, 35)] {
        let launch = format!(
            "videotestsrc num-buffers=12 ! video/x-raw,format=I420,width={width},height={height},framerate=12/1 ! jpegenc ! avimux"
        );
        let file = media::gstreamer(&launch, &format!("odd-{width}x{height}.avi"));
        assert_eq!(frames(&file).len(), 12, "{width}x{height}");
    }
}
