//! What a run starts from: the network its recipe describes, and the first weights.
//!
//! ```text
//! recipe + classes ─► ModelSpec
//! from scratch ──── random ─────────────────────┐
//! checkpoint ─┬─ convolutions, batch norm ──────┼─► Weights
//!             └─ head: kept, its rows in the order of the classes, or new where these differ
//! ```
//!
//! Source of the new head: MIT `models.py` (normal, 0.001, bias 0); of random convolutions:
//! arXiv 1502.01852 (fan out). It trains nothing.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tsm_model::architecture::ParameterShape;
use tsm_model::checkpoint::{Checkpoint, CheckpointError, SpecOverrides, Weights};
use tsm_model::spec::SamplingSpec;
use tsm_model::{Architecture, Backbone, InputSpec, ModelSpec, ShiftSpec};

use crate::counts::float;
use crate::dataset::{class_number, some_of};
use crate::draws::Draws;
use crate::parameter_groups::HeadStart;
use crate::recipe::Recipe;

mod unit_scale;

/// Standard deviation of a new linear layer's weights.
const HEAD_SPREAD: f64 = 0.001;

/// Network, first weights, and whether the head is new.
#[derive(Debug, Clone)]
pub struct Start {
    /// The network.
    pub spec: ModelSpec,
    /// Its first weights: every tensor of the network.
    pub weights: Weights,
    /// Whether the head is new.
    pub head: HeadStart,
    /// The classes of the checkpoint, where there is one.
    known: Option<Vec<String>>,
}

/// Why a run cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another network.
    #[error("{}: is a {found}, the recipe asks for a {wanted}; pass --backbone {found}, or another file", path.display())]
    Backbone {
        /// The file.
        path: PathBuf,
        /// Its network.
        found: Backbone,
        /// The recipe's.
        wanted: Backbone,
    },
    /// The checkpoint is of another width.
    #[error("{}: has width {found}, the recipe asks for {wanted}; pass --width {found}, or another file", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// Its width.
        found: f64,
        /// The recipe's.
        wanted: f64,
    },
    /// The program has no weights of this network.
    #[error(
        "the built-in model is a mobilenetv2 of width 1; give weights of a {backbone} with --pretrained FILE, or pass --from-scratch"
    )]
    NothingShipped {
        /// The recipe's network.
        backbone: Backbone,
    },
    /// Candle refuses.
    #[error("the first weights cannot be made: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// The network that `recipe` describes for these classes.
pub fn model_spec(recipe: &Recipe, classes: &[String]) -> ModelSpec {
    let mut spec = ModelSpec::new(recipe.backbone, 1);
    spec.width = recipe.width;
    spec.classes = classes.to_vec();
    spec.shift =
        ShiftSpec::new(recipe.shift, recipe.place, recipe.shift_div, recipe.segments, recipe.backbone);
    let first = Architecture::of(&spec).blocks.into_iter().take(recipe.unshifted_blocks);
    let unshifted: Vec<String> = first.map(|block| block.name).collect();
    spec.shift.blocks.retain(|block| !unshifted.contains(block));
    spec.motion_features = recipe.motion_features;
    spec.input = InputSpec::with_size(recipe.size);
    spec.sampling = SamplingSpec { kind: recipe.sampling, frame_interval_millis: 1000.0 / recipe.fps };
    spec
}

