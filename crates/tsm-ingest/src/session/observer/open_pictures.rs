//! The times of compressed pictures that no decoded picture has answered yet.
//!
//! Kept sorted in memory that is taken once: a few come and go with every frame.

use gstreamer::ClockTime;

/// How many are kept to match them with decoded ones: longer than any reordering.
const MOST: usize = 512;

/// Times, each once.
#[derive(Debug)]
pub(super) struct OpenPictures {
    /// Ascending; new ones belong at the end or near it.
    times: Vec<ClockTime>,
}

impl Default for OpenPictures {
    fn default() -> Self {
        Self { times: Vec::with_capacity(MOST) }
    }
}

impl OpenPictures {
    /// Adds a picture's time; gives the earliest one up where there are too many.
    pub(super) fn insert(&mut self, time: ClockTime) -> Option<ClockTime> {
        let Err(place) = self.times.binary_search(&time) else { return None };
        if self.times.len() < MOST {
            self.times.insert(place, time);
            return None;
        }
        if place == 0 {
            return Some(time);
        }
        let earliest = self.times.remove(0);
        self.times.insert(place - 1, time);
        Some(earliest)
    }

    /// Whether a picture of this time was open; it no longer is.
    pub(super) fn remove(&mut self, time: ClockTime) -> bool {
        self.times.binary_search(&time).map(|place| self.times.remove(place)).is_ok()
    }

    /// Forgets all before `time`.
    pub(super) fn forget_before(&mut self, time: ClockTime) {
        let kept = self.times.partition_point(|open| *open < time);
        self.times.drain(..kept);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: usize) -> ClockTime {
        ClockTime::from_mseconds(u64::try_from(millis).unwrap())
    }

    #[test]
    fn a_picture_is_open_until_it_is_answered_once() {
        let mut open = OpenPictures::default();
        for time in [0, 120, 40, 80, 80] {
            assert_eq!(open.insert(at(time)), None);
        }
        assert_eq!(open.len(), 4);
        assert!(open.remove(at(40)) && !open.remove(at(40)) && !open.remove(at(41)));
        open.forget_before(at(80));
        assert!(!open.remove(at(0)) && open.remove(at(80)) && open.remove(at(120)));
        assert_eq!(open.len(), 0);
    }

    #[test]
    fn of_too_many_the_earliest_goes() {
        let mut open = OpenPictures::default();
        assert!((1..=MOST).all(|time| open.insert(at(time)).is_none()));
        assert_eq!(open.insert(at(0)), Some(at(0)));
        assert_eq!(open.insert(at(MOST + 1)), Some(at(1)));
        assert_eq!(open.len(), MOST);
    }
}
