//! Reference data beside the checkout, which a user does not have.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A clip of this repository.
pub fn clip(name: &str) -> PathBuf {
    workspace().join("tests/clips").join(name)
}

/// A file or folder of the reference data; none, said loudly, where it is missing.
///
/// # Panics
/// Where it is missing and `TSM_REQUIRE_SHARED` is set, as CI does.
pub fn shared(part: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared").join(part);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("TSM_REQUIRE_SHARED").is_none(), "{} is missing", path.display());
    skipped(&format!("{} is missing", path.display()));
    None
}

/// Says on stderr that a test did not run, and why.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
