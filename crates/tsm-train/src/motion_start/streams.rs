//! The streams of a `MobileNetV2`: what stands between the first block of a stage and the first of the next.
//!
//! ```text
//!   writer 0 ─────┬──────────── + ─┬──────────── + ─► reader (next stage's expansion, or the last convolution)
//!    (projection) └─ reader ─ … ─ writer 1  …
//! ```
//!
//! All writers add into the same channels and all readers are 1x1 convolutions, so a stream may be written in any other
//! coordinates: the projections give them, the expansions take them.

use tsm_model::architecture::{Architecture, Block, ConvUnit, Shortcut};
use tsm_model::{ModelSpec, ShiftKind};

/// Channels that the circuits write in a stream: motion in x and y, and change.
pub(super) const CIRCUIT: usize = 3;

/// Channels that they write in the last stream: those, and motion against its surroundings.
pub(super) const LAST_CIRCUIT: usize = 5;

/// One stream.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    /// Its channels.
    pub(super) channels: usize,
    /// The first of them, which are to be given to the circuits and to the shift.
    pub(super) free: usize,
    /// Of the free ones, those that the circuits write.
    pub(super) circuit: usize,
    /// Indices of the blocks whose projections add to it; the first begins it.
    pub(super) blocks: Vec<usize>,
    /// The projections.
    pub(super) writers: Vec<ConvUnit>,
    /// The 1x1 convolutions that read it.
    pub(super) readers: Vec<ConvUnit>,
}

/// The streams of a network in order; none where its blocks are no inverted residuals.
pub(super) fn of(architecture: &Architecture, spec: &ModelSpec) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for (index, block) in architecture.blocks.iter().enumerate() {
        let Some((expand, project)) = ends(block) else { continue };
        if let Some(stream) = streams.last_mut() {
            stream.readers.push(expand.clone());
        }
        match streams.last_mut() {
            Some(stream) if block.shortcut == Shortcut::Identity => {
                stream.blocks.push(index);
                stream.writers.push(project.clone());
            }
            _ => streams.push(Stream {
                channels: project.out_channels,
                free: 0,
                circuit: CIRCUIT,
                blocks: vec![index],
                writers: vec![project.clone()],
                readers: Vec::new(),
            }),
        }
    }
    if let (Some(stream), Some(last)) = (streams.last_mut(), &architecture.last) {
        stream.readers.push(last.clone());
        stream.circuit = LAST_CIRCUIT;
    }
    for stream in &mut streams {
        stream.free = moved_channels(stream, architecture, spec).max(stream.circuit);
    }
    streams
}

/// Channels of a stream that the shift of its blocks moves.
fn moved_channels(stream: &Stream, architecture: &Architecture, spec: &ModelSpec) -> usize {
    let is_shifted = stream.blocks.iter().any(|index| architecture.blocks[*index].is_shifted);
    if !is_shifted || spec.shift.kind == ShiftKind::None {
        return 0;
    }
    let folds = spec.shift.folds(stream.channels);
    folds.first.end.max(folds.second.end)
}

/// Expansion and projection of an inverted residual.
fn ends(block: &Block) -> Option<(&ConvUnit, &ConvUnit)> {
    match &block.convs[..] {
        [expand, depthwise, project] if depthwise.is_depthwise() => Some((expand, project)),
        _ => None,
    }
}

/// The depthwise convolution of an inverted residual.
pub(super) fn depthwise(block: &Block) -> Option<&ConvUnit> {
    block.convs.iter().find(|unit| unit.is_depthwise())
}
