//! The colour of real frames against the ffmpeg that is installed. Tests only.
//!
//! ```text
//! clip ─ ffmpeg ─► raw picture in some format ─┬─ ffmpeg ─► rgb24 ─┐
//!                                              └─ RgbRows ─────────┴─► at most 2 levels apart
//! ```

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::picture::{Matrix, Range, Subsampling};
use crate::shared_data::{shared, skipped};

/// A planar format: ffmpeg's name, chroma shifts, bits, range, and the levels it may be off.
type Planar = (&'static str, u32, u32, u32, Range, u8);

/// 4:1:1 and 4:1:0 are interpolated from so few samples that libswscale's own roundings show.
const PLANAR: [Planar; 11] = [
    ("yuv420p", 1, 1, 8, Range::Limited, 2),
    ("yuvj420p", 1, 1, 8, Range::Full, 2),
    ("yuv422p", 1, 0, 8, Range::Limited, 2),
    ("yuvj422p", 1, 0, 8, Range::Full, 2),
    ("yuv444p", 0, 0, 8, Range::Limited, 2),
    ("yuvj444p", 0, 0, 8, Range::Full, 2),
    ("yuv411p", 2, 0, 8, Range::Limited, 5),
    ("yuv410p", 2, 2, 8, Range::Limited, 6),
    ("yuv420p10le", 1, 1, 10, Range::Limited, 2),
    ("yuv422p10le", 1, 0, 10, Range::Limited, 2),
    ("yuv444p12le", 0, 0, 12, Range::Limited, 2),
];

/// Even and odd in both directions.
const SIZES: [(usize, usize); 4] = [(640, 480), (322, 241), (321, 240), (333, 241)];

fn ffmpeg(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(arguments)
        .args(["-f", "rawvideo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // ffmpeg may end before it has read all: a broken pipe here shows in its output.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "ffmpeg {arguments:?} failed");
    output.stdout
}

fn clip() -> Option<std::path::PathBuf> {
    let clip = shared("data/clips/one-by-one-person.mp4")?;
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        skipped("ffmpeg is not installed");
        return None;
    }
    Some(clip)
}

/// A frame of the clip, or of a drawn test picture with saturated colours and hard edges.
fn frame(source: &[&str], format: &str, (width, height): (usize, usize)) -> Vec<u8> {
    let scale = format!("scale={width}:{height}");
    let out = ["-frames:v", "1", "-vf", &scale, "-pix_fmt", format];
    ffmpeg(&[source, &out].concat(), &[])
}

fn rgb_of_ffmpeg(raw: &[u8], format: &str, (width, height): (usize, usize), matrix: &str) -> Vec<u8> {
    let size = format!("{width}x{height}");
    let filter = format!("scale=in_color_matrix={matrix}");
    ffmpeg(
        &["-f", "rawvideo", "-pix_fmt", format, "-s", &size, "-i", "-", "-vf", &filter, "-pix_fmt", "rgb24"],
        raw,
    )
}

fn most_different(picture: &Picture<'_>, expected: &[u8]) -> u8 {
    let mut rgb = vec![0; expected.len()];
    rgb_from_picture(picture, 0..picture.height_px(), &mut rgb);
    rgb.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// The largest difference of one frame of a planar format.
fn planar_difference(source: &[&str], format: &Planar, size: (usize, usize), matrix: (Matrix, &str)) -> u8 {
    let (name, horizontal_log2, vertical_log2, bits, range, _) = *format;
    let (width, height) = size;
    let raw = frame(source, name, size);
    let bytes = if bits == 8 { 1 } else { 2 };
    let chroma_stride = width.div_ceil(1 << horizontal_log2) * bytes;
    let (luma, chroma) = raw.split_at(width * height * bytes);
    let (u, v) = chroma.split_at(chroma.len() / 2);
    let pixels = Pixels::Yuv {
        y: Component::new(luma, width * bytes, bytes),
        u: Component::new(u, chroma_stride, bytes),
        v: Component::new(v, chroma_stride, bytes),
        subsampling: Subsampling { horizontal_log2, vertical_log2 },
        matrix: matrix.0,
        range,
        samples: if bits == 8 { Samples::Eight } else { Samples::Wide { bits, shift: 0 } },
    };
    let expected = rgb_of_ffmpeg(&raw, name, size, matrix.1);
    most_different(&Picture::new(width, height, pixels).unwrap(), &expected)
}

#[test]
fn planar_frames_are_within_two_levels_of_ffmpeg() {
    let Some(clip) = clip() else { return };
    let clip = ["-ss", "5", "-i", clip.to_str().unwrap()];
    let drawn = ["-f", "lavfi", "-i", "smptehdbars=size=320x180"];
    for (size, format) in SIZES.into_iter().flat_map(|size| PLANAR.iter().map(move |f| (size, f))) {
        for (source, matrix) in [(&clip, (Matrix::Bt601, "bt601")), (&drawn, (Matrix::Bt709, "bt709"))] {
            let most = planar_difference(source, format, size, matrix);
            assert!(most <= format.5, "{format:?} {size:?} {matrix:?}: {most} levels");
        }
    }
}

#[test]
fn packed_frames_are_within_two_levels_of_ffmpeg() {
    let Some(clip) = clip() else { return };
    let (width, height) = (640, 480);
    let raw = frame(&["-ss", "5", "-i", clip.to_str().unwrap()], "yuyv422", (width, height));
    let at = |first: usize, step| Component::new(&raw[first..], 2 * width, step);
    let pixels = Pixels::Yuv {
        y: at(0, 2),
        u: at(1, 4),
        v: at(3, 4),
        subsampling: Subsampling::YUV422,
        matrix: Matrix::Bt601,
        range: Range::Limited,
        samples: Samples::Eight,
    };
    // As the planar format with the same content (see the module `rule`).
    let packed = ["-f", "rawvideo", "-pix_fmt", "yuyv422", "-s", "640x480", "-i", "-"];
    let planar = ffmpeg(&[&packed[..], &["-pix_fmt", "yuv422p"]].concat(), &raw);
    let expected = rgb_of_ffmpeg(&planar, "yuv422p", (width, height), "bt601");
    let most = most_different(&Picture::new(width, height, pixels).unwrap(), &expected);
    assert!(most <= 2, "{most} levels");
}
