//! A file that is there whole or not at all, whenever the program is killed.
//!
//! Written beside the target, synchronised, renamed: readers see the old file or the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts `bytes` under `path` in one step.
///
/// A link stays one: what it names is replaced. A device or a pipe is refused, because a rename would put a plain file
/// in its place (`/dev/null`, for root).
///
/// # Errors
/// What the file system says; `path` is then as before.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io::Error::other("it is a folder; name a file in it")),
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other("it is a pipe or a device; name a file"));
        }
        Ok(_file) => path.canonicalize()?,
        Err(_absent) => path.to_owned(),
    };
    let path = target.as_path();
    let (partial, mut file) = beside(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let done = written.and_then(|()| std::fs::rename(&partial, path));
    if done.is_err() {
        // The first error is the one to tell; a partial file that cannot be removed either stays.
        drop(std::fs::remove_file(&partial));
    }
    done
}

/// A new file in the folder of `path`: renaming works within one file system only.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
    let name = path.file_name().ok_or_else(no_name)?.to_string_lossy();
    let mut attempt = 0u32;
    loop {
        let partial = path.with_file_name(format!(".{name}.{}-{attempt}.partial", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&partial) {
            Ok(file) => return Ok((partial, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}
