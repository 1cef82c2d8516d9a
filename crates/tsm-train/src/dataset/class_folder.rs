//! A folder with one folder a class.
//!
//! ```text
//! CLIPS/sit/a.mp4   CLIPS/walk/b.mkv   CLIPS/walk/c/img_00001.jpg   CLIPS/.thumbs
//!       └ class 0         └ class 1          └ a clip of frames            └ ignored
//! ```
//!
//! Classes and clips in alphabetical order. Names that begin with a dot are ignored, files that no program takes for
//! video (texts, tables, pictures beside the clips), and reports of earlier runs.

use std::path::{Path, PathBuf};

use super::{Clip, Dataset, DatasetError, class_number};
use crate::dataset::groups;
use crate::report::{FOLDER_ENDING, SETTINGS};

/// Endings of files that lie beside clips and are none.
const NO_CLIPS: [&str; 14] =
    ["txt", "csv", "json", "md", "toml", "yaml", "xml", "html", "pdf", "zip", "srt", "vtt", "db", "ini"];

/// Endings of pictures: a folder that holds them is taken for a clip of frames; one without JPEGs is told of when it
/// is read.
const IMAGES: [&str; 3] = ["jpg", "jpeg", "png"];

/// Reads the tree. Each clip's group is its file name without the last number ([`groups::group_of_name`]).
///
/// # Errors
/// [`DatasetError`] if there is no such folder, a class is empty, or there are fewer than two classes.
pub fn read(folder: &Path) -> Result<Dataset, DatasetError> {
    read_classes(folder, 2)
}

/// The same of what a model is to be judged by, which may be one class.
///
/// # Errors
/// [`DatasetError`] if there is no such folder, a class is empty, or there is none.
pub fn read_for(folder: &Path) -> Result<Dataset, DatasetError> {
    read_classes(folder, 1)
}

fn read_classes(folder: &Path, fewest: usize) -> Result<Dataset, DatasetError> {
    if folder.is_file() {
        return Err(DatasetError::NotAFolder { path: folder.to_owned() });
    }
    let mut dataset = Dataset::default();
    for class_folder in entries(folder)?.into_iter().filter(|path| path.is_dir() && !is_report(path)) {
        let class = name_of(&class_folder);
        let clips = clips(&class_folder)?;
        if clips.is_empty() {
            return Err(DatasetError::EmptyClass { path: folder.to_owned(), class });
        }
        let number = class_number(dataset.classes.len());
        let clip = |path: PathBuf| Clip { group: groups::group_of_name(&path), ..Clip::new(path, number) };
        dataset.clips.extend(clips.into_iter().map(clip));
        dataset.classes.push(class);
    }
    if dataset.classes.len() < fewest {
        let class = dataset.classes.pop();
        return Err(DatasetError::TooFewClasses { path: folder.to_owned(), class });
    }
    Ok(dataset)
}

/// Whether this is the report of a run whose model was written among the class folders (`tsm train . -o model`).
fn is_report(folder: &Path) -> bool {
    name_of(folder).ends_with(FOLDER_ENDING) && folder.join(SETTINGS).is_file()
}

/// The clips of a class folder: video files, and folders of frames.
fn clips(class_folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut clips = Vec::new();
    for path in entries(class_folder)? {
        let is_clip = if path.is_dir() {
            entries(&path)?.iter().any(|file| has_ending(file, &IMAGES))
        } else {
            !has_ending(&path, &NO_CLIPS) && !has_ending(&path, &IMAGES)
        };
        if is_clip {
            clips.push(path);
        }
    }
    Ok(clips)
}

/// What lies in a folder and is not hidden, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |error| DatasetError::of_io(folder, "folder", error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !name_of(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    endings.contains(&ending.as_str())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_data::shared;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !file.ends_with('/') {
                std::fs::write(path, b"").unwrap();
            }
        }
        root
    }

    #[test]
    fn classes_and_clips_are_alphabetical_and_hidden_files_ignored() {
        let root = tree(&[
            "walk/b.mkv",
            "walk/a [1] ü.mp4",
            "sit/clip 2.mp4",
            "sit/.DS_Store",
            "sit/notes.txt",
            "sit/frames/img_1.jpg",
            ".git/x/y",
            "readme.md",
            "model-report/config.toml",
            "model-report/best.safetensors",
        ]);
        let dataset = read(root.path()).unwrap();
        assert_eq!(dataset.classes, ["sit", "walk"]);
        let found: Vec<_> = dataset.clips.iter().map(|clip| (name_of(&clip.path), clip.class)).collect();
        let expected = [("clip 2.mp4", 0), ("frames", 0), ("a [1] ü.mp4", 1), ("b.mkv", 1)];
        assert_eq!(found, expected.map(|(name, class)| (name.to_owned(), class)));
    }

    #[test]
    fn trees_that_teach_nothing_are_refused() {
        let message = |root: &Path| read(root).unwrap_err().to_string();
        let empty = tree(&["sit/a.mp4", "walk/.hidden"]);
        let of_empty = message(empty.path());
        assert!(of_empty.contains("the folder 'walk' has no clips; put clips in it, or give "), "{of_empty}");
        assert!(!of_empty.contains("remove"), "it may be nobody's class: {of_empty}");
        assert!(message(tree(&["sit/a.mp4"]).path()).contains("only the class 'sit'"));
        assert_eq!(
            read_for(tree(&["sit/a.mp4"]).path()).unwrap().classes,
            ["sit"],
            "one class can be judged"
        );
        let nothing = tree(&[]);
        assert!(message(nothing.path()).contains("no class folders"));
        assert!(read_for(nothing.path()).unwrap_err().to_string().contains("no class folders"));
        assert!(message(&empty.path().join("nowhere")).contains("no such folder"));
        assert!(message(&empty.path().join("sit/a.mp4")).contains("is no folder"));
    }

    #[test]
    fn the_real_tree_has_its_classes() {
        let (Some(root), Some(classes)) = (shared("data/jhmdb-train"), shared("data/jhmdb-classes.txt"))
        else {
            return;
        };
        let dataset = read(&root).unwrap();
        let classes = std::fs::read_to_string(classes).unwrap();
        assert_eq!(dataset.classes, classes.lines().collect::<Vec<_>>());
        assert_eq!(dataset.clips.len(), 667);
    }
}
