//! How gradients move parameters: SGD with momentum as torch does it, or `AdamW`.
//!
//! ```text
//! g ─ clip by the norm over all ─┬─ sgd     g + decay·w ─► v = momentum·v + … ─► w -= lr·v
//!                                └─ adamw   m, s = running means of g, g² ─► w -= lr·(m̂ / √ŝ + decay·w)
//! ```
//!
//! What it remembers can be taken out and put back, so that a resumed run goes on to the bit. It knows no
//! schedule: the rate of each step is handed in. Source of `AdamW`: arXiv 1711.05101, algorithm 2.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::parameter_groups::Multipliers;

/// How long `AdamW` remembers squares.
const SQUARE_DECAY: f64 = 0.999;

/// Keeps `AdamW` from dividing by nothing.
const ADAM_EPS: f64 = 1e-8;

/// What `AdamW` keeps its number of steps under.
const STEPS: &str = "steps";

/// The rule of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Momentum SGD, not Nesterov: what the references train with.
    Sgd,
    /// Each weight at its own rate: for weights whose scales differ much from layer to layer.
    Adamw,
}

/// The constants of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimiserSpec {
    /// The rule.
    pub method: Method,
    /// Part of the last velocity (of the last mean, with `AdamW`) that is kept.
    pub momentum: f64,
    /// How much of its own value a parameter loses, by the rule's own measure.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; none for no limit.
    pub clip_norm: Option<f64>,
}

/// Moves named parameters.
#[derive(Debug)]
pub struct Optimiser {
    spec: OptimiserSpec,
    /// Velocities by name; with `AdamW` `first/NAME`, `second/NAME` and the number of steps.
    memory: BTreeMap<String, Tensor>,
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

impl Optimiser {
    /// An optimiser that has made no step.
    pub fn new(spec: OptimiserSpec) -> Self {
        Self { spec, memory: BTreeMap::new() }
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
        let steps = self.count_step()?;
        for parameter in parameters {
            let Some(gradient) = gradients.0.get(&parameter.name) else {
                continue;
            };
            let gradient = if scale < 1.0 { (gradient * scale)? } else { gradient.clone() };
            match self.spec.method {
                Method::Sgd => self.sgd(parameter, gradient, lr)?,
                Method::Adamw => self.adamw(parameter, &gradient, lr, steps)?,
            }
        }
        Ok(norm)
    }

    fn sgd(&mut self, parameter: &Trained, mut change: Tensor, lr: f64) -> Result<()> {
        let decay = self.spec.weight_decay * parameter.multipliers.decay;
        let value = parameter.var.as_detached_tensor();
        if decay != 0.0 {
            change = (change + (&value * decay)?)?;
        }
        let velocity = match self.memory.get(&parameter.name) {
            Some(velocity) => ((velocity * self.spec.momentum)? + change)?,
            None => change,
        };
        parameter.var.set(&(value - (&velocity * (lr * parameter.multipliers.lr))?)?)?;
        self.memory.insert(parameter.name.clone(), velocity);
        Ok(())
    }

    fn adamw(&mut self, parameter: &Trained, gradient: &Tensor, lr: f64, steps: f64) -> Result<()> {
        let Trained { name, var, multipliers } = parameter;
        let mut mean = |kind: &str, value: Tensor, kept: f64| -> Result<Tensor> {
            let name = format!("{kind}/{name}");
            let fresh = (value * (1.0 - kept))?;
            let mean = match self.memory.get(&name) {
                Some(mean) => ((mean * kept)? + fresh)?,
                None => fresh,
            };
            self.memory.insert(name, mean.clone());
            // A mean that began at nothing is too small at first.
            mean / (1.0 - kept.powf(steps))
        };
        let first = mean("first", gradient.clone(), self.spec.momentum)?;
        let second = mean("second", gradient.sqr()?, SQUARE_DECAY)?;
        let value = var.as_detached_tensor();
        let mut change = (first / (second.sqrt()? + ADAM_EPS)?)?;
        let decay = self.spec.weight_decay * multipliers.decay;
        if decay != 0.0 {
            change = (change + (&value * decay)?)?;
        }
        var.set(&(value - (change * (lr * multipliers.lr))?)?)
    }

    /// The number of this step, where the rule needs one.
    fn count_step(&mut self) -> Result<f64> {
        if self.spec.method == Method::Sgd {
            return Ok(0.0);
        }
        let before = self.memory.get(STEPS).map_or(Ok(0.0), Tensor::to_scalar::<f32>)?;
        self.memory.insert(STEPS.to_owned(), Tensor::new(before + 1.0, &Device::Cpu)?);
        Ok(f64::from(before) + 1.0)
    }

    /// What it remembers, by name.
    pub fn memory(&self) -> &BTreeMap<String, Tensor> {
        &self.memory
    }

