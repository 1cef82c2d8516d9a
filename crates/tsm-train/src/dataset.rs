//! Which clips there are, what each one shows and which of them belong together.
//!
//! ```text
//! class folders ─┐                     ┌─ groups.rs: clips of one source video
//! list files    ─┼─► Dataset { classes, clips } ─ split.rs ─► training | validation, k folds
//! CSV           ─┘
//! ```
//!
//! Nothing is decoded here: that a clip can be read shows when it is.

use std::fmt;
use std::path::{Path, PathBuf};

pub mod class_folder;
mod csv_line;
mod error;
pub mod groups;
pub mod kinetics;
mod labels;
pub mod list_file;
pub mod split;

pub use error::DatasetError;

/// Labelled clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// The clips, in the order in which they were found; an index into it names a clip everywhere.
    pub clips: Vec<Clip>,
}

/// One clip: a video file, or a folder of frames (`img_00001.jpg`, …).
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Where it is; usable as it stands.
    pub path: PathBuf,
    /// Its class, an index into [`Dataset::classes`].
    pub class: u32,
    /// What it was cut from: clips of one group stay on one side of a split.
    pub group: String,
    /// How many frames its list says it has; never believed, only compared ([`crate::progress::WrongCounts`]).
    pub frames: Option<u32>,
    /// The part of the video that is the clip; all of it where `None`.
    pub span: Option<Span>,
}

/// A part of a video, by PTS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The first frame is the first at or after this time, in seconds.
    pub start_secs: f64,
    /// The last frame is the last before this time, in seconds.
    pub end_secs: f64,
}

/// A data set and the clips its table names that are not there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// What was found. Classes of a table are in alphabetical order.
    pub dataset: Dataset,
    /// `line N: id` of each clip that was not found; only Kinetics' tables may lack some.
    pub missing: Vec<String>,
    /// Clips of a tree that lie deeper than the folder of their class, if any: worth a warning.
    pub nested: Option<Nested>,
}

/// Clips in folders within their class's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// How many.
    pub count: usize,
    /// The first.
    pub first: PathBuf,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clips = if self.count == 1 { "clip lies" } else { "clips lie" };
        let (count, first) = (self.count, self.first.display());
        write!(
            f,
            "{count} {clips} deeper than their class folder, the first: {first}; the outermost folder is the class"
        )
    }
}

/// Reads a folder of class folders, a `.csv` table or a list, by what `path` is. `class_names` is for lists, whose
/// names are otherwise those of a `classes.txt` beside it.
///
/// # Errors
/// [`DatasetError`] of [`class_folder::read`], [`kinetics::read`] or [`list_file::read`].
pub fn read(path: &Path, class_names: Option<&Path>) -> Result<Found, DatasetError> {
    let is_folder = path.is_dir();
    if let Some(names) = class_names.filter(|_| is_folder || is_table(path)) {
        return Err(DatasetError::NamesOfNoList { names: names.to_owned(), path: path.to_owned() });
    }
    let dataset = match std::fs::metadata(path) {
        Ok(_) if is_folder => return class_folder::read(path),
        _ if is_table(path) => return kinetics::read(path),
        Ok(_) => {
            let beside = names_beside(path);
            let beside = Some(beside.as_path()).filter(|names| names.is_file());
            list_file::read(path, class_names.or(beside))?
        }
        Err(error) => return Err(DatasetError::of_io(path, "file or folder", error)),
    };
    Ok(Found { dataset, ..Found::default() })
}

/// Reads what a model of `classes` is to be judged by: as [`read`] does, but the labels of a list without names are the
/// model's class numbers, and a folder may hold one class.
///
/// # Errors
/// As [`read`].
pub fn read_for(path: &Path, classes: &[String]) -> Result<Found, DatasetError> {
    let is_bare_list = path.exists() && !path.is_dir() && !is_table(path) && !names_beside(path).is_file();
    match path.is_dir() {
        true => class_folder::read_for(path),
        false if is_bare_list => {
            let dataset = list_file::read_named(path, Some(classes.to_vec()))?;
            Ok(Found { dataset, ..Found::default() })
        }
        false => read(path, None),
    }
}

/// The class names that `tsm prepare` writes beside its lists.
fn names_beside(list: &Path) -> PathBuf {
    list.with_file_name("classes.txt")
}

/// Whether a path is read as a list, neither as a folder nor as a table.
pub(crate) fn is_list(path: &Path) -> bool {
    !path.is_dir() && !is_table(path)
}

/// Whether a file's name says that it is a table.
fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) && !path.is_dir()
}

impl Clip {
    /// A whole file of this class, grouped with nothing else.
    pub fn new(path: impl Into<PathBuf>, class: u32) -> Self {
        let path = path.into();
        let group = path.to_string_lossy().into_owned();
        Self { path, class, group, frames: None, span: None }
    }
}

impl Dataset {
    /// Clips whose classes are not known, for inference: all are called class 0 of `classes`.
    pub fn unlabelled(paths: Vec<PathBuf>, classes: Vec<String>) -> Self {
        Self { classes, clips: paths.into_iter().map(|path| Clip::new(path, 0)).collect() }
    }

    /// Forgets the classes that have no clips; the others keep their order.
    pub(crate) fn drop_empty_classes(&mut self) {
        let counts = self.clips_by_class();
        let mut left = 0;
        let numbers: Vec<u32> = counts
            .iter()
            .map(|count| {
                let number = class_number(left);
                left += usize::from(*count > 0);
                number
            })
            .collect();
        for clip in &mut self.clips {
            clip.class = numbers[class_index(clip.class)];
        }
        let mut counts = counts.into_iter();
        self.classes.retain(|_| counts.next() != Some(0));
    }

