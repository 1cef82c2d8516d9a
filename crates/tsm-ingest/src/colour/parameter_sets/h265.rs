//! H.265 sequence parameter set, as far as its colour (ITU-T H.265, sections 7.3.2.2 and E.2.1).

use super::VuiColour;
use super::bits::Bits;

const TYPE_SPS: u8 = 33;

/// The colour of a NAL unit that is a sequence parameter set; `None` for any other and for a broken one.
pub(super) fn colour(unit: &[u8]) -> Option<VuiColour> {
    let (header, payload) = unit.split_at_checked(2)?;
    if header[0] >> 1 != TYPE_SPS || header[0] & 0x80 != 0 {
        return None;
    }
    let mut bits = Bits::new(payload);
    bits.take(4)?; // video parameter set id
    let sub_layers = bounded(bits.take(3)?, 6)?;
    bits.flag()?;
    profile_tier_level(&mut bits, sub_layers)?;
    bounded(bits.unsigned()?, 15)?; // sequence parameter set id
    if bounded(bits.unsigned()?, 3)? == 3 {
        bits.flag()?;
    }
    bits.unsigned()?; // width
    bits.unsigned()?; // height
    if bits.flag()? {
        for _ in 0..4 {
            bits.unsigned()?; // conformance window
        }
    }
    bounded(bits.unsigned()?, 8)?; // luma depth
    bounded(bits.unsigned()?, 8)?; // chroma depth
    let order_count_bits = bounded(bits.unsigned()?, 12)? + 4;
    let first = if bits.flag()? { 0 } else { sub_layers };
    for _ in first..=sub_layers {
        for _ in 0..3 {
            bits.unsigned()?; // decoder picture buffer
        }
    }
    for _ in 0..6 {
        bits.unsigned()?; // block sizes and depths
    }
    tools(&mut bits)?;
    reference_sets(&mut bits)?;
    if bits.flag()? {
        for _ in 0..bounded(bits.unsigned()?, 32)? {
            bits.skip(order_count_bits + 1)?; // long-term reference
        }
    }
    bits.take(2)?; // temporal motion vectors, strong smoothing
    if !bits.flag()? {
        return Some(VuiColour { matrix: None, range: None });
    }
    VuiColour::read(&mut bits)
}

fn profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    bits.skip(88)?;
    bits.skip(8)?;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(())
}

fn tools(bits: &mut Bits<'_>) -> Option<()> {
    if bits.flag()? && bits.flag()? {
        scaling_lists(bits)?;
    }
    bits.take(2)?; // asymmetric partitions, sample adaptive offset
    if bits.flag()? {
        bits.take(8)?; // pcm depths
        bits.unsigned()?;
        bits.unsigned()?;
        bits.flag()?;
    }
    Some(())
}

fn scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.unsigned()?;
                continue;
            }
            if size > 1 {
                bits.signed()?;
            }
            for _ in 0..64.min(1u32 << (4 + (size << 1))) {
                bits.signed()?;
            }
        }
    }
    Some(())
}

/// Short-term reference picture sets (section 7.3.7); only their lengths matter here.
fn reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let count = bounded(bits.unsigned()?, 64)?;
    let mut pictures = 0u32;
    for index in 0..count {
        if index > 0 && bits.flag()? {
            bits.flag()?;
            bits.unsigned()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.flag()?;
                if used || bits.flag()? {
                    kept += 1;
                }
            }
            pictures = bounded(kept, 16)?;
            continue;
        }
        let (before, after) = (bounded(bits.unsigned()?, 16)?, bounded(bits.unsigned()?, 16)?);
        pictures = bounded(before + after, 16)?;
        for _ in 0..pictures {
            bits.unsigned()?;
            bits.flag()?;
        }
    }
    Some(())
}

fn bounded(value: u32, most: u32) -> Option<u32> {
    (value <= most).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_format::ColourRange;

    /// `ffmpeg -f lavfi -i testsrc2=s=320x240 -vf scale=out_range=full -pix_fmt yuvj420p -c:v libx265`, the set only.
    const YUVJ420P: &[u8] = include_bytes!("h265_yuvj420p.sps");

    #[test]
    fn a_lone_full_range_flag_is_found() {
        let found = colour(YUVJ420P).unwrap();
        assert_eq!(found.range, Some(ColourRange::Full));
    }

    #[test]
    fn a_cut_set_says_nothing_and_does_not_panic() {
        for length in 0..20 {
            assert_eq!(colour(&YUVJ420P[..length]), None);
        }
    }
}
