//! Which clips are learned from and which judge: a folder or lists, groups, and a split or a fold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::counts::float;
use crate::dataset::groups::GroupRule;
use crate::dataset::split::{self, Split};
use crate::dataset::{self, ClassesOf, Dataset, DatasetError, Found, Nested};

/// How the clips are divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Division {
    /// The validation clips have a list of their own.
    List(PathBuf),
    /// About this part of each class, whole groups.
    Part(f64),
    /// One of several folds, from 0.
    Fold {
        /// Which.
        fold: usize,
        /// Of how many.
        folds: usize,
    },
}

/// Clips on two sides.
#[derive(Debug, Clone)]
pub struct Sides {
    /// All clips.
    pub dataset: Dataset,
    /// Those to learn from.
    pub train: Vec<usize>,
    /// Those to judge by.
    pub validation: Vec<usize>,
    /// What is worth a warning, a line each.
    pub warnings: Vec<String>,
}

/// Reads and divides the clips of `source`: a folder, a list (with `class_names`, if any) or a table.
///
/// # Errors
/// [`DatasetError`] for clips that cannot be read or divided.
pub fn divide(
    source: &Path,
    class_names: Option<&Path>,
    groups: &GroupRule,
    division: &Division,
    seed: u64,
) -> Result<Sides, DatasetError> {
    let Found { mut dataset, missing, nested } = dataset::read(source, class_names)?;
    let mut warnings: Vec<String> = missing_rows(&missing).into_iter().collect();
    warnings.extend(nested.map(|nested| nested_clips(&nested, groups)));
    let listed = dataset.clips.len();
    if let Division::List(list) = division {
        // A folder and a table have names of their own.
        let other = if dataset::is_list(list) {
            dataset::read(list, class_names)?
        } else {
            dataset::read_for(list, &dataset.classes)?
        };
        warnings.extend(missing_rows(&other.missing));
        warnings.extend(other.nested.map(|nested| nested.to_string()));
        dataset.clips.extend(other.dataset.with_classes(&dataset.classes, ClassesOf::TrainingList)?.clips);
    }
    for class in groups.apply(&mut dataset)? {
        warnings.push(ungrouped_class(&dataset.classes[dataset::class_index(class)]));
    }
    if matches!(division, Division::List(_)) {
        warnings.extend(shared_groups(&dataset, listed));
    }
    dataset.check_classes(source, 0..listed)?;
    let Split { training, validation, unvalidated } = split_of(&dataset, division, listed, seed)?;
    warnings.extend(unvalidated_classes(&dataset.classes, &unvalidated));
    warnings.extend(few_to_judge(dataset.classes.len(), validation.len(), division));
    Ok(Sides { dataset, train: training, validation, warnings })
}

/// The two sides as indices; `listed` clips are of the source, those after them of a list of validation clips.
fn split_of(dataset: &Dataset, division: &Division, listed: usize, seed: u64) -> Result<Split, DatasetError> {
    match division {
        Division::List(_) => {
            let judged = dataset.clips_by_class_of(listed..dataset.clips.len());
            let lacking = (0..).zip(judged).filter(|(_, count)| *count == 0);
            Ok(Split {
                training: (0..listed).collect(),
                validation: (listed..dataset.clips.len()).collect(),
                unvalidated: lacking.map(|(class, _)| class).collect(),
            })
        }
        Division::Part(part) => split::split(dataset, *part, seed),
        Division::Fold { fold, folds } => {
            let mut all = split::folds(dataset, *folds, seed)?;
            if *fold >= all.len() {
                let reason = format!("there is no fold {fold} of {folds}; folds count from 0");
                return Err(DatasetError::NoSplit { reason });
            }
            Ok(all.swap_remove(*fold))
        }
    }
}

/// Warns of a class whose clips' file names say nothing of groups.
pub fn ungrouped_class(class: &str) -> String {
    format!(
        "the file names of '{class}' tell no source videos, each clip counts as one of its own; \
         give --groups or --group-regex if some belong together"
    )
}

/// Warns of the classes that the validation clips lack, by their numbers.
pub fn unvalidated_classes(classes: &[String], unvalidated: &[u32]) -> Option<String> {
    let name = |class: &u32| Some(format!("'{}'", classes.get(dataset::class_index(*class))?));
    let names: Vec<String> = unvalidated.iter().filter_map(name).collect();
    (!names.is_empty())
        .then(|| format!("no clip of {} is among the validation clips", dataset::some_of(&names)))
}

/// Warns of validation clips that are too few to tell one model from another.
fn few_to_judge(classes: usize, clips: usize, division: &Division) -> Option<String> {
    /// Where a clip is more than ten points.
    const FEW: usize = 10;
    let is_few = clips > 0 && (clips < FEW || clips < classes);
    let points = format!("{:.1}", 100.0 / float(clips));
    let points = points.trim_end_matches(".0");
    // A list of validation clips has no folds.
    let folds = if matches!(division, Division::List(_)) { "" } else { ", or train each of several --folds" };
    is_few.then(|| {
        let clips =
            if clips == 1 { "1 validation clip".to_owned() } else { format!("{clips} validation clips") };
        format!(
            "only {clips}, each {points} points of the top-1: the figures tell little; give more clips{folds}"
        )
    })
}

