//! `tsm prepare`: lists for training and validation, class names, and frames for fast reading if wanted.
//!
//! ```text
//! tree, list, CSV ─ Dataset ─ every clip read once ─┬─ unreadable: named, left out
//!                                   │               └─ readable ─ groups ─ split ─► train.txt, validation.txt, classes.txt
//!                                   └─ frames wanted ─► frames/CLASS/CLIP/img_00001.jpg, …, pts_micros.txt
//! ```
//!
//! Clips that no list can name, and folders that cannot be written, are refused before any is read. Lists and clip
//! folders appear whole or not at all. Frames are upright, short side scaled by PIL's rule (never enlarged), JPEG
//! without colour subsampling.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsm_model::path_fault::why_unwritten;

pub use crate::ahead::MOST_WORKERS;
use crate::ahead::{self, Ahead, WorkerLost};
use crate::dataset::groups::GroupRule;
use crate::dataset::{Clip, Dataset, DatasetError, class_index, list_file, split};
use crate::output_folder::{FolderLock, try_write};
use crate::report::{ReportError, write_atomically};

mod extract;

/// How frames are extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameOptions {
    /// Short side of the frames, in pixels; smaller clips keep their size.
    pub short_side_px: usize,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self { short_side_px: 256, quality: 95 }
    }
}

