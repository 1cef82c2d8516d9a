//! Lists of clips, a line each: `path label` (Paddle), `path frames label` (MIT), and our own, which is the first.
//!
//! ```text
//! rides a bike [part 1].mp4 12          path with spaces and brackets, label 12
//! videos/jump_0001 187 3                folder of frames, 187 of them, label 3
//! ```
//!
//! The label is read from the right, so that a path may hold anything. Whether a number before it belongs to the path is
//! decided by which file exists. Paths are relative to the list's folder. UTF-8; blank lines and lines that
//! begin with `#` are passed over.

use std::io::Write;
use std::path::{Path, PathBuf};

use tsm_model::label_map::read_labels;

use super::{Clip, Dataset, DatasetError, MOST_CLASSES, class_index, class_number, groups};

/// Reads a list. Class names come from `class_names` (a name a line); without it classes are called by their numbers.
///
/// # Errors
/// [`DatasetError`] with the line's number if a label is none or out of range, or a file is missing.
pub fn read(list: &Path, class_names: Option<&Path>) -> Result<Dataset, DatasetError> {
    let classes = class_names.map(read_labels).transpose()?;
    let folder = folder_of(list);
    let mut clips = Vec::new();
    for (line, text) in lines(list)? {
        let refused = |reason| DatasetError::Line { path: list.to_owned(), line, reason };
        clips.push(entry(&text, folder, classes.as_deref()).map_err(refused)?);
    }
    if clips.is_empty() {
        return Err(DatasetError::EmptyList { path: list.to_owned() });
    }
    let count = clips.iter().map(|clip| class_index(clip.class) + 1).max().unwrap_or(0);
    let classes = classes.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect());
    Ok(Dataset { classes, clips })
}

/// Reads a list of files without labels, for inference: one path a line, relative to the list's folder. Whether they
/// exist is not looked at; a label behind the path is taken for a part of it.
///
/// # Errors
/// [`DatasetError`] if the list cannot be read or is empty.
pub fn read_paths(list: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let folder = folder_of(list);
    let paths: Vec<_> = lines(list)?.into_iter().map(|(_, text)| folder.join(text)).collect();
    if paths.is_empty() {
        return Err(DatasetError::EmptyList { path: list.to_owned() });
    }
    Ok(paths)
}

