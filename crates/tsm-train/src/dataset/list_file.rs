//! Lists of clips, a line each: `path label` (Paddle), `path frames label` (MIT), and our own, which is the first.
//!
//! ```text
//! rides a bike [part 1].mp4 12          path with spaces and brackets, label 12
//! videos/jump_0001 187 3                folder of frames, 187 of them, label 3
//! ```
//!
//! A clip has the frames that are there: MIT's code takes the list's number of them, here training only warns where
//! it is another one.
//!
//! The label is read from the right, so that a path may hold anything. Whether a number before it belongs to the path
//! is decided by which file exists. Paths are relative to the list's folder. UTF-8; blank lines and lines that
//! begin with `#` are passed over; a path that begins so is written with `./` before it. Texts only: who makes a list
//! writes it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tsm_model::label_map::read_labels;

use super::labels::Labels;
use super::{Clip, Dataset, DatasetError, MOST_CLASSES, class_index, class_number, groups};

/// Reads a list. Class names come from `class_names` (a name a line); without it classes are called by their numbers.
///
/// # Errors
/// [`DatasetError`] with the line's number if a label is none or out of range, or a file is missing.
pub fn read(list: &Path, class_names: Option<&Path>) -> Result<Dataset, DatasetError> {
    let classes = class_names.map(read_labels).transpose()?;
    if let Some((path, name)) = class_names.zip(classes.as_deref().and_then(repeated)) {
        return Err(DatasetError::NameTwice { path: path.to_owned(), name: name.to_owned() });
    }
    read_named(list, classes)
}

/// Reads a list whose labels are numbers of `classes`; without these, classes are called by their numbers.
///
/// # Errors
/// As [`read`].
pub fn read_named(list: &Path, classes: Option<Vec<String>>) -> Result<Dataset, DatasetError> {
    // As it was given: no `./` before the paths of a list in the current folder.
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut clips = Vec::new();
    let mut labels = Labels::default();
    for (line, text) in lines(list)? {
        let refused = |reason| DatasetError::Line { path: list.to_owned(), line, reason };
        let clip = entry(&text, folder, classes.as_deref()).map_err(refused)?;
        labels.note(&clip, line).map_err(refused)?;
        clips.push(clip);
    }
    if clips.is_empty() {
        return Err(DatasetError::EmptyList { path: list.to_owned() });
    }
    let count = clips.iter().map(|clip| class_index(clip.class) + 1).max().unwrap_or(0);
    let classes = classes.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect());
    Ok(Dataset { classes, clips })
}

/// A name that stands there twice.
fn repeated(names: &[String]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}

/// Reads a list of files without labels, for inference: one path a line, relative to the list's folder; `-` is
/// standard input, whose paths are relative to the current folder. Whether they exist is not looked at; a label
/// behind the path is taken for a part of it.
///
/// # Errors
/// [`DatasetError`] if the list cannot be read or is empty.
pub fn read_paths(list: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let lines = if list == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().read_to_end(&mut bytes);
        read.map_err(|error| DatasetError::of_io(list, "file", error))?;
        lines_of(list, &bytes)?
    } else {
        lines(list)?
    };
    let folder = list.parent().unwrap_or(Path::new(""));
    let paths: Vec<_> = lines.into_iter().map(|(_, text)| folder.join(text)).collect();
    if paths.is_empty() {
        return Err(DatasetError::EmptyFileList { path: list.to_owned() });
    }
    Ok(paths)
}

/// The text of a list that is to be put at `list`: `path label` for files, `path frames label` for folders of frames;
/// paths relative to the list's folder where they lie below it.
///
/// # Errors
/// [`DatasetError::Line`] for a clip that cannot stand in a list.
pub fn text(list: &Path, clips: &[Clip]) -> Result<String, DatasetError> {
    let mut text = String::new();
    for (index, clip) in clips.iter().enumerate() {
        let refused = |reason| DatasetError::Line {
            path: list.to_owned(),
            line: index + 1,
            reason: format!("{}: {reason}", clip.path.display()),
        };
        text += &line(list, clip).map_err(refused)?;
        text.push('\n');
    }
    Ok(text)
}

