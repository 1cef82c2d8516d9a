//! The temporal shift of a stream: the first channels of a tensor change places with those of the last frame.
//!
//! ```text
//!            lanes 0 .. fold          the other lanes
//! patch    ◄ state (the last frame)   x
//! state    ◄ x (this frame)
//! ```
//!
//! The state holds no more than the fold: for each block of sixteen channels the pixels, each with the block's
//! lanes of the fold. `x` itself stays, so that a residual added later is this frame's.

use super::layout::{LANES, Layout};
use super::shared::SharedMut;
use super::team::{Team, share};

/// Blocks that hold the first `fold` channels: those of a patch.
pub const fn fold_blocks(fold: usize) -> usize {
    fold.div_ceil(LANES)
}

/// Makes the `patch` that stands in for the first blocks of picture `x`, and puts this frame's fold into `state`.
///
/// `x` is a picture of `layout`, `patch` its first [`fold_blocks`] blocks with the same border, `state` has
/// `fold * height * width` floats.
///
/// # Panics
/// If a slice has another length, or the fold is wider than the picture.
pub fn shift_into_patch(
    team: &mut Team,
    layout: &Layout,
    fold: usize,
    x: &[f32],
    state: &mut [f32],
    patch: &mut [f32],
) {
    check(layout, fold, x.len(), state.len());
    assert_eq!(patch.len(), fold_blocks(fold) * layout.plane(), "shift: the patch does not fit {layout:?}");
    let (pitch, width, border) = (layout.pitch(), layout.width(), layout.border());
    let pixels = layout.height() * width;
    let (patch_len, state_len, parts) = (patch.len(), state.len(), team.parts());
    let (patch, state) = (SharedMut::new(patch, patch_len), SharedMut::new(state, state_len));
    team.run(&|part| {
        for block in 0..fold_blocks(fold) {
            let lanes = LANES.min(fold - block * LANES);
            for bordered in share(layout.height() + 2 * border, part, parts) {
                let at = block * layout.plane() + layout.bordered_row(bordered);
                // SAFETY: a row of the patch, which belongs to this part.
                let patch = unsafe { patch.part(at, pitch) };
                patch.copy_from_slice(&x[at..][..pitch]);
                if bordered < border || bordered >= layout.height() + border {
                    continue;
                }
                let first = block * LANES * pixels + (bordered - border) * width * lanes;
                // SAFETY: the same row of the state.
                let state = unsafe { state.part(first, width * lanes) };
                swap_row(&mut patch[border * LANES..][..width * LANES], lanes, state);
            }
        }
    });
}

/// Swaps the fold of picture `x` with `state`, where the residual is to see the shift as well.
///
/// # Panics
/// As [`shift_into_patch`].
pub fn shift_in_place(layout: &Layout, fold: usize, x: &mut [f32], state: &mut [f32]) {
    check(layout, fold, x.len(), state.len());
    swap_fold(layout, fold, x, state);
}

fn check(layout: &Layout, fold: usize, x_len: usize, state_len: usize) {
    assert!(fold <= layout.channels() && layout.pixel() == LANES, "shift: a fold of {fold} in {layout:?}");
    assert_eq!(x_len, layout.len(), "shift: x does not fit {layout:?}");
    assert_eq!(
        state_len,
        fold * layout.height() * layout.width(),
        "shift: the state does not fit {layout:?}"
    );
}

fn swap_fold(layout: &Layout, fold: usize, x: &mut [f32], state: &mut [f32]) {
    let (pixels, mut rest) = (layout.height() * layout.width(), state);
    for block in 0..fold_blocks(fold) {
        let lanes = LANES.min(fold - block * LANES);
        let (own, others) = rest.split_at_mut(lanes * pixels);
        swap_lanes(layout, lanes, &mut x[block * layout.plane()..][..layout.plane()], own);
        rest = others;
    }
}

fn swap_lanes(layout: &Layout, lanes: usize, block: &mut [f32], state: &mut [f32]) {
    for (y, state) in state.chunks_exact_mut((layout.width() * lanes).max(1)).enumerate() {
        let row = &mut block[layout.at(y, 0)..][..layout.width() * LANES];
        swap_row(row, lanes, state);
    }
}

/// Swaps the first lanes of each pixel of a row with the row of a state.
fn swap_row(row: &mut [f32], lanes: usize, state: &mut [f32]) {
    if lanes == LANES {
        return row.swap_with_slice(state);
    }
    for (pixel, state) in row.as_chunks_mut::<LANES>().0.iter_mut().zip(state.chunks_exact_mut(lanes)) {
        pixel[..lanes].swap_with_slice(state);
    }
}

/// Copies a state of `fold` channels out as planar `[fold, pixels]`.
///
/// # Panics
/// If `state` and `planar` are not both `fold * pixels` long.
pub fn planar_from_state(state: &[f32], fold: usize, pixels: usize, planar: &mut [f32]) {
    assert_eq!(
        (state.len(), planar.len()),
        (fold * pixels, fold * pixels),
        "planar_from_state: lengths differ"
    );
    for (channel, plane) in planar.chunks_exact_mut(pixels.max(1)).enumerate() {
        let first = channel / LANES * LANES;
        let lanes = LANES.min(fold - first);
        let block = &state[first * pixels..];
        for (pixel, value) in plane.iter_mut().enumerate() {
            *value = block[pixel * lanes + channel - first];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::layout::{blocked_from_planar, planar_from_blocked};
    use proptest::prelude::*;

    fn counting(count: usize, first: u16) -> Vec<f32> {
        (first..).take(count).map(f32::from).collect()
    }

    proptest! {
        #[test]
        fn the_fold_changes_places_and_nothing_else_does(
            channels in 1usize..50, height in 1usize..5, width in 1usize..6, border in 0usize..2, part in 1usize..9,
            threads in 1usize..4,
        ) {
            let layout = Layout::blocked(channels, height, width, border);
            let (fold, pixels) = (channels / part, height * width);
            let (now, old) = (counting(channels * pixels, 1), counting(fold * pixels, 9000));
            let mut x = vec![0.0; layout.len()];
            blocked_from_planar(&now, &layout, &mut x);
            // The old frame's fold gets in by a shift of its own.
            let mut state = vec![0.0; fold * pixels];
            let mut old_x = vec![0.0; layout.len()];
            blocked_from_planar(&[&old, &now[fold * pixels..]].concat(), &layout, &mut old_x);
            shift_in_place(&layout, fold, &mut old_x, &mut state);

            let mut patch = vec![0.0; fold_blocks(fold) * layout.plane()];
            let before = x.clone();
            shift_into_patch(&mut Team::new(threads), &layout, fold, &x, &mut state, &mut patch);
            prop_assert_eq!(&x, &before);
            let mut planar = vec![0.0; fold * pixels];
            planar_from_state(&state, fold, pixels, &mut planar);
            prop_assert_eq!(&planar, &now[..fold * pixels]);
            x[..patch.len()].copy_from_slice(&patch);
            let mut shifted = vec![0.0; channels * pixels];
            planar_from_blocked(&x, &layout, &mut shifted);
            prop_assert_eq!(&shifted[..fold * pixels], &old[..]);
            prop_assert_eq!(&shifted[fold * pixels..], &now[fold * pixels..]);
        }
    }
}
