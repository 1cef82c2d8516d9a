//! Training and validation, groups kept together, classes as evenly as the groups allow.
//!
//! ```text
//! groups, shuffled by the seed, the largest first ─ each to where the classes' counts miss their aims least
//!        several times with other orders ─► the best
//! ```
//!
//! No class is ever without training clips. Where groups are few, the part kept for validation differs from the one
//! asked for, and a class whose clips are one group has none in validation.

use std::collections::BTreeMap;

use super::{Dataset, DatasetError, class_index, class_number};
use crate::draws::Draws;

/// Both sides, as indices into the data set, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The clips to learn from.
    pub training: Vec<usize>,
    /// The clips to judge by.
    pub validation: Vec<usize>,
    /// Classes that have clips, but none in validation: worth a warning.
    pub unvalidated: Vec<u32>,
}

/// How many orders are tried.
const ATTEMPTS: u64 = 48;

/// Keeps about `fraction` (0 to 1) of each class for validation; nothing of 0, else at least a group.
///
/// # Errors
/// [`DatasetError::NoSplit`] if no group can be spared.
pub fn split(dataset: &Dataset, fraction: f64, seed: u64) -> Result<Split, DatasetError> {
    if fraction <= 0.0 {
        let training = (0..dataset.clips.len()).collect();
        return Ok(Split { training, validation: Vec::new(), unvalidated: Vec::new() });
    }
    let groups = Groups::of(dataset);
    let best_of = |fraction: f64| {
        (0..ATTEMPTS)
            .map(|attempt| {
                let draws = Draws::for_split(seed, attempt);
                groups.dealt(&[1.0 - fraction, fraction], draws, Guard::KeepInFirst)
            })
            .filter(|dealt| dealt.places.contains(&1))
            .min_by(|a, b| a.cost.total_cmp(&b.cost))
    };
    // Less than half of the smallest group is best met by no group at all.
    let larger = |fraction: &f64| (*fraction < 0.5).then_some((2.0 * fraction).min(0.5));
    let best = std::iter::successors(Some(fraction), larger).find_map(best_of);
    let Some(best) = best else { return Err(groups.impossible(dataset, 2)) };
    Ok(groups.split(dataset, &best.places, 1))
}

