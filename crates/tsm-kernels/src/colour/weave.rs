//! How three channels become r g b r g b …, for shuffles within sixteen bytes.
//!
//! ```text
//! byte q of part j holds channel (q + j) % 3        part 0 ──► r0 g0 b0 r1 … r5
//!                                                   part 1 ──► g5 b5 r6 … g10
//! 16 r, 16 g, 16 b ─ one shuffle each ─ select ──►  part 2 ──► b10 r11 … b15
//! ```
//!
//! One shuffle a channel serves all three parts; a selection by q takes from each channel what is its.

/// For channel c and byte q: the pixel whose c stands at q, in whichever of the three parts it does.
pub(super) const SPREAD: [[u8; 16]; 3] = [spread(0), spread(1), spread(2)];

#[expect(clippy::cast_possible_truncation, reason = "pixels 0..16")]
const fn spread(channel: usize) -> [u8; 16] {
    let mut pixels = [0; 16];
    let mut q = 0;
    while q < 16 {
        let part = (channel + 3 - q % 3) % 3;
        pixels[q] = ((16 * part + q) / 3) as u8;
        q += 1;
    }
    pixels
}

/// All ones where q % 3 is the index.
pub(super) const EVERY_THIRD: [[u8; 16]; 3] = [every_third(0), every_third(1), every_third(2)];

const fn every_third(phase: usize) -> [u8; 16] {
    let mut mask = [0; 16];
    let mut q = phase;
    while q < 16 {
        mask[q] = 0xFF;
        q += 3;
    }
    mask
}
