//! A folder that a program writes into for hours: taken for it alone, and tried before it begins.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Keeps others out of a folder while it lives; a process that dies lets go of it.
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
}

impl FolderLock {
    /// Makes the folder where it is missing and takes it; nothing where somebody else has it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let opened = File::open(folder)?;
        // Where the file system knows no locks there is none.
        let is_taken = matches!(opened.try_lock(), Err(TryLockError::WouldBlock));
        Ok((!is_taken).then_some(Self { _folder: opened }))
    }
}

/// Makes a file in `folder` and takes it away.
///
/// # Errors
/// What the file system says where it cannot be written.
pub fn try_write(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(new_file(folder)?) {
        // A run that begins there sweeps such files away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A file that nobody had there, called as what killed runs leave of their saves.
fn new_file(folder: &Path) -> io::Result<PathBuf> {
    /// More than the threads and containers that can have one number at one time.
    const MOST_ATTEMPTS: u32 = 1000;
    for attempt in 0..MOST_ATTEMPTS {
        let path = folder.join(format!(".{}-{attempt}.partial", std::process::id()));
        // Never one that is there: it may be a link that somebody has planted, or of another container's process.
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_file) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("it is full of .partial files; remove them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_programs_until_it_lets_go() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let held = FolderLock::take(&folder).unwrap();
        assert!(held.is_some() && FolderLock::take(&folder).unwrap().is_none());
        drop(held);
        assert!(FolderLock::take(&folder).unwrap().is_some());
    }

    #[test]
    fn a_folder_that_takes_no_file_is_known_and_one_that_does_is_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        try_write(root.path()).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(try_write(&root.path().join("absent")).is_err());
        // Nobody makes a file there, whatever the user's rights are.
        #[cfg(target_os = "linux")]
        assert!(try_write(Path::new("/proc/self")).is_err());
    }

    #[test]
    fn what_has_the_name_of_the_tried_file_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("precious");
        std::fs::write(&precious, b"kept").unwrap();
        let process = std::process::id();
        for name in [format!(".{process}.partial"), format!(".{process}-0.partial")] {
            #[cfg(unix)]
            std::os::unix::fs::symlink(&precious, root.path().join(name)).unwrap();
            #[cfg(not(unix))]
            std::fs::write(root.path().join(name), b"kept").unwrap();
        }
        std::fs::write(root.path().join(format!(".{process}-1.partial")), b"kept").unwrap();
        try_write(root.path()).unwrap();
        let left = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path());
        let contents: Vec<Vec<u8>> = left.map(|path| std::fs::read(path).unwrap()).collect();
        assert_eq!(contents, vec![b"kept"; 4]);
    }

    /// As in containers, whose processes all have one number.
    #[test]
    fn tries_of_one_folder_at_one_time_do_not_meet() {
        let root = tempfile::tempdir().unwrap();
        let tried = || (0..200).try_for_each(|_| try_write(root.path()));
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(tried));
            for thread in threads {
                thread.join().unwrap().unwrap();
            }
        });
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
