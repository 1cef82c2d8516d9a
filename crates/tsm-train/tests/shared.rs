//! Reference data beside the repository.

use std::path::{Path, PathBuf};

/// The folder of reference data; none, said loudly, where this is not the project's own machine.
pub(crate) fn folder(part: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("TSM_REQUIRE_SHARED").is_none(), "{} is missing", folder.display());
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: {} is missing", folder.display());
    }
    None
}
