//! The reference pipelines' own pictures: resize and normalisation against `golden/preprocess.safetensors`. Tests only.

use safetensors::SafeTensors;

use crate::cpu_level::CpuLevel;
use crate::normalise::planar_from_rgb;
use crate::resize::{CropRect, ResizePlan};
use crate::shared_data::shared;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

const SIZES: [(usize, usize); 8] =
    [(320, 240), (588, 331), (240, 320), (256, 256), (341, 256), (457, 123), (177, 100), (480, 270)];

fn golden() -> Option<Vec<u8>> {
    Some(std::fs::read(shared("golden/preprocess.safetensors")?).unwrap())
}

/// `round((side - 224) / 2)`, halves to even, as Python rounds.
fn centre(side: usize) -> usize {
    let room = side - 224;
    room / 2 + usize::from(room % 4 == 3)
}

fn centre_crop(width: usize, height: usize) -> CropRect {
    CropRect { x: centre(width), y: centre(height), width: 224, height: 224 }
}

/// MIT: the short side becomes 256, the long one is rounded down.
fn mit_size(width: usize, height: usize) -> (usize, usize) {
    if width <= height { (256, 256 * height / width) } else { (256 * width / height, 256) }
}

/// Paddle 1.5.1: 4:3 or 3:4, whatever it was; untouched if the short side is 256.
fn paddle_size(width: usize, height: usize) -> (usize, usize) {
    match (width, height) {
        _ if width.min(height) == 256 => (width, height),
        _ if width < height => (256, 341),
        _ => (341, 256),
    }
}

fn check(what: &str, size: fn(usize, usize) -> (usize, usize)) {
    let Some(bytes) = golden() else { return };
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    for (width, height) in SIZES {
        let input = golden.tensor(&format!("{width}x{height}.input_u8")).unwrap();
        let expected = golden.tensor(&format!("{width}x{height}.{what}")).unwrap();
        let (scaled_width, scaled_height) = size(width, height);
        let crop = centre_crop(scaled_width, scaled_height);
        let mut plan = ResizePlan::new(width, height, scaled_width, scaled_height, crop).unwrap();
        let rows = plan.source_rows();
        let source = &input.data()[rows.start * width * 3..rows.end * width * 3];
        for level in CpuLevel::available() {
            let mut out = vec![0; 224 * 224 * 3];
            plan.run_at(level, source, &mut out);
            assert!(out == expected.data(), "{what} {width}x{height} at {level} is not PIL's");
        }
    }
}

#[test]
fn mit_pictures_are_equal_to_the_bit() {
    check("mit_val_u8", mit_size);
}

#[test]
fn paddle_pictures_are_equal_to_the_bit() {
    check("paddle_v151_u8", paddle_size);
}

#[test]
fn the_three_full_resolution_crops_are_equal_to_the_bit() {
    let Some(bytes) = golden() else { return };
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let input = golden.tensor("588x331.input_u8").unwrap();
    let expected = golden.tensor("588x331.mit_3crop_fullres_u8").unwrap();
    let (width, height) = mit_size(588, 331);
    let step = (width - 256) / 4;
    for (x, expected) in [0, 4 * step, 2 * step].into_iter().zip(expected.data().chunks_exact(256 * 256 * 3))
    {
        let crop = CropRect { x, y: 0, width: 256, height: 256 };
        let mut plan = ResizePlan::new(588, 331, width, height, crop).unwrap();
        let rows = plan.source_rows();
        let mut out = vec![0; expected.len()];
        plan.run(&input.data()[rows.start * 588 * 3..rows.end * 588 * 3], &mut out);
        assert!(out == expected, "crop at {x} is not PIL's");
    }
}

#[test]
fn network_input_is_the_reference_pipelines() {
    let Some(bytes) = golden() else { return };
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    for what in ["mit_val", "paddle_v151"] {
        let picture = golden.tensor(&format!("320x240.{what}_u8")).unwrap();
        let expected = golden.tensor(&format!("320x240.{what}_f32")).unwrap();
        let mut out = vec![0.0; 3 * 224 * 224];
        planar_from_rgb(picture.data(), MEAN, STD, &mut out);
        for (found, expected) in out.iter().zip(expected.data().as_chunks::<4>().0) {
            let expected = f32::from_le_bytes(*expected);
            assert!((found - expected).abs() <= 1e-5, "{what}: {found}, not {expected}");
        }
    }
}
