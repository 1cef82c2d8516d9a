//! Stochastic gradient descent with momentum, weight decay and gradient clipping, as torch does it.
//!
//! ```text
//! g ─ clip by the norm over all ─► g + decay·w ─► v = momentum·v + … ─► w -= lr·v
//! ```
//!
//! The velocities can be taken out and put back, so that a resumed run goes on to the bit. It
//! knows no schedule: the rate of each step is handed in.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use crate::parameter_groups::Multipliers;

/// The constants of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdSpec {
    /// Part of the last velocity that is kept.
    pub momentum: f64,
    /// What a parameter's own value adds to its gradient.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; none for no limit.
    pub clip_norm: Option<f64>,
}

/// Momentum SGD over named parameters.
#[derive(Debug)]
pub struct Sgd {
    spec: SgdSpec,
    velocities: BTreeMap<String, Tensor>,
}

/// A parameter that a step may change.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Torchvision's name.
    pub name: String,
    /// Its value.
    pub var: Var,
    /// How fast it learns and decays.
    pub multipliers: Multipliers,
}

impl Sgd {
    /// An optimiser that has made no step.
    pub fn new(spec: SgdSpec) -> Self {
        Self { spec, velocities: BTreeMap::new() }
    }

    /// Changes `parameters` by their `gradients`; a parameter without a gradient stays as it is.
    /// Gives back the norm of all gradients before clipping.
    ///
    /// # Errors
    /// If shapes or devices do not fit.
    pub fn step(&mut self, parameters: &[Trained], gradients: &Gradients, lr: f64) -> Result<f64> {
        let norm = gradients.norm()?;
        let scale = match self.spec.clip_norm {
            // The millionth is torch's, so that its figures come out.
            Some(limit) if norm > limit => (limit / (norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        for parameter in parameters {
            let Some(gradient) = gradients.0.get(&parameter.name) else {
                continue;
            };
            let mut change = if scale < 1.0 { (gradient * scale)? } else { gradient.clone() };
            let decay = self.spec.weight_decay * parameter.multipliers.decay;
            let value = parameter.var.as_detached_tensor();
            if decay != 0.0 {
                change = (change + (&value * decay)?)?;
            }
            let velocity = match self.velocities.get(&parameter.name) {
                Some(velocity) => ((velocity * self.spec.momentum)? + change)?,
                None => change,
            };
            parameter.var.set(&(value - (&velocity * (lr * parameter.multipliers.lr))?)?)?;
            self.velocities.insert(parameter.name.clone(), velocity);
        }
        Ok(norm)
    }

    /// The velocity of each parameter that has moved.
    pub fn velocities(&self) -> &BTreeMap<String, Tensor> {
        &self.velocities
    }

    /// Goes on from the velocities of an earlier run.
    pub fn restore(&mut self, velocities: BTreeMap<String, Tensor>) {
        self.velocities = velocities;
    }
}

/// Gradients by parameter name, summed over the batches of one step.
#[derive(Debug, Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// Adds `part` of the gradients of one batch.
    ///
    /// # Errors
    /// If shapes differ from batch to batch.
    pub fn add(&mut self, parameters: &[Trained], grads: &GradStore, part: f64) -> Result<()> {
        for Trained { name, var, .. } in parameters {
            let Some(gradient) = grads.get(var) else {
                continue;
            };
            #[expect(clippy::float_cmp, reason = "1 is set, not computed")]
            let gradient = if part == 1.0 { gradient.clone() } else { (gradient * part)? };
            let sum = match self.0.remove(name) {
                Some(earlier) => (earlier + gradient)?,
                None => gradient,
            };
            self.0.insert(name.clone(), sum.detach());
        }
        Ok(())
    }

    /// Euclidean norm of all gradients together.
    fn norm(&self) -> Result<f64> {
        let mut squares = 0.0;
        for gradient in self.0.values() {
            squares += gradient.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        }
        Ok(squares.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// One parameter w = 1 whose gradient is always 2.
    fn run(spec: SgdSpec, multipliers: Multipliers, steps: usize) -> (f32, f64) {
        let var = Var::new(&[1.0f32], &Device::Cpu).unwrap();
        let parameters = [Trained { name: "w".to_owned(), var: var.clone(), multipliers }];
        let mut sgd = Sgd::new(spec);
        let mut norm = 0.0;
        for _ in 0..steps {
            let mut gradients = Gradients::default();
            for _ in 0..2 {
                let grads = (var.as_tensor() * 2.0).unwrap().sum_all().unwrap().backward().unwrap();
                gradients.add(&parameters, &grads, 0.5).unwrap();
            }
            norm = sgd.step(&parameters, &gradients, 0.1).unwrap();
        }
        (var.to_vec1::<f32>().unwrap()[0], norm)
    }

    const ONE: Multipliers = Multipliers { lr: 1.0, decay: 1.0 };

    fn check((found, norm): (f32, f64), expected: f32) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        assert!((norm - 2.0).abs() < 1e-6, "norm {norm}");
    }

    #[test]
    fn momentum_decay_and_multipliers_are_torchs() {
        let plain = SgdSpec { momentum: 0.9, weight_decay: 0.0, clip_norm: None };
        check(run(plain, ONE, 1), 0.8);
        check(run(plain, ONE, 2), 0.8 - 0.1 * (0.9 * 2.0 + 2.0));
        let decayed = SgdSpec { weight_decay: 0.5, ..plain };
        check(run(decayed, ONE, 1), 1.0 - 0.1 * 2.5);
        check(run(decayed, Multipliers { lr: 5.0, decay: 0.0 }, 1), 0.0);
        check(run(SgdSpec { clip_norm: Some(1.0), ..plain }, ONE, 1), 0.9);
    }
}
