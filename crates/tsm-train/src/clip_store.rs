//! Decoded clips kept in memory up to a budget, so that a small data set is decoded once.
//!
//! ```text
//! frames(clip, choose) ─┬─ kept ───────────────────────────► choose among its frames
//!                       ├─ times known ─ decode the chosen ─►
//!                       └─ new ─ decode all ─┬─ fits ─ keep ─►
//!                                            └─ too large ─ keep its times ─ decode the chosen ─►
//! ```
//!
//! What is kept is the decoder's planes (1.5 bytes a pixel of 4:2:0), exact. The first clips that fit stay: an epoch
//! visits all clips once, and there every rule of replacement finds as many as this one or fewer. A clip that could not
//! be read is remembered with its reason and not tried again. Which clips are kept has no influence on any value.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dataset::Clip;
use crate::decode::{ClipFrames, DecodeError, Keep, decode, no_frames};
use crate::sampling::Timeline;

/// A clip larger than this is decoded anew for the frames wanted of it, whatever the budget.
const MOST_CLIP_BYTES: usize = 512 << 20;

/// A clip's frames and which of them were chosen.
#[derive(Debug, Clone)]
pub struct ChosenFrames {
    /// The frames; all that were chosen are kept in it.
    pub frames: Arc<ClipFrames>,
    /// The chosen ones in their order, with repeats.
    pub indices: Vec<usize>,
}

/// Decoded clips of one data set, shared by loaders and epochs.
#[derive(Debug)]
pub struct ClipStore {
    budget_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    clips: HashMap<usize, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Whole(Arc<ClipFrames>),
    Times(Arc<ClipFrames>),
    Unreadable(DecodeError),
}

impl ClipStore {
    /// An empty store that keeps at most `budget_bytes` of pixels.
    pub fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, kept: Mutex::default() }
    }

    /// Bytes of pixels kept now.
    pub fn kept_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The frames that `choose` wants of the clip with this index in its data set.
    ///
    /// # Errors
    /// [`DecodeError`] if the clip cannot be read, now or at an earlier call.
    pub fn frames(
        &self,
        index: usize,
        clip: &Clip,
        choose: impl FnOnce(Timeline<'_>) -> Vec<usize>,
    ) -> Result<ChosenFrames, DecodeError> {
        let known = self.lock().clips.get(&index).cloned();
        let entry = match known {
            Some(entry) => entry,
            None => self.first_look(index, clip),
        };
        match entry {
            Entry::Whole(frames) => {
                let indices = choose(times(&frames));
                Ok(ChosenFrames { frames, indices })
            }
            Entry::Times(all) => {
                let indices = choose(times(&all));
                let mut wanted = indices.clone();
                wanted.sort_unstable();
                let frames = Arc::new(decode(clip, Keep::Only(&wanted))?);
                Ok(ChosenFrames { frames, indices })
            }
            Entry::Unreadable(error) => Err(error),
        }
    }

    /// Decodes a clip that nothing is known of.
    fn first_look(&self, index: usize, clip: &Clip) -> Entry {
        let entry = match decode(clip, Keep::AllWithin { most_bytes: MOST_CLIP_BYTES }) {
            Err(error) => Entry::Unreadable(error),
            Ok(frames) if frames.pts().is_empty() => Entry::Unreadable(no_frames(clip)),
            Ok(frames) if frames.is_complete() => Entry::Whole(Arc::new(frames)),
            Ok(frames) => Entry::Times(Arc::new(frames)),
        };
        let mut kept = self.lock();
        let remembered = match &entry {
            Entry::Whole(frames) if kept.bytes + frames.bytes() <= self.budget_bytes => entry.clone(),
            Entry::Whole(frames) => Entry::Times(Arc::new(frames.without_pixels())),
            Entry::Times(_) | Entry::Unreadable(_) => entry.clone(),
        };
        let bytes = if let Entry::Whole(frames) = &remembered { frames.bytes() } else { 0 };
        // Two workers may have met at one clip: it counts once.
        if kept.clips.insert(index, remembered).is_none() {
            kept.bytes += bytes;
        }
        entry
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn times(frames: &ClipFrames) -> Timeline<'_> {
    Timeline { pts: frames.pts() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_data::own_clip;

    const EVERY_TENTH: fn(Timeline<'_>) -> Vec<usize> = |times| (0..times.pts.len()).step_by(10).collect();

    fn luma(chosen: &ChosenFrames) -> Vec<Vec<u8>> {
        let rgb = |index: &usize| {
            let picture = chosen.frames.frame(*index).unwrap().picture().unwrap();
            let mut rgb = vec![0; picture.width_px() * picture.height_px() * 3];
            tsm_kernels::colour::rgb_from_picture(&picture, 0..picture.height_px(), &mut rgb);
            rgb
        };
        chosen.indices.iter().map(rgb).collect()
    }

    #[test]
    fn a_budget_decides_what_is_kept_and_never_what_is_seen() {
        let clip = Clip::new(own_clip("asl-walk.mkv"), 0);
        let (none, all) = (ClipStore::new(0), ClipStore::new(usize::MAX));
        let first = luma(&none.frames(0, &clip, EVERY_TENTH).unwrap());
        for store in [&none, &none, &all, &all] {
            assert!(luma(&store.frames(0, &clip, EVERY_TENTH).unwrap()) == first);
        }
        assert_eq!(none.kept_bytes(), 0);
        assert!(all.kept_bytes() > 0);
    }

    #[test]
    fn an_unreadable_clip_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.mp4");
        std::fs::write(&path, b"not a video").unwrap();
        let (clip, store) = (Clip::new(&path, 0), ClipStore::new(usize::MAX));
        let error = store.frames(3, &clip, EVERY_TENTH).unwrap_err();
        std::fs::copy(own_clip("asl-walk.mkv"), &path).unwrap();
        assert_eq!(store.frames(3, &clip, EVERY_TENTH).unwrap_err(), error);
    }
}
