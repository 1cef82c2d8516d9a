//! Local files: the door before the pipeline, and the verdict after it.
//!
//! ```text
//!  path ── uri_of (exists? file? readable? empty?) ──> pipeline ──> end ── damage / explained ──> intact | Truncated | Corrupt
//! ```
//!
//! `GStreamer` plays a damaged file to a plain end of stream without a word, so the evidence is gathered here: what the
//! container's own headers promise (containers.rs) and what the decoder was given and gave (session/observer.rs).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::SourceError;
use crate::session::observer::Summary;
use crate::source::Source;

mod containers;

pub(crate) use containers::gif_pictures;

/// A file that a pipeline reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedFile {
    pub(crate) path: PathBuf,
    author: PipelineAuthor,
}

/// Whose pipeline reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PipelineAuthor {
    /// Ours: every picture of the file is to come out.
    Program,
    /// A template of the user's own, which may leave pictures out on purpose.
    User,
}

impl RecordedFile {
    /// The file of `source`, if it is one; pipes and devices of a user's own pipeline are that pipeline's business.
    pub(crate) fn of(source: &Source) -> Option<Self> {
        match source {
            Source::File(path) => Some(Self { path: path.clone(), author: PipelineAuthor::Program }),
            Source::Custom(custom) => {
                let path = custom.file()?;
                let is_other = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
                (!is_other).then(|| Self { path: path.to_owned(), author: PipelineAuthor::User })
            }
            _ => None,
        }
    }

    /// Whether the pipeline is one of our own.
    pub(crate) fn is_read_by_us(&self) -> bool {
        self.author == PipelineAuthor::Program
    }
}

/// The `file://` address of a readable, non-empty file.
///
/// # Errors
/// [`SourceError::NotFound`], [`SourceError::IsFolder`], [`SourceError::PermissionDenied`], [`SourceError::EmptyFile`],
/// and [`SourceError::Truncated`] for an mp4 without its index.
pub(crate) fn uri_of(path: &Path) -> Result<String, SourceError> {
    let metadata = std::fs::metadata(path).map_err(|e| open_error(path, &e))?;
    if metadata.is_dir() {
        return Err(SourceError::IsFolder { path: path.to_owned() });
    }
    // Opening a pipe waits for its writer, for ever if need be.
    if !metadata.is_file() {
        let detail = " (it is a pipe or a device)".to_owned();
        return Err(SourceError::NotMedia { place: path.display().to_string(), detail });
    }
    std::fs::File::open(path).map_err(|e| open_error(path, &e))?;
    if metadata.len() == 0 {
        return Err(SourceError::EmptyFile { place: path.display().to_string() });
    }
    if let Some(detail) = containers::unplayable(path) {
        return Err(SourceError::Truncated { place: path.display().to_string(), detail });
    }
    let absolute = std::path::absolute(path).map_err(|e| open_error(path, &e))?;
    url::Url::from_file_path(&absolute)
        .map(Into::into)
        .map_err(|()| SourceError::NotFound { path: path.to_owned() })
}

/// The error of a file that does not open.
pub(crate) fn open_error(path: &Path, error: &io::Error) -> SourceError {
    let place = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            SourceError::NotFound { path: path.to_owned() }
        }
        io::ErrorKind::PermissionDenied => {
            SourceError::PermissionDenied { place, remedy: "change its rights with chmod a+r".to_owned() }
        }
        io::ErrorKind::InvalidData => SourceError::NotMedia { place, detail: " (not text)".to_owned() },
        _ => SourceError::Other { message: format!("{place}: {error}") },
    }
}

/// What the end of a file without an ERROR hides, if anything.
pub(crate) fn damage(file: &RecordedFile, seen: &Summary) -> Option<SourceError> {
    let path = &file.path;
    let place = path.display().to_string();
    tracing::debug!(?seen, "end of file");
    if let Some(detail) = containers::cut_short(path) {
        return Some(SourceError::Truncated { place, detail });
    }
    if seen.frames == 0 {
        return Some(match seen.pictures_in {
            0 => SourceError::NoVideo { place, detail: String::new() },
            _ => SourceError::Undecodable { place },
        });
    }
    if seen.corrupted > 0 {
        let detail = format!("{} of {} pictures flagged as corrupt", seen.corrupted, seen.pictures_out);
        return Some(SourceError::Corrupt { place, detail });
    }
    if let Some(warning) = seen.container_warnings.first() {
        let detail = format!("lost packets: {warning}");
        return Some(SourceError::Corrupt { place, detail });
    }
    if !file.is_read_by_us() {
        return None;
    }
    let detail = lost_pictures(seen).or_else(|| missing_tail(seen))?;
    Some(SourceError::Corrupt { place, detail })
}

/// Sharpens a fault of `GStreamer`'s by what the container's headers say.
pub(crate) fn explained(fault: SourceError, file: &RecordedFile, seen: &Summary) -> SourceError {
    match fault {
        SourceError::Corrupt { place, detail } => match containers::cut_short(&file.path) {
            Some(detail) => SourceError::Truncated { place, detail },
            None => SourceError::Corrupt { place, detail },
        },
        SourceError::NoVideo { .. } | SourceError::Other { .. } if seen.frames == 0 => {
            damage(file, seen).unwrap_or(fault)
        }
        other => other,
    }
}

/// The verdict on a file that gave neither a picture nor an end for `waited`.
pub(crate) fn silent(path: &Path, waited: Duration) -> SourceError {
    let detail = format!("no picture could be read within {:.0} s", waited.as_secs_f64());
    SourceError::Corrupt { place: path.display().to_string(), detail }
}

/// Compressed pictures that were never answered.
fn lost_pictures(seen: &Summary) -> Option<String> {
    (seen.lost > 0).then(|| format!("{} of {} pictures could not be decoded", seen.lost, seen.pictures_in))
}

/// A stream that ends well before its container says.
fn missing_tail(seen: &Summary) -> Option<String> {
    /// Containers round durations. The last picture has a length of its own, of a time lapse many seconds.
    const ROUNDED: Duration = Duration::from_millis(1200);
    let (duration, last) = (seen.duration?, seen.last_pts?);
    // Where there is sound, it may outlast the video by any length: only a stream alone tells.
    // Pictures without times say nothing, and the last one of a GIF may be held for any time.
    (seen.streams == 1
        && !seen.is_gif_at_end()
        && !last.is_zero()
        && last + seen.last_length + ROUNDED < duration)
        .then(|| format!("video ends at {:.1} s of {:.1} s", last.as_secs_f64(), duration.as_secs_f64()))
}