/// What is to be made.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// What the clips were read from: it is never written over.
    pub source: PathBuf,
    /// Part of each class for validation, 0 to 1.
    pub validation: f64,
    /// Which clips belong together.
    pub groups: GroupRule,
    /// What the split depends on.
    pub seed: u64,
    /// Whether and how frames are extracted.
    pub frames: Option<FrameOptions>,
    /// Threads that read clips.
    pub workers: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Clips read.
    pub done: usize,
    /// Clips in all.
    pub of: usize,
}

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The list to train from.
    pub training_list: PathBuf,
    /// The list to validate with.
    pub validation_list: PathBuf,
    /// The class names.
    pub classes_file: PathBuf,
    /// Clips in the two lists.
    pub clips: [usize; 2],
    /// The reason of each clip that could not be read, its name in it; in the order of the data set.
    pub unreadable: Vec<String>,
    /// Classes without a clip in validation.
    pub unvalidated: Vec<u32>,
    /// Classes whose file names tell no groups: each clip was taken for one of its own.
    pub ungrouped: Vec<u32>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The clips cannot be split or the lists not written.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The folder or a frame cannot be written.
    #[error("{}: {}", path.display(), why_unwritten(source))]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No clip of a class can be read.
    #[error("no clip of '{class}' can be read; the first: {first}")]
    NothingReadable {
        /// The class.
        class: String,
        /// Why its first clip cannot.
        first: String,
    },
    /// A clip that would have no line in a list.
    #[error("{}: cannot stand in a list: {reason}", path.display())]
    Unlistable {
        /// The clip.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: &'static str,
    },
    /// What is to be written would take the place of what is read.
    #[error("{}: is what is read from and would be written over; choose another --output", path.display())]
    OverwritesInput {
        /// The list or clip.
        path: PathBuf,
    },
    /// Another run writes there.
    #[error("{}: another tsm prepare writes there; wait for its end, or choose another --output", folder.display())]
    InUse {
        /// The folder of the lists.
        folder: PathBuf,
    },
    /// A class whose name would be no line of `classes.txt`.
    #[error("the class name {name:?} is no line of text; rename the class")]
    ClassName {
        /// The name.
        name: String,
    },
    /// The caller asked to stop.
    #[error("stopped before the lists were written; the same command starts again")]
    Stopped,
    /// A list cannot be written.
    #[error(transparent)]
    List(#[from] ReportError),
    /// The system gives no threads.
    #[error("threads cannot be started: {0}")]
    Threads(#[source] io::Error),
    /// A thread panicked.
    #[error(transparent)]
    Lost(#[from] WorkerLost),
}

/// Reads every clip of `dataset` and writes the lists (and frames) into the folder `output`, which is made if need be;
/// `told` says whether to go on.
///
/// # Errors
/// [`PrepareError`]; no list is then written, unless the disk refuses one of them ([`PrepareError::List`]).
pub fn prepare(
    dataset: Dataset,
    output: &Path,
    options: &PrepareOptions,
    told: &mut dyn FnMut(Progress) -> bool,
) -> Result<Prepared, PrepareError> {
    let place = |name: &str| output.join(name);
    let (training_list, validation_list) = (place("train.txt"), place("validation.txt"));
    let classes_file = place("classes.txt");
    let folders = clip_folders(&dataset, output);
    let lists = [&training_list, &validation_list, &classes_file];
    check_input_stays(&lists, &options.source)?;
    if options.frames.is_some() {
        check_clips_stay(&folders, &dataset)?;
    }
    // Before hours of reading, not after them.
    for (clip, folder) in dataset.clips.iter().zip(&folders) {
        let extracted = || Clip { path: folder.clone(), span: None, ..clip.clone() };
        let listed = if options.frames.is_some() { extracted() } else { clip.clone() };
        list_file::line(&training_list, &listed)
            .map_err(|reason| PrepareError::Unlistable { path: clip.path.clone(), reason })?;
    }
    let classes = list_file::classes_text(&dataset.classes)
        .map_err(|name| PrepareError::ClassName { name: name.to_owned() })?;
    let mut dataset = dataset;
    // By the names of the originals, before frames take their place.
    let ungrouped = options.groups.apply(&mut dataset)?;
    dataset.check_classes_differ(&options.source, 0..dataset.clips.len())?;
    // What cannot be divided now cannot be once clips are left out.
    split::split(&dataset, options.validation, options.seed)?;
    let _held = take(output, options.frames.is_some())?;
    let (readable, unreadable) = read_all(dataset, folders, options, told)?;
    let split = split::split(&readable, options.validation, options.seed)?;
    let of = |side: &[usize]| side.iter().map(|clip| readable.clips[*clip].clone()).collect::<Vec<_>>();
    let training = list_file::text(&training_list, &of(&split.training))?;
    let validation = list_file::text(&validation_list, &of(&split.validation))?;
    for (path, text) in [(&classes_file, classes), (&training_list, training), (&validation_list, validation)]
    {
        write_atomically(path, text.as_bytes())?;
    }
    Ok(Prepared {
        training_list,
        validation_list,
        classes_file,
        clips: [split.training.len(), split.validation.len()],
        unreadable,
        unvalidated: split.unvalidated,
        ungrouped,
    })
}

/// The folder of the lists while it is one run's.
struct HeldFolder {
    _lock: FolderLock,
    /// The folder of frames, where this run has made it.
    new_frames: Option<PathBuf>,
}

impl Drop for HeldFolder {
    /// A run that comes to nothing leaves no empty folders of frames.
    fn drop(&mut self) {
        let Some(frames) = &self.new_frames else { return };
        let classes = std::fs::read_dir(frames).into_iter().flatten().flatten();
        for folder in classes.map(|entry| entry.path()).chain([frames.clone()]) {
            // The system keeps those that are not empty.
            let _kept = std::fs::remove_dir(folder);
        }
    }
}

/// Takes the folder for this run, and tries what it will write there.
fn take(output: &Path, has_frames: bool) -> Result<HeldFolder, PrepareError> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |source| PrepareError::Write { path, source }
    };
    let taken = FolderLock::take(output).map_err(refused(output))?;
    let lock = taken.ok_or_else(|| PrepareError::InUse { folder: output.to_owned() })?;
    let mut held = HeldFolder { _lock: lock, new_frames: None };
    try_write(output).map_err(refused(output))?;
    if has_frames {
        let frames = output.join("frames");
        held.new_frames = (!frames.exists()).then(|| frames.clone());
        std::fs::create_dir_all(&frames).and_then(|()| try_write(&frames)).map_err(refused(&frames))?;
    }
    Ok(held)
}

/// Refuses lists that would take the place of the one that is read.
fn check_input_stays(lists: &[&PathBuf], source: &Path) -> Result<(), PrepareError> {
    let Ok(read) = source.canonicalize() else { return Ok(()) };
    match lists.iter().find(|list| list.canonicalize().is_ok_and(|list| list == read)) {
        Some(list) => Err(PrepareError::OverwritesInput { path: (*list).clone() }),
        None => Ok(()),
    }
}

