//! A folder with one folder a class.
//!
//! ```text
//! CLIPS/sit/a.mp4   CLIPS/walk/b.mkv   CLIPS/walk/c/img_00001.jpg   CLIPS/walk/anna/d.mp4   CLIPS/.thumbs
//!       └ class 0         └ class 1          └ a clip of frames            └ class 1, too         └ ignored
//! ```
//!
//! Classes and clips in alphabetical order. Names that begin with a dot are ignored, files that no program takes for
//! video (texts, tables, pictures beside the clips), and reports of earlier runs. Deeper folders are searched, as
//! torchvision's `ImageFolder` does, for files whose ending says that they are videos: annotations often lie there.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use super::{Clip, Dataset, DatasetError, Found, Nested, class_number};
use crate::dataset::groups;
use crate::report::{FOLDER_ENDING, SETTINGS};

/// Endings of files that lie beside clips and are none.
const NO_CLIPS: [&str; 14] =
    ["txt", "csv", "json", "md", "toml", "yaml", "xml", "html", "pdf", "zip", "srt", "vtt", "db", "ini"];

/// Endings of pictures: a folder that holds them is taken for a clip of frames; one without JPEGs is told of when it
/// is read.
const IMAGES: [&str; 3] = ["jpg", "jpeg", "png"];

/// Endings of videos: what counts in deeper folders, where much else may lie.
const VIDEOS: [&str; 22] = [
    "3gp", "asf", "avi", "divx", "f4v", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg",
    "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv", "y4m",
];

/// How folders are called that divide a data set: nobody's classes.
const SPLITS: [&str; 8] = ["train", "training", "val", "valid", "validation", "test", "testing", "eval"];

/// Reads the tree. Each clip's group is its file name without the last number ([`groups::group_of_name`]).
///
/// # Errors
/// [`DatasetError`] if there is no such folder, a class is empty, or there are fewer than two classes.
pub fn read(folder: &Path) -> Result<Found, DatasetError> {
    read_classes(folder, 2)
}

/// The same of what a model is to be judged by, which may be one class.
///
/// # Errors
/// [`DatasetError`] if there is no such folder, a class is empty, or there is none.
pub fn read_for(folder: &Path) -> Result<Found, DatasetError> {
    read_classes(folder, 1)
}

fn read_classes(folder: &Path, fewest: usize) -> Result<Found, DatasetError> {
    if folder.is_file() {
        return Err(DatasetError::NotAFolder { path: folder.to_owned() });
    }
    let (mut dataset, mut nested) = (Dataset::default(), Vec::new());
    for class_folder in class_folders(folder)? {
        let class = name_of(&class_folder);
        let clips = clips(&class_folder)?;
        if clips.is_empty() {
            return Err(DatasetError::EmptyClass { path: folder.to_owned(), class });
        }
        nested.extend(clips.iter().filter(|path| path.parent() != Some(&class_folder)).cloned());
        let number = class_number(dataset.classes.len());
        let clip = |path: PathBuf| Clip { group: groups::group_of_name(&path), ..Clip::new(path, number) };
        dataset.clips.extend(clips.into_iter().map(clip));
        dataset.classes.push(class);
    }
    if nested.len() == dataset.clips.len()
        && !nested.is_empty()
        && dataset.classes.iter().all(|name| is_split(name))
    {
        return Err(DatasetError::Splits { path: folder.to_owned(), names: dataset.classes });
    }
    if dataset.classes.len() < fewest {
        let class = dataset.classes.pop();
        return Err(DatasetError::TooFewClasses { path: folder.to_owned(), class });
    }
    let count = nested.len();
    let nested = nested.into_iter().next().map(|first| Nested { count, first });
    Ok(Found { dataset, nested, ..Found::default() })
}

/// The folders of the classes. A link that leads nowhere would be a class that is missing in silence.
fn class_folders(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut folders = Vec::new();
    for path in entries(folder)? {
        match about(&path, folder)? {
            // Called as a file: no class is missed.
            None if path.extension().is_some() => {}
            None => return Err(DatasetError::DeadLink { path }),
            Some(found) if found.is_dir() && !is_report(&path) => folders.push(path),
            Some(_) => {}
        }
    }
    Ok(folders)
}

