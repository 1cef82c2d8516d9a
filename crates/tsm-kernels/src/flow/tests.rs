//! What optical flow and its histograms say of a pattern whose motion is known.

use super::*;

const SIDE: usize = 160;

/// A picture whose pattern has moved by `(u, v)` pixels; grey, as network input of means 0 and deviations 1.
fn moved(u: f32, v: f32) -> Vec<f32> {
    let mut out = Vec::with_capacity(3 * SIDE * SIDE);
    for _channel in 0..3 {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (x, y) = (plane::index_float(x) - u, plane::index_float(y) - v);
                out.push(0.5 + 0.2 * (x * 0.13).sin() * (y * 0.11).cos() + 0.2 * (x * 0.05 + y * 0.07).sin());
            }
        }
    }
    out
}

fn grey(input: &[f32]) -> Pyramid {
    let mut out = Pyramid::default();
    Grey::new([0.0; 3], [1.0; 3]).of(input, SIDE, SIDE, &mut out);
    out
}

fn features(before: &[f32], now: &[f32]) -> Vec<f32> {
    let mut estimator = FlowEstimator::default();
    let mut out = vec![f32::NAN; FEATURES];
    Histograms::default().describe(estimator.flow(&grey(before), &grey(now)), &mut out);
    out
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / plane::index_float(values.len())
}

#[test]
fn a_grey_picture_is_the_mean_of_what_was_normalised() {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let rgb = [0.2, 0.5, 0.9];
    let input: Vec<f32> = (0..3).flat_map(|c| vec![(rgb[c] - mean[c]) / std[c]; 64 * 96]).collect();
    let mut out = Pyramid::default();
    Grey::new(mean, std).of(&input, 64, 96, &mut out);
    let luma = 0.299 * 0.2 + 0.587 * 0.5 + 0.114 * 0.9;
    for (level, shape) in [[32, 48], [16, 24], [8, 12]].into_iter().enumerate() {
        let picture = out.level(level);
        assert_eq!(picture.shape(), shape);
        let is_luma = |value: &f32| (value - luma).abs() < 1e-5;
        assert!(picture.values().iter().all(is_luma), "{:?}", &picture.values()[..4]);
    }
}

#[test]
fn every_input_size_has_a_grey_picture_of_about_forty_pixels() {
    for (side, expected) in [(32, 32), (64, 32), (96, 48), (160, 40), (224, 56), (544, 34), (1024, 32)] {
        assert_eq!(Grey::shape(side, side), [expected, expected]);
    }
    assert_eq!(Grey::shape(160, 224), [40, 56]);
}

#[test]
fn a_pattern_that_moves_has_the_flow_of_its_motion() {
    for (u, v) in [(4.0, 0.0), (-3.0, 5.0), (8.0, -2.0), (0.0, 0.0)] {
        let mut estimator = FlowEstimator::default();
        let [across, down] = estimator.flow(&grey(&moved(0.0, 0.0)), &grey(&moved(u, v)));
        // The grey picture has a pixel where the input has four.
        let found = [mean(across.values()) * 4.0, mean(down.values()) * 4.0];
        let error = (found[0] - u).hypot(found[1] - v);
        assert!(error < 0.2 * u.hypot(v) + 0.05, "({u}, {v}) became {found:?}");
    }
}

#[test]
fn a_pyramid_that_is_used_again_gives_the_flow_of_a_fresh_one_to_the_bit() {
    let pictures = [0.0f32, 2.0, 5.0, 4.0].map(|at| moved(at, -0.5 * at));
    let (mut kept, mut now, mut estimator) =
        (grey(&pictures[0]), Pyramid::zeros(32, 32), FlowEstimator::default());
    for pair in pictures.windows(2) {
        Grey::new([0.0; 3], [1.0; 3]).of(&pair[1], SIDE, SIDE, &mut now);
        let ours = estimator.flow(&kept, &now).map(Plane::clone);
        let mut fresh = FlowEstimator::default();
        assert_eq!(ours.each_ref(), fresh.flow(&grey(&pair[0]), &grey(&pair[1])));
        std::mem::swap(&mut kept, &mut now);
    }
}