impl Start {
    /// The start that `recipe` asks for; `shipped` is what the program has of its own.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn of(recipe: &Recipe, classes: &[String], shipped: Option<&Checkpoint>) -> Result<Self, StartError> {
        let mut start = Self::as_stored(recipe, classes, shipped)?;
        if recipe.unit_scale {
            unit_scale::rescale(&Architecture::of(&start.spec), &mut start.weights)?;
        }
        Ok(start)
    }

    fn as_stored(
        recipe: &Recipe,
        classes: &[String],
        shipped: Option<&Checkpoint>,
    ) -> Result<Self, StartError> {
        let spec = model_spec(recipe, classes);
        if recipe.from_scratch {
            let weights = random(&spec, recipe.seed)?;
            return Ok(Self { spec, weights, head: HeadStart::New, known: None });
        }
        if let Some(path) = recipe.pretrained.as_ref().or(recipe.tune_from.as_ref()) {
            let checkpoint = Checkpoint::open(path, &SpecOverrides::default())?;
            return Self::from_checkpoint(spec, &checkpoint, path, recipe.seed);
        }
        let fits = |own: &&Checkpoint| own.spec.backbone == spec.backbone && same_width(own, &spec);
        let shipped = shipped.filter(fits).ok_or(StartError::NothingShipped { backbone: spec.backbone })?;
        Self::from_checkpoint(spec, shipped, Path::new("built-in model"), recipe.seed)
    }

    fn from_checkpoint(
        spec: ModelSpec,
        from: &Checkpoint,
        path: &Path,
        seed: u64,
    ) -> Result<Self, StartError> {
        let path = path.to_owned();
        if from.spec.backbone != spec.backbone {
            return Err(StartError::Backbone { path, found: from.spec.backbone, wanted: spec.backbone });
        }
        if !same_width(from, &spec) {
            return Err(StartError::Width { path, found: from.spec.width, wanted: spec.width });
        }
        let rows = rows_for(&spec.classes, &from.spec.classes);
        let head = if rows.is_some() { HeadStart::Kept } else { HeadStart::New };
        let mut weights = Weights::new();
        let linear = Architecture::of(&spec).linear;
        for parameter in Architecture::of(&spec).parameters() {
            let owner = parameter.name.rsplit_once('.').map(|(owner, _)| owner);
            let is_head = owner == Some(linear) || parameter.name == Architecture::MOTION_WEIGHT;
            let tensor = match (from.weights.get(&parameter.name), &rows) {
                (Some(tensor), Some(rows)) if is_head => tensor.index_select(rows, 0)?,
                (Some(tensor), _) if !is_head => tensor.copy()?,
                _ => random_tensor(&parameter, linear, seed)?,
            };
            weights.insert(parameter.name, tensor);
        }
        Ok(Self { spec, weights, head, known: Some(from.spec.classes.clone()) })
    }

    /// How the head would have started before one of the same classes in another order was kept: that is how runs of
    /// then go on.
    pub(crate) fn head_by_order(&self) -> HeadStart {
        if self.known.as_ref() == Some(&self.spec.classes) { HeadStart::Kept } else { HeadStart::New }
    }

    /// What is lost of a checkpoint whose head is replaced because its classes are others, in one line.
    pub fn lost_head(&self) -> Option<String> {
        let known = self.known.as_ref().filter(|_| self.head == HeadStart::New)?;
        let (known, wanted) = (some_of(known), some_of(&self.spec.classes));
        Some(format!(
            "its classes ({known}) are not those of the clips ({wanted}), so its head is replaced by a new one"
        ))
    }
}

/// The row of a head that knows `known` for each of `classes`; nothing where these are not the same names.
fn rows_for(classes: &[String], known: &[String]) -> Option<Tensor> {
    let mut rows: Vec<u32> = if classes == known {
        (0..).take(classes.len()).collect()
    } else {
        let row = |class| known.iter().position(|name| name == class).map(class_number);
        classes.iter().map(row).collect::<Option<_>>()?
    };
    let rows_of_head = Tensor::new(rows.as_slice(), &Device::Cpu).ok()?;
    rows.sort_unstable();
    // Each once: of two rows with one name nobody could say which is meant.
    let is_order = rows.iter().copied().eq((0..).take(known.len()));
    is_order.then_some(rows_of_head)
}

fn same_width(checkpoint: &Checkpoint, spec: &ModelSpec) -> bool {
    (checkpoint.spec.width - spec.width).abs() < 1e-9
}

fn random(spec: &ModelSpec, seed: u64) -> candle_core::Result<Weights> {
    let network = Architecture::of(spec);
    let mut weights = Weights::new();
    for parameter in network.parameters() {
        let tensor = random_tensor(&parameter, network.linear, seed)?;
        weights.insert(parameter.name, tensor);
    }
    Ok(weights)
}

