//! Logits of clips, the fastest way that a network has.
//!
//! ```text
//!                       ┌─ it streams, the pictures are of its size ─► a step a frame, n streams side by side ─┐
//! clips [n, t, 3, h, w] ┤                                                                                      ├─► n means
//!                       └─ it looks ahead, or another size ──────────► forward_clip ───────────────────────────┘
//! ```
//!
//! Both ways say the same of a frame up to rounding (`tsm-model/tests/laws.rs`, "streaming = clip"); a step is planned
//! for the processor, a clip goes through Candle. A stream ends with its clip: frames that only fill a short one up do
//! not count. A network that looks ahead has learned from them, and there they do.

use candle_core::{Device, Tensor};
use tsm_model::{ClipLogits, Model, StepError, StreamState};

use crate::loader::Batch;
use crate::row_mean::RowMean;

/// Clips that go through the network at once.
const MOST_CLIPS: usize = 4;

/// Mean logits over the frames of each row of `batch`, `[classes]` each.
///
/// # Errors
/// [`StepError`] if the pictures do not fit the network, or the device fails.
pub(crate) fn mean_logits(model: &mut Model, batch: &Batch) -> Result<Vec<Vec<f32>>, StepError> {
    let [n, t, channels, height, width] = batch.shape();
    let clip = t * channels * height * width;
    let can_stream = model.spec().shift.is_streamable();
    let streams = can_stream && batch.side_px == model.spec().input.size_px;
    let mut rows = Vec::with_capacity(n);
    if clip == 0 {
        return Ok(rows);
    }
    let parts = batch.pixels.chunks(MOST_CLIPS * clip).zip(batch.shown_frames.chunks(MOST_CLIPS));
    for (pixels, shown_frames) in parts {
        if streams {
            rows.extend(streamed(model, pixels, shown_frames)?);
        } else {
            let shape = (pixels.len() / clip, t, channels, height, width);
            let clips = Tensor::from_slice(pixels, shape, &Device::Cpu)?;
            let ClipLogits { segments, consensus } = model.forward_clip(&clips)?;
            if can_stream {
                let segments = segments.to_vec3::<f32>()?;
                rows.extend(segments.iter().zip(shown_frames).map(|(rows, shown)| mean_row(&rows[..*shown])));
            } else {
                rows.extend(consensus.to_vec2::<f32>()?);
            }
        }
    }
    Ok(rows)
}

/// The mean of some rows.
fn mean_row(rows: &[Vec<f32>]) -> Vec<f32> {
    let mut mean = RowMean::new(rows.first().map_or(0, Vec::len));
    for row in rows {
        mean.add(row);
    }
    mean.mean()
}

/// Mean logits of clips of the network's size over the frames that each shows, a stream a clip.
fn streamed(model: &mut Model, pixels: &[f32], shown_frames: &[usize]) -> Result<Vec<Vec<f32>>, StepError> {
    let (side, classes, n) = (model.spec().input.size_px, model.spec().classes.len(), shown_frames.len());
    let (frame, clip) = (3 * side * side, pixels.len() / n);
    let mut states: Vec<StreamState> = (0..n).map(|_| model.fresh_state()).collect();
    let mut means = vec![RowMean::new(classes); n];
    let (mut frames, mut logits) = (Vec::new(), Vec::new());
    for at in 0..clip / frame {
        let is_shown = |row: &usize| at < shown_frames[*row];
        let rows: Vec<usize> = (0..n).filter(is_shown).collect();
        frames.clear();
        for row in &rows {
            frames.extend_from_slice(&pixels[row * clip + at * frame..][..frame]);
        }
        logits.resize(rows.len() * classes, 0.0);
        let states = states.iter_mut().enumerate().filter(|(row, _)| is_shown(row));
        let mut states: Vec<&mut StreamState> = states.map(|(_, state)| state).collect();
        if rows.is_empty() {
            break;
        }
        model.step(&frames, &mut states, &mut logits)?;
        for (row, logits) in rows.iter().zip(logits.chunks(classes)) {
            means[*row].add(logits);
        }
    }
    Ok(means.iter().map(RowMean::mean).collect())
}

