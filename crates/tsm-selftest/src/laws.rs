//! What must hold for any weights: streaming is the causal clip, streams do not see each other, a reset forgets all,
//! and frames of bytes are the frames that a CPU normalises.

use candle_core::{DType, Device, Tensor};
use tsm_kernels::normalise::planar_from_rgb;
use tsm_model::{Frames, Model, StreamState};

use crate::error::SelftestError;
use crate::finding::{Compared, Finding, Off};
use crate::made_up;
use crate::plan::DataType;
use crate::streamed::{frame_len, streamed_afresh};

/// Frames of the clip: more than one, so that every shifted block has seen a past.
const CLIP_FRAMES: usize = 6;

/// Streams of the batch: no power of two, so that no kernel's tile fits it.
const STREAMS: usize = 5;

/// Frames of each.
const STREAM_FRAMES: usize = 6;

/// The frame before which one stream is reset.
const RESET_AT: usize = 3;

/// The stream that is reset.
const RESET_STREAM: usize = 2;

/// Fed frame by frame, the network says what it says of the whole clip.
pub(crate) fn streaming_is_the_clip(
    model: &mut Model,
    data_type: DataType,
) -> Result<Finding, SelftestError> {
    let size = model.spec().input.size_px;
    let frames = made_up::frames(11, CLIP_FRAMES, size);
    let clip = Tensor::from_slice(&frames, (1, CLIP_FRAMES, 3, size, size), &Device::Cpu)?;
    let clip = clip.to_dtype(data_type.dtype())?;
    let expected = model.forward_clip(&clip)?.segments.to_dtype(DType::F32)?.flatten_all()?;
    let expected: Vec<f32> = expected.to_vec1()?;
    let found = streamed_afresh(model, &frames)?;
    Ok(Finding::of("logit of the clip", Off::between(&expected, &found), data_type))
}

/// Streams of a batch are the streams alone, while one of them starts anew.
pub(crate) fn neighbours_do_not_meet(
    model: &mut Model,
    data_type: DataType,
) -> Result<Finding, SelftestError> {
    let (size, classes, len) = (model.spec().input.size_px, model.spec().classes.len(), frame_len(model));
    let videos: Vec<Vec<f32>> =
        (0..STREAMS as u64).map(|seed| made_up::frames(20 + seed, STREAM_FRAMES, size)).collect();
    let mut states: Vec<StreamState> = videos.iter().map(|_| model.fresh_state()).collect();
    let mut batched = vec![Vec::new(); STREAMS];
    let mut logits = vec![0.0; STREAMS * classes];
    for frame in 0..STREAM_FRAMES {
        if frame == RESET_AT {
            states[RESET_STREAM].reset();
        }
        let frames: Vec<f32> =
            videos.iter().flat_map(|video| &video[frame * len..(frame + 1) * len]).copied().collect();
        model.step(&frames, &mut states.iter_mut().collect::<Vec<_>>(), &mut logits)?;
        for (rows, row) in batched.iter_mut().zip(logits.chunks_exact(classes)) {
            rows.extend_from_slice(row);
        }
    }
    let mut off = Off::NONE;
    for (stream, (video, found)) in videos.iter().zip(&batched).enumerate() {
        let mut alone = streamed_afresh(model, video)?;
        if stream == RESET_STREAM {
            let afresh = streamed_afresh(model, &video[RESET_AT * len..])?;
            alone.truncate(RESET_AT * classes);
            alone.extend(afresh);
        }
        off = off.and(Off::between(&alone, found));
    }
    Ok(Finding::of("logit of the streams alone", off, data_type))
}

/// Frames of bytes, which the device normalises, have the logits of those that are normalised here.
pub(crate) fn bytes_are_frames(model: &mut Model) -> Result<Finding, SelftestError> {
    let (input, classes, len) = (model.spec().input.clone(), model.spec().classes.len(), frame_len(model));
    let fresh = |model: &Model| -> Vec<StreamState> { (0..STREAMS).map(|_| model.fresh_state()).collect() };
    let [mut ours, mut theirs] = [fresh(model), fresh(model)];
    let [mut found, mut expected] = [vec![0.0; STREAMS * classes], vec![0.0; STREAMS * classes]];
    let (mut compared, mut normalised) = (Compared::default(), vec![0.0; STREAMS * len]);
    for seed in 26..29 {
        let rgb = made_up::bytes(seed, STREAMS * len);
        for (rgb, frame) in rgb.chunks_exact(len).zip(normalised.chunks_exact_mut(len)) {
            planar_from_rgb(rgb, input.mean, input.std, frame);
        }
        model.step(Frames::Rgb(&rgb), &mut ours.iter_mut().collect::<Vec<_>>(), &mut found)?;
        model.step(&normalised, &mut theirs.iter_mut().collect::<Vec<_>>(), &mut expected)?;
        compared.add(&expected, &found);
    }
    Ok(compared.finding("logits of normalised frames"))
}
