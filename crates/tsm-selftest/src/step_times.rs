//! What the times of many steps come to: percentiles, and frames a second.

/// Times of steps in milliseconds, one at least.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTimes {
    /// Shortest first.
    sorted: Vec<f64>,
}

impl StepTimes {
    /// Those of `millis`, in any order; nothing where no step was measured.
    pub fn of(mut millis: Vec<f64>) -> Option<Self> {
        millis.sort_by(f64::total_cmp);
        (!millis.is_empty()).then_some(Self { sorted: millis })
    }

    /// How many there are.
    pub fn steps(&self) -> usize {
        self.sorted.len()
    }

    /// The time that `percent` (0..=100) of all steps do not reach; 50 for the median.
    pub fn percentile(&self, percent: usize) -> f64 {
        let last = self.sorted.len() - 1;
        self.sorted[(self.sorted.len() * percent / 100).min(last)]
    }

    /// Frames a second of all `streams` that share a step.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn frames_hz(&self, streams: usize) -> f64 {
        (self.sorted.len() * streams) as f64 * 1000.0 / self.sorted.iter().sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: &[f64]) -> StepTimes {
        StepTimes::of(millis.to_vec()).unwrap()
    }

    #[test]
    fn percentiles_are_of_the_sorted_times_whatever_their_number() {
        let hundred: Vec<f64> = (0..100).rev().map(f64::from).collect();
        let at = |times: &StepTimes| [0, 50, 99, 100].map(|percent| times.percentile(percent)).to_vec();
        assert_eq!(at(&times(&hundred)), [0.0, 50.0, 99.0, 99.0]);
        assert_eq!(at(&times(&[3.0, 1.0, 2.0])), [1.0, 2.0, 3.0, 3.0]);
        assert_eq!(at(&times(&[7.0])), [7.0; 4]);
        assert_eq!(StepTimes::of(Vec::new()), None);
    }

    #[test]
    fn every_stream_of_a_step_has_a_frame() {
        let times = times(&[2.0, 3.0]);
        assert_eq!((times.steps(), times.frames_hz(1), times.frames_hz(10)), (2, 400.0, 4000.0));
    }
}