/// The first value of a parameter that no checkpoint gives.
fn random_tensor(parameter: &ParameterShape, linear: &str, seed: u64) -> candle_core::Result<Tensor> {
    let shape = parameter.shape.as_slice();
    if parameter.name == Architecture::MOTION_WEIGHT {
        // It has no say until it has learned one: a network that never saw motion goes on as it was.
        return Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
    }
    let (owner, field) = parameter.name.rsplit_once('.').unwrap_or((&parameter.name, ""));
    let spread = match (shape, owner == linear, field) {
        ([out, _, k, _], ..) => (2.0 / float(out * k * k)).sqrt(),
        (_, true, "weight") => HEAD_SPREAD,
        (_, false, "weight" | "running_var") => {
            return Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu);
        }
        _ => return Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu),
    };
    let mut draws = Draws::for_purpose(seed, &parameter.name, 0);
    let count = shape.iter().product();
    #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
    let values: Vec<f32> = (0..count).map(|_| (normal(&mut draws) * spread) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A draw from the normal distribution (Box and Muller 1958).
fn normal(draws: &mut Draws) -> f64 {
    // 1 - u lies above 0, so that its logarithm is finite.
    let radius = (-2.0 * f64::from(1.0 - draws.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * f64::from(draws.unit())).cos()
}

#[cfg(test)]
mod tests {
    use tsm_model::MotionFeatures;

    use super::*;
    use crate::recipe::Preset;

    fn classes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn tiny() -> Recipe {
        Recipe { width: 0.25, size: 32, from_scratch: true, ..Preset::Few.recipe() }
    }

    fn values(start: &Start, name: &str) -> Vec<f32> {
        start.weights.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_start_from_nothing_is_seeded() {
        let ab = classes(&["a", "b"]);
        let one = Start::of(&tiny(), &ab, None).unwrap();
        let same = Start::of(&tiny(), &ab, None).unwrap();
        let other = Start::of(&Recipe { seed: 2, ..tiny() }, &ab, None).unwrap();
        let stem = "features.0.0.weight";
        assert_eq!(values(&one, stem), values(&same, stem));
        assert_ne!(values(&one, stem), values(&other, stem));
        assert!(values(&one, "features.0.1.running_var").iter().all(|v| (v - 1.0).abs() < 1e-9));
    }

    #[test]
    fn the_head_is_kept_for_the_same_classes_and_new_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let first = Start::of(&tiny(), &classes(&["a", "b"]), None).unwrap();
        let origin = tsm_model::checkpoint::Origin::Own;
        let saved = Checkpoint { spec: first.spec.clone(), weights: first.weights.clone(), origin };
        saved.save(&path, tsm_model::checkpoint::Storage::F32).unwrap();
        let tune = Recipe { from_scratch: false, tune_from: Some(path.clone()), seed: 9, ..tiny() };
        let kept = Start::of(&tune, &classes(&["a", "b"]), None).unwrap();
        assert_eq!(
            (kept.head, values(&kept, "classifier.1.weight")),
            (HeadStart::Kept, values(&first, "classifier.1.weight"))
        );
        assert_eq!(kept.lost_head(), None);
        let new = Start::of(&tune, &classes(&["a", "c", "d"]), None).unwrap();
        assert_eq!(new.head, HeadStart::New);
        assert_eq!(new.weights.get("classifier.1.weight").unwrap().dims(), [3, 1280]);
        assert_eq!(values(&new, "features.0.0.weight"), values(&first, "features.0.0.weight"));
        assert_eq!(
            new.lost_head().unwrap(),
            "its classes (a, b) are not those of the clips (a, c, d), so its head is replaced by a new one"
        );
        let error = Start::of(&Recipe { width: 0.5, ..tune }, &classes(&["a", "b"]), None).unwrap_err();
        assert!(error.to_string().contains("has width 0.25, the recipe asks for 0.5"), "{error}");
    }

    #[test]
    fn the_rows_of_a_kept_head_follow_the_names_of_the_classes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let flow = Recipe { motion_features: MotionFeatures::Flow, ..tiny() };
        let mut first = Start::of(&flow, &classes(&["a", "b", "c"]), None).unwrap();
        let shape = first.weights.get(Architecture::MOTION_WEIGHT).unwrap().dims().to_vec();
        let motion: Vec<f32> = (0u16..).map(f32::from).take(shape.iter().product()).collect();
        let motion = Tensor::from_vec(motion, shape, &Device::Cpu).unwrap();
        first.weights.insert(Architecture::MOTION_WEIGHT.to_owned(), motion);
        let bias = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
        first.weights.insert("classifier.1.bias".to_owned(), bias);
        let origin = tsm_model::checkpoint::Origin::Own;
        let saved = Checkpoint { spec: first.spec.clone(), weights: first.weights.clone(), origin };
        saved.save(&path, tsm_model::checkpoint::Storage::F32).unwrap();
        let tune = Recipe { from_scratch: false, tune_from: Some(path), seed: 9, ..flow };
        let kept = Start::of(&tune, &classes(&["c", "a", "b"]), None).unwrap();
        assert_eq!((kept.head, values(&kept, "classifier.1.bias")), (HeadStart::Kept, vec![3.0, 1.0, 2.0]));
        assert_eq!(kept.lost_head(), None);
        assert_eq!(kept.head_by_order(), HeadStart::New);
        let same = Start::of(&tune, &classes(&["a", "b", "c"]), None).unwrap();
        assert_eq!((same.head, same.head_by_order()), (HeadStart::Kept, HeadStart::Kept));
        for name in ["classifier.1.weight", Architecture::MOTION_WEIGHT] {
            let (before, after) = (values(&first, name), values(&kept, name));
            let row = before.len() / 3;
            assert_eq!(after, [&before[2 * row..], &before[..2 * row]].concat(), "{name}");
        }
        assert_eq!(Start::of(&tune, &classes(&["c", "a", "d"]), None).unwrap().head, HeadStart::New);
        assert!(rows_for(&classes(&["a", "b"]), &classes(&["b", "a", "a"])).is_none());
        assert!(rows_for(&classes(&["a", "b"]), &classes(&["b", "b"])).is_none());
        assert!(rows_for(&classes(&["a", "a"]), &classes(&["a", "a"])).is_some(), "as they stand");
    }

    #[test]
    fn a_network_that_does_not_ship_asks_for_weights() {
        let recipe = Recipe { backbone: Backbone::Resnet50, ..Preset::Few.recipe() };
        let error = Start::of(&recipe, &classes(&["a", "b"]), None).unwrap_err().to_string();
        assert!(error.contains("resnet50 with --pretrained FILE"), "{error}");
    }
}
