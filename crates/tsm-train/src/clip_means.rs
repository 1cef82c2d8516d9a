//! A clip's features as the frames of a running stream show them on average.
//!
//! ```text
//! frames [t] ─ those that repeat the last one of a short clip are left out ─► mean of the network's features
//! motion [t] ─ frames of which a half knows nothing do not count for it ────► mean of each half
//! ```
//!
//! A stream knows the motion of every frame but its first ones; a short clip would say less of it than it saw.

use tsm_model::motion_head::HALVES;

use crate::row_mean::RowMean;

/// The mean over the frames of one clip: of its `features`, rows of `[width]`, and of its `motion`, rows of
/// `[FEATURES]` that are all 0 where nothing is known, or empty.
///
/// # Panics
/// If there are no rows.
pub fn clip_mean(features: &[f32], width: usize, motion: &[f32]) -> Vec<f32> {
    let frames = features.len() / width;
    assert!(frames > 0, "a clip has a frame");
    let mut mean = sum_of(features.chunks_exact(width), width).mean();
    for half in HALVES.into_iter().filter(|_| !motion.is_empty()) {
        let rows = || motion.chunks_exact(motion.len() / frames).map(|row| &row[half.clone()]);
        let known: f64 = rows().filter_map(<[f32]>::last).map(|known| f64::from(*known)).sum();
        mean.extend(sum_of(rows(), half.len()).over(if known > 0.0 { known } else { 1.0 }));
    }
    mean
}

fn sum_of<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> RowMean {
    let mut sum = RowMean::new(width);
    rows.for_each(|row| sum.add(row));
    sum
}

#[cfg(test)]
mod tests {
    use tsm_model::motion_head::FEATURES;

    use super::*;

    #[test]
    fn each_half_of_motion_counts_the_frames_that_know_it() {
        // Four frames; the first knows nothing, the second the flow alone.
        let mut motion = vec![0.0; 4 * FEATURES];
        for frame in 1..4 {
            let row = &mut motion[frame * FEATURES..][..FEATURES];
            row[HALVES[0].start] = 3.0;
            row[HALVES[0].end - 1] = 1.0;
            if frame > 1 {
                row[HALVES[1].start] = 5.0;
                row[HALVES[1].end - 1] = 1.0;
            }
        }
        let mean = clip_mean(&[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 8.0], 2, &motion);
        assert_eq!((mean.len(), &mean[..2]), (2 + FEATURES, [2.5, 2.0].as_slice()));
        for (feature, wanted) in [
            (HALVES[0].start, 3.0),
            (HALVES[0].end - 1, 1.0),
            (HALVES[1].start, 5.0),
            (HALVES[1].end - 1, 1.0),
        ] {
            assert!((mean[2 + feature] - wanted).abs() < 1e-6, "{feature}: {}", mean[2 + feature]);
        }
    }

    #[test]
    fn a_single_frame_knows_no_motion_and_without_a_layer_on_it_there_is_none() {
        let mean = clip_mean(&[1.0, 2.0], 2, &vec![0.0; FEATURES]);
        assert!(mean.len() == 2 + FEATURES && mean[2..].iter().all(|x| *x == 0.0));
        assert_eq!(clip_mean(&[1.0, 2.0], 2, &[]), [1.0, 2.0]);
    }
}
