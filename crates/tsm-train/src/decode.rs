//! A clip becomes frames in memory: planes as the decoder left them, packed, with their times.
//!
//! ```text
//! video file ─ tsm-ingest ─ Frame ─┬─ kept? ─ packed planes ─► StoredFrame ─┐
//! frame folder ─ zune-jpeg ────────┘  dropped otherwise                     ├─► ClipFrames
//!                                     PTS of every frame ───────────────────┘
//! ```
//!
//! The same pipeline and the same colour description as live recognition, so that training sees what live sees. Damage
//! that `GStreamer` plays over in silence is an error here as there. No colour is converted and nothing is scaled.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tsm_ingest::{Flow, Frame, FrameFormat, Pts, Session, SessionEvent, SessionOptions, Source, SourceError};

use tsm_live::{PreprocessError, Preprocessor};
use tsm_model::FrameMut;

use crate::dataset::{Clip, Span};

pub mod frame_folder;
mod stored_frame;

pub use stored_frame::StoredFrame;

/// Time between frames of a recording that tells neither times nor a rate: live recognition's assumption.
pub(crate) const ASSUMED_STEP: Duration = Duration::from_nanos(33_333_333);

/// A file that gives nothing for so long while it decodes will not go on.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a clip gives no frames. One line; the clip's name is in it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file cannot be opened or decoded, or is damaged.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The part of the video that is the clip holds no frame.
    #[error("{}: no frames between {start_secs} s and {end_secs} s; check the times in the list", path.display())]
    EmptySpan {
        /// The video.
        path: PathBuf,
        /// From here.
        start_secs: f64,
        /// To here.
        end_secs: f64,
    },
    /// Decoding stopped without an end or an error.
    #[error("{}: no frame for {} s in the middle of it; copy or record it again", path.display(), PATIENCE.as_secs())]
    Stalled {
        /// The video.
        path: PathBuf,
    },
    /// A folder without JPEG files.
    #[error("{}: no .jpg files in this folder; a folder is one clip of frames, so name videos one by one (FOLDER/*.mp4)", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A frame of a folder cannot be read.
    #[error("{}: {reason}; extract the frames again", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Which frames' pixels are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep<'a> {
    /// All, unless they need more than this; then none, and the times only.
    AllWithin {
        /// Bytes of pixels.
        most_bytes: usize,
    },
    /// These, by index in rising order; reading ends after the last.
    Only(&'a [usize]),
}

/// The frames of a clip.
#[derive(Debug, Clone, Default)]
pub struct ClipFrames {
    pts: Vec<Duration>,
    frames: Vec<Option<StoredFrame>>,
    shape_changes: Vec<usize>,
    bytes: usize,
}

impl ClipFrames {
    /// Media time of every frame: of a stream that starts with the file, so the first need not be 0.
    pub fn pts(&self) -> &[Duration] {
        &self.pts
    }

    /// The frame at `index`, where it was kept.
    pub fn frame(&self, index: usize) -> Option<&StoredFrame> {
        self.frames.get(index)?.as_ref()
    }

    /// The frames before which the size, shape or turn of the pictures changes: live recognition forgets there.
    pub fn shape_changes(&self) -> &[usize] {
        &self.shape_changes
    }

    /// Whether every frame was kept.
    pub fn is_complete(&self) -> bool {
        self.frames.iter().all(Option::is_some)
    }

    /// Bytes of all kept pixels.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same times without any pixels.
    pub(crate) fn without_pixels(&self) -> Self {
        let mut times = Self {
            pts: self.pts.clone(),
            frames: Vec::new(),
            shape_changes: self.shape_changes.clone(),
            bytes: 0,
        };
        times.frames.resize_with(self.frames.len(), || None);
        times
    }

    fn push(&mut self, pts: Duration, frame: Option<StoredFrame>) {
        self.bytes += frame.as_ref().map_or(0, StoredFrame::bytes);
        self.pts.push(pts);
        self.frames.push(frame);
    }

    fn forget_pixels(&mut self) {
        self.frames.fill(None);
        self.bytes = 0;
    }
}

/// Reads a clip: a video file, or a folder of JPEG frames.
///
/// # Errors
/// [`DecodeError`] if it cannot be read to its end (or, with [`Keep::Only`], to the last frame asked for).
pub fn decode(clip: &Clip, keep: Keep<'_>) -> Result<ClipFrames, DecodeError> {
    if clip.path.is_dir() {
        return frame_folder::read(&clip.path, keep);
    }
    let wanted = match keep {
        Keep::AllWithin { most_bytes } => Wanted::AllWithin(most_bytes),
        Keep::Only(indices) => Wanted::Only(indices.iter().rev().copied().collect()),
    };
    video(&clip.path, clip.span, Collector::new(clip.span, wanted))
}

