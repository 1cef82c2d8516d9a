//! Whether one run is better than another, judged on the same clips.
//!
//! ```text
//! clip 1  group a   first 1, second 0 |
//! clip 2  group a   first 1, second 1 |- groups drawn with replacement -> difference -> interval
//! clip 3  group b   first 0, second 1 |
//! ```
//!
//! Clips cut from one source video stand or fall together, so intervals draw whole groups: a test that takes
//! clips for independent (`McNemar`'s) is too sure where groups are large.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::draws::{Draw, Draws};

/// How two runs did on one clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedOutcome<'a> {
    /// What the clip was cut from.
    pub group: &'a str,
    /// How right the first run is: 1 or 0, or the mean of that over seeds.
    pub first: f64,
    /// The same of the second run.
    pub second: f64,
}

/// Why two runs cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// There is nothing to compare.
    #[error("no clips to compare")]
    NoClips,
    /// Drawing from one group says nothing.
    #[error("all clips are of one group; an interval by group needs at least two")]
    OneGroup,
    /// An outcome that is NaN or infinite.
    #[error("clip {clip} has an outcome that is not a finite number")]
    NotFinite {
        /// Which clip, counted from 0 in the order given.
        clip: usize,
    },
}

/// How an interval is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapSettings {
    /// How often groups are drawn anew; 10,000 holds the ends still to about a hundredth of the interval.
    pub resamples: NonZeroU32,
    /// The share of draws that the interval holds, in 0..1.
    pub confidence: f64,
    /// The same seed and clips give the same interval.
    pub seed: u64,
}

impl Default for BootstrapSettings {
    fn default() -> Self {
        let resamples = NonZeroU32::new(10_000).expect("ten thousand is not zero");
        Self { resamples, confidence: 0.95, seed: 0 }
    }
}

/// By how much the second run is better than the first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DifferenceInterval {
    /// The second run's mean outcome less the first's; 0.02 is two points.
    pub difference: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// The share of draws the interval holds.
    pub confidence: f64,
    /// The share of draws in which the second run is better; draws without difference count half.
    pub second_better: f64,
    /// Clips compared.
    pub clips: usize,
    /// Groups drawn from.
    pub groups: usize,
    /// How often they were drawn.
    pub resamples: u32,
    /// With which seed.
    pub seed: u64,
}

