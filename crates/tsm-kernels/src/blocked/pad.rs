//! Puts frames into their zero border, where the stem reads them.

use super::layout::Layout;
use super::shared::SharedMut;
use super::team::{Team, share};

/// Copies planar `frames` `[n, c, h, w]` into `padded`, n pictures of the planar `layout`; its border is left alone.
///
/// # Panics
/// If `frames` is no whole number of pictures, or `padded` is shorter than as many.
pub fn pad(team: &mut Team, layout: &Layout, frames: &[f32], padded: &mut [f32]) {
    let plane = layout.height() * layout.width();
    let planes = frames.len() / plane.max(1);
    assert_eq!(
        (frames.len(), layout.pixel()),
        (planes * plane, 1),
        "pad: frames are no pictures of {layout:?}"
    );
    let padded = SharedMut::new(padded, planes * layout.plane());
    let (width, rows, parts) = (layout.width(), planes * layout.height(), team.parts());
    team.run(&|part| {
        for row in share(rows, part, parts) {
            let at = row / layout.height() * layout.plane() + layout.at(row % layout.height(), 0);
            // SAFETY: a row of a plane, which belongs to this part.
            let padded = unsafe { padded.part(at, width) };
            padded.copy_from_slice(&frames[row * width..][..width]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::planar_from_blocked;

    #[test]
    fn the_frame_lies_within_its_border() {
        for threads in 1..4 {
            let layout = Layout::planar(3, 4, 5, 2);
            let frame: Vec<f32> = (1u8..=60).map(f32::from).collect();
            let mut padded = vec![0.0; layout.len()];
            pad(&mut Team::new(threads), &layout, &frame, &mut padded);
            let mut back = vec![0.0; 60];
            planar_from_blocked(&padded, &layout, &mut back);
            assert_eq!(back, frame);
            assert_eq!(padded.iter().filter(|&&value| value != 0.0).count(), 60);
        }
    }
}
