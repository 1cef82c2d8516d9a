//! What the clips of a batch tell of motion, for a network that weighs it (`tsm_model::motion_head`).
//!
//! It is read off the pictures as the network gets them: cropped, mirrored and recoloured. Of frames that only fill a
//! short clip up nothing is known: no stream shows them.

use candle_core::{Device, Result, Tensor};
use tsm_model::MotionFeatures;
use tsm_model::motion_head::{FEATURES, MotionReader};

use crate::loader::Batch;
use crate::start::Start;

/// Reads motion off batches.
#[derive(Debug)]
pub(super) struct MotionEyes {
    reader: MotionReader,
}

impl MotionEyes {
    /// For the network of `start`, if it weighs motion.
    pub(super) fn of_start(start: &Start) -> Option<Self> {
        match start.spec.motion_features {
            MotionFeatures::None => None,
            MotionFeatures::Flow => Some(Self { reader: MotionReader::new(&start.spec.input) }),
        }
    }

    /// `[n * t, FEATURES]` of a batch.
    pub(super) fn of(&mut self, batch: &Batch) -> Vec<f32> {
        let mut motion = self.reader.read_clips(&batch.pixels, batch.frames, [batch.side_px; 2]);
        for (clip, shown) in motion.chunks_exact_mut(batch.frames * FEATURES).zip(&batch.shown_frames) {
            clip[shown * FEATURES..].fill(0.0);
        }
        motion
    }
}

/// What was read of frames, as a tensor `[rows, FEATURES]`.
///
/// # Errors
/// If the device refuses.
pub(super) fn motion_tensor(motion: Vec<f32>, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(motion, ((), FEATURES), device)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recipe::{Preset, Recipe};

    #[test]
    fn frames_that_fill_a_short_clip_up_tell_nothing() {
        let recipe = Recipe { from_scratch: true, width: 0.25, size: 32, ..Preset::Few.recipe() };
        let start = Start::of(&recipe, &["a".to_owned(), "b".to_owned()], None).unwrap();
        let mut eyes = MotionEyes::of_start(&start).unwrap();
        let mut draws = crate::draws::Draws::for_purpose(1, "pixels", 0);
        let mut batch = Batch {
            epoch: 0,
            index: 0,
            pixels: (0..2 * 4 * 3 * 32 * 32).map(|_| draws.unit()).collect(),
            frames: 4,
            side_px: 32,
            views: 1,
            targets: vec![0, 1],
            clips: vec![0, 1],
            shown_frames: vec![4, 4],
            skipped: Vec::new(),
            waited: Duration::ZERO,
        };
        let whole = eyes.of(&batch);
        batch.shown_frames[0] = 2;
        let short = eyes.of(&batch);
        assert_eq!(short.len(), 8 * FEATURES);
        assert_eq!(short[..2 * FEATURES], whole[..2 * FEATURES]);
        assert!(short[2 * FEATURES..4 * FEATURES].iter().all(|x| *x == 0.0));
        assert!(whole[2 * FEATURES..4 * FEATURES].iter().any(|x| *x != 0.0));
        assert_eq!(short[4 * FEATURES..], whole[4 * FEATURES..]);
    }
}
