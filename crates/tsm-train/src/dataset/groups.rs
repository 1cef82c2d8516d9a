//! Which clips were cut from one video: they must not stand on both sides of a split.
//!
//! ```text
//! --groups FILE.csv      path,group (other columns are passed over)
//! --group-regex REGEX    capture group 1 of the file name (of the path, where no name matches), else the whole match
//! otherwise              the file name without its last number: walk_03.mp4 → walk_
//! ```
//!
//! Names only; nothing is compared by content.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

use super::csv_line::{self, line_of, unread};
use super::list_file::folder_of;
use super::{Dataset, DatasetError, class_index};

/// How groups are found.
#[derive(Debug, Clone)]
pub enum GroupRule {
    /// From the file names: [`group_of_name`]. Where that puts all clips of a class into one group, each of its clips
    /// becomes a group of its own.
    FileNames,
    /// As the clips already have them (a table's column).
    AsRead,
    /// By this expression, matched against the file names if it matches any, else against the paths, with `/`.
    Regex(Regex),
    /// From a table.
    Table(PathBuf),
}

impl GroupRule {
    /// The rule of a source that the user says nothing about: a table tells its groups (or the videos its clips were
    /// cut from), of a folder or list the file names do.
    pub fn of_source(source: &Path) -> Self {
        if super::is_table(source) { Self::AsRead } else { Self::FileNames }
    }

    /// The rule of a `--group-regex`.
    ///
    /// # Errors
    /// [`DatasetError::GroupRegex`] if it is no regular expression.
    pub fn regex(text: &str) -> Result<Self, DatasetError> {
        Regex::new(text).map(Self::Regex).map_err(|error| DatasetError::GroupRegex {
            regex: text.to_owned(),
            // The last line says what is wrong, those above show where.
            reason: error.to_string().lines().last().unwrap_or_default().to_owned(),
        })
    }

    /// Gives every clip its group. Returns the classes whose file names tell no groups, so that each of their clips is
    /// one of its own ([`GroupRule::FileNames`] only): worth a warning.
    ///
    /// # Errors
    /// [`DatasetError`] if the table cannot be read or lacks a clip, or the expression does not match
    /// one.
    pub fn apply(&self, dataset: &mut Dataset) -> Result<Vec<u32>, DatasetError> {
        match self {
            Self::AsRead => {}
            Self::FileNames => return Ok(from_names(dataset)),
            Self::Regex(regex) => {
                let is_of_names =
                    dataset.clips.iter().any(|clip| matched(regex, &name_of(&clip.path)).is_some());
                for clip in &mut dataset.clips {
                    let name = name_of(&clip.path);
                    let path = clip.path.to_string_lossy().replace('\\', "/");
                    let group = matched(regex, if is_of_names { &name } else { &path });
                    clip.group = group.ok_or_else(|| DatasetError::GroupRegex {
                        regex: regex.as_str().to_owned(),
                        reason: unmatched(&clip.path, is_of_names),
                    })?;
                }
            }
            Self::Table(table) => {
                let groups = GroupTable::read(table)?;
                for clip in &mut dataset.clips {
                    let group = groups.group(&clip.path);
                    clip.group = group.ok_or_else(|| DatasetError::NoGroup {
                        table: table.clone(),
                        clip: clip.path.clone(),
                    })?;
                }
            }
        }
        Ok(Vec::new())
    }
}

/// The file name without its ending and without its last number; the whole name where nothing else is left.
pub fn group_of_name(path: &Path) -> String {
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let stem = stem.unwrap_or_default().to_string_lossy();
    let Some(last) = stem.rfind(|c: char| c.is_ascii_digit()) else { return stem.into_owned() };
    let before = stem.get(..last).unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit());
    let after = stem.get(last + 1..).unwrap_or_default();
    if before.chars().chain(after.chars()).any(char::is_alphanumeric) {
        format!("{before}{after}")
    } else {
        stem.into_owned()
    }
}

fn from_names(dataset: &mut Dataset) -> Vec<u32> {
    for clip in &mut dataset.clips {
        clip.group = group_of_name(&clip.path);
    }
    let mut of_class: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); dataset.classes.len()];
    let counts = dataset.clips_by_class();
    for clip in &dataset.clips {
        of_class[class_index(clip.class)].insert(&clip.group);
    }
    let is_untold = |class: usize| of_class[class].len() == 1 && counts[class] > 1;
    let untold: Vec<bool> = (0..counts.len()).map(is_untold).collect();
    for clip in dataset.clips.iter_mut().filter(|clip| untold[class_index(clip.class)]) {
        clip.group = clip.path.to_string_lossy().into_owned();
    }
    (0_u32..).zip(untold).filter(|(_, untold)| *untold).map(|(class, _)| class).collect()
}