/// Hands every frame of a clip with its time to `on_frame`, on a thread of the pipeline, and keeps none: memory does
/// not grow with the clip. [`Flow::Stop`] ends it.
///
/// # Errors
/// As [`decode`], and if there is no frame.
pub fn visit(
    clip: &Clip,
    mut on_frame: impl FnMut(&ShownFrame<'_>, Duration) -> Flow + Send + 'static,
) -> Result<(), DecodeError> {
    if clip.path.is_dir() {
        return frame_folder::visit(&clip.path, &mut on_frame);
    }
    let shown = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&shown);
    let counted = move |frame: &ShownFrame<'_>, pts: Duration| {
        seen.fetch_add(1, Ordering::Relaxed);
        on_frame(frame, pts)
    };
    let read =
        video(&clip.path, clip.span, Collector::new(clip.span, Wanted::Visited(Visitor(Box::new(counted)))));
    match (read, shown.load(Ordering::Relaxed)) {
        (Ok(_), 0) => Err(no_frames(clip)),
        // Nothing is kept, so nothing is found in the span.
        (Ok(_) | Err(DecodeError::EmptySpan { .. }), 1..) => Ok(()),
        (Err(error), _) => Err(error),
    }
}

/// The error of a clip that is read to its end and shows nothing.
pub(crate) fn no_frames(clip: &Clip) -> DecodeError {
    let place = clip.path.display().to_string();
    DecodeError::Source(SourceError::NoVideo { place, detail: String::new() })
}

/// A frame that is shown and not kept.
#[derive(Debug)]
pub enum ShownFrame<'a> {
    /// As the decoder left it.
    Decoded(&'a Frame),
    /// Of a folder.
    Stored(&'a StoredFrame),
}

impl ShownFrame<'_> {
    /// What its samples mean.
    pub fn format(&self) -> &Arc<FrameFormat> {
        match self {
            Self::Decoded(frame) => frame.format(),
            Self::Stored(frame) => frame.format(),
        }
    }

    /// The frame, to be kept or cut.
    pub fn stored(&self) -> Cow<'_, StoredFrame> {
        match self {
            Self::Decoded(frame) => Cow::Owned(StoredFrame::of(frame)),
            Self::Stored(frame) => Cow::Borrowed(frame),
        }
    }

    /// Writes the network's input `[3, size, size]`, as live recognition prepares it.
    ///
    /// # Errors
    /// [`PreprocessError`] if it has no usable size.
    pub fn prepare(&self, with: &mut Preprocessor, input: &mut [f32]) -> Result<(), PreprocessError> {
        match self {
            Self::Decoded(frame) => with.run(frame, FrameMut::Normalised(input)),
            Self::Stored(frame) => with.run_picture(frame.format(), &frame.picture()?, input),
        }
    }
}

fn video(path: &Path, span: Option<Span>, collector: Collector) -> Result<ClipFrames, DecodeError> {
    let collector = Arc::new(Mutex::new(collector));
    let source = Source::File(path.to_owned());
    let session = Session::start(&source, &SessionOptions::default(), {
        let collector = Arc::clone(&collector);
        move |frame| lock(&collector).take(&frame)
    })?;
    wait_for_end(&session, &collector, path)?;
    // Ends the streaming thread, so that nothing is added from here on.
    session.stop();
    let clip = std::mem::take(&mut lock(&collector).clip);
    match span {
        Some(Span { start_secs, end_secs }) if clip.pts.is_empty() => {
            Err(DecodeError::EmptySpan { path: path.to_owned(), start_secs, end_secs })
        }
        _ => Ok(clip),
    }
}

fn wait_for_end(session: &Session, collector: &Mutex<Collector>, path: &Path) -> Result<(), DecodeError> {
    /// How soon the end of an early stop is noticed, where the pipeline does not tell it.
    const POLL: Duration = Duration::from_millis(20);
    let (mut seen, mut silent) = (0, Duration::ZERO);
    loop {
        match session.next_event(POLL) {
            Some(SessionEvent::Failed(error)) => return Err(error.into()),
            Some(SessionEvent::EndOfStream) => return Ok(()),
            _ => {}
        }
        let collector = lock(collector);
        if collector.is_done {
            return Ok(());
        }
        silent = if collector.offered == seen { silent + POLL } else { Duration::ZERO };
        seen = collector.offered;
        // Before the first picture the session itself loses patience.
        if seen > 0 && silent >= PATIENCE {
            return Err(DecodeError::Stalled { path: path.to_owned() });
        }
    }
}