/// Whether a class would be called as a part of a data set is.
fn is_split(name: &str) -> bool {
    SPLITS.contains(&name.to_lowercase().as_str())
}

/// Whether this is the report of a run whose model was written among the class folders (`tsm train . -o model`).
fn is_report(folder: &Path) -> bool {
    name_of(folder).ends_with(FOLDER_ENDING) && folder.join(SETTINGS).is_file()
}

/// The clips of a class folder: video files, folders of frames, and what deeper folders hold; by path.
fn clips(class_folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let (mut clips, mut folders) = (Vec::new(), Vec::new());
    let place = place_of(class_folder)?;
    for path in entries(class_folder)? {
        match about(&path, class_folder)? {
            Some(found) if found.is_dir() => folders.push(path),
            _ if !has_ending(&path, &NO_CLIPS) && !has_ending(&path, &IMAGES) => clips.push(path),
            _ => {}
        }
    }
    for folder in folders {
        add_folder(&folder, std::slice::from_ref(&place), &mut clips)?;
    }
    // By path as before there were deeper ones: runs that were saved know their clips in this order.
    clips.sort();
    Ok(clips)
}

/// Adds a folder in a class folder: as a clip of frames, or with the videos that it and its folders hold. `above` are
/// the folders on the way to it: a link may lead back to one of them.
fn add_folder(folder: &Path, above: &[PathBuf], clips: &mut Vec<PathBuf>) -> Result<(), DatasetError> {
    let place = place_of(folder)?;
    if above.contains(&place) {
        return Ok(());
    }
    let inside = entries(folder)?;
    let count = |endings: &[&str]| inside.iter().filter(|file| has_ending(file, endings)).count();
    // One picture a video is its preview; of more the folder is a clip, whatever lies beside its frames: a GIF of
    // them, or the video that they were taken from.
    if count(&IMAGES) > count(&VIDEOS) {
        clips.push(folder.to_owned());
        return Ok(());
    }
    let above = [above, &[place]].concat();
    for path in inside {
        match about(&path, folder)? {
            Some(found) if found.is_dir() => add_folder(&path, &above, clips)?,
            _ if has_ending(&path, &VIDEOS) => clips.push(path),
            _ => {}
        }
    }
    Ok(())
}

/// Where a folder is, behind links.
fn place_of(folder: &Path) -> Result<PathBuf, DatasetError> {
    folder.canonicalize().map_err(|error| DatasetError::of_io(folder, "folder", error))
}

