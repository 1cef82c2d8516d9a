//! Turns an RGB crop into network input: `(x / 255 - mean) / std`, one plane a channel.
//!
//! ```text
//! rgb [h, w, 3] u8 ─► table of 256 floats a channel ─► out [3, h, w] f32
//! ```
//!
//! The 768 table entries are computed in f32 in the order of the reference (divide, subtract, divide),
//! so the result is equal to it to the bit, and the table is faster than the arithmetic.

/// Writes `rgb_hwc` `[h, w, 3]` to `out_chw` `[3, h, w]` as `(x / 255 - mean) / std`.
///
/// # Panics
/// If the two differ in length or the length is not a multiple of 3.
pub fn planar_from_rgb(rgb_hwc: &[u8], mean: [f32; 3], std: [f32; 3], out_chw: &mut [f32]) {
    assert_eq!(rgb_hwc.len(), out_chw.len(), "planar_from_rgb: input and output differ in length");
    assert!(rgb_hwc.len().is_multiple_of(3), "planar_from_rgb: not a whole number of pixels");
    if rgb_hwc.is_empty() {
        return;
    }
    let plane_len = rgb_hwc.len() / 3;
    let tables: [[f32; 256]; 3] = [0, 1, 2].map(|c| table(mean[c], std[c]));
    let (red, rest) = out_chw.split_at_mut(plane_len);
    let (green, blue) = rest.split_at_mut(plane_len);
    let planes = red.iter_mut().zip(green).zip(blue);
    for (((red, green), blue), pixel) in planes.zip(rgb_hwc.chunks_exact(3)) {
        *red = tables[0][usize::from(pixel[0])];
        *green = tables[1][usize::from(pixel[1])];
        *blue = tables[2][usize::from(pixel[2])];
    }
}

/// What each level becomes in a channel of this mean and deviation.
pub(crate) fn table(mean: f32, std: f32) -> [f32; 256] {
    let mut table = [0.0; 256];
    for (value, entry) in (0u8..=255).zip(&mut table) {
        *entry = (f32::from(value) / 255.0 - mean) / std;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_goes_to_its_own_plane_with_its_own_numbers() {
        let mut out = [0.0; 6];
        planar_from_rgb(&[0, 255, 51, 255, 0, 102], [0.0, 0.5, 0.2], [1.0, 0.5, 0.1], &mut out);
        let expected = [0.0, 1.0, 1.0, -1.0, 0.0, 2.0];
        for (found, expected) in out.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn no_pixels_give_no_values() {
        planar_from_rgb(&[], [0.0; 3], [1.0; 3], &mut []);
    }
}