/// The line of a clip in a list that is to be put at `list`, or why there can be none.
pub(crate) fn line(list: &Path, clip: &Clip) -> Result<String, &'static str> {
    let absolute =
        |path| std::path::absolute(path).map_err(|_no_folder| "its folder is gone; check the path");
    let (folder, absolute) = (absolute(folder_of(list))?, absolute(&clip.path)?);
    let path = absolute.strip_prefix(&folder).unwrap_or(&absolute);
    let path = path.to_str().ok_or("its path is no UTF-8; rename the file")?;
    if path.contains(['\n', '\r']) {
        return Err("its path holds a line break; rename the file");
    }
    if path.ends_with(char::is_whitespace) {
        return Err("its path ends with a space, which a list cannot show; rename the file");
    }
    if clip.span.is_some() {
        return Err("it is a part of a video, which a list cannot say; extract its frames with --frames");
    }
    // What begins so would be read as a comment or lose its space or mark.
    let here =
        if path.starts_with(['#', '\u{feff}']) || path.starts_with(char::is_whitespace) { "./" } else { "" };
    let frames = clip.frames.filter(|_| clip.path.is_dir());
    let frames = frames.map(|frames| format!(" {frames}")).unwrap_or_default();
    Ok(format!("{here}{path}{frames} {}", clip.class))
}

/// The text of a file of class names, a name a line, as [`read`] takes them; else the name that cannot stand there.
pub(crate) fn classes_text(classes: &[String]) -> Result<String, &str> {
    let is_line = |name: &str| !name.trim().is_empty() && !name.contains(char::is_control);
    match classes.iter().find(|name| !is_line(name)) {
        Some(name) => Err(name),
        None => Ok(classes.join("\n") + "\n"),
    }
}

/// The lines that say something, with their numbers from 1.
fn lines(list: &Path) -> Result<Vec<(usize, String)>, DatasetError> {
    let bytes = std::fs::read(list).map_err(|error| DatasetError::of_io(list, "file", error))?;
    lines_of(list, &bytes)
}

