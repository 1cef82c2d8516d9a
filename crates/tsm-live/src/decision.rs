//! From logits to what the user is told: smoothing, confirmation, ranking.
//!
//! ```text
//! logits ─┬─ softmax(· / T) ──────────────────────────► raw class, raw probability
//!         └─ mean of the last `window` ─ softmax(· / T) ─► ranking ─ confirm ─► shown class
//! ```
//!
//! One [`Decider`] a stream. It knows classes by number only, and no clock.

use crate::settings::{DecisionRule, DecisionSettings};

mod mit;
mod window;

pub use mit::MIT_CLASSES;
use mit::MitHistory;
use window::LogitWindow;

/// What is told about one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The shown class, after window and confirmation.
    pub class: usize,
    /// The smoothed probability of the shown class.
    pub confidence: f32,
    /// Classes by smoothed probability, the likeliest first.
    pub ranking: Ranking,
    /// The likeliest class of this frame alone.
    pub raw_class: usize,
    /// Its probability.
    pub raw_confidence: f32,
}

impl Decision {
    /// Whether its probabilities are some: of a logit that is infinite or no number none is left.
    pub fn is_finite(&self) -> bool {
        self.confidence.is_finite() && self.raw_confidence.is_finite()
    }
}

/// Decides for one stream, frame after frame.
#[derive(Debug)]
pub struct Decider {
    window: LogitWindow,
    rule: Rule,
    temperature: f32,
    top_k: usize,
    smoothed: Vec<f32>,
    raw: Vec<f32>,
    /// All classes, while the likeliest of them are looked for.
    order: Ranking,
}

/// Classes and their probabilities, the likeliest first.
pub type Ranking = Vec<(usize, f32)>;

/// How a shown class changes.
#[derive(Debug)]
enum Rule {
    Confirm(Confirmation),
    Mit(MitHistory),
}

/// A class must win `needed` frames in a row before it is shown.
#[derive(Debug)]
struct Confirmation {
    needed: usize,
    shown: Option<usize>,
    candidate: usize,
    agreeing: usize,
}

impl Decider {
    /// A decider for a stream of about `frame_hz` frames a second and logits of `classes` values.
    pub fn new(settings: &DecisionSettings, classes: usize, frame_hz: f64) -> Self {
        let (frames, rule) = match settings.rule {
            DecisionRule::Confirm { frames } => (
                settings.window.unwrap_or_else(|| about_one_second(frame_hz)),
                Rule::Confirm(Confirmation::new(frames)),
            ),
            DecisionRule::Mit => {
                (settings.window.unwrap_or(mit::WINDOW_FRAMES), Rule::Mit(MitHistory::default()))
            }
        };
        Self {
            window: LogitWindow::new(frames.max(1), classes),
            rule,
            temperature: settings.temperature,
            top_k: settings.top_k.clamp(1, classes.max(1)),
            smoothed: vec![0.0; classes],
            raw: vec![0.0; classes],
            order: Vec::with_capacity(classes),
        }
    }

    /// Forgets all frames: the next one is a first one.
    pub fn reset(&mut self) {
        self.window.clear();
        match &mut self.rule {
            Rule::Confirm(confirmation) => *confirmation = Confirmation::new(confirmation.needed),
            Rule::Mit(history) => *history = MitHistory::default(),
        }
    }

    /// Decides about the next frame, whose `logits` are one value a class.
    pub fn decide(&mut self, logits: &[f32]) -> Decision {
        self.decide_with(logits, Ranking::new())
    }

    /// As [`Self::decide`], with the memory of a ranking that nobody needs any more.
    pub fn decide_with(&mut self, logits: &[f32], mut ranking: Ranking) -> Decision {
        self.raw.copy_from_slice(logits);
        softmax_in_place(&mut self.raw, self.temperature);
        let raw_class = largest(&self.raw);
        self.window.push(logits);
        self.window.mean(&mut self.smoothed);
        let winner = largest(&self.smoothed);
        softmax_in_place(&mut self.smoothed, self.temperature);
        let class = match &mut self.rule {
            Rule::Confirm(confirmation) => confirmation.show(winner),
            Rule::Mit(history) => history.show(winner),
        };
        rank(&self.smoothed, self.top_k, &mut self.order);
        ranking.clear();
        ranking.extend_from_slice(&self.order);
        Decision {
            class,
            confidence: self.smoothed[class],
            ranking,
            raw_class,
            raw_confidence: self.raw[raw_class],
        }
    }
}

