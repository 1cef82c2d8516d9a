//! A folder that a program writes into for hours: taken for it alone, and tried before it begins.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

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
    let path = folder.join(format!(".{}.partial", std::process::id()));
    File::create(&path)?;
    std::fs::remove_file(&path)
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
}
