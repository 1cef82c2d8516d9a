//! One network learning, batch by batch: forward, loss, gradients, step, average.
//!
//! ```text
//! Batch ─ mix ─ TrainNetwork::forward ─ loss ─ backward ─► Gradients ─ (accumulate times) ─ Sgd ─► weights ─► Average
//!           teachers' logits ────────────┘
//! ```
//!
//! It knows no files, no epochs and no clock; the run around it is `trainer.rs`.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use tsm_model::ModelSpec;
use tsm_model::checkpoint::Weights;

use crate::averaging::Average;
use crate::draws::Draws;
use crate::frame_shares::FrameShares;
use crate::loss::{LossSpec, batch_loss};
use crate::network::{BatchNormMode, Depth, Pass, TrainNetwork};
use crate::optimiser::{Gradients, Optimiser, OptimiserSpec, Trained};
use crate::parameter_groups::{GroupPreset, HeadStart};
use crate::solved_head::SolvedHead;

/// What a learner does with every batch.
#[derive(Debug, Clone)]
pub struct LearnerSpec {
    /// The optimiser's constants.
    pub optimiser: OptimiserSpec,
    /// Whose per-parameter multipliers.
    pub groups: GroupPreset,
    /// Whether the head is new.
    pub head: HeadStart,
    /// How much faster a new head learns with plain groups.
    pub head_lr: f64,
    /// Which batch norms learn.
    pub batch_norm: BatchNormMode,
    /// Part of the features that is set to zero.
    pub dropout: f64,
    /// The loss.
    pub loss: LossSpec,
    /// Part that averaged weights keep of themselves; 0 for no average.
    pub average: f64,
}

/// A batch as the network takes it.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// Normalised pictures `[n * t, 3, h, w]`, a clip's frames one after another.
    pub pictures: &'a Tensor,
    /// What they tell of motion, `[n * t, motion_features]`, where the network weighs it.
    pub motion: Option<&'a Tensor>,
    /// Soft targets `[n, classes]`.
    pub targets: &'a Tensor,
    /// What each frame counts.
    pub shares: &'a FrameShares,
    /// The teachers' clip logits `[n, classes]`.
    pub teacher: Option<&'a Tensor>,
    /// How much learns.
    pub depth: Depth,
    /// How far the shift has come in.
    pub shift_strength: f64,
    /// Draws of the dropped features.
    pub draws: Draws,
}

/// What a batch gave.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The loss; not finite where training has blown up.
    pub loss: f64,
    /// Clip logits `[n, classes]`, row by row.
    pub logits: Vec<Vec<f32>>,
}

/// A network, its optimiser and its average.
#[derive(Debug)]
pub struct Learner {
    network: TrainNetwork,
    optimiser: Optimiser,
    average: Option<Average>,
    gradients: Gradients,
    spec: LearnerSpec,
    device: Device,
}

impl Learner {
    /// A learner of the network `model` that starts from `weights`.
    ///
    /// # Errors
    /// If the weights are not that network's, or the device refuses.
    pub fn new(model: &ModelSpec, weights: &Weights, spec: LearnerSpec, device: &Device) -> Result<Self> {
        let network = TrainNetwork::new(model, weights, spec.groups.has_biased_variance(), device)?;
        Ok(Self {
            network,
            optimiser: Optimiser::new(spec.optimiser),
            average: (spec.average > 0.0).then(|| Average::new(spec.average)),
            gradients: Gradients::default(),
            spec,
            device: device.clone(),
        })
    }

    /// The features of the frames of clips of `t`, `[n * t, features]`, of the network as it stands: statistics held
    /// still, nothing dropped.
    ///
    /// # Errors
    /// If shapes do not fit, or the device refuses.
    pub fn frame_features(&mut self, pictures: &Tensor, t: usize, shift_strength: f64) -> Result<Vec<f32>> {
        let (depth, batch_norm) = (Depth::Head, BatchNormMode::Frozen);
        let pass = Pass { t, batch_norm, depth, shift_strength, feature_mask: None, motion: None };
        self.network.features(pictures, &pass)?.flatten_all()?.to_vec1()
    }

