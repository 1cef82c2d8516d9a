//! A file that is there whole or not at all, whenever the program is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::ReportError;

/// Names tried beside the path before giving up: leftovers of killed runs.
const ATTEMPTS: u32 = 1000;

/// Puts `bytes` under `path` in one step: readers see the old file or the new one.
///
/// # Errors
/// [`ReportError::Write`]; the old file, if any, is then unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    replace(path, bytes).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (partial, mut file) = beside(path)?;
    // Synchronised before the rename: after a power cut the name must not point at nothing.
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let done = written.and_then(|()| std::fs::rename(&partial, path));
    if done.is_err() {
        // The first error is the one to tell; a partial file that cannot be removed either stays.
        drop(std::fs::remove_file(&partial));
    }
    done
}

/// A new file in the folder of `path`: a rename works within one file system only.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    for attempt in 0..ATTEMPTS {
        let partial = path.with_file_name(format!(
            ".{}.{}-{attempt}.partial",
            name.to_string_lossy(),
            std::process::id()
        ));
        match OpenOptions::new().write(true).create_new(true).open(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (partial, file)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many partial files lie beside it; remove them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a [1] ü.csv");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        std::fs::write(taken.join("inside"), b"x").unwrap();
        let error = write_atomically(&taken, b"new").unwrap_err();
        assert!(error.to_string().contains("taken: cannot be written"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
