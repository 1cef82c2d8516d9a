//! The decision logic of MIT's online demo (27 gestures of Jester), rule for rule.
//!
//! Source: what `process_output` of the demo does, as described in the project's references:
//! suppressed classes repeat the last shown one, "doing other things" counts as "no gesture", and
//! a change waits until the last two shown classes agree.

/// Frames whose logits the demo sums.
pub(super) const WINDOW_FRAMES: usize = 12;

/// Classes that the logic names; a model for it has this many.
pub const MIT_CLASSES: usize = 27;

/// Classes that the demo never shows.
const SUPPRESSED: [usize; 5] = [3, 7, 8, 21, 22];
const DOING_OTHER_THINGS: usize = 0;
const NO_GESTURE: usize = 2;

/// The last two classes shown; the demo keeps twenty and reads two.
#[derive(Debug)]
pub(super) struct MitHistory {
    last: usize,
    before: Option<usize>,
}

impl Default for MitHistory {
    fn default() -> Self {
        Self { last: NO_GESTURE, before: None }
    }
}

impl MitHistory {
    /// The class to show for the winner of the window.
    pub(super) fn show(&mut self, winner: usize) -> usize {
        let mut class = if SUPPRESSED.contains(&winner) { self.last } else { winner };
        if class == DOING_OTHER_THINGS {
            class = NO_GESTURE;
        }
        // On the very first frame the demo itself stops with an IndexError; we show the class.
        let is_settled = self.before.is_none_or(|before| before == self.last);
        if class != self.last && !is_settled {
            class = self.last;
        }
        self.before = Some(self.last);
        self.last = class;
        class
    }
}