/// What is wrong with an expression that does not match a clip.
fn unmatched(path: &Path, is_of_names: bool) -> String {
    let clip = path.display();
    if is_of_names {
        format!(
            "matches other file names, but not that of {clip}; widen it, or write a folder of the path into it"
        )
    } else {
        format!("does not match {clip}; widen it")
    }
}

fn matched(regex: &Regex, text: &str) -> Option<String> {
    let found = regex.captures(text)?;
    let group = found.get(1).or_else(|| found.get(0))?.as_str();
    Some(group.to_owned()).filter(|group| !group.is_empty())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A table of paths and groups.
#[derive(Debug)]
struct GroupTable {
    folder: PathBuf,
    /// By path as written.
    by_path: BTreeMap<PathBuf, String>,
    /// By the last two names of the path, and by the last; `None` where two groups share it.
    by_ending: [BTreeMap<PathBuf, Option<String>>; 2],
}

impl GroupTable {
    fn read(table: &Path) -> Result<Self, DatasetError> {
        let refused = |line, reason: String| DatasetError::Line { path: table.to_owned(), line, reason };
        let mut reader = csv_line::open(table)?;
        let header = reader.headers().map_err(|error| unread(table, 1, error))?.clone();
        let column = |name: &str| {
            let is_it = |column: &str| column.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name);
            let found = header.iter().position(is_it);
            found.ok_or_else(|| refused(1, format!("no column '{name}'; write path,group in the first line")))
        };
        let (path_column, group_column) = (column("path")?, column("group")?);
        let folder = folder_of(table).to_owned();
        let mut groups = Self { folder, by_path: BTreeMap::new(), by_ending: Default::default() };
        for (index, record) in reader.records().enumerate() {
            let line = line_of(&record, index + 2);
            let record = record.map_err(|error| unread(table, line, error))?;
            match (record.get(path_column), record.get(group_column)) {
                (Some(path), Some(group)) if !path.is_empty() && !group.is_empty() => {
                    if let Some(other) = groups.insert(Path::new(path), group) {
                        let what = format!("{path} is of the group '{other}' already; give it one");
                        return Err(refused(line, what));
                    }
                }
                _ => {
                    let what = "a path or a group is missing; write path,group";
                    return Err(refused(line, what.to_owned()));
                }
            }
        }
        Ok(groups)
    }

    /// Another group that the path has been given before.
    fn insert(&mut self, path: &Path, group: &str) -> Option<String> {
        let before = self.by_path.insert(path.to_owned(), group.to_owned());
        for (names, map) in [2, 1].into_iter().zip(&mut self.by_ending) {
            let entry = map.entry(ending(path, names)).or_insert_with(|| Some(group.to_owned()));
            if entry.as_deref() != Some(group) {
                *entry = None;
            }
        }
        before.filter(|before| before != group)
    }

    /// By the path from the table's folder, as given, or by its last names where they tell one group only: tables are
    /// often written with another folder in front.
    fn group(&self, clip: &Path) -> Option<String> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_error| path.to_owned());
        let (folder, full) = (absolute(&self.folder), absolute(clip));
        let relative = full.strip_prefix(&folder).ok();
        let exact = [Some(clip), Some(full.as_path()), relative];
        let exact = exact.into_iter().flatten().find_map(|path| self.by_path.get(path)).cloned();
        exact.or_else(|| {
            let mut endings = [2, 1].into_iter().zip(&self.by_ending);
            endings.find_map(|(names, map)| map.get(&ending(clip, names)).cloned()).flatten()
        })
    }
}