/// `folds` splits, each clip in the validation of exactly one.
///
/// # Errors
/// [`DatasetError::NoSplit`] if there are fewer groups than folds or fewer than two folds, or a class would be without
/// training clips in one.
pub fn folds(dataset: &Dataset, folds: usize, seed: u64) -> Result<Vec<Split>, DatasetError> {
    let groups = Groups::of(dataset);
    if folds < 2 {
        let reason = format!("{folds} folds leave nothing to learn from; ask for two or more");
        return Err(DatasetError::NoSplit { reason });
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of folds")]
    let shares = vec![1.0 / folds as f64; folds];
    let best = (0..ATTEMPTS)
        .map(|attempt| groups.dealt(&shares, Draws::for_split(seed, attempt), Guard::None))
        .filter(|dealt| groups.every_fold_can_learn(&dealt.places, folds))
        .min_by(|a, b| a.cost.total_cmp(&b.cost));
    let Some(best) = best else { return Err(groups.impossible(dataset, folds)) };
    Ok((0..folds).map(|fold| groups.split(dataset, &best.places, fold)).collect())
}

/// The groups of a data set, with how many clips of each class they hold.
struct Groups {
    members: Vec<Vec<usize>>,
    /// `[group][class]`.
    counts: Vec<Vec<usize>>,
    /// Clips of each class.
    totals: Vec<usize>,
}

/// Each group's place and how far the places miss their aims.
struct Dealt {
    places: Vec<usize>,
    cost: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    None,
    /// A group goes to place 1 only while place 0 keeps a clip of each of its classes.
    KeepInFirst,
}

impl Groups {
    fn of(dataset: &Dataset) -> Self {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, clip) in dataset.clips.iter().enumerate() {
            by_name.entry(&clip.group).or_default().push(index);
        }
        let members: Vec<_> = by_name.into_values().collect();
        let counts = members.iter().map(|clips| dataset.clips_by_class_of(clips.iter().copied())).collect();
        Self { members, counts, totals: dataset.clips_by_class() }
    }

    /// Deals the groups to as many places as there are shares.
    fn dealt(&self, shares: &[f64], mut draws: Draws, guard: Guard) -> Dealt {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        draws.shuffle(&mut order);
        order.sort_by_key(|group| std::cmp::Reverse(self.members[*group].len()));
        let mut held = vec![vec![0; self.totals.len()]; shares.len()];
        let mut left = self.totals.clone();
        let mut places = vec![0; self.members.len()];
        for group in order {
            let counts = &self.counts[group];
            let is_allowed = |place: usize| {
                let spared = |(class, count): (usize, &usize)| *count == 0 || left[class] > *count;
                guard == Guard::None || place != 1 || counts.iter().enumerate().all(spared)
            };
            let gain = |place: usize| self.miss_change(counts, &held[place], shares[place]);
            let place = (0..shares.len())
                .filter(|place| is_allowed(*place))
                .min_by(|a, b| gain(*a).total_cmp(&gain(*b)))
                .unwrap_or(0);
            places[group] = place;
            for (class, count) in counts.iter().enumerate() {
                held[place][class] += count;
                // What is not in validation yet may still be training's.
                left[class] -= if place == 1 { *count } else { 0 };
            }
        }
        let cost = held.iter().zip(shares).map(|(held, share)| self.miss(held, *share)).sum();
        Dealt { places, cost }
    }

    /// How far a place's classes miss their aims: squares, in parts of the class.
    #[expect(clippy::cast_precision_loss, reason = "numbers of clips")]
    fn miss(&self, held: &[usize], share: f64) -> f64 {
        let of_class = |(held, total): (&usize, &usize)| {
            let total = (*total).max(1) as f64;
            (*held as f64 / total - share).powi(2)
        };
        held.iter().zip(&self.totals).map(of_class).sum()
    }

    fn miss_change(&self, counts: &[usize], held: &[usize], share: f64) -> f64 {
        let after: Vec<usize> = held.iter().zip(counts).map(|(held, count)| held + count).collect();
        self.miss(&after, share) - self.miss(held, share)
    }

    fn every_fold_can_learn(&self, places: &[usize], folds: usize) -> bool {
        let mut held = vec![vec![0; self.totals.len()]; folds];
        for (counts, place) in self.counts.iter().zip(places) {
            for (held, count) in held[*place].iter_mut().zip(counts) {
                *held += count;
            }
        }
        held.iter().all(|held| {
            let has_clips = held.iter().any(|count| *count > 0);
            has_clips && held.iter().zip(&self.totals).all(|(held, total)| *total == 0 || held < total)
        })
    }

    fn split(&self, dataset: &Dataset, places: &[usize], validation_place: usize) -> Split {
        let mut split = Split { training: Vec::new(), validation: Vec::new(), unvalidated: Vec::new() };
        for (members, place) in self.members.iter().zip(places) {
            let side = if *place == validation_place { &mut split.validation } else { &mut split.training };
            side.extend(members);
        }
        split.training.sort_unstable();
        split.validation.sort_unstable();
        let validated = dataset.clips_by_class_of(split.validation.iter().copied());
        let lacks = |class: &usize| validated[*class] == 0 && self.totals[*class] > 0;
        split.unvalidated = (0..self.totals.len()).filter(lacks).map(class_number).collect();
        split
    }

    fn impossible(&self, dataset: &Dataset, folds: usize) -> DatasetError {
        let groups = self.members.len();
        let alone = dataset.clips.iter().find(|clip| {
            let class = class_index(clip.class);
            self.counts.iter().filter(|counts| counts[class] > 0).count() < 2
        });
        let reason = match alone {
            _ if groups < folds => format!("they are {groups} group(s) of clips, {folds} are needed"),
            Some(clip) => {
                let class = &dataset.classes[class_index(clip.class)];
                format!("all clips of '{class}' belong to the group '{}'", clip.group)
            }
            None => format!("{groups} groups cannot be dealt so that every class keeps training clips"),
        };
        let remedy = "name the source videos with --groups or --group-regex, or give lists of your own";
        DatasetError::NoSplit { reason: format!("{reason}; {remedy}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::{Clip, groups::GroupRule};
    use crate::dataset::{class_folder, kinetics};
    use crate::shared_data::shared;

    fn dataset(clips: &[(u32, &str)]) -> Dataset {
        let count = clips.iter().map(|(class, _)| *class + 1).max().unwrap_or(0);
        let classes = (0..count).map(|class| format!("class{class}")).collect();
        let clip =
            |(class, group): &(u32, &str)| Clip { group: (*group).to_owned(), ..Clip::new("a", *class) };
        Dataset { classes, clips: clips.iter().map(clip).collect() }
    }

    #[test]
    fn the_real_clips_are_split_nearly_as_asked() {
        let Some(table) = shared("data/jhmdb-train.csv") else { return };
        let dataset = kinetics::read(&table).unwrap().dataset;
        for seed in 0..3 {
            let split = split(&dataset, 0.2, seed).unwrap();
            assert!(split.unvalidated.is_empty());
            let totals = dataset.clips_by_class();
            let held = dataset.clips_by_class_of(split.validation.iter().copied());
            for (held, total) in held.iter().zip(&totals) {
                assert!(held * 20 >= *total && held * 5 <= total * 2, "{held} of {total}");
            }
            assert!((115..=155).contains(&split.validation.len()), "{}", split.validation.len());
        }
        let five = folds(&dataset, 5, 1).unwrap();
        let mut all: Vec<usize> = five.iter().flat_map(|split| split.validation.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..667).collect::<Vec<_>>());
        assert_ne!(split(&dataset, 0.2, 1).unwrap(), split(&dataset, 0.2, 2).unwrap());
    }

    #[test]
    fn a_tree_without_groups_is_split_too() {
        let Some(root) = shared("data/jhmdb-train") else { return };
        let mut dataset = class_folder::read(&root).unwrap().dataset;
        GroupRule::FileNames.apply(&mut dataset).unwrap();
        assert!(split(&dataset, 0.25, 0).unwrap().unvalidated.is_empty());
    }

    #[test]
    fn a_part_smaller_than_any_group_is_a_group_and_none_is_none() {
        let clips: Vec<(u32, String)> = (0..12).map(|n| (n % 2, format!("g{}", n / 3))).collect();
        let clips: Vec<(u32, &str)> = clips.iter().map(|(class, group)| (*class, group.as_str())).collect();
        assert_eq!(split(&dataset(&clips), 0.001, 0).unwrap().validation.len(), 3);
        let Split { training, validation, .. } = split(&dataset(&clips), 0.0, 0).unwrap();
        assert_eq!((training.len(), validation.len()), (12, 0));
    }

    #[test]
    fn a_class_of_one_group_stays_in_training() {
        let split = split(&dataset(&[(0, "a"), (0, "a"), (1, "b"), (1, "c"), (1, "d")]), 0.3, 0).unwrap();
        assert!(split.training.starts_with(&[0, 1]));
        assert_eq!(split.unvalidated, [0]);
    }

    #[test]
    fn what_cannot_be_split_is_refused_with_what_to_do() {
        let error = split(&dataset(&[(0, "a"), (1, "a")]), 0.2, 0).unwrap_err().to_string();
        assert!(error.contains("1 group(s)") && error.contains("--groups"), "{error}");
        let one_group = dataset(&[(0, "a"), (0, "a"), (1, "b"), (1, "c")]);
        let error = folds(&one_group, 2, 0).unwrap_err().to_string();
        assert!(error.contains("'class0' belong to the group 'a'"), "{error}");
        assert!(folds(&one_group, 1, 0).is_err());
    }

    fn clips() -> impl Strategy<Value = Vec<(u32, String)>> {
        prop::collection::vec((0_u32..4, 0_u32..12), 1..80)
            .prop_map(|clips| clips.into_iter().map(|(class, group)| (class, group.to_string())).collect())
    }

    proptest! {
        #[test]
        fn no_group_stands_on_both_sides_and_every_class_is_learned(clips in clips(), seed: u64, folds_wanted in 2_usize..5) {
            let clips: Vec<(u32, &str)> = clips.iter().map(|(class, group)| (*class, group.as_str())).collect();
            let dataset = dataset(&clips);
            let mut splits = Vec::new();
            splits.extend(split(&dataset, 0.3, seed));
            splits.extend(folds(&dataset, folds_wanted, seed).into_iter().flatten());
            for split in splits {
                prop_assert!(!split.validation.is_empty());
                prop_assert_eq!(split.training.len() + split.validation.len(), dataset.clips.len());
                for clip in &split.validation {
                    let group = &dataset.clips[*clip].group;
                    prop_assert!(split.training.iter().all(|other| dataset.clips[*other].group != *group));
                }
                let learned = dataset.clips_by_class_of(split.training.iter().copied());
                for (learned, total) in learned.iter().zip(dataset.clips_by_class()) {
                    prop_assert!(*learned > 0 || total == 0);
                }
            }
        }
    }
}