/// The same of what `list` holds.
fn lines_of(list: &Path, bytes: &[u8]) -> Result<Vec<(usize, String)>, DatasetError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = std::str::from_utf8(line).map_err(|_utf8| DatasetError::Line {
            path: list.to_owned(),
            line: index + 1,
            reason: "no plain text; save the list as UTF-8, or name a folder with a folder of clips a class"
                .to_owned(),
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
    let hint = if Path::new(&path.to_string_lossy().replace('\\', "/")).exists() {
        "write / between folders, not \\".to_owned()
    } else if let Some(name) = alike(path) {
        format!("{name:?} lies there and may look the same: copy the name from the disk")
    } else {
        "paths are relative to the list's folder".to_owned()
    };
    format!("{}: no such file; {hint}", path.display())
}

/// A file beside `path` whose name differs in letters beyond ASCII alone, if there is just one: one letter may be
/// written in two ways (`ü`, or `u` and a mark), and macOS writes names in another way than most programs do.
fn alike(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let is_alike = |name: &String| {
        // Of two forms of one name the one with marks is longer.
        name.chars().count() != wanted.chars().count() && outline(name) == outline(wanted)
    };
    let beside = std::fs::read_dir(folder_of(path)).ok()?.flatten();
    let names = beside.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found = names.filter(is_alike);
    found.next().filter(|_| found.next().is_none())
}

/// A name with one sign for each letter that is none of ASCII's or carries marks.
fn outline(name: &str) -> String {
    const ANY: char = '\u{fffd}';
    let mut outline = String::with_capacity(name.len());
    for letter in name.chars() {
        // Combining marks belong to the letter before them.
        if ('\u{300}'..='\u{36f}').contains(&letter) {
            outline.pop();
        }
        outline.push(if letter.is_ascii() { letter } else { ANY });
    }
    outline
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

    #[cfg(unix)]
    #[test]
    fn a_list_from_windows_is_told_how_folders_are_written() {
        let told = message(&["walk/a 1.mp4"], "walk\\a 1.mp4 0\r\n");
        assert!(told.contains(r"walk\a 1.mp4: no such file; write / between folders, not \"), "{told}");
    }

    #[test]
    fn a_name_that_is_stored_in_another_form_is_shown() {
        let decomposed = "cafe\u{301} 1.mp4";
        for (file, listed) in [(decomposed, "caf\u{e9} 1.mp4"), ("caf\u{e9} 1.mp4", decomposed)] {
            let told = message(&[file], &format!("{listed} 0\n"));
            assert!(told.contains(&format!("no such file; {file:?} lies there")), "{told}");
        }
        let unlike = message(&[decomposed, "plain.mp4"], "caf\u{e9} 2.mp4 0\n");
        assert!(unlike.contains("no such file; paths are relative"), "{unlike}");
        let other = message(&["caf\u{e8}.mp4"], "caf\u{e9}.mp4 0\n");
        assert!(other.contains("paths are relative"), "another letter: {other}");
        let many = message(&["caf\u{e9}.mp4", "caf\u{e8}.mp4"], "cafe\u{302}.mp4 0\n");
        assert!(many.contains("paths are relative"), "nobody knows which: {many}");
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
        assert!(read(&root.path().join("none.txt"), None).unwrap_err().to_string().contains("no such file"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let files = ["x/a [1].mp4", "x/ü 2.mp4", "#tag/c.mp4", " edge.mp4"];
        let lines = "x/a [1].mp4 1\nx/ü 2.mp4 0\n./#tag/c.mp4 1\n./ edge.mp4 0\n";
        let (_root, list) = list(&files, lines);
        let dataset = read(&list, None).unwrap();
        assert_eq!(dataset.clips.len(), 4);
        assert_eq!(text(&list, &dataset.clips).unwrap(), lines);
        let paths = read_paths(&list).unwrap();
        assert!(paths[0].ends_with("x/a [1].mp4 1"));
    }

    #[test]
    fn a_clip_that_no_line_can_say_is_refused_by_name() {
        let refused = |path: &str| {
            let clip = Clip::new(path, 0);
            text(Path::new("/lists/train.txt"), &[clip]).unwrap_err().to_string()
        };
        assert!(refused("/clips/a ").contains("line 1: /clips/a : its path ends with a space"));
        assert!(refused("/clips/a\nb.mp4").contains("line break"));
    }

    #[test]
    fn class_names_are_lines() {
        assert_eq!(classes_text(&["sit down".into(), "walk".into()]), Ok("sit down\nwalk\n".to_owned()));
        assert_eq!(classes_text(&["sit".into(), "wa\nlk".into()]), Err("wa\nlk"));
        assert_eq!(classes_text(&[" ".into()]), Err(" "));
    }

    #[test]
    fn one_clip_has_one_label_and_one_name_one_class() {
        let twice = message(&["a.mp4", "b.mp4"], "a.mp4 0\nb.mp4 1\na.mp4 1\n");
        assert!(twice.contains("line 3: ") && twice.contains("another label on line 1"), "{twice}");
        let mut labels = Labels::default();
        labels.note(&Clip::new("a.mp4", 0), 1).unwrap();
        assert!(labels.note(&Clip::new("./a.mp4", 1), 2).unwrap_err().contains("another label on line 1"));
        let (root, list) = list(&["a.mp4"], "a.mp4 0\n");
        let names = root.path().join("names.txt");
        std::fs::write(&names, "sit\nsit\n").unwrap();
        let error = read(&list, Some(&names)).unwrap_err().to_string();
        assert!(error.contains("names.txt: 'sit' stands in it twice"), "{error}");
    }
}
