//! The running average of the weights over the steps of a run, which validates better than the last ones.
//!
//! ```text
//! after step k:  average += (1 - d) · (weights - average),   d = min(decay, (1 + k) / (10 + k))
//! ```
//!
//! The shorter memory of the first steps keeps the start weights from lingering. Running statistics
//! of batch norm are averaged too. Source: Polyak and Juditsky 1992; the warm-up is TensorFlow's.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

/// Averages of named tensors.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    steps: u64,
    values: BTreeMap<String, Tensor>,
}

impl Average {
    /// An average that keeps `decay`, 0..1, of itself at each step.
    pub fn new(decay: f64) -> Self {
        Self { decay, steps: 0, values: BTreeMap::new() }
    }

    /// Takes the values after a step in.
    ///
    /// # Errors
    /// If a tensor changes its shape.
    pub fn update<'a>(&mut self, values: impl Iterator<Item = (&'a str, Tensor)>) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
        let steps = self.steps as f64;
        let keep = self.decay.min((1.0 + steps) / (10.0 + steps));
        for (name, value) in values {
            let average = match self.values.remove(name) {
                Some(average) => ((average * keep)? + (value * (1.0 - keep))?)?,
                None => value.copy()?,
            };
            self.values.insert(name.to_owned(), average);
        }
        self.steps += 1;
        Ok(())
    }

    /// The averages by name.
    pub fn values(&self) -> &BTreeMap<String, Tensor> {
        &self.values
    }

    /// Steps taken in.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on from the averages of an earlier run.
    pub fn restore(&mut self, steps: u64, values: BTreeMap<String, Tensor>) {
        self.steps = steps;
        self.values = values;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_constant_is_its_own_average_and_a_jump_is_approached() {
        let mut average = Average::new(0.5);
        let value = |x: f32| std::iter::once(("w", Tensor::new(x, &Device::Cpu).unwrap()));
        average.update(value(2.0)).unwrap();
        average.update(value(2.0)).unwrap();
        assert!((average.values()["w"].to_scalar::<f32>().unwrap() - 2.0).abs() < 1e-6);
        for _ in 0..200 {
            average.update(value(6.0)).unwrap();
        }
        assert!((average.values()["w"].to_scalar::<f32>().unwrap() - 6.0).abs() < 1e-4);
        assert_eq!(average.steps(), 202);
    }
}