#[cfg(test)]
mod tests {
    use tsm_model::checkpoint::{Checkpoint, Origin};
    use tsm_model::{MotionFeatures, ShiftKind};

    use super::*;
    use crate::recipe::{Preset, Recipe};
    use crate::start::Start;

    fn model(shift: ShiftKind) -> Model {
        let motion_features = MotionFeatures::Flow;
        let recipe = Recipe {
            from_scratch: true,
            width: 0.25,
            size: 64,
            shift,
            motion_features,
            ..Preset::Few.recipe()
        };
        let classes = ["a", "b", "c"].map(str::to_owned);
        let Start { spec, mut weights, .. } = Start::of(&recipe, &classes, None).unwrap();
        for name in ["classifier.1.weight", tsm_model::Architecture::MOTION_WEIGHT] {
            let shape = weights.get(name).unwrap().shape().clone();
            weights.insert(name.to_owned(), Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap());
        }
        Model::load(&Checkpoint { spec, weights, origin: Origin::Own }, Device::Cpu).unwrap()
    }

    fn batch(clips: &Tensor, shown_frames: Vec<usize>) -> Batch {
        let [n, frames, _, side_px, _] = *clips.dims() else { panic!("not clips") };
        Batch {
            epoch: 0,
            index: 0,
            pixels: clips.flatten_all().unwrap().to_vec1().unwrap(),
            frames,
            side_px,
            views: 1,
            targets: vec![0; n],
            clips: (0..n).collect(),
            shown_frames,
            skipped: Vec::new(),
            waited: std::time::Duration::ZERO,
        }
    }

    fn assert_alike(rows: &[Vec<f32>], expected: &[Vec<f32>]) {
        assert_eq!(rows.len(), expected.len());
        let most = expected.iter().flatten().fold(0.0f32, |most, x| most.max(x.abs()));
        for (row, expected) in rows.iter().flatten().zip(expected.iter().flatten()) {
            assert!((row - expected).abs() < 1e-4 * most, "{row} for {expected}");
        }
    }

    #[test]
    fn every_way_says_the_same() {
        for (shift, n, size) in [
            (ShiftKind::Causal, 1, 64),
            (ShiftKind::Causal, MOST_CLIPS + 1, 64),
            (ShiftKind::Causal, 2, 96),
            (ShiftKind::None, 2, 64),
            (ShiftKind::Mit, MOST_CLIPS + 1, 64),
        ] {
            let mut model = model(shift);
            let clips = Tensor::randn(0f32, 1.0, (n, 3, 3, size, size), &Device::Cpu).unwrap();
            let rows = mean_logits(&mut model, &batch(&clips, vec![3; n])).unwrap();
            let expected: Vec<Vec<f32>> = model.forward_clip(&clips).unwrap().consensus.to_vec2().unwrap();
            assert_alike(&rows, &expected);
        }
    }

    #[test]
    fn a_stream_ends_with_its_clip() {
        let mut model = model(ShiftKind::Causal);
        for size in [64, 96] {
            let clips = Tensor::randn(0f32, 1.0, (3, 4, 3, size, size), &Device::Cpu).unwrap();
            let shown = vec![2, 4, 1];
            let rows = mean_logits(&mut model, &batch(&clips, shown.clone())).unwrap();
            for (index, shown) in shown.into_iter().enumerate() {
                let alone = clips.narrow(0, index, 1).unwrap().narrow(1, 0, shown).unwrap();
                let expected: Vec<Vec<f32>> =
                    model.forward_clip(&alone).unwrap().consensus.to_vec2().unwrap();
                assert_alike(&rows[index..=index], &expected);
            }
        }
    }

    #[test]
    fn no_clips_have_no_logits() {
        let mut nothing =
            batch(&Tensor::zeros((1, 8, 3, 64, 64), candle_core::DType::F32, &Device::Cpu).unwrap(), vec![8]);
        (nothing.pixels, nothing.targets, nothing.shown_frames) = (Vec::new(), Vec::new(), Vec::new());
        assert!(mean_logits(&mut model(ShiftKind::Causal), &nothing).unwrap().is_empty());
    }
}