fn lock(collector: &Mutex<Collector>) -> MutexGuard<'_, Collector> {
    collector.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the streaming thread fills.
#[derive(Debug)]
struct Collector {
    clip: ClipFrames,
    span: Option<(Duration, Duration)>,
    wanted: Wanted,
    last_pts: Option<Duration>,
    last_format: Option<Arc<FrameFormat>>,
    offered: u64,
    is_done: bool,
}

/// [`Keep`] with what is left of it.
#[derive(Debug)]
enum Wanted {
    AllWithin(usize),
    None,
    /// In falling order, so that the next one is the last.
    Only(Vec<usize>),
    /// Shown to this and not kept.
    Visited(Visitor),
}

/// What [`visit`] was given.
struct Visitor(Box<OnFrame>);

type OnFrame = dyn FnMut(&ShownFrame<'_>, Duration) -> Flow + Send;

impl std::fmt::Debug for Visitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visitor")
    }
}

impl Collector {
    fn new(span: Option<Span>, wanted: Wanted) -> Self {
        let secs = |secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX);
        Self {
            clip: ClipFrames::default(),
            span: span.map(|span| (secs(span.start_secs), secs(span.end_secs))),
            wanted,
            last_pts: None,
            last_format: None,
            offered: 0,
            is_done: false,
        }
    }

    fn take(&mut self, frame: &Frame) -> Flow {
        self.offered += 1;
        let pts = frame.pts().map_or_else(|| self.assumed_pts(frame.format()), Pts::since_start);
        self.last_pts = Some(pts);
        if let Some((start, end)) = self.span {
            if pts >= end {
                return self.done();
            }
            if pts < start {
                return Flow::Continue;
            }
        }
        if let Wanted::Visited(visitor) = &mut self.wanted {
            let flow = visitor.0(&ShownFrame::Decoded(frame), pts);
            return if flow == Flow::Stop { self.done() } else { Flow::Continue };
        }
        let index = self.clip.pts.len();
        let format = frame.format();
        if self.last_format.as_ref().is_some_and(|last| !is_same_shape(last, format)) {
            self.clip.shape_changes.push(index);
        }
        self.last_format = Some(Arc::clone(format));
        let kept = self.is_wanted(index, format).then(|| StoredFrame::of(frame));
        self.clip.push(pts, kept);
        if matches!(&self.wanted, Wanted::Only(left) if left.is_empty()) {
            self.done()
        } else {
            Flow::Continue
        }
    }

    fn is_wanted(&mut self, index: usize, format: &FrameFormat) -> bool {
        match &mut self.wanted {
            Wanted::None | Wanted::Visited(_) => false,
            Wanted::AllWithin(most_bytes) => {
                if self.clip.bytes + StoredFrame::bytes_of(format) > *most_bytes {
                    self.clip.forget_pixels();
                    self.wanted = Wanted::None;
                    return false;
                }
                true
            }
            Wanted::Only(left) => {
                let is_next = left.last() == Some(&index);
                // A frame may be asked for more than once.
                while left.last() == Some(&index) {
                    left.pop();
                }
                is_next
            }
        }
    }

    fn done(&mut self) -> Flow {
        self.is_done = true;
        Flow::Stop
    }

    /// The time of a frame that carries none, as live recognition assumes it for recordings.
    fn assumed_pts(&self, format: &FrameFormat) -> Duration {
        let step = match format.nominal_rate {
            Some((frames, seconds)) if frames > 0 => Duration::from_secs(1) * seconds / frames,
            _ => ASSUMED_STEP,
        };
        self.last_pts.map_or(Duration::ZERO, |last| last + step)
    }
}

/// Whether live recognition takes both for the same kind of picture.
pub(crate) fn is_same_shape(one: &FrameFormat, other: &FrameFormat) -> bool {
    let shape =
        |format: &FrameFormat| (format.width_px, format.height_px, format.pixel_aspect, format.orientation);
    shape(one) == shape(other)
}

#[cfg(test)]
mod tests;
