//! Turns and mirrors an RGB picture: cameras and phones store it as the sensor lay.
//!
//! ```text
//! Upright    Rotate90   Rotate180  Rotate270     (clockwise, what has to be done to the stored picture)
//!  1 2 3       4 1        6 5 4      3 6
//!  4 5 6       5 2        3 2 1      2 5
//!              6 3                   1 4
//! ```
//!
//! The four flipped ones mirror left and right first and then turn. One pixel at a time: it runs on the
//! small crop, not on the camera's picture.

/// What has to be done to the stored picture so that it stands upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// Nothing.
    Upright,
    /// Turn clockwise by 90 degrees.
    Rotate90,
    /// Turn by 180 degrees.
    Rotate180,
    /// Turn clockwise by 270 degrees.
    Rotate270,
    /// Mirror left and right.
    Flipped,
    /// Mirror left and right, then turn clockwise by 90 degrees.
    FlippedRotate90,
    /// Mirror left and right, then turn by 180 degrees (so: mirror top and bottom).
    FlippedRotate180,
    /// Mirror left and right, then turn clockwise by 270 degrees.
    FlippedRotate270,
}

impl Orientation {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Upright,
        Self::Rotate90,
        Self::Rotate180,
        Self::Rotate270,
        Self::Flipped,
        Self::FlippedRotate90,
        Self::FlippedRotate180,
        Self::FlippedRotate270,
    ];

    /// Whether width and height change places.
    pub fn swaps_sides(self) -> bool {
        matches!(self, Self::Rotate90 | Self::Rotate270 | Self::FlippedRotate90 | Self::FlippedRotate270)
    }

    /// Width and height after turning a picture of `width_px` by `height_px`.
    pub fn turned_size(self, width_px: usize, height_px: usize) -> (usize, usize) {
        if self.swaps_sides() { (height_px, width_px) } else { (width_px, height_px) }
    }

    /// Where in the stored picture (`width` by `height`) the pixel `(x, y)` of the turned one comes from.
    fn source(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        match self {
            Self::Upright => (x, y),
            Self::Rotate90 => (y, height - 1 - x),
            Self::Rotate180 => (width - 1 - x, height - 1 - y),
            Self::Rotate270 => (width - 1 - y, x),
            Self::Flipped => (width - 1 - x, y),
            Self::FlippedRotate90 => (width - 1 - y, height - 1 - x),
            Self::FlippedRotate180 => (x, height - 1 - y),
            Self::FlippedRotate270 => (y, x),
        }
    }
}

/// Turns `src` `[height_px, width_px, 3]` into `dst`, whose size is [`Orientation::turned_size`].
///
/// # Panics
/// If a slice is not `width_px * height_px * 3` long.
pub fn turn_rgb(src: &[u8], width_px: usize, height_px: usize, orientation: Orientation, dst: &mut [u8]) {
    assert_eq!(src.len(), width_px * height_px * 3, "turn_rgb: src is not {width_px}x{height_px}");
    assert_eq!(dst.len(), src.len(), "turn_rgb: src and dst differ in length");
    let (turned_width, _) = orientation.turned_size(width_px, height_px);
    if src.is_empty() {
        return;
    }
    for (y, row) in dst.chunks_exact_mut(turned_width * 3).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let (from_x, from_y) = orientation.source(x, y, width_px, height_px);
            pixel.copy_from_slice(&src[(from_y * width_px + from_x) * 3..][..3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns the picture `1 2 3 / 4 5 6`, one number a pixel.
    fn turned(orientation: Orientation) -> Vec<u8> {
        let src: Vec<u8> = (1..=6).flat_map(|v| [v, 10 * v, 20 * v]).collect();
        let mut dst = vec![0; src.len()];
        turn_rgb(&src, 3, 2, orientation, &mut dst);
        assert!(dst.chunks_exact(3).all(|p| p[1] == 10 * p[0] && p[2] == 20 * p[0]), "{dst:?}");
        dst.iter().step_by(3).copied().collect()
    }

    #[test]
    fn each_orientation_is_what_its_name_says() {
        use Orientation::{
            Flipped, FlippedRotate90, FlippedRotate180, FlippedRotate270, Rotate90, Rotate180, Rotate270,
            Upright,
        };
        assert_eq!(turned(Upright), [1, 2, 3, 4, 5, 6]);
        assert_eq!(turned(Rotate90), [4, 1, 5, 2, 6, 3]);
        assert_eq!(turned(Rotate180), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turned(Rotate270), [3, 6, 2, 5, 1, 4]);
        assert_eq!(turned(Flipped), [3, 2, 1, 6, 5, 4]);
        assert_eq!(turned(FlippedRotate90), [6, 3, 5, 2, 4, 1]);
        assert_eq!(turned(FlippedRotate180), [4, 5, 6, 1, 2, 3]);
        assert_eq!(turned(FlippedRotate270), [1, 4, 2, 5, 3, 6]);
    }
}