/// The last `names` names of a path.
fn ending(path: &Path, names: usize) -> PathBuf {
    let all: Vec<_> = path.components().collect();
    all[all.len().saturating_sub(names)..].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Clip, class_folder};
    use crate::shared_data::shared;

    fn dataset(paths: &[(&str, u32)]) -> Dataset {
        let classes = ["sit", "walk"].map(str::to_owned).to_vec();
        Dataset { classes, clips: paths.iter().map(|(path, class)| Clip::new(*path, *class)).collect() }
    }

    fn groups(dataset: &Dataset) -> Vec<&str> {
        dataset.clips.iter().map(|clip| clip.group.as_str()).collect()
    }

    #[test]
    fn the_last_number_of_a_name_tells_the_cut() {
        for (name, group) in [
            ("April_09_brush_hair_u_nm_np1_ba_goo_12.mp4", "April_09_brush_hair_u_nm_np1_ba_goo_"),
            ("v_Archery_g01_c04.avi", "v_Archery_g01_c"),
            ("clip (3).mp4", "clip ()"),
            ("walking.mp4", "walking"),
            ("0001.mp4", "0001"),
            ("дом 7.mp4", "дом "),
        ] {
            assert_eq!(group_of_name(Path::new(name)), group, "{name}");
        }
    }

    #[test]
    fn a_class_whose_names_tell_nothing_has_a_group_a_clip() {
        let mut dataset = dataset(&[
            ("sit/a_1.mp4", 0),
            ("sit/b_1.mp4", 0),
            ("walk/walk_1.mp4", 1),
            ("walk/walk_2.mp4", 1),
        ]);
        assert_eq!(GroupRule::FileNames.apply(&mut dataset).unwrap(), [1]);
        assert_eq!(groups(&dataset), ["a_", "b_", "walk/walk_1.mp4", "walk/walk_2.mp4"]);
    }

    #[test]
    fn an_expression_gives_its_capture_or_its_match() {
        let mut dataset = dataset(&[("sit/v_g01_c02.mp4", 0), ("walk/v_g02_c01.mp4", 1)]);
        GroupRule::regex(r"_g(\d+)_").unwrap().apply(&mut dataset).unwrap();
        assert_eq!(groups(&dataset), ["01", "02"]);
        GroupRule::regex(r"g\d+").unwrap().apply(&mut dataset).unwrap();
        assert_eq!(groups(&dataset), ["g01", "g02"]);
        let named = |paths: [&str; 2], regex: &str| -> Vec<String> {
            let clips = paths.map(|path| Clip::new(path, 0)).to_vec();
            let mut dataset = Dataset { classes: vec!["a".to_owned()], clips };
            GroupRule::regex(regex).unwrap().apply(&mut dataset).unwrap();
            dataset.clips.into_iter().map(|clip| clip.group).collect()
        };
        let paths = ["my_clips/p1/v7_a.mp4", "my_clips/p2/v8_a.mp4"];
        assert_eq!(named(paths, "^([^_]+)_"), ["v7", "v8"], "of the names, which it matches");
        assert_eq!(named(paths, r"(p\d)/"), ["p1", "p2"], "of the paths: no name has a folder");
        let mut odd = Dataset {
            classes: vec!["a".to_owned()],
            clips: ["v1_a.mp4", "x.mp4"].map(|path| Clip::new(path, 0)).to_vec(),
        };
        let error = GroupRule::regex(r"^v(\d)_").unwrap().apply(&mut odd).unwrap_err().to_string();
        assert!(error.contains("not that of x.mp4"), "{error}");
        let error = GroupRule::regex("g03").unwrap().apply(&mut dataset).unwrap_err().to_string();
        assert!(error.contains("does not match sit/v_g01_c02.mp4"), "{error}");
        let error = GroupRule::regex("(").unwrap_err().to_string();
        assert!(error.starts_with("--group-regex '('") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_table_must_name_every_clip() {
        let root = tempfile::tempdir().unwrap();
        let table = root.path().join("groups.csv");
        let rule = GroupRule::Table(table.clone());
        let mut dataset = dataset(&[("sit/a.mp4", 0), ("walk/a.mp4", 1)]);
        std::fs::write(&table, "path,group\nelse/sit/a.mp4,x\nelse/walk/a.mp4,\"y, z\"\n").unwrap();
        rule.apply(&mut dataset).unwrap();
        assert_eq!(groups(&dataset), ["x", "y, z"]);
        std::fs::write(&table, "path,group\nsit/a.mp4,x\nsit/b.mp4,y\nold/a.mp4,z\n").unwrap();
        let error = rule.apply(&mut dataset).unwrap_err().to_string();
        assert!(error.contains("no group for the clip walk/a.mp4"), "{error}");
        std::fs::write(&table, "path,video\nsit/a.mp4,x\n").unwrap();
        assert!(rule.apply(&mut dataset).unwrap_err().to_string().contains("no column 'group'"));
        std::fs::write(&table, "path,group\nsit/a.mp4\n").unwrap();
        assert!(rule.apply(&mut dataset).unwrap_err().to_string().contains("line 2"));
        std::fs::write(&table, "path,group\n\"sit/\nb.mp4\",x\nsit/a.mp4,x\nsit/a.mp4,y\n").unwrap();
        let error = rule.apply(&mut dataset).unwrap_err().to_string();
        assert!(error.contains("line 5: ") && error.contains("is of the group 'x' already"), "{error}");
    }

    #[test]
    fn the_real_table_fits_the_real_tree() {
        let (Some(root), Some(table)) = (shared("data/jhmdb-train"), shared("data/jhmdb-train.csv")) else {
            return;
        };
        let mut dataset = class_folder::read(&root).unwrap().dataset;
        GroupRule::Table(table).apply(&mut dataset).unwrap();
        let distinct: BTreeSet<_> = groups(&dataset).into_iter().collect();
        assert_eq!(distinct.len(), 200);
        assert!(GroupRule::FileNames.apply(&mut dataset).unwrap().is_empty());
    }
}