    /// How many clips each class has, in the order of the classes.
    pub fn clips_by_class(&self) -> Vec<usize> {
        self.clips_by_class_of(0..self.clips.len())
    }

    /// How many of these clips each class has.
    ///
    /// # Panics
    /// If an index is no clip's.
    pub fn clips_by_class_of(&self, clips: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for clip in clips {
            counts[class_index(self.clips[clip].class)] += 1;
        }
        counts
    }

    /// Refuses clips of `source` that nothing can be learned from: of one class alone, or with a class that none of
    /// `clips` shows, which is most likely a mistake of the list.
    ///
    /// # Errors
    /// [`DatasetError::TooFewClasses`], [`DatasetError::UnusedLabel`].
    ///
    /// # Panics
    /// If an index is no clip's.
    pub(crate) fn check_classes(
        &self,
        source: &Path,
        clips: impl IntoIterator<Item = usize>,
    ) -> Result<(), DatasetError> {
        let counts = self.check_classes_differ(source, clips)?;
        let path = source.to_owned();
        match counts.iter().position(|count| *count == 0) {
            Some(label) => Err(DatasetError::UnusedLabel { path, label, class: self.classes[label].clone() }),
            None => Ok(()),
        }
    }

    /// Refuses clips of `source` that are of one class alone; gives how many each class has.
    ///
    /// # Errors
    /// [`DatasetError::TooFewClasses`].
    ///
    /// # Panics
    /// If an index is no clip's.
    pub(crate) fn check_classes_differ(
        &self,
        source: &Path,
        clips: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<usize>, DatasetError> {
        let counts = self.clips_by_class_of(clips);
        if counts.iter().filter(|count| **count > 0).count() < 2 {
            let class = counts.iter().position(|count| *count > 0).map(|class| self.classes[class].clone());
            return Err(DatasetError::TooFewClasses { path: source.to_owned(), class });
        }
        Ok(counts)
    }

    /// The same clips with the classes numbered as in `classes`, by name: those of a model that is judged, or of the
    /// clips that one learns from.
    ///
    /// # Errors
    /// [`DatasetError::UnknownClass`] if a class that has clips is not among them.
    pub fn with_classes(mut self, classes: &[String], of: ClassesOf) -> Result<Self, DatasetError> {
        let counts = self.clips_by_class();
        let mut numbers = Vec::with_capacity(self.classes.len());
        for (name, count) in self.classes.iter().zip(counts) {
            let number = classes.iter().position(|class| class == name);
            if number.is_none() && count > 0 {
                let known = some_of(classes);
                return Err(DatasetError::UnknownClass { class: name.clone(), of, known });
            }
            numbers.push(number.map_or(0, class_number));
        }
        for clip in &mut self.clips {
            clip.class = numbers[class_index(clip.class)];
        }
        self.classes = classes.to_vec();
        Ok(self)
    }
}

/// Who knows the classes that clips are matched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassesOf {
    /// A model that is judged.
    Model,
    /// The list of the clips to learn from.
    TrainingList,
}

impl ClassesOf {
    pub(super) const fn owner(self) -> &'static str {
        match self {
            Self::Model => "the model's",
            Self::TrainingList => "the training list's",
        }
    }

    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Model => {
                "rename its folder, put the names of a list into a classes.txt beside it, or give another model"
            }
            Self::TrainingList => "give the names of both lists with --classes, or take its clips out",
        }
    }
}

/// The first names, so that a line stays a line.
pub(crate) fn some_of(classes: &[String]) -> String {
    /// As many as say which kind of names they are.
    const SHOWN: usize = 5;
    let first = classes.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if classes.len() > SHOWN { format!("{first} and {} more", classes.len() - SHOWN) } else { first }
}

/// The largest number of classes that is believed: a hundred times the largest data set's.
pub(crate) const MOST_CLASSES: usize = 100_000;

pub(crate) fn class_number(index: usize) -> u32 {
    u32::try_from(index).expect("a data set has at most a hundred thousand classes")
}

pub(crate) fn class_index(class: u32) -> usize {
    usize::try_from(class).expect("a class number was made of an index")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_matched_to_a_model_by_name() {
        let dataset = Dataset {
            classes: vec!["sit".to_owned(), "walk".to_owned()],
            clips: vec![Clip::new("a.mp4", 0), Clip::new("b.mp4", 1)],
        };
        let model = ["walk", "run", "sit"].map(str::to_owned);
        let matched = dataset.clone().with_classes(&model, ClassesOf::Model).unwrap();
        assert_eq!(matched.clips.iter().map(|clip| clip.class).collect::<Vec<_>>(), [2, 0]);
        let error = dataset.with_classes(&["walk".to_owned()], ClassesOf::TrainingList).unwrap_err();
        assert!(error.to_string().contains("'sit'"), "{error}");
    }

    #[test]
    fn a_list_without_names_has_the_models_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.mp4"), b"").unwrap();
        std::fs::write(path("list.txt"), "a.mp4 1\n").unwrap();
        let model = ["sit", "walk"].map(str::to_owned);
        let class = || {
            let found = read_for(&path("list.txt"), &model).unwrap().dataset;
            found.with_classes(&model, ClassesOf::Model).unwrap().clips[0].class
        };
        assert_eq!(class(), 1);
        std::fs::write(path("classes.txt"), "walk\nsit\n").unwrap();
        assert_eq!(class(), 0, "its own names go first");
    }

    #[test]
    fn names_are_for_lists_alone() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path(), Some(Path::new("names.txt"))).unwrap_err().to_string();
        assert!(error.starts_with("names.txt: class names are for lists"), "{error}");
    }
}