/// Writes a list: `path label` for files, `path frames label` for folders of frames; paths relative to the list's
/// folder where they lie below it. The file appears whole or not at all.
///
/// # Errors
/// [`DatasetError::Read`] if the folder cannot be written, [`DatasetError::Line`] for a clip that cannot stand in a list:
/// a path with line breaks, or a part of a video.
pub fn write(list: &Path, clips: &[Clip]) -> Result<(), DatasetError> {
    let folder = std::path::absolute(folder_of(list)).map_err(|e| DatasetError::of_io(list, "folder", e))?;
    let mut lines = Vec::new();
    for (index, clip) in clips.iter().enumerate() {
        let refused = |reason: &str| DatasetError::Line {
            path: list.to_owned(),
            line: index + 1,
            reason: reason.to_owned(),
        };
        let absolute =
            std::path::absolute(&clip.path).map_err(|e| DatasetError::of_io(&clip.path, "file", e))?;
        let path = absolute.strip_prefix(&folder).unwrap_or(&absolute);
        let path = path.to_str().ok_or_else(|| refused("the clip's path is no UTF-8; rename the file"))?;
        if path.contains(['\n', '\r']) {
            return Err(refused("the clip's path holds a line break; rename the file"));
        }
        if clip.span.is_some() {
            return Err(refused(
                "the clip is a part of a video, which a list cannot say; extract its frames",
            ));
        }
        let frames = clip.frames.filter(|_| clip.path.is_dir());
        let frames = frames.map(|frames| frames.to_string());
        let words = [Some(path), frames.as_deref(), Some(&clip.class.to_string())];
        lines.push(words.into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
    write_lines(list, &lines)
}

/// Writes class names, a name a line, as [`read`] takes them. The file appears whole or not at all.
///
/// # Errors
/// [`DatasetError::Read`] if the folder cannot be written.
pub fn write_classes(path: &Path, classes: &[String]) -> Result<(), DatasetError> {
    write_lines(path, classes)
}

/// Writes a file beside its place and moves it there.
fn write_lines(path: &Path, lines: &[String]) -> Result<(), DatasetError> {
    let text = lines.join("\n") + "\n";
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The lines that say something, with their numbers from 1.
fn lines(list: &Path) -> Result<Vec<(usize, String)>, DatasetError> {
    let bytes = std::fs::read(list).map_err(|error| DatasetError::of_io(list, "list", error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = std::str::from_utf8(line).map_err(|_utf8| DatasetError::Line {
            path: list.to_owned(),
            line: index + 1,
            reason: "no plain text; save the list as UTF-8".to_owned(),
        })?;
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            lines.push((index + 1, text.to_owned()));
        }
    }
    Ok(lines)
}

/// One line, or what is wrong with it.
fn entry(text: &str, folder: &Path, classes: Option<&[String]>) -> Result<Clip, String> {
    let (rest, label) = last_word(text).ok_or("only one word; write 'path label'")?;
    let class = label_of(label, classes)?;
    let whole = folder.join(rest);
    let (path, frames) = if whole.exists() {
        (whole, None)
    } else {
        match last_word(rest).and_then(|(path, frames)| Some((folder.join(path), frames.parse().ok()?))) {
            Some((path, frames)) if path.exists() => (path, Some(frames)),
            Some((path, _)) => return Err(missing(&path)),
            None => return Err(missing(&whole)),
        }
    };
    let group = groups::group_of_name(&path);
    Ok(Clip { group, frames, ..Clip::new(path, class) })
}

fn label_of(label: &str, classes: Option<&[String]>) -> Result<u32, String> {
    let number: i64 =
        label.parse().map_err(|_no| format!("'{label}' is no label; write the class number last"))?;
    let count = classes.map_or(MOST_CLASSES, <[String]>::len);
    match usize::try_from(number) {
        Ok(number) if number < count => Ok(class_number(number)),
        _ if classes.is_some() => {
            Err(format!("label {number} is out of range; there are {count} class names, numbered from 0"))
        }
        _ => Err(format!("label {number} is out of range; labels count from 0")),
    }
}

fn missing(path: &Path) -> String {
    format!("{}: no such file; paths are relative to the list's folder", path.display())
}

/// The last word and what stands before it.
fn last_word(text: &str) -> Option<(&str, &str)> {
    let (rest, word) = text.rsplit_once(char::is_whitespace)?;
    Some((rest.trim_end(), word)).filter(|(rest, _)| !rest.is_empty())
}

/// The folder a list's paths are relative to.
pub(crate) fn folder_of(list: &Path) -> &Path {
    match list.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these empty files, and a list with these lines.
    fn list(files: &[&str], lines: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let list = root.path().join("list.txt");
        std::fs::write(&list, lines).unwrap();
        (root, list)
    }

    fn message(files: &[&str], lines: &str) -> String {
        let (_root, list) = list(files, lines);
        read(&list, None).unwrap_err().to_string()
    }

    #[test]
    fn paths_may_hold_anything() {
        let files = ["a b [1].mp4", "дом/прыжок 3.mp4", "img 5/x.jpg", "plain.mp4"];
        let lines =
            "\u{feff}a b [1].mp4 2\n# a comment\n\nдом/прыжок 3.mp4 0\r\nimg 5 187 1\nplain.mp4\t12 4\n";
        let (_root, list) = list(&files, lines);
        let dataset = read(&list, None).unwrap();
        let found: Vec<_> = dataset.clips.iter().map(|clip| (clip.class, clip.frames)).collect();
        assert_eq!(found, [(2, None), (0, None), (1, Some(187)), (4, Some(12))]);
        assert!(dataset.clips.iter().all(|clip| clip.path.exists()));
        assert_eq!(dataset.classes, ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn a_number_belongs_to_the_path_that_exists() {
        let (_root, list) = list(&["clip 7"], "clip 7 1\n");
        let dataset = read(&list, None).unwrap();
        assert_eq!(
            (dataset.clips[0].path.file_name().unwrap(), dataset.clips[0].frames),
            ("clip 7".as_ref(), None)
        );
    }

    #[test]
    fn wrong_lines_are_refused_by_number() {
        let error = message(&["a.mp4"], "a.mp4 0\n\ngone.mp4 1\n");
        assert!(error.contains("list.txt: line 3:") && error.contains("gone.mp4: no such file"), "{error}");
        assert!(message(&["a.mp4"], "a.mp4 -1\n").contains("label -1 is out of range"));
        assert!(message(&["a.mp4"], "a.mp4 walk\n").contains("line 1: 'walk' is no label"));
        assert!(message(&["a.mp4"], "a.mp4\n").contains("only one word"));
        assert!(message(&["a.mp4"], "# nothing\n").contains("no clips in it"));
        assert!(message(&["a.mp4"], "a.mp4 99999999999999999999\n").contains("no label"));
    }

    #[test]
    fn labels_are_held_against_the_class_names() {
        let (root, list) = list(&["a.mp4"], "a.mp4 2\n");
        let names = root.path().join("classes.txt");
        std::fs::write(&names, "sit\nwalk\n").unwrap();
        let error = read(&list, Some(&names)).unwrap_err().to_string();
        assert!(error.contains("line 1: label 2 is out of range; there are 2 class names"), "{error}");
        std::fs::write(&names, "sit\nwalk\nrun\n").unwrap();
        assert_eq!(read(&list, Some(&names)).unwrap().classes, ["sit", "walk", "run"]);
    }

    #[test]
    fn a_list_without_utf8_or_without_a_file_is_refused() {
        let (root, list) = list(&[], "");
        std::fs::write(&list, b"ok 1\n\xff\xfe 1\n").unwrap();
        assert!(read(&list, None).unwrap_err().to_string().contains("line 2: no plain text"));
        assert!(read(&root.path().join("none.txt"), None).unwrap_err().to_string().contains("no such list"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (root, list) = list(&["x/a [1].mp4", "x/ü 2.mp4"], "x/a [1].mp4 1\nx/ü 2.mp4 0\n");
        let dataset = read(&list, None).unwrap();
        let copy = root.path().join("copy.txt");
        write(&copy, &dataset.clips).unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "x/a [1].mp4 1\nx/ü 2.mp4 0\n");
        assert_eq!(read(&copy, None).unwrap().clips.len(), 2);
        let paths = read_paths(&copy).unwrap();
        assert!(paths[0].ends_with("x/a [1].mp4 1"));
    }
}
