//! MPEG-2 sequence display extension (ITU-T H.262, section 6.2.2.4), which no parser of `GStreamer` passes on.

use super::VuiColour;
use super::bits::Bits;

const EXTENSION: u8 = 0xb5;
const SEQUENCE_DISPLAY: u32 = 2;

/// The colour that a unit gives if it is such an extension; its range is always limited.
pub(super) fn colour(unit: &[u8]) -> Option<VuiColour> {
    let (&start_code, payload) = unit.split_first()?;
    if start_code != EXTENSION {
        return None;
    }
    let mut bits = Bits::new(payload);
    if bits.take(4)? != SEQUENCE_DISPLAY {
        return None;
    }
    bits.take(3)?; // video_format
    if !bits.flag()? {
        return Some(VuiColour { matrix: None, range: None });
    }
    bits.take(16)?; // primaries, transfer
    Some(VuiColour { matrix: super::matrix(bits.take(8)?), range: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_format::ColourMatrix;

    #[test]
    fn the_matrix_of_an_hd_broadcast_is_read() {
        // Extension 2, video format 5, a description: BT.709 thrice; then the display size.
        let unit = [0xb5, 0x2b, 1, 1, 1, 0x2d, 0x02, 0x21, 0xc0];
        assert_eq!(colour(&unit).unwrap().matrix, Some(ColourMatrix::Bt709));
        let undescribed = [0xb5, 0x2a, 0x2d, 0x02, 0x21, 0xc0];
        assert_eq!(colour(&undescribed).unwrap().matrix, None);
        for other in [&[0xb5, 0x14, 0x8a][..], &[0xb3, 0x2b, 1, 1, 1], &[0xb5, 0x2b], &[]] {
            assert_eq!(colour(other), None, "{other:x?}");
        }
    }
}
