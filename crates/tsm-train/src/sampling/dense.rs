//! S frames from a window of 64, as MIT's `dense_sample` and `MMAction2`'s `DenseSampleFrames` take them.
//!
//! ```text
//! frames   . . . [ x . . . . . . . x . . . . . . . x  …  ] . . .     stride 64 / S
//!                start                                64 frames
//! ```
//!
//! A clip shorter than the window starts over: indices are taken modulo its length.

use crate::counts::float;
use crate::draws::Draw;
use crate::sampling::{ClipCount, uniform};

/// Frames of a window.
const WINDOW: usize = 64;

/// Windows of the dense test.
const TEST_WINDOWS: usize = 10;

/// One window at a random start.
pub fn one(frames: usize, segments: usize, draw: &mut dyn Draw) -> Vec<usize> {
    window(draw.below(frames.saturating_sub(WINDOW)), frames, segments)
}

/// The ten windows of the dense test, one after another.
pub fn ten(frames: usize, segments: usize) -> Vec<usize> {
    let last = frames.saturating_sub(WINDOW);
    // NumPy's `linspace` multiplies a step in f64 and sets the last value apart; whole numbers may come out lower.
    let step = float(last) / float(TEST_WINDOWS - 1);
    let start = |i| if i + 1 == TEST_WINDOWS { last } else { uniform::whole(float(i) * step) };
    (0..TEST_WINDOWS).flat_map(|i| window(start(i), frames, segments)).collect()
}

/// The window in the middle; or, twice, the first and the last one. Ours: the references draw here.
pub(crate) fn centred(frames: usize, segments: usize, clips: ClipCount) -> Vec<usize> {
    let last = frames.saturating_sub(WINDOW);
    match clips {
        ClipCount::Twice => [0, last].into_iter().flat_map(|start| window(start, frames, segments)).collect(),
        ClipCount::One | ClipCount::DenseTen => window(last / 2, frames, segments),
    }
}

fn window(start: usize, frames: usize, segments: usize) -> Vec<usize> {
    let stride = WINDOW / segments;
    (0..segments).map(|i| (start + i * stride) % frames).collect()
}