    /// Starts from another linear layer. Before the first step only.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn set_head(&mut self, head: SolvedHead) -> Result<()> {
        let classes = head.bias.len();
        let features = head.weight.len() / classes.max(1);
        let weight = Tensor::from_vec(head.weight, (classes, features), &self.device)?;
        self.network.set_head(&weight, &Tensor::from_vec(head.bias, classes, &self.device)?)
    }

    /// Learns from a batch without moving yet: its gradients count as `part` of the coming step.
    ///
    /// # Errors
    /// If shapes do not fit, or the device refuses.
    pub fn study(&mut self, lesson: Lesson<'_>, part: f64) -> Result<Outcome> {
        let (n, classes) = lesson.targets.dims2()?;
        let rows = lesson.pictures.dim(0)?;
        let mask = self.feature_mask(rows, lesson.draws)?;
        let pass = Pass {
            t: rows / n,
            batch_norm: self.spec.batch_norm,
            depth: lesson.depth,
            shift_strength: lesson.shift_strength,
            feature_mask: mask.as_ref(),
            motion: lesson.motion,
        };
        let frame_logits = self.network.forward(lesson.pictures, &pass)?;
        let loss = batch_loss(&frame_logits, lesson.targets, lesson.shares, lesson.teacher, &self.spec.loss)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let logits =
            lesson.shares.mean(&frame_logits.detach().reshape((n, rows / n, classes))?)?.to_vec2()?;
        if value.is_finite() {
            let grads = loss.backward()?;
            self.gradients.add(&self.trained(lesson.depth), &grads, part)?;
        }
        Ok(Outcome { loss: value, logits })
    }

    /// Moves the weights by what was learned since the last step; gives back the gradients' norm.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn step(&mut self, depth: Depth, lr: f64) -> Result<f64> {
        let gradients = std::mem::take(&mut self.gradients);
        let norm = self.optimiser.step(&self.trained(depth), &gradients, lr)?;
        if let Some(average) = &mut self.average {
            let values = self.network.snapshot()?;
            average.update(values.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())))?;
        }
        Ok(norm)
    }

    /// The network that learns.
    pub fn network(&self) -> &TrainNetwork {
        &self.network
    }

    /// The network that learns, to give it other first weights before the first step.
    pub fn network_mut(&mut self) -> &mut TrainNetwork {
        &mut self.network
    }

    /// The weights to judge and to keep: the average where there is one, else the last ones.
    ///
    /// # Errors
    /// If the device refuses a copy.
    pub fn best_weights(&self) -> Result<Weights> {
        let mut weights = Weights::new();
        match &self.average {
            Some(average) if average.steps() > 0 => {
                for (name, tensor) in average.values() {
                    weights.insert(name.clone(), tensor.to_device(&Device::Cpu)?);
                }
            }
            _ => {
                for (name, tensor) in self.network.snapshot()? {
                    weights.insert(name, tensor.to_device(&Device::Cpu)?);
                }
            }
        }
        Ok(weights)
    }

    /// Every tensor that a resumed run needs: network, velocities, average and its steps.
    ///
    /// # Errors
    /// If the device refuses a copy.
    pub fn tensors(&self) -> Result<LearnerTensors> {
        let average = self.average.as_ref();
        Ok(LearnerTensors {
            network: self.network.snapshot()?.into_iter().collect(),
            velocities: self.optimiser.memory().clone(),
            average: average.map(|average| average.values().clone()).unwrap_or_default(),
            average_steps: average.map_or(0, Average::steps),
        })
    }

    /// Goes on from the tensors of an earlier run; unchanged after an error.
    ///
    /// # Errors
    /// [`RestoreError`] if one is missing, of another shape, or of no tensor of this network.
    pub fn restore(&mut self, tensors: LearnerTensors) -> std::result::Result<(), RestoreError> {
        self.check(&tensors)?;
        let to_device = |tensors: BTreeMap<String, Tensor>| -> Result<BTreeMap<String, Tensor>> {
            let moved = tensors.into_iter().map(|(name, x)| Ok((name, x.to_device(&self.device)?)));
            moved.collect()
        };
        let velocities = to_device(tensors.velocities)?;
        let average = to_device(tensors.average)?;
        self.network.restore(&tensors.network)?;
        self.optimiser.restore(velocities);
        if let Some(own) = &mut self.average {
            own.restore(tensors.average_steps, average);
        }
        Ok(())
    }

    /// Whether tensors are those of a learner like this one.
    fn check(&self, tensors: &LearnerTensors) -> std::result::Result<(), RestoreError> {
        let own: BTreeMap<String, Tensor> = self.network.snapshot()?.into_iter().collect();
        let LearnerTensors { network, velocities, average, average_steps } = tensors;
        let has_average = self.average.is_some() && *average_steps > 0;
        for (name, wanted) in &own {
            same_shape("tensor", name, network.get(name), wanted.dims())?;
            if has_average {
                same_shape("average", name, average.get(name), wanted.dims())?;
            }
        }
        let unknown = |what: &'static str, name: &String| RestoreError::Unknown { what, name: name.clone() };
        for (what, names) in [("tensor", network), ("average", average)] {
            if let Some(name) = names.keys().find(|name| !own.contains_key(*name)) {
                return Err(unknown(what, name));
            }
        }
        for (key, found) in velocities {
            let owner = self.optimiser.owner_of(key).map_err(|_unknown| unknown("velocity", key))?;
            let wanted = match owner {
                None => &[][..],
                Some(owner) => own.get(owner).ok_or_else(|| unknown("velocity", key))?.dims(),
            };
            same_shape("velocity", key, Some(found), wanted)?;
        }
        match self.optimiser.missing_from(velocities) {
            Some(name) => Err(RestoreError::Missing { what: "velocity", name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// The parameters that learn at this depth, with their multipliers.
    fn trained(&self, depth: Depth) -> Vec<Trained> {
        let network = &self.network;
        let names = network.learning(self.spec.batch_norm, depth);
        let trained = names.into_iter().filter_map(|name| {
            let var = network.parameters().get(name)?.clone();
            let groups = self.spec.groups;
            let multipliers =
                groups.multipliers(network.architecture(), name, self.spec.head, self.spec.head_lr);
            Some(Trained { name: name.to_owned(), var, multipliers })
        });
        trained.collect()
    }

    /// Dropout's factors for `rows` rows of features: 0, or 1 / (1 - p).
    fn feature_mask(&self, rows: usize, mut draws: Draws) -> Result<Option<Tensor>> {
        let p = self.spec.dropout;
        if p <= 0.0 {
            return Ok(None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "features are single precision")]
        let (p, kept) = (p as f32, (1.0 / (1.0 - p)) as f32);
        let features = self.network.architecture().features;
        let factor = |_| if draws.unit() < p { 0.0 } else { kept };
        let factors: Vec<f32> = (0..rows * features).map(factor).collect();
        Tensor::from_vec(factors, (rows, features), &self.device).map(Some)
    }
}

/// Refuses a saved tensor that is not there or of another shape.
fn same_shape(
    what: &'static str,
    name: &str,
    found: Option<&Tensor>,
    wanted: &[usize],
) -> std::result::Result<(), RestoreError> {
    let name = || name.to_owned();
    let found = found.ok_or_else(|| RestoreError::Missing { what, name: name() })?.dims();
    if found == wanted {
        return Ok(());
    }
    Err(RestoreError::Shape { what, name: name(), found: found.to_vec(), wanted: wanted.to_vec() })
}

/// Why saved tensors are not this learner's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// One has another shape.
    #[error("its {what} `{name}` has the shape {found:?}, this network's {wanted:?}")]
    Shape {
        /// What kind of tensor.
        what: &'static str,
        /// Its name.
        name: String,
        /// The saved shape.
        found: Vec<usize>,
        /// The network's.
        wanted: Vec<usize>,
    },
    /// One is not there.
    #[error("its {what} `{name}` is missing")]
    Missing {
        /// What kind of tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// One is of nothing that the network has.
    #[error("its {what} `{name}` is of no tensor of this network")]
    Unknown {
        /// What kind of tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Candle refuses.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// The tensors of a learner, by name.
#[derive(Debug, Clone)]
pub struct LearnerTensors {
    /// Weights and running statistics.
    pub network: BTreeMap<String, Tensor>,
    /// The optimiser's velocities.
    pub velocities: BTreeMap<String, Tensor>,
    /// Averaged weights.
    pub average: BTreeMap<String, Tensor>,
    /// Steps that the average has taken in.
    pub average_steps: u64,
}

#[cfg(test)]
mod tests {
    use tsm_model::MotionFeatures;

    use super::*;
    use crate::optimiser::Method;
    use crate::recipe::{Preset, Recipe};
    use crate::start::Start;

    fn learner(method: Method) -> Learner {
        let motion_features = MotionFeatures::None;
        let recipe =
            Recipe { from_scratch: true, width: 0.25, size: 32, motion_features, ..Preset::Few.recipe() };
        let start = Start::of(&recipe, &["a".to_owned(), "b".to_owned()], None).unwrap();
        let optimiser = OptimiserSpec { method, momentum: 0.9, weight_decay: 0.0, clip_norm: None };
        let loss = LossSpec {
            label_smoothing: 0.0,
            frame_loss: 0.0,
            teacher_share: 0.0,
            teacher_temperature: 1.0,
            class_weights: Vec::new(),
        };
        let spec = LearnerSpec {
            optimiser,
            groups: GroupPreset::Plain,
            head: HeadStart::New,
            head_lr: 1.0,
            batch_norm: BatchNormMode::Frozen,
            dropout: 0.0,
            loss,
            average: 0.9,
        };
        Learner::new(&start.spec, &start.weights, spec, &Device::Cpu).unwrap()
    }

    /// The tensors after a step, changed by `spoil`; what is said of them.
    fn said(method: Method, spoil: impl FnOnce(&mut LearnerTensors)) -> String {
        let mut one = learner(method);
        let pictures = Tensor::ones((2, 3, 32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        let targets = Tensor::new(&[[1.0f32, 0.0]], &Device::Cpu).unwrap();
        let lesson = Lesson {
            pictures: &pictures,
            motion: None,
            targets: &targets,
            shares: &FrameShares::default(),
            teacher: None,
            depth: Depth::Head,
            shift_strength: 1.0,
            draws: Draws::for_clip(1, 0, 0),
        };
        one.study(lesson, 1.0).unwrap();
        one.step(Depth::Head, 0.1).unwrap();
        let mut tensors = one.tensors().unwrap();
        spoil(&mut tensors);
        learner(method).restore(tensors).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_the_tensors_of_the_same_network_are_gone_on_from() {
        let small = || Tensor::new(&[1.0f32], &Device::Cpu).unwrap();
        let bias = "classifier.1.bias";
        for method in [Method::Sgd, Method::Adamw] {
            assert_eq!(said(method, |_| {}), "");
        }
        let put = |name: &str| (name.to_owned(), small());
        assert_eq!(
            said(Method::Sgd, |x| x.velocities.extend([put(bias)])),
            "its velocity `classifier.1.bias` has the shape [1], this network's [2]"
        );
        assert_eq!(
            said(Method::Adamw, |x| x.velocities.extend([put("second/classifier.1.bias")])),
            "its velocity `second/classifier.1.bias` has the shape [1], this network's [2]"
        );
        assert_eq!(
            said(Method::Adamw, |x| drop(x.velocities.remove("steps"))),
            "its velocity `steps` is missing"
        );
        assert!(said(Method::Sgd, |x| x.velocities.extend([put("first/x")])).contains("is of no tensor"));
        assert!(
            said(Method::Sgd, |x| x.average.extend([put(bias)])).contains("average `classifier.1.bias` has")
        );
        assert!(
            said(Method::Sgd, |x| drop(x.average.remove(bias)))
                .contains("average `classifier.1.bias` is missing")
        );
        assert!(
            said(Method::Sgd, |x| x.network.extend([put("features.0.1.running_mean")]))
                .contains("has the shape [1]")
        );
        assert!(said(Method::Sgd, |x| x.network.extend([put("fc.weight")])).contains("is of no tensor"));
    }
}
