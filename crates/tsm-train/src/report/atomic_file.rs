//! A file that is there whole or not at all, whenever the program is killed.

use std::path::Path;

use tsm_model::atomic_file;

use super::ReportError;

/// Puts `bytes` under `path` in one step: readers see the old file or the new one. A pipe or a device is written to.
///
/// # Errors
/// [`ReportError::Write`]; the old file, if any, is then unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let is_special = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    // A pipe or `/dev/stdout` has no old content to keep.
    let written = if is_special { std::fs::write(path, bytes) } else { atomic_file::replace(path, bytes) };
    written.map_err(|source| ReportError::Write { path: path.to_owned(), source })
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
