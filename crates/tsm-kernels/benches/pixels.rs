//! A camera's picture to network input on one core: colour, resize and crop, normalisation.
//!
//! `cargo bench -p tsm-kernels --bench pixels`. Prints the best of many runs in milliseconds, for each level of the
//! CPU. The floor is reading the part of the picture that the crop needs once.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use std::hint::black_box;
use std::time::Instant;

use tsm_kernels::colour::{RgbRows, RowScratch};
use tsm_kernels::cpu_level::CpuLevel;
use tsm_kernels::normalise::planar_from_rgb;
use tsm_kernels::picture::{Component, Matrix, Picture, Pixels, Range, Samples, Subsampling};
use tsm_kernels::resize::{CropRect, ResizePlan};

const SIDE: usize = 224;
const RUNS: usize = 100;

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
    println!("\nto {SIDE}x{SIDE}, ms                  colour   resize   both streamed   normalise");
    for (width, height) in [(1920, 1080), (1280, 720), (640, 480)] {
        let data: Vec<u8> = (0u8..=250).cycle().take(width * height * 3).collect();
        for format in ["I420", "NV12", "YUY2", "P010"] {
            for level in CpuLevel::available() {
                bench(format, &picture(format, &data, width, height), level);
            }
        }
    }
}

fn bench(format: &str, picture: &Picture<'_>, level: CpuLevel) {
    let (width, height) = (picture.width_px(), picture.height_px());
    let scaled = 256 * width / height;
    let crop = CropRect { x: (scaled - SIDE) / 2, y: (256 - SIDE) / 2, width: SIDE, height: SIDE };
    let mut plan = ResizePlan::new(width, height, scaled, 256, crop).expect("the crop fits");
    let columns = plan.source_columns();
    let mut scratch = RowScratch::new();
    let mut rgb = vec![0; SIDE * SIDE * 3];
    let mut row = vec![0; columns.len() * 3];
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
    let normalise = best_millis(|| {
        planar_from_rgb(&rgb, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], &mut out);
        black_box(&out);
    });
    println!(
        "{format} {width:4}x{height:<4} {level:<7}   {colour:8.3} {resize:8.3} {both:15.3} {normalise:11.3}"
    );
}