/// What `path` in `folder` is, behind links; nothing where such a link cannot be followed.
fn about(path: &Path, folder: &Path) -> Result<Option<Metadata>, DatasetError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || path.is_symlink() => Ok(None),
        // It is the folder that says who may look at what lies in it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(DatasetError::of_io(folder, "folder", error))
        }
        Err(error) => Err(DatasetError::of_io(path, "file or folder", error)),
    }
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
        let dataset = read(root.path()).unwrap().dataset;
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
            read_for(tree(&["sit/a.mp4"]).path()).unwrap().dataset.classes,
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
    fn deeper_videos_are_of_the_outermost_class_and_are_told() {
        let root = tree(&[
            "sit/a.mp4",
            "sit/anna/x/b.mp4",
            "sit/anna/x/b.jpg",
            "sit/anna/b.xgtf",
            "sit/frames/img_1.jpg",
            "sit/notes/c.txt",
            "walk/ben/d.MOV",
        ]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path().join("sit/anna"), root.path().join("sit/anna/x/back"))
            .unwrap();
        let Found { dataset, nested, .. } = read(root.path()).unwrap();
        let found: Vec<_> = dataset
            .clips
            .iter()
            .map(|clip| (clip.path.strip_prefix(root.path()).unwrap().to_str().unwrap(), clip.class))
            .collect();
        assert_eq!(
            found,
            [("sit/a.mp4", 0), ("sit/anna/x/b.mp4", 0), ("sit/frames", 0), ("walk/ben/d.MOV", 1)]
        );
        let told = nested.unwrap().to_string();
        assert!(told.starts_with("2 clips lie deeper than their class folder, the first: "), "{told}");
        assert!(told.contains("sit/anna/x/b.mp4"), "{told}");
        assert!(read(tree(&["sit/a.mp4", "walk/b.mp4"]).path()).unwrap().nested.is_none());
    }

    /// The clips below `root`, by their paths there.
    fn found_in(root: &Path) -> Vec<String> {
        let clips = read(root).unwrap().dataset.clips;
        clips.iter().map(|clip| clip.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn frames_are_a_clip_whatever_lies_beside_them_and_previews_are_none() {
        let root = tree(&[
            "sit/clip1/img_1.jpg",
            "sit/clip1/img_2.jpg",
            "sit/clip1/preview.gif",
            "sit/clip2/clip.mp4",
            "sit/clip2/img_1.jpg",
            "sit/clip2/img_2.jpg",
            "sit/clip3/img_1.jpg",
            "walk/anna/a.mp4",
            "walk/anna/a.png",
            "walk/anna/b.mp4",
            "walk/anna/b.png",
        ]);
        let expected = ["sit/clip1", "sit/clip2", "sit/clip3", "walk/anna/a.mp4", "walk/anna/b.mp4"];
        assert_eq!(found_in(root.path()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_back_to_the_class_or_of_a_file_that_has_gone_changes_nothing() {
        let root = tree(&["sit/a.mp4", "sit/a.jpg", "sit/b.jpg", "sit/anna/b.mp4", "walk/c.mp4"]);
        let links = [("sit/loop", "."), ("sit/anna/up", ".."), ("notes.txt", "gone"), ("old.mp4", "gone")];
        for (link, target) in links {
            std::os::unix::fs::symlink(target, root.path().join(link)).unwrap();
        }
        assert_eq!(found_in(root.path()), ["sit/a.mp4", "sit/anna/b.mp4", "walk/c.mp4"]);
    }

    #[test]
    fn the_sides_of_a_split_are_no_classes() {
        let root = tree(&["train/sit/a.mp4", "train/walk/b.mp4", "Val/sit/c.mp4", "Val/walk/d.mp4"]);
        let error = read(root.path()).unwrap_err().to_string();
        assert!(error.contains("'Val', 'train'") && error.contains("--validation-list"), "{error}");
        // Somebody may recognise trains.
        assert_eq!(read(tree(&["train/a.mp4", "test/b.mp4"]).path()).unwrap().dataset.clips.len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_class_that_is_a_link_to_nothing_is_named() {
        let root = tree(&["sit/a.mp4", "run/b.mp4"]);
        std::os::unix::fs::symlink("/nowhere/walk", root.path().join("walk")).unwrap();
        let told = |root: &Path| read(root).unwrap_err().to_string();
        let expected = "walk: a link that leads nowhere, or where you may not go; mend it, or take it away";
        assert!(told(root.path()).ends_with(expected), "{}", told(root.path()));
        std::fs::remove_file(root.path().join("walk")).unwrap();
        std::os::unix::fs::symlink("walk", root.path().join("walk")).unwrap();
        assert!(told(root.path()).ends_with(expected), "{}", told(root.path()));
        // Within a class it is a clip, which is named when it is read and found to be none.
        std::fs::rename(root.path().join("walk"), root.path().join("run/walk")).unwrap();
        assert_eq!(read(root.path()).unwrap().dataset.clips.len(), 3);
    }

    #[test]
    fn a_folder_that_may_not_be_looked_into_is_named_with_what_it_needs() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = DatasetError::of_io(Path::new("clips/walk"), "folder", denied).to_string();
        assert_eq!(error, "clips/walk: permission denied; change its rights with chmod a+rx");
    }

    #[test]
    fn the_real_tree_has_its_classes() {
        let (Some(root), Some(classes)) = (shared("data/jhmdb-train"), shared("data/jhmdb-classes.txt"))
        else {
            return;
        };
        let dataset = read(&root).unwrap().dataset;
        let classes = std::fs::read_to_string(classes).unwrap();
        assert_eq!(dataset.classes, classes.lines().collect::<Vec<_>>());
        assert_eq!(dataset.clips.len(), 667);
    }
}
