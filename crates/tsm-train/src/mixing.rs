//! Mixup and cutmix: each clip of a batch takes a part of another one, and of its label.
//!
//! ```text
//! clip a ─ λ ────────┐                      clip a with a box of clip b (all frames alike)
//! clip b ─ (1 - λ) ──┴─► clip, targets      λ = share of the picture that stays a's
//! ```
//!
//! λ is drawn once a batch from Beta(α, α). Sources: mixup (arXiv 1710.09412), cutmix
//! (arXiv 1905.04899). It works on the loader's numbers, before any tensor is made.

use crate::draws::Draws;

/// What a batch may be mixed with; 0 turns a kind off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixSpec {
    /// α of mixup.
    pub mixup: f64,
    /// α of cutmix. Where both are on, each batch draws one.
    pub cutmix: f64,
}

/// How one batch is mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    kind: Kind,
    /// Whose part each clip takes.
    partners: Vec<usize>,
    /// Part of its own that each clip keeps.
    keep: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Mixup,
    /// Rows and columns of the box, as parts of the picture: top, bottom, left, right.
    Cutmix([f32; 4]),
}

impl Mix {
    /// Draws how a batch of `n` clips is mixed; none where both kinds are off or there is one clip.
    pub fn draw(spec: MixSpec, n: usize, draws: &mut Draws) -> Option<Self> {
        let kinds = (spec.mixup > 0.0, spec.cutmix > 0.0);
        if n < 2 || kinds == (false, false) {
            return None;
        }
        let is_cutmix = kinds.1 && (!kinds.0 || draws.coin());
        let keep = beta(if is_cutmix { spec.cutmix } else { spec.mixup }, draws);
        let mut partners: Vec<usize> = (0..n).collect();
        draws.shuffle(&mut partners);
        if !is_cutmix {
            return Some(Self { kind: Kind::Mixup, partners, keep });
        }
        let half = (1.0 - keep).sqrt() / 2.0;
        let (y, x) = (draws.unit(), draws.unit());
        let edge = |at: f32| at.clamp(0.0, 1.0);
        let sides = [edge(y - half), edge(y + half), edge(x - half), edge(x + half)];
        Some(Self { kind: Kind::Cutmix(sides), partners, keep })
    }

    /// Mixes `pixels` `[n, t, 3, size, size]` in place, and what belongs to them:
    /// `others` such as targets `[n, classes]`.
    pub fn apply(&self, pixels: &mut [f32], size_px: usize, others: &mut [&mut [f32]]) {
        let n = self.partners.len();
        let keep = match self.kind {
            Kind::Mixup => {
                blend(pixels, &self.partners, self.keep);
                self.keep
            }
            Kind::Cutmix(sides) => {
                let pixel = |part: f32| rounded(part, size_px);
                let [top, bottom, left, right] = sides.map(pixel);
                cut(pixels, &self.partners, size_px, [top, bottom, left, right]);
                share(size_px * size_px - (bottom - top) * (right - left), size_px * size_px)
            }
        };
        for other in others.iter_mut().filter(|other| n > 0 && !other.is_empty()) {
            blend(other, &self.partners, keep);
        }
    }
}

/// Each of the rows of `values` keeps its part and takes the rest from its partner.
fn blend(values: &mut [f32], partners: &[usize], keep: f32) {
    let row = values.len() / partners.len();
    let before = values.to_vec();
    for (own, partner) in values.chunks_exact_mut(row).zip(partners) {
        let other = &before[partner * row..][..row];
        for (value, other) in own.iter_mut().zip(other) {
            *value = keep * *value + (1.0 - keep) * other;
        }
    }
}

/// Puts the partner's box into every plane of every clip.
fn cut(pixels: &mut [f32], partners: &[usize], size_px: usize, sides: [usize; 4]) {
    let [top, bottom, left, right] = sides;
    let clip = pixels.len() / partners.len();
    let plane = size_px * size_px;
    let before = pixels.to_vec();
    for (own, partner) in pixels.chunks_exact_mut(clip).zip(partners) {
        let other = &before[partner * clip..][..clip];
        for (own, other) in own.chunks_exact_mut(plane).zip(other.chunks_exact(plane)) {
            for y in top..bottom {
                let span = y * size_px + left..y * size_px + right;
                own[span.clone()].copy_from_slice(&other[span]);
            }
        }
    }
}