#[test]
fn what_stands_still_or_has_no_texture_has_no_motion() {
    let still = features(&moved(0.0, 0.0), &moved(0.0, 0.0));
    let flat = features(&vec![0.3; 3 * SIDE * SIDE], &vec![0.3; 3 * SIDE * SIDE]);
    let lit = features(&vec![0.3; 3 * SIDE * SIDE], &vec![0.7; 3 * SIDE * SIDE]);
    for features in [still, flat, lit] {
        assert!(features.iter().all(|feature| *feature == 0.0), "{features:?}");
    }
}

#[test]
fn a_moving_camera_shows_in_the_whole_frame_and_in_no_place() {
    let features = features(&moved(0.0, 0.0), &moved(6.0, 0.0));
    let (by_speed, by_place) = (&features[..8], &features[30..30 + 128]);
    assert!(by_speed[0] > 2.0, "right: {by_speed:?}");
    assert!(by_speed[2..7].iter().all(|other| *other < by_speed[0] * 0.3), "{by_speed:?}");
    assert!(by_place.iter().sum::<f32>() / 16.0 < by_speed[0], "{by_place:?}");
}

#[test]
fn motion_is_told_where_it_is_and_its_edges_are_found() {
    let (u, v) = (&mut Plane::zeros(40, 40), Plane::zeros(40, 40));
    for y in 0..10 {
        u.values_mut()[y * 40..][30..40].fill(-1.0);
    }
    let mut out = vec![0.0; FEATURES];
    Histograms::default().describe([u, &v], &mut out);
    let [right, down, across, high, form, speed] = out[24..30] else { panic!("not six") };
    assert!((right - 0.375).abs() < 1e-3 && (down + 0.375).abs() < 1e-3, "upper right: {right} {down}");
    assert!((across - high).abs() < 1e-3 && form.abs() < 1e-3, "a square: {across} {high}");
    // Four pixels of 160 in a sixteenth of the frame, against the still rest; 0.3 of them do not count.
    assert!((speed - 3.7 / 16.0).abs() < 1e-3, "{speed}");
    let by_place = &out[30..30 + 128];
    assert!(
        (0..128).all(|at| (by_place[at] > 0.0) == (at % 8 == 4)),
        "around the mover, leftwards: {by_place:?}"
    );
    let (inner, outer) = (by_place[5 * 8 + 4], by_place[4]);
    assert!(inner > outer, "most of it is near its middle: {inner} {outer}");
    let whole: f32 = by_place.iter().map(|root| root * root).sum();
    assert!((whole - 3.7).abs() < 1e-2, "{whole}");
    let by_edge = &out[30 + 128..];
    assert!(
        by_edge[4] > 0.0 && by_edge[2] > 0.0,
        "it grows to the left, where it begins, and below, where it ends"
    );
    assert!(by_edge[24..].iter().all(|edge| *edge == 0.0), "nothing moves up or down");
}

#[test]
fn a_diagonal_is_shared_by_no_other_direction() {
    for (direction, (u, v)) in
        [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (-1.0, 0.0), (-1.0, -1.0), (0.0, -1.0), (1.0, -1.0)]
            .into_iter()
            .enumerate()
    {
        let (mut across, mut down) = (Plane::zeros(40, 40), Plane::zeros(40, 40));
        across.values_mut().fill(u);
        down.values_mut().fill(v);
        let mut out = vec![0.0; FEATURES];
        Histograms::default().describe([&across, &down], &mut out);
        let told: Vec<usize> = (0..8).filter(|at| out[*at] > 1e-3).collect();
        assert_eq!(told, [direction]);
    }
}

#[test]
fn a_larger_picture_of_the_same_motion_has_about_the_same_features() {
    let enlarge = |picture: &[f32]| -> Vec<f32> {
        let rows = picture.chunks_exact(SIDE).flat_map(|row| {
            let row: Vec<f32> = row.iter().flat_map(|value| [*value; 2]).collect();
            [row.clone(), row].concat()
        });
        rows.collect()
    };
    let (before, now) = (moved(0.0, 0.0), moved(3.0, 2.0));
    let small = features(&before, &now);
    let mut large = vec![0.0; FEATURES];
    let grey = |input: &[f32]| {
        let mut out = Pyramid::default();
        Grey::new([0.0; 3], [1.0; 3]).of(&enlarge(input), 2 * SIDE, 2 * SIDE, &mut out);
        out
    };
    let mut estimator = FlowEstimator::default();
    Histograms::default().describe(estimator.flow(&grey(&before), &grey(&now)), &mut large);
    for (small, large) in small.iter().zip(&large) {
        assert!((small - large).abs() < 1e-3, "{small} became {large}");
    }
}