    /// The parameter that something remembered under `key` is about; none for the number of steps.
    ///
    /// # Errors
    /// Nothing of that name is ever remembered by this rule.
    pub(crate) fn owner_of<'a>(&self, key: &'a str) -> std::result::Result<Option<&'a str>, UnknownKey> {
        match self.spec.method {
            Method::Sgd => Ok(Some(key)),
            Method::Adamw if key == STEPS => Ok(None),
            Method::Adamw => {
                let owner = key.strip_prefix("first/").or_else(|| key.strip_prefix("second/"));
                owner.map(Some).ok_or(UnknownKey)
            }
        }
    }

    /// The name that `memory` has to have besides those of parameters.
    pub(crate) fn missing_from(&self, memory: &BTreeMap<String, Tensor>) -> Option<&'static str> {
        let is_counted = memory.is_empty() || memory.contains_key(STEPS);
        (self.spec.method == Method::Adamw && !is_counted).then_some(STEPS)
    }

    /// Goes on from what an earlier run remembered.
    pub fn restore(&mut self, memory: BTreeMap<String, Tensor>) {
        self.memory = memory;
    }
}

/// Nothing is remembered under such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownKey;

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
    fn run(spec: OptimiserSpec, multipliers: Multipliers, steps: usize) -> (f32, f64) {
        let var = Var::new(&[1.0f32], &Device::Cpu).unwrap();
        let parameters = [Trained { name: "w".to_owned(), var: var.clone(), multipliers }];
        let mut optimiser = Optimiser::new(spec);
        let mut norm = 0.0;
        for _ in 0..steps {
            let mut gradients = Gradients::default();
            for _ in 0..2 {
                let grads = (var.as_tensor() * 2.0).unwrap().sum_all().unwrap().backward().unwrap();
                gradients.add(&parameters, &grads, 0.5).unwrap();
            }
            norm = optimiser.step(&parameters, &gradients, 0.1).unwrap();
        }
        (var.to_vec1::<f32>().unwrap()[0], norm)
    }

    const SGD: OptimiserSpec =
        OptimiserSpec { method: Method::Sgd, momentum: 0.9, weight_decay: 0.0, clip_norm: None };

    const ONE: Multipliers = Multipliers { lr: 1.0, decay: 1.0 };

    fn check((found, norm): (f32, f64), expected: f32) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        assert!((norm - 2.0).abs() < 1e-6, "norm {norm}");
    }

    #[test]
    fn momentum_decay_and_multipliers_are_torchs() {
        let plain = SGD;
        check(run(plain, ONE, 1), 0.8);
        check(run(plain, ONE, 2), 0.8 - 0.1 * (0.9 * 2.0 + 2.0));
        let decayed = OptimiserSpec { weight_decay: 0.5, ..plain };
        check(run(decayed, ONE, 1), 1.0 - 0.1 * 2.5);
        check(run(decayed, Multipliers { lr: 5.0, decay: 0.0 }, 1), 0.0);
        check(run(OptimiserSpec { clip_norm: Some(1.0), ..plain }, ONE, 1), 0.9);
    }

    #[test]
    fn adamw_moves_by_the_rate_whatever_the_gradients_size() {
        let adamw = OptimiserSpec { method: Method::Adamw, ..SGD };
        // The gradient is always 2: mean and root of the mean square are 2, once their start is corrected for.
        check(run(adamw, ONE, 1), 0.9);
        check(run(adamw, ONE, 3), 0.7);
        // Decay is decoupled: of the weight itself, at the rate.
        check(run(OptimiserSpec { weight_decay: 0.5, ..adamw }, ONE, 1), 1.0 - 0.1 * (1.0 + 0.5));
        check(run(adamw, Multipliers { lr: 5.0, decay: 0.0 }, 1), 0.5);
    }

    #[test]
    fn an_optimiser_goes_on_from_what_another_remembered() {
        for method in [Method::Sgd, Method::Adamw] {
            let spec = OptimiserSpec { method, ..SGD };
            let var = Var::new(&[1.0f32, -3.0], &Device::Cpu).unwrap();
            let parameters = [Trained { name: "w".to_owned(), var: var.clone(), multipliers: ONE }];
            let step = |optimiser: &mut Optimiser| {
                let grads = var.as_tensor().sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let mut gradients = Gradients::default();
                gradients.add(&parameters, &grads, 1.0).unwrap();
                optimiser.step(&parameters, &gradients, 0.1).unwrap();
            };
            let mut one = Optimiser::new(spec);
            step(&mut one);
            let here = var.as_detached_tensor().copy().unwrap();
            let mut other = Optimiser::new(spec);
            other.restore(one.memory().clone());
            step(&mut one);
            let expected = var.to_vec1::<f32>().unwrap();
            var.set(&here).unwrap();
            step(&mut other);
            assert_eq!(var.to_vec1::<f32>().unwrap(), expected, "{method:?}");
        }
    }
}
