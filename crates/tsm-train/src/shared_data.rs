//! Finds the data that tests share: `../shared` beside the workspace, and the clips of this repository. Tests only.
//!
//! A test that does not find it says so on stderr and passes, unless `TSM_REQUIRE_SHARED=1`: then it fails.

use std::path::PathBuf;

/// The path of a shared file, or `None` after saying that the test is skipped.
///
/// # Panics
/// If it is missing and `TSM_REQUIRE_SHARED` is 1.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} is missing", path.display()));
    None
}

/// A clip of this repository.
pub(crate) fn own_clip(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/clips").join(name)
}

/// Says that a test is skipped, and why.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skipped(why: &str) {
    assert!(std::env::var("TSM_REQUIRE_SHARED").as_deref() != Ok("1"), "{why}");
    eprintln!("skipped: {why}");
}
