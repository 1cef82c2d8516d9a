//! A clip shows one thing: a list or table that calls it two is refused by its line.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use super::Clip;

/// What clips have been called so far.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// Class and line of each clip, by its file and where in the file it begins and ends.
    first: HashMap<(PathBuf, [u64; 2]), (u32, usize)>,
}

impl Labels {
    /// Notes what `clip` is called on `line`.
    ///
    /// # Errors
    /// What is wrong, where it has been called something else before.
    pub(super) fn note(&mut self, clip: &Clip, line: usize) -> Result<(), String> {
        let span = clip.span.map_or([0; 2], |span| [span.start_secs.to_bits(), span.end_secs.to_bits()]);
        // `./a.mp4` is `a.mp4`.
        let path: PathBuf = clip.path.components().filter(|part| *part != Component::CurDir).collect();
        let (class, at) = *self.first.entry((path, span)).or_insert((clip.class, line));
        if class == clip.class {
            return Ok(());
        }
        Err(format!("{} has another label on line {at}; give it one", clip.path.display()))
    }
}
