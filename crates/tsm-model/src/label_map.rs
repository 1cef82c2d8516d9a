//! Class names from a text file: a name a line, in the order of the logits.
//!
//! UTF-8, with or without byte order mark, any line end; spaces around a name and blank lines at the
//! end are dropped. It knows no model: whether the count fits is the checkpoint's question.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::path_fault::why_unread;

/// The largest label file that is read: a thousand times Kinetics-700's.
const MAX_BYTES: u64 = 16 << 20;

/// The longest name: a sentence of several lines.
const MAX_NAME_CHARS: usize = 1000;

/// Why a label file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelMapError {
    /// The file system refuses.
    #[error("{}: {}", path.display(), why_unread(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory, a pipe or a device.
    #[error("{}: it is no regular file; write one class name a line", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// No names in it.
    #[error("{}: no labels in it; write one class name a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Larger than any list of labels.
    #[error("{}: larger than {MAX_BYTES} bytes, so it is no list of labels", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line without a name between others.
    #[error("{}: line {line} is blank; write one class name a line, without gaps", path.display())]
    BlankLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A line longer than any name.
    #[error("{}: line {line} is longer than {MAX_NAME_CHARS} characters; write one class name a line", path.display())]
    LongName {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Bytes that are no UTF-8, or control characters.
    #[error("{}: line {line} is no plain text; save the file as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

/// Reads the class names of a label file, in its order.
///
/// # Errors
/// Every case of [`LabelMapError`].
pub fn read_labels(path: &Path) -> Result<Vec<String>, LabelMapError> {
    let failed = |source| LabelMapError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // Opening a pipe waits for its writer, for ever if need be.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(LabelMapError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LabelMapError::TooLarge { path: path.to_owned() });
    }
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<String>, LabelMapError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut names = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let not_text = || LabelMapError::NotText { path: path.to_owned(), line: index + 1 };
        let name = std::str::from_utf8(line).ok().map(str::trim).ok_or_else(not_text)?;
        if name.chars().any(char::is_control) {
            return Err(not_text());
        }
        if name.chars().count() > MAX_NAME_CHARS {
            return Err(LabelMapError::LongName { path: path.to_owned(), line: index + 1 });
        }
        names.push(name.to_owned());
    }
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    if names.is_empty() {
        return Err(LabelMapError::Empty { path: path.to_owned() });
    }
    match names.iter().position(String::is_empty) {
        Some(blank) => Err(LabelMapError::BlankLine { path: path.to_owned(), line: blank + 1 }),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        std::fs::write(&path, bytes).unwrap();
        read_labels(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn every_line_is_a_name_whoever_wrote_it() {
        let expected = Ok(vec!["applaud".to_owned(), "Schlag (Ball)".to_owned(), "ça va".to_owned()]);
        assert_eq!(read("applaud\nSchlag (Ball)\nça va".as_bytes()), expected);
        assert_eq!(read("\u{feff}applaud\r\nSchlag (Ball)\r\n ça va \r\n\r\n \n".as_bytes()), expected);
    }

    #[test]
    fn a_blank_line_in_the_middle_is_named() {
        assert!(read(b"a\n\nb\n").unwrap_err().contains("labels.txt: line 2 is blank"));
        assert!(read(b"\nb\n").unwrap_err().contains("line 1 is blank"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(read(b"").unwrap_err().contains("no labels in it"));
        assert!(read(b"\r\n\n").unwrap_err().contains("no labels in it"));
        assert!(read(b"a\nb\xff\n").unwrap_err().contains("line 2 is no plain text"));
        assert!(read(b"a\n\x1b[31mred\n").unwrap_err().contains("line 2 is no plain text"));
        assert!(
            read(format!("a\n{}", "b".repeat(1001)).as_bytes()).unwrap_err().contains("line 2 is longer")
        );
        assert!(read_labels(Path::new("/")).unwrap_err().to_string().contains("no regular file"));
        assert!(
            read_labels(Path::new("/none.txt")).unwrap_err().to_string().contains("none.txt: no such file")
        );
    }
}
