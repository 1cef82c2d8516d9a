//! What is said of a path that cannot be read or written, behind its name: the same words for every kind of file.
//!
//! ```text
//! a model, labels, vectors ─┐
//! a list, a report, a run ──┼─ io::Error ─ why_unread, why_unwritten ─► `lists/a.txt: no such file; check the path`
//! a configuration ──────────┘
//! ```
//!
//! Sources of pictures are `tsm-ingest`'s, which knows no model: its own case of a file that is not there says the
//! same, and `tests/topics/bad_input.rs` holds both to it.

use std::io;

/// Why a file cannot be read, and what to do where that is known.
pub fn why_unread(error: &io::Error) -> String {
    match error.kind() {
        // Of `clip.mp4/labels.txt` the system says that a folder of the way is none.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => no_such("file"),
        io::ErrorKind::IsADirectory => "is a folder; give a file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; change its rights with chmod a+r".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Why a file cannot be written, and what to do where that is known.
pub fn why_unwritten(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => NO_FOLDER.to_owned(),
        // Where a folder was to be made.
        io::ErrorKind::AlreadyExists => "is a file; give a folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; write to a folder of your own".to_owned(),
        _ => format!("cannot be written: {error}"),
    }
}

/// What is said of a file that is to be written where no folder is.
pub const NO_FOLDER: &str = "its folder does not exist; make it first";

/// Of `what`, a file or a folder, that is not there.
pub fn no_such(what: &str) -> String {
    format!("no such {what}; check the path")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_not_there_is_said_in_the_same_words_on_every_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        let unread = |path: &Path| why_unread(&std::fs::read(path).unwrap_err());
        assert_eq!(unread(&folder.path().join("none/none")), "no such file; check the path");
        assert_eq!(unread(&file.join("none")), "no such file; check the path");
        assert_eq!(unread(folder.path()), "is a folder; give a file");
        let unwritten = |path: &Path| why_unwritten(&std::fs::write(path, b"x").unwrap_err());
        assert_eq!(unwritten(&folder.path().join("none/none")), NO_FOLDER);
        assert_eq!(why_unwritten(&std::fs::create_dir_all(&file).unwrap_err()), "is a file; give a folder");
        for no_place in [&file.join("none"), folder.path()] {
            assert!(unwritten(no_place).starts_with("cannot be written: "), "{}", unwritten(no_place));
        }
    }
}
