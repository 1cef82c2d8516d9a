//! What the clips of a batch tell of motion, for a network that weighs it (`tsm_model::motion_head`).
//!
//! It is read off the pictures as the network gets them: cropped, mirrored and recoloured.

use candle_core::{Device, Result, Tensor};
use tsm_model::MotionFeatures;
use tsm_model::motion_head::MotionReader;

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

    /// `[n * t, motion_features]` of a batch.
    pub(super) fn of(&mut self, batch: &Batch) -> Vec<f32> {
        self.reader.read_clips(&batch.pixels, batch.frames, [batch.side_px; 2])
    }
}

/// The motion of `rows` frames as a tensor; none where nothing was read.
///
/// # Errors
/// If the device refuses.
pub(super) fn motion_tensor(motion: Vec<f32>, rows: usize, device: &Device) -> Result<Option<Tensor>> {
    if motion.is_empty() {
        return Ok(None);
    }
    let count = motion.len() / rows.max(1);
    Tensor::from_vec(motion, (rows, count), device).map(Some)
}
