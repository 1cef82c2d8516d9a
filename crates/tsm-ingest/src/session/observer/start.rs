//! How a recording begins that was cut in the middle of a group of pictures.
//!
//! ```text
//!  in   b 1 [I 5] b 3  b 4  P 8 …       without what they are made of: what comes before the first key picture, and
//!  out   b 3! b 4! I 5  P 8 …           what is to be shown before it
//! ```
//!
//! They are flagged as corrupt, but nothing is damaged, and nobody is to see them.

use gstreamer as gst;

/// So many at most, more than any codec lets wait: behind them a stream without key pictures is shown as it is.
const MOST: u64 = 32;

/// What a decoded picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picture {
    Whole,
    Damaged,
    /// Cut off from what it is made of.
    Undecodable,
}

#[derive(Debug, Default)]
pub(super) struct Start {
    has_key: bool,
    first_key: Option<gst::ClockTime>,
    /// Compressed pictures that may be cut off.
    cut_off: u64,
    /// Of these, so many came out.
    left_out: u64,
    is_over: bool,
}

impl Start {
    /// A picture goes into the decoder. One that was to be shown before the file's beginning has no time, where others
    /// have one.
    pub(super) fn note_input(&mut self, pts: Option<gst::ClockTime>, is_key: bool) {
        if self.is_over {
            return;
        }
        let is_before = self.first_key.is_some_and(|key| pts.is_none_or(|pts| pts < key));
        if is_key && !self.has_key {
            (self.has_key, self.first_key) = (true, pts);
        } else if !self.has_key || is_before {
            self.cut_off += 1;
        }
    }

    /// A picture comes out of it.
    pub(super) fn judge(&mut self, is_corrupted: bool) -> Picture {
        if !self.is_over && is_corrupted && self.left_out < self.cut_off.min(MOST) {
            self.left_out += 1;
            return Picture::Undecodable;
        }
        self.is_over = true;
        if is_corrupted { Picture::Damaged } else { Picture::Whole }
    }
}

#[cfg(test)]
mod tests {
    use super::Picture::{Damaged, Undecodable, Whole};
    use super::*;

    /// Of pictures that go in (time in milliseconds, whether key) and then come out (whether corrupt).
    fn judged(inputs: &[(Option<u64>, bool)], corrupt: &[bool]) -> Vec<Picture> {
        let mut start = Start::default();
        for &(millis, is_key) in inputs {
            start.note_input(millis.map(gst::ClockTime::from_mseconds), is_key);
        }
        corrupt.iter().map(|&is_corrupted| start.judge(is_corrupted)).collect()
    }

    #[test]
    fn what_is_shown_before_the_first_key_picture_is_left_out() {
        let open_group = [(Some(100), true), (Some(33), false), (None, false), (Some(200), false)];
        assert_eq!(
            judged(&open_group, &[true, true, false, true]),
            [Undecodable, Undecodable, Whole, Damaged]
        );
        let before_it = [(Some(0), false), (Some(100), true), (Some(133), false)];
        assert_eq!(judged(&before_it, &[true, false]), [Undecodable, Whole]);
    }

    #[test]
    fn a_damaged_first_picture_is_damaged() {
        let whole = [(Some(0), true), (Some(100), false), (Some(33), false)];
        assert_eq!(judged(&whole, &[true, false, true]), [Damaged, Whole, Damaged]);
        assert_eq!(judged(&[(None, true), (None, false)], &[true, false]), [Damaged, Whole]);
    }

    #[test]
    fn a_stream_without_key_pictures_is_shown_as_it_is() {
        let mut start = Start::default();
        let all = (0..40).map(|millis| {
            start.note_input(Some(gst::ClockTime::from_mseconds(millis)), false);
            start.judge(true)
        });
        let all: Vec<Picture> = all.collect();
        assert_eq!(all[..32], [Undecodable; 32]);
        assert_eq!(all[32..], [Damaged; 8]);
    }
}