/// A draw from Beta(α, α), for α up to a few units (Jöhnk 1964).
fn beta(alpha: f64, draws: &mut Draws) -> f32 {
    let power = 1.0 / alpha;
    loop {
        let (x, y) = (f64::from(draws.unit()).powf(power), f64::from(draws.unit()).powf(power));
        let sum = x + y;
        if sum > 0.0 && sum <= 1.0 {
            #[expect(clippy::cast_possible_truncation, reason = "a part of a clip, 0 to 1")]
            return (x / sum) as f32;
        }
    }
}

/// `part` of `size` in whole pixels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part, 0 to 1, of a picture")]
#[expect(clippy::cast_precision_loss, reason = "a picture's side is below 2^24")]
fn rounded(part: f32, size: usize) -> usize {
    (part * size as f32).round() as usize
}

#[expect(clippy::cast_precision_loss, reason = "pixels of a picture are below 2^24")]
fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 8;

    /// Two clips of one frame, all zeros and all ones, of classes 0 and 1.
    fn mixed(spec: MixSpec, index: u64) -> (Vec<f32>, Vec<f32>, Mix) {
        let mut pixels = [vec![0.0; 3 * SIZE * SIZE], vec![1.0; 3 * SIZE * SIZE]].concat();
        let mut targets = vec![1.0, 0.0, 0.0, 1.0];
        let mix = Mix::draw(spec, 2, &mut Draws::for_purpose(1, "mix", index)).unwrap();
        mix.apply(&mut pixels, SIZE, &mut [&mut targets]);
        (pixels, targets, mix)
    }

    /// Whatever was drawn, a pixel's share of the other clip is the target's.
    #[test]
    fn labels_are_mixed_as_the_pictures_are() {
        for spec in [MixSpec { mixup: 0.4, cutmix: 0.0 }, MixSpec { mixup: 0.0, cutmix: 1.0 }] {
            let mut changed = 0;
            for index in 0..50 {
                let (pixels, targets, _) = mixed(spec, index);
                let (first, second) = pixels.split_at(3 * SIZE * SIZE);
                let mean = |clip: &[f32]| clip.iter().sum::<f32>() / (3.0 * share(SIZE * SIZE, 1));
                assert!((mean(first) - targets[1]).abs() < 1e-5);
                assert!((mean(second) - targets[3]).abs() < 1e-5);
                assert!((targets[0] + targets[1] - 1.0).abs() < 1e-6);
                changed += usize::from(targets[1] > 0.0);
            }
            assert!(changed > 10, "{changed} of 50 batches were mixed");
        }
    }

    #[test]
    fn nothing_is_mixed_where_it_is_off() {
        let off = MixSpec { mixup: 0.0, cutmix: 0.0 };
        assert_eq!(Mix::draw(off, 8, &mut Draws::for_purpose(1, "mix", 0)), None);
        let on = MixSpec { mixup: 1.0, cutmix: 0.0 };
        assert_eq!(Mix::draw(on, 1, &mut Draws::for_purpose(1, "mix", 0)), None);
    }

    #[test]
    fn beta_is_symmetric_with_its_mass_at_the_ends_for_a_small_alpha() {
        let mut draws = Draws::for_purpose(3, "beta", 0);
        let drawn: Vec<f32> = (0..4000).map(|_| beta(0.2, &mut draws)).collect();
        let mean = drawn.iter().sum::<f32>() / 4000.0;
        let middle = drawn.iter().filter(|x| (0.25..0.75).contains(*x)).count();
        assert!((mean - 0.5).abs() < 0.03, "mean {mean}");
        assert!((400..1000).contains(&middle), "{middle} of 4000 in the middle half");
    }
}
