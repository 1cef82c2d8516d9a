//! A camera's picture to network input on one core: colour, resize and crop, normalisation.
//!
//! `cargo bench -p tsm-kernels --bench pixels`. Prints the best of many runs in milliseconds, for each level of the
//! CPU: each step alone, colour and resize as they run together, row by row, and all three; `cold` is all three on
//! pictures that no cache holds, as a decoder may leave them. The floor is reading the part of the picture that
//! the crop needs once.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use std::hint::black_box;
use std::ops::Range as Span;
use std::time::Instant;

use tsm_kernels::colour::{RgbRows, RowScratch};
use tsm_kernels::cpu_level::CpuLevel;
use tsm_kernels::normalise::planar_from_rgb;
use tsm_kernels::picture::{Component, Matrix, Picture, Pixels, Range, Samples, Subsampling};
use tsm_kernels::resize::{CropRect, ResizePlan};

const SIDE: usize = 224;
const RUNS: usize = 100;
/// Of so many bytes the crops' parts, a fifth, do not fit the last cache of most machines.
const COLD_BYTES: usize = 256 << 20;

fn best_millis(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    best
}

/// A picture of a format over some bytes.
fn picture<'a>(format: &str, data: &'a [u8], width: usize, height: usize) -> Picture<'a> {
    let luma = width * height;
    let at = |first: usize, stride: usize, step: usize| Component::new(&data[first..], stride, step);
    let (subsampling, samples) = match format {
        "YUY2" => (Subsampling::YUV422, Samples::Eight),
        "P010" => (Subsampling::YUV420, Samples::Wide { bits: 10, shift: 6 }),
        _ => (Subsampling::YUV420, Samples::Eight),
    };
    let (y, u, v) = match format {
        "I420" => (at(0, width, 1), at(luma, width / 2, 1), at(luma * 5 / 4, width / 2, 1)),
        "NV12" => (at(0, width, 1), at(luma, width, 2), at(luma + 1, width, 2)),
        "YUY2" => (at(0, 2 * width, 2), at(1, 2 * width, 4), at(3, 2 * width, 4)),
        _ => (at(0, 2 * width, 2), at(2 * luma, 2 * width, 4), at(2 * luma + 2, 2 * width, 4)),
    };
    let (matrix, range) = (Matrix::Bt709, Range::Limited);
    let pixels = Pixels::Yuv { y, u, v, subsampling, matrix, range, samples };
    Picture::new(width, height, pixels).expect("the bytes hold the picture")
}

fn main() {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    println!("cargo bench -p tsm-kernels --bench pixels    ({model}, one core)");
    println!(
        "\nto {SIDE}x{SIDE}, ms           floor   colour   resize  both streamed  normalise      all     cold"
    );
    for (width, height) in [(1920, 1080), (1280, 720), (640, 480)] {
        let frame_bytes = width * height * 3;
        let frames = COLD_BYTES.div_ceil(frame_bytes);
        let data: Vec<u8> = (0u8..=250).cycle().take(frames * frame_bytes).collect();
        for format in ["I420", "NV12", "YUY2", "P010"] {
            let pictures = data.chunks_exact(frame_bytes).map(|data| picture(format, data, width, height));
            let pictures: Vec<_> = pictures.collect();
            for level in CpuLevel::available() {
                bench(format, &pictures, level);
            }
        }
    }
}

/// Reads the samples of the given columns and rows once.
fn read(picture: &Picture<'_>, rows: &Span<usize>, columns: &Span<usize>) -> u64 {
    let Pixels::Yuv { y, u, v, subsampling, .. } = picture.pixels() else { return 0 };
    let Subsampling { horizontal_log2, vertical_log2 } = *subsampling;
    let mut sum = 0u64;
    for (component, horizontal, vertical) in
        [(y, 0, 0), (u, horizontal_log2, vertical_log2), (v, horizontal_log2, vertical_log2)]
    {
        let Component { data, row_stride_bytes, sample_step_bytes } = *component;
        let columns = (columns.start >> horizontal) * sample_step_bytes
            ..(columns.end >> horizontal) * sample_step_bytes;
        for row in rows.start >> vertical..rows.end >> vertical {
            let words = data[row * row_stride_bytes..][columns.clone()].as_chunks().0;
            sum = words.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)));
        }
    }
    sum
}

fn bench(format: &str, pictures: &[Picture<'_>], level: CpuLevel) {
    let picture = &pictures[0];
    let (width, height) = (picture.width_px(), picture.height_px());
    let scaled = 256 * width / height;
    let crop = CropRect { x: (scaled - SIDE) / 2, y: (256 - SIDE) / 2, width: SIDE, height: SIDE };
    let mut plan = ResizePlan::new(width, height, scaled, 256, crop).expect("the crop fits");
    let columns = plan.source_columns();
    let mut scratch = RowScratch::new();
    let mut rgb = vec![0; SIDE * SIDE * 3];
    let mut row = vec![0; columns.len() * 3];
    let floor = best_millis(|| {
        black_box(read(picture, &plan.source_rows(), &columns));
    });
    let colour = best_millis(|| {
        let mut rows = RgbRows::at(level, picture, &mut scratch);
        plan.source_rows().for_each(|y| rows.row(y, columns.clone(), &mut row));
        black_box(&row);
    });
    let resize = best_millis(|| {
        plan.run_rows_at(
            level,
            |_, rgb| {
                black_box(rgb);
            },
            &mut rgb,
        );
    });
    let both = best_millis(|| {
        let mut rows = RgbRows::at(level, picture, &mut scratch);
        plan.run_rows_at(level, |y, rgb| rows.row(y, columns.clone(), rgb), &mut rgb);
        black_box(&rgb);
    });
    let mut out = vec![0.0; rgb.len()];
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let normalise = best_millis(|| {
        planar_from_rgb(&rgb, mean, std, &mut out);
        black_box(&out);
    });
    let mut run = |picture: &Picture<'_>| {
        let mut rows = RgbRows::at(level, picture, &mut scratch);
        plan.run_rows_at(level, |y, rgb| rows.row(y, columns.clone(), rgb), &mut rgb);
        planar_from_rgb(&rgb, mean, std, &mut out);
        black_box(&out);
    };
    let all = best_millis(|| run(picture));
    let mut turn = pictures.iter().cycle();
    let cold = best_millis(|| turn.by_ref().take(1).for_each(&mut run));
    println!(
        "{format} {width:4}x{height:<4} {level:<6} {floor:9.3} {colour:8.3} {resize:8.3} {both:14.3} {normalise:10.3} {all:8.3} {cold:8.3}"
    );
}