/// The difference of two runs with an interval from drawing groups with replacement (percentile bootstrap).
///
/// The clips' order does not matter.
///
/// # Errors
/// Where there is no clip, one group only, or an outcome is no finite number.
///
/// # Panics
/// Where the confidence is not between 0 and 1.
pub fn bootstrap_by_group(
    clips: &[PairedOutcome<'_>],
    settings: &BootstrapSettings,
) -> Result<DifferenceInterval, CompareError> {
    let BootstrapSettings { resamples, confidence, seed } = *settings;
    assert!(confidence > 0.0 && confidence < 1.0, "a confidence is between 0 and 1, not {confidence}");
    let groups = group_sums(clips)?;
    let mut random = Draws::from_state(seed);
    let draws = 0..resamples.get();
    let mut differences: Vec<f64> = draws
        .map(|_| {
            let drawn = (0..groups.len()).map(|_| groups[random.below(groups.len())]);
            mean_difference(drawn)
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Ok(DifferenceInterval {
        difference: mean_difference(groups.iter().copied()),
        low: quantile(&differences, tail),
        high: quantile(&differences, 1.0 - tail),
        confidence,
        second_better: share_above_zero(&differences),
        clips: clips.len(),
        groups: groups.len(),
        resamples: resamples.get(),
        seed,
    })
}

/// Each group's clips and summed difference, by the group's name: the draw must not depend on the clips' order.
fn group_sums(clips: &[PairedOutcome<'_>]) -> Result<Vec<(f64, f64)>, CompareError> {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (clip, outcome) in clips.iter().enumerate() {
        let difference = outcome.second - outcome.first;
        if !difference.is_finite() {
            return Err(CompareError::NotFinite { clip });
        }
        groups.entry(outcome.group).or_default().push(difference);
    }
    match groups.len() {
        0 => return Err(CompareError::NoClips),
        1 => return Err(CompareError::OneGroup),
        _ => {}
    }
    let sum = |mut differences: Vec<f64>| {
        // Sums of fractions depend on the order in their last bit.
        differences.sort_by(f64::total_cmp);
        differences.iter().fold((0.0, 0.0), |(clips, total), difference| (clips + 1.0, total + difference))
    };
    Ok(groups.into_values().map(sum).collect())
}

fn mean_difference(groups: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (clips, total) = groups.fold((0.0, 0.0), |sum, group| (sum.0 + group.0, sum.1 + group.1));
    total / clips
}

#[expect(clippy::cast_precision_loss, reason = "at most 2^32 draws")]
fn share_above_zero(differences: &[f64]) -> f64 {
    let above = differences.iter().filter(|difference| **difference > 0.0).count();
    let even = differences.iter().filter(|difference| **difference == 0.0).count();
    (above as f64 + even as f64 / 2.0) / differences.len() as f64
}

/// The value below which `share` of the sorted values lie, between two of them in proportion.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among at most 2^32 values"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    below + (above - below) * rank.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clips(rows: &[(&'static str, f64, f64)]) -> Vec<PairedOutcome<'static>> {
        rows.iter().map(|&(group, first, second)| PairedOutcome { group, first, second }).collect()
    }

    #[test]
    fn the_interval_holds_the_difference_and_does_not_depend_on_the_order() {
        let mut rows = clips(&[
            ("a", 0.0, 1.0),
            ("a", 0.5, 1.0),
            ("b", 1.0, 1.0),
            ("c", 1.0, 0.0),
            ("d", 0.0, 1.0),
            ("e", 0.0, 0.3),
        ]);
        let settings = BootstrapSettings { seed: 7, ..BootstrapSettings::default() };
        let found = bootstrap_by_group(&rows, &settings).unwrap();
        assert!((found.difference - 1.8 / 6.0).abs() < 1e-12);
        assert!(found.low < found.difference && found.difference < found.high);
        assert_eq!((found.clips, found.groups), (6, 5));
        // As a program of a dozen lines draws them with the published generator, in another language.
        for (end, expected) in [(found.low, -0.4), (found.high, 5.3 / 7.0), (found.second_better, 0.82345)] {
            assert!((end - expected).abs() < 1e-12, "{end} for {expected}");
        }
        rows.reverse();
        assert_eq!(bootstrap_by_group(&rows, &settings).unwrap(), found);
        let other = bootstrap_by_group(&rows, &BootstrapSettings { seed: 8, ..settings }).unwrap();
        assert!((other.second_better - found.second_better).abs() < 0.03);
        assert!(other != found);
    }

    #[test]
    fn clips_of_the_same_group_widen_the_interval() {
        let outcome = |clip: usize| (0.0, if clip.is_multiple_of(2) { 1.0 } else { -1.0 });
        let names: Vec<String> = (0..40).map(|clip| format!("g{clip}")).collect();
        let pairs = |spread: usize| -> Vec<PairedOutcome<'_>> {
            let one = |clip: usize| {
                let (first, second) = outcome(clip / spread);
                PairedOutcome { group: &names[clip / spread], first, second }
            };
            (0..40).map(one).collect()
        };
        let width = |spread| {
            let found = bootstrap_by_group(&pairs(spread), &BootstrapSettings::default()).unwrap();
            found.high - found.low
        };
        assert!(width(4) > 1.5 * width(1));
    }

    #[test]
    fn a_certain_difference_has_an_interval_of_no_width() {
        let found =
            bootstrap_by_group(&clips(&[("a", 0.0, 1.0), ("b", 0.0, 1.0)]), &BootstrapSettings::default())
                .unwrap();
        assert_eq!((found.low, found.high, found.second_better), (1.0, 1.0, 1.0));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let settings = BootstrapSettings::default();
        let refused =
            |rows: &[(&'static str, f64, f64)]| bootstrap_by_group(&clips(rows), &settings).unwrap_err();
        assert_eq!(refused(&[]), CompareError::NoClips);
        assert_eq!(refused(&[("a", 0.0, 1.0)]), CompareError::OneGroup);
        assert_eq!(refused(&[("a", f64::NAN, 1.0)]), CompareError::NotFinite { clip: 0 });
    }
}
