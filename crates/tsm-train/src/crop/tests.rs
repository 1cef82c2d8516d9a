//! Crops against `golden/geometry.json`. Tests only; their pixels are tested in `cutter.rs`.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::draws::Draws;
use crate::shared_data::shared;

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn pairs(value: &Value) -> Vec<(usize, usize)> {
    let pair = |pair: &Value| (number(&pair[0]), number(&pair[1]));
    value.as_array().unwrap().iter().map(pair).collect()
}

fn for_each_size(check: impl Fn(usize, usize, &Value)) {
    let Some(path) = shared("golden/geometry.json") else { return };
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let sizes = golden.as_array().unwrap();
    assert_eq!(sizes.len(), 21);
    for case in sizes {
        check(number(&case["w"]), number(&case["h"]), case);
    }
}

fn corners(crops: EvalCrops, width: usize, height: usize) -> Vec<(usize, usize)> {
    let views = crops.views(&InputSpec::default(), width, height);
    views.iter().map(|view| (view.cut.first.crop.x, view.cut.first.crop.y)).collect()
}

#[test]
fn crops_of_evaluation_are_the_references() {
    for_each_size(|width, height, golden| {
        let centre = EvalCrops::Centre.views(&InputSpec::default(), width, height)[0].cut.first;
        let scaled = (centre.scaled_width_px, centre.scaled_height_px);
        assert_eq!(scaled, (number(&golden["mit_scaled_wh"][0]), number(&golden["mit_scaled_wh"][1])));
        let at = (centre.crop.x, centre.crop.y);
        assert_eq!(at, (number(&golden["mit_center224_xy"][0]), number(&golden["mit_center224_xy"][1])));
        assert_eq!(corners(EvalCrops::Five, width, height), pairs(&golden["mit_10crop_xy"]));
        let ten = corners(EvalCrops::Ten, width, height);
        assert_eq!(ten[..5], ten[5..]);
        assert_eq!(corners(EvalCrops::ThreeFullRes, width, height), pairs(&golden["mit_3crop_fullres_xy"]));
        let forced = InputSpec { aspect: AspectRule::FourByThree, ..InputSpec::default() };
        let paddle = EvalCrops::Centre.views(&forced, width, height)[0].cut.first;
        let golden_paddle = [&golden["paddle_v151_scaled_wh"], &golden["paddle_v151_center224_xy"]];
        let found = [(paddle.scaled_width_px, paddle.scaled_height_px), (paddle.crop.x, paddle.crop.y)];
        assert_eq!(found, golden_paddle.map(|pair| (number(&pair[0]), number(&pair[1]))));
    });
}

#[test]
fn full_resolution_is_a_multiple_of_32_for_every_input() {
    for size_px in (32..=512).step_by(32) {
        let spec = InputSpec::with_size(size_px);
        let side = EvalCrops::ThreeFullRes.side_px(&spec);
        assert!(
            side.is_multiple_of(32) && side >= size_px && side <= spec.short_side_px,
            "{size_px}: {side}"
        );
        for view in EvalCrops::ThreeFullRes.views(&spec, 320, 240) {
            let Stage { scaled_width_px, scaled_height_px, crop, .. } = view.cut.first;
            assert!(crop.x + crop.width <= scaled_width_px && crop.y + crop.height <= scaled_height_px);
        }
    }
    assert_eq!(EvalCrops::ThreeFullRes.side_px(&InputSpec::with_size(224)), 256);
}

#[test]
fn crops_of_training_are_the_references() {
    for_each_size(|width, height, golden| {
        let sizes = multi_scale_sizes(width, height, 224);
        assert_eq!(sizes, pairs(&golden["mit_train_crop_wh"]), "{width}x{height}");
        for (size, golden) in sizes.iter().zip(golden["mit_train_offsets_xy"].as_array().unwrap()) {
            assert_eq!(
                multi_scale_offsets(width, height, size.0, size.1).to_vec(),
                pairs(golden),
                "{width}x{height}"
            );
        }
    });
}

#[test]
fn boxes_of_paddle_are_rounded_as_pil_rounds() {
    // 341 - 224 = 117 of room: 29.25, 58.5, 87.75, 117; Python's round gives 29, 58, 88, 117.
    let starts = [0, 1, 2, 3, 4].map(|quarters| paddle_edges(quarters, 341, 224));
    assert_eq!(starts, [(0, 224), (29, 224), (58, 224), (88, 224), (117, 224)]);
    // 58.5 and 58.5 + 223 = 281.5: 58 to 282.
    assert_eq!(paddle_edges(2, 340, 223), (58, 224));
}

proptest! {
    #[test]
    fn every_cut_lies_in_the_frame_and_has_the_networks_size(
        width in 1_usize..700, height in 1_usize..700, seed: u64, size in prop::sample::select(vec![96, 160, 224]),
    ) {
        let spec = InputSpec::with_size(size);
        for crop in [TrainCrop::MultiScale, TrainCrop::PaddleV151, TrainCrop::Centre] {
            let cut = crop.cut(&spec, width, height, &mut Draws::for_clip(seed, 0, 0));
            let first = cut.first.source;
            prop_assert!(first.x + first.width <= width && first.y + first.height <= height, "{:?}", cut);
            let mut inner = (width, height);
            for stage in std::iter::once(cut.first).chain(cut.then) {
                prop_assert!(stage.source.x + stage.source.width <= inner.0, "{:?}", cut);
                prop_assert!(stage.crop.x + stage.crop.width <= stage.scaled_width_px, "{:?}", cut);
                prop_assert!(stage.crop.y + stage.crop.height <= stage.scaled_height_px, "{:?}", cut);
                inner = (stage.crop.width, stage.crop.height);
            }
            prop_assert_eq!(inner, (size, size));
        }
    }
}