/// Refuses folders of frames that would take the place of clips: these are often folders of frames, too.
fn check_clips_stay(folders: &[PathBuf], dataset: &Dataset) -> Result<(), PrepareError> {
    let taken: BTreeSet<PathBuf> = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    let is_taken = |clip: &&Clip| {
        let path = clip.path.canonicalize().unwrap_or_default();
        path.ancestors().any(|path| taken.contains(path))
    };
    match dataset.clips.iter().filter(|_| !taken.is_empty()).find(is_taken) {
        Some(clip) => Err(PrepareError::OverwritesInput { path: clip.path.clone() }),
        None => Ok(()),
    }
}

/// The clips that can be read, and why the others cannot.
fn read_all(
    dataset: Dataset,
    folders: Vec<PathBuf>,
    options: &PrepareOptions,
    told: &mut dyn FnMut(Progress) -> bool,
) -> Result<(Dataset, Vec<String>), PrepareError> {
    let folders = Arc::new(folders);
    let dataset = Arc::new(dataset);
    let frames = options.frames;
    let make_worker = || {
        let (dataset, folders) = (Arc::clone(&dataset), Arc::clone(&folders));
        move |job: u64| {
            let index = ahead::index(job);
            extract::read(&dataset.clips[index], &folders[index], frames)
        }
    };
    let of = dataset.clips.len();
    let depth = 4 * options.workers.max(1) as u64;
    let mut clips =
        Ahead::start(0..of as u64, options.workers, depth, make_worker).map_err(PrepareError::Threads)?;
    let mut readable = Dataset { classes: dataset.classes.clone(), clips: Vec::new() };
    let mut unreadable = Vec::new();
    for (done, clip) in (1..).zip(&dataset.clips) {
        match clips.next().ok_or(WorkerLost)?? {
            Ok(read) => readable.clips.push(read),
            Err(extract::ReadError::Decode(error)) => {
                unreadable.push((clip.class, error.to_string()));
            }
            Err(extract::ReadError::Picture { clip: path, frame, reason }) => {
                unreadable.push((clip.class, format!("{}: frame {frame}: {reason}", path.display())));
            }
            Err(extract::ReadError::Write { path, source }) => {
                return Err(PrepareError::Write { path, source });
            }
        }
        if !told(Progress { done, of }) {
            return Err(PrepareError::Stopped);
        }
    }
    let left = readable.clips_by_class();
    if let Some((class, first)) = unreadable.iter().find(|(class, _)| left[class_index(*class)] == 0) {
        let class = readable.classes[class_index(*class)].clone();
        return Err(PrepareError::NothingReadable { class, first: first.clone() });
    }
    Ok((readable, unreadable.into_iter().map(|(_, reason)| reason).collect()))
}

/// Where the frames of each clip go: `frames/CLASS/NAME`, each folder once.
fn clip_folders(dataset: &Dataset, output: &Path) -> Vec<PathBuf> {
    let mut taken = BTreeSet::new();
    let mut folder = |clip: &Clip| {
        let class = plain(&dataset.classes[class_index(clip.class)]);
        let stem = if clip.path.is_dir() { clip.path.file_name() } else { clip.path.file_stem() };
        let mut name = plain(&stem.unwrap_or_default().to_string_lossy());
        if let Some(span) = clip.span {
            name = format!("{name}_{:06.0}_{:06.0}", span.start_secs, span.end_secs);
        }
        let names = std::iter::once(name.clone()).chain((2..).map(|n: u32| format!("{name}-{n}")));
        let mut folders = names.map(|name| output.join("frames").join(&class).join(name));
        folders.find(|folder| taken.insert(folder.clone())).expect("one of endless names is free")
    };
    dataset.clips.iter().map(&mut folder).collect()
}

/// A name that can be a folder's.
fn plain(name: &str) -> String {
    let name = name.replace(['/', '\\', '\0', '\n', '\r'], "_");
    // A list cannot show a space at the end.
    let name = name.trim_end();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
