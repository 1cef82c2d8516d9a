//! Random numbers that are a function of what they are for: seed, epoch and clip.
//!
//! ```text
//! (seed, epoch, clip) ─ mixed ─► start ─ + golden ratio, mixed ─► 1st draw, 2nd draw, …
//! ```
//!
//! No generator is shared, so a draw depends neither on the thread that makes it nor on what was drawn before
//! the run was killed and resumed. The generator is `SplitMix64` (Steele, Lea, Flood 2014), written out here so that
//! no other version of a crate can change a resumed run. It is no secret source: seeds can be guessed from draws.

/// Anything that answers "which of `n`?"; the tests' smallest and largest draws besides [`Draws`].
pub trait Draw {
    /// A number in `0..n`; 0 for `n` of 0 and 1.
    fn below(&mut self, n: usize) -> usize;
}

/// What a sequence of draws is for, so that two of them never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Clip = 1,
    Order = 2,
    Split = 3,
    Named = 4,
    Replacement = 5,
    Look = 6,
}

/// A sequence of draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draws {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    /// The draws of one clip in one epoch: frames, then crop.
    pub fn for_clip(seed: u64, epoch: u64, clip_index: usize) -> Self {
        Self::of([seed, Purpose::Clip as u64, epoch, clip_index as u64])
    }

    /// The draws of how a clip looks in an epoch: mirrored, colours. Apart from [`Draws::for_clip`], so that how many
    /// draws its frames and crop took changes nothing.
    pub fn for_look(seed: u64, epoch: u64, clip_index: usize) -> Self {
        Self::of([seed, Purpose::Look as u64, epoch, clip_index as u64])
    }

    /// The draws of the clip that takes the place of an unreadable one, by attempt.
    pub fn for_replacement(seed: u64, epoch: u64, clip_index: usize, attempt: u64) -> Self {
        let mut draws = Self::of([seed, Purpose::Replacement as u64, epoch, clip_index as u64]);
        draws.state = mixed(draws.state ^ attempt);
        draws
    }

    /// The draws behind the order of an epoch's clips.
    pub fn for_order(seed: u64, epoch: u64) -> Self {
        Self::of([seed, Purpose::Order as u64, epoch, 0])
    }

    /// The draws behind a split, by attempt.
    pub fn for_split(seed: u64, attempt: u64) -> Self {
        Self::of([seed, Purpose::Split as u64, attempt, 0])
    }

    /// Draws for any other purpose, which `name` keeps apart from all others: mixup of a step, dropout of a step.
    pub fn for_purpose(seed: u64, name: &str, index: u64) -> Self {
        let name = name.bytes().fold(0, |hash, byte| mixed(hash ^ u64::from(byte)).wrapping_add(GOLDEN));
        Self::of([seed, Purpose::Named as u64, name, index])
    }

    /// The draws of the published generator from `state` on, for what knows no epochs and clips.
    pub fn from_state(state: u64) -> Self {
        Self { state }
    }

    fn of(words: [u64; 4]) -> Self {
        let state = words.iter().fold(0, |state: u64, word| mixed(state.wrapping_add(GOLDEN) ^ word));
        Self { state }
    }

    /// Sixty-four random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mixed(self.state)
    }

    /// A number in `0.0..1.0`, in steps of 2^-24.
    pub fn unit(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits are exact in an f32")]
        let unit = (self.bits() >> 40) as f32 / 16_777_216.0;
        unit
    }

    /// A number in `low..high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True in half of all cases.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }

    /// Brings `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

impl Draw for Draws {
    fn below(&mut self, n: usize) -> usize {
        if n < 2 {
            return 0;
        }
        // The high word of a 64 x 64 bit product: for any n a clip can have, the bias is below 2^-40.
        let product = u128::from(self.bits()) * n as u128;
        usize::try_from(product >> 64).expect("the high word of a product with n is below n")
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of the published generator from state 1234567.
        let mut draws = Draws::from_state(1_234_567);
        assert_eq!(draws.bits(), 6_457_827_717_110_365_317);
        assert_eq!(draws.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn every_purpose_and_every_index_has_its_own_draws() {
        let mut seen = BTreeSet::new();
        for (seed, epoch, clip) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)] {
            assert!(seen.insert(Draws::for_clip(seed, epoch, clip).bits()));
        }
        assert!(seen.insert(Draws::for_order(0, 0).bits()));
        assert!(seen.insert(Draws::for_split(0, 0).bits()));
        assert!(seen.insert(Draws::for_purpose(0, "mixup", 0).bits()));
        assert!(seen.insert(Draws::for_purpose(0, "dropout", 0).bits()));
    }

    #[test]
    fn draws_below_n_reach_all_of_it_and_no_more() {
        let mut draws = Draws::for_clip(7, 0, 0);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[draws.below(5)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!((draws.below(0), draws.below(1)), (0, 0));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Draws::for_order(3, 1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
