//! H.264 sequence parameter set, as far as its colour (ITU-T H.264, sections 7.3.2.1.1 and E.1.1).

use super::VuiColour;
use super::bits::Bits;

const TYPE_SPS: u8 = 7;

/// The colour of a NAL unit that is a sequence parameter set; `None` for any other and for a broken one.
pub(super) fn colour(unit: &[u8]) -> Option<VuiColour> {
    let (&header, payload) = unit.split_first()?;
    if header & 0x9f != TYPE_SPS {
        return None;
    }
    let mut bits = Bits::new(payload);
    let profile = bits.take(8)?;
    bits.take(16)?; // constraint flags, level
    bounded(bits.unsigned()?, 31)?; // seq_parameter_set_id
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        high_profile(&mut bits)?;
    }
    bounded(bits.unsigned()?, 12)?; // log2_max_frame_num_minus4
    picture_order_count(&mut bits)?;
    bounded(bits.unsigned()?, 16)?; // max_num_ref_frames
    bits.flag()?;
    bits.unsigned()?; // width in macroblocks
    bits.unsigned()?; // height in map units
    if !bits.flag()? {
        bits.flag()?; // mb_adaptive_frame_field
    }
    bits.flag()?; // direct_8x8_inference
    if bits.flag()? {
        for _ in 0..4 {
            bits.unsigned()?; // cropping
        }
    }
    if !bits.flag()? {
        return Some(VuiColour { matrix: None, range: None });
    }
    VuiColour::read(&mut bits)
}

fn high_profile(bits: &mut Bits<'_>) -> Option<()> {
    let chroma = bounded(bits.unsigned()?, 3)?;
    if chroma == 3 {
        bits.flag()?;
    }
    bounded(bits.unsigned()?, 6)?; // luma depth
    bounded(bits.unsigned()?, 6)?; // chroma depth
    bits.flag()?;
    if bits.flag()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.flag()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn picture_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.unsigned()? {
        0 => bounded(bits.unsigned()?, 12).map(|_| ()),
        1 => {
            bits.flag()?;
            bits.signed()?;
            bits.signed()?;
            for _ in 0..bounded(bits.unsigned()?, 255)? {
                bits.signed()?;
            }
            Some(())
        }
        2 => Some(()),
        _ => None,
    }
}

fn bounded(value: u32, most: u32) -> Option<u32> {
    (value <= most).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_format::ColourRange;

    /// `ffmpeg -f lavfi -i testsrc2=s=320x240 -vf scale=out_range=full -pix_fmt yuvj420p -c:v libx264`, the set only.
    const YUVJ420P: &[u8] = include_bytes!("h264_yuvj420p.sps");

    #[test]
    fn a_lone_full_range_flag_is_found() {
        assert_eq!(colour(YUVJ420P), Some(VuiColour { matrix: None, range: Some(ColourRange::Full) }));
    }

    #[test]
    fn a_cut_set_says_nothing_and_does_not_panic() {
        for length in 0..9 {
            assert_eq!(colour(&YUVJ420P[..length]), None);
        }
    }
}