/// Warns of clips in folders within their class's: only their names are looked at for groups.
pub fn nested_clips(nested: &Nested, groups: &GroupRule) -> String {
    let hint = r"; --group-regex '([^/]+)/[^/]+$' keeps the clips of one such folder on one side";
    format!("{nested}{}", if matches!(groups, GroupRule::FileNames) { hint } else { "" })
}

/// What a table names and the disk lacks.
fn missing_rows(missing: &[String]) -> Option<String> {
    let first = missing.first()?;
    Some(format!("{} videos of the table are not there; the first: {first}", missing.len()))
}

/// Groups on both sides of two lists.
fn shared_groups(dataset: &Dataset, train_len: usize) -> Option<String> {
    let (train, validation) = dataset.clips.split_at(train_len);
    let known: BTreeSet<&str> = train.iter().map(|clip| clip.group.as_str()).collect();
    let first = validation.iter().find(|clip| known.contains(clip.group.as_str()))?;
    Some(format!("clips of '{}' are in both lists: the figures will be better than the model", first.group))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// A table of these rows beside empty files.
    fn divided(rows: &[(&str, &str, &str)]) -> Result<Sides, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("clips.csv");
        let mut text = "path,class,group\n".to_owned();
        for (path, class, group) in rows {
            std::fs::write(folder.path().join(path), b"").unwrap();
            writeln!(text, "{path},{class},{group}").unwrap();
        }
        std::fs::write(&table, text).unwrap();
        divide(&table, None, &GroupRule::of_source(&table), &Division::Part(0.5), 1)
    }

    #[test]
    fn the_groups_of_a_table_stay_together_whatever_the_files_are_called() {
        let rows = [
            ("a1.mp4", "sit", "one"),
            ("b2.mp4", "sit", "one"),
            ("c3.mp4", "sit", "two"),
            ("d4.mp4", "stand", "three"),
            ("e5.mp4", "stand", "three"),
            ("f6.mp4", "stand", "four"),
        ];
        let Sides { dataset, train, validation, .. } = divided(&rows).unwrap();
        let groups = |side: &[usize]| -> BTreeSet<String> {
            side.iter().map(|clip| dataset.clips[*clip].group.clone()).collect()
        };
        assert!(!validation.is_empty() && groups(&train).is_disjoint(&groups(&validation)));
    }

    #[test]
    fn one_class_is_refused_whatever_names_it() {
        let error = divided(&[("a1.mp4", "sit", "one"), ("b2.mp4", "sit", "two")]).unwrap_err();
        assert!(matches!(error, DatasetError::TooFewClasses { .. }), "{error}");
    }

    /// Two lists beside empty files `0.mp4` to `3.mp4`.
    fn listed(training: &str, validation: &str) -> Result<Sides, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..4 {
            std::fs::write(folder.path().join(format!("{file}.mp4")), b"").unwrap();
        }
        let lists = ["train.txt", "validation.txt"].map(|name| folder.path().join(name));
        for (list, text) in lists.iter().zip([training, validation]) {
            std::fs::write(list, text).unwrap();
        }
        let [training, validation] = lists;
        divide(&training, None, &GroupRule::FileNames, &Division::List(validation), 1)
    }

    #[test]
    fn classes_that_are_not_judged_and_clips_that_judge_little_are_told_in_a_line_each() {
        let sides = listed("0.mp4 0\n1.mp4 1\n", "2.mp4 1\n").unwrap();
        let [lacking, few] = sides.warnings.as_slice() else { panic!("{:?}", sides.warnings) };
        assert_eq!(lacking, "no clip of '0' is among the validation clips");
        let expected =
            "only 1 validation clip, each 100 points of the top-1: the figures tell little; give more clips";
        assert_eq!(few, expected);
        let few = |classes, clips| few_to_judge(classes, clips, &Division::Part(0.2));
        assert_eq!(few(2, 0), None, "none are asked for");
        assert_eq!(few(10, 10), None);
        let fewer_than_classes = few(250, 240).unwrap();
        assert!(fewer_than_classes.contains("240 validation clips, each 0.4 points"), "{fewer_than_classes}");
        assert!(fewer_than_classes.ends_with("more clips, or train each of several --folds"));
        let names = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned);
        let told = unvalidated_classes(&names, &[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(told, "no clip of 'a', 'b', 'c', 'd', 'e' and 1 more is among the validation clips");
    }

    #[test]
    fn a_class_that_only_the_validation_list_has_is_refused() {
        let error = listed("0.mp4 0\n1.mp4 0\n", "2.mp4 1\n3.mp4 1\n").unwrap_err().to_string();
        assert!(
            error.contains("'1' is none of the training list's") && error.contains("--classes"),
            "{error}"
        );
        let error = listed("0.mp4 0\n1.mp4 2\n", "2.mp4 0\n3.mp4 1\n").unwrap_err().to_string();
        assert!(error.contains("no clip to learn from has the label 1"), "{error}");
    }
}