impl Confirmation {
    fn new(needed: usize) -> Self {
        Self { needed: needed.max(1), shown: None, candidate: 0, agreeing: 0 }
    }

    fn show(&mut self, winner: usize) -> usize {
        self.agreeing = if winner == self.candidate { self.agreeing + 1 } else { 1 };
        self.candidate = winner;
        match self.shown {
            Some(shown) if self.agreeing < self.needed => shown,
            // The very first frame is shown at once: an empty screen says less than a first guess.
            _ => *self.shown.insert(winner),
        }
    }
}

/// Frames of about one second, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a small positive range"
)]
fn about_one_second(frame_hz: f64) -> usize {
    frame_hz.round().clamp(1.0, 240.0) as usize
}

/// Turns logits into probabilities of `logits / temperature`.
fn softmax_in_place(values: &mut [f32], temperature: f32) {
    let peak = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in &mut *values {
        *value = ((*value - peak) / temperature).exp();
    }
    let sum: f32 = values.iter().sum();
    for value in values {
        *value /= sum;
    }
}

/// Index of the largest value, the first of several; 0 if there is none.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Writes the `k` likeliest classes.
fn rank(probabilities: &[f32], k: usize, order: &mut Ranking) {
    order.clear();
    order.extend(probabilities.iter().copied().enumerate());
    let by_probability = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, by_probability);
        order.truncate(k);
    }
    order.sort_unstable_by(by_probability);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decider(window: usize, confirm: usize) -> Decider {
        let settings = DecisionSettings {
            window: Some(window),
            rule: DecisionRule::Confirm { frames: confirm },
            temperature: 1.0,
            top_k: 2,
        };
        Decider::new(&settings, 3, 12.0)
    }

    fn one_hot(class: usize) -> [f32; 3] {
        let mut logits = [0.0; 3];
        logits[class] = 5.0;
        logits
    }

    #[test]
    fn a_label_changes_only_after_confirmation() {
        let mut decider = decider(1, 2);
        let shown: Vec<usize> = [0, 1, 0, 1, 1, 2].map(|c| decider.decide(&one_hot(c)).class).into();
        assert_eq!(shown, [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn the_window_averages_and_raw_does_not() {
        let mut decider = decider(3, 1);
        decider.decide(&one_hot(0));
        decider.decide(&one_hot(0));
        let decision = decider.decide(&one_hot(1));
        assert_eq!((decision.class, decision.raw_class), (0, 1));
        assert!(decision.ranking[0].1 < decision.raw_confidence);
        assert_eq!(decision.ranking.iter().map(|r| r.0).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_reset_shows_the_next_frame_at_once() {
        let mut decider = decider(8, 4);
        decider.decide(&one_hot(0));
        decider.reset();
        assert_eq!(decider.decide(&one_hot(2)).class, 2);
    }

    #[test]
    fn one_logit_that_is_no_number_leaves_no_probability() {
        for wrong in [f32::NAN, f32::INFINITY, -f32::NAN] {
            for class in 0..3 {
                let mut logits = one_hot(1);
                logits[class] = wrong;
                assert!(!decider(2, 1).decide(&logits).is_finite(), "{wrong} of class {class}");
            }
        }
        let mut decider = decider(2, 1);
        assert!(decider.decide(&[f32::MAX, 0.0, 0.0]).is_finite());
        assert!(!decider.decide(&[f32::MAX, 0.0, 0.0]).is_finite(), "the mean overflows");
        decider.reset();
        assert!(decider.decide(&[f32::NEG_INFINITY, 0.0, 0.0]).is_finite(), "a class that is ruled out");
    }

    #[test]
    fn confidence_belongs_to_the_shown_class() {
        let mut decider = decider(1, 2);
        decider.decide(&one_hot(0));
        let decision = decider.decide(&one_hot(1));
        assert_eq!(decision.class, 0);
        assert!(decision.confidence < 0.1, "{decision:?}");
    }
}
