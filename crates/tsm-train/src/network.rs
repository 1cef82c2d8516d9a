//! A network that learns: the layers of [`Architecture`] on parameters that take gradients.
//!
//! ```text
//! pictures [n·t, 3, h, w] ─ stem ─ pool ─┬─ shift ─ (conv ─ batch norm ─ act)… ─┬─ + ─ act ─► … ─ mean ─┐
//!                                        └─────────────── shortcut ─────────────┘                       │
//!                         frame logits [n·t, classes] ◄─ linear ◄─ dropout ◄─ features [n·t, features] ◄┘
//! ```
//!
//! Batch norm is live (or held still), where the executors of `tsm-model` have it folded. It
//! decides nothing about the run: no loss, no rate, no data.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Device, Result, Tensor, Var};
use serde::{Deserialize, Serialize};
use tsm_kernels::training::{self, FeatureMap, TemporalShift};
use tsm_model::architecture::{Block, ConvUnit, Shortcut};
use tsm_model::checkpoint::Weights;
use tsm_model::shift::Folds;
use tsm_model::{Architecture, ModelSpec, ShiftKind, ShiftPlace, ShiftSpec};

/// What batch norm adds to a variance: torch's default, which all reference checkpoints were trained with.
pub(crate) const BATCH_NORM_EPS: f64 = 1e-5;

/// Part of a running statistic that each batch replaces (torch's momentum; Paddle writes 0.9).
const STATISTICS_MOMENTUM: f64 = 0.1;

/// Which batch norms use and learn from the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormMode {
    /// All of them.
    Train,
    /// Only the first; the others keep statistics, scale and shift (TSN's partial batch norm).
    Partial,
    /// None.
    Frozen,
}

/// How much of a network learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every layer.
    Whole,
    /// All but the stem and the first `frozen_blocks` blocks, which give features and keep still.
    Above {
        /// Blocks that keep still.
        frozen_blocks: usize,
    },
    /// The linear layer alone: the others give features and keep still.
    Head,
}

impl Depth {
    /// All but the stem and the first `frozen_blocks` blocks; every layer where none is frozen.
    pub const fn above(frozen_blocks: usize) -> Self {
        if frozen_blocks == 0 { Self::Whole } else { Self::Above { frozen_blocks } }
    }

    const fn stem_learns(self) -> bool {
        matches!(self, Self::Whole)
    }

    const fn block_learns(self, index: usize) -> bool {
        match self {
            Self::Whole => true,
            Self::Above { frozen_blocks } => index >= frozen_blocks,
            Self::Head => false,
        }
    }

    const fn last_learns(self) -> bool {
        !matches!(self, Self::Head)
    }
}

/// What a forward pass is to do besides the layers.
#[derive(Debug)]
pub struct Pass<'a> {
    /// Rows of the batch that make a clip.
    pub t: usize,
    /// Which batch norms learn.
    pub batch_norm: BatchNormMode,
    /// How much learns.
    pub depth: Depth,
    /// Which part of each fold is shifted, 0 to 1: bringing the shift in gradually.
    pub shift_strength: f64,
    /// Multiplies the features, `[n * t, features]`: dropout's zeros and 1 / (1 - p).
    pub feature_mask: Option<&'a Tensor>,
    /// What the pictures tell of motion, `[n * t, motion_features]`, for a network that weighs it; only
    /// [`TrainNetwork::forward`] looks at it.
    pub motion: Option<&'a Tensor>,
}

/// Where activations stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// Behind the depthwise convolution of this block, its batch norm and activation.
    Depthwise(usize),
    /// Behind this block.
    Block(usize),
}

/// Looks at activations during a pass.
pub type Watcher<'a> = dyn FnMut(Site, &FeatureMap) -> Result<()> + 'a;

/// Running statistics of a batch norm, each `[c]`.
#[derive(Debug, Clone)]
struct Statistics {
    mean: Tensor,
    variance: Tensor,
}

/// Parameters and running statistics, ready to learn.
#[derive(Debug)]
pub struct TrainNetwork {
    architecture: Architecture,
    shift: ShiftSpec,
    parameters: BTreeMap<String, Var>,
    statistics: BTreeMap<String, Statistics>,
    has_biased_variance: bool,
}

impl TrainNetwork {
    /// The network of `spec` with these weights, which must have every tensor of
    /// [`Architecture::parameters`], on `device`.
    ///
    /// # Errors
    /// If a tensor is missing or the device refuses.
    pub fn new(
        spec: &ModelSpec,
        weights: &Weights,
        has_biased_variance: bool,
        device: &Device,
    ) -> Result<Self> {
        let architecture = Architecture::of(spec);
        let take = |name: &str| match weights.get(name) {
            Some(tensor) => tensor.to_device(device),
            None => candle_core::bail!("tensor `{name}` is missing"),
        };
        let mut parameters = BTreeMap::new();
        for parameter in architecture.parameters().into_iter().filter(|p| p.is_trained) {
            let var = Var::from_tensor(&take(&parameter.name)?)?;
            parameters.insert(parameter.name, var);
        }
        let mut statistics = BTreeMap::new();
        for unit in architecture.convs() {
            let mean = take(&format!("{}.running_mean", unit.norm))?;
            let variance = take(&format!("{}.running_var", unit.norm))?;
            statistics.insert(unit.norm.clone(), Statistics { mean, variance });
        }
        Ok(Self { architecture, shift: spec.shift.clone(), parameters, statistics, has_biased_variance })
    }

    /// The layers.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Every trained parameter by name, sorted.
    pub fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }

    /// Names of the parameters that take gradients in a pass of this kind.
    pub fn learning(&self, batch_norm: BatchNormMode, depth: Depth) -> Vec<&str> {
        let units = self.learning_units(depth);
        let learns = |name: &&str| {
            let owner = name.rsplit_once('.').map_or(*name, |(owner, _)| owner);
            let is_unit_of = |unit: &&ConvUnit| {
                unit.conv == owner || (unit.norm == owner && self.is_live(owner, batch_norm))
            };
            owner == self.architecture.linear
                || *name == Architecture::MOTION_WEIGHT
                || units.iter().any(is_unit_of)
        };
        self.parameters.keys().map(String::as_str).filter(learns).collect()
    }

    /// The convolutions that learn at this depth.
    fn learning_units(&self, depth: Depth) -> Vec<&ConvUnit> {
        let Architecture { stem, blocks, last, .. } = &self.architecture;
        let blocks = blocks.iter().enumerate().filter(|(index, _)| depth.block_learns(*index));
        let of_blocks = blocks.flat_map(|(_, block)| {
            let around = match &block.shortcut {
                Shortcut::Projection(unit) => Some(unit),
                Shortcut::Absent | Shortcut::Identity => None,
            };
            block.convs.iter().chain(around)
        });
        let first = depth.stem_learns().then_some(stem);
        let last = last.as_ref().filter(|_| depth.last_learns());
        first.into_iter().chain(of_blocks).chain(last).collect()
    }

    /// Every tensor of the network as it is now, by torchvision's names, sharing no memory that
    /// learning changes.
    ///
    /// # Errors
    /// If the device refuses a copy.
    pub fn snapshot(&self) -> Result<Vec<(String, Tensor)>> {
        let mut all = Vec::with_capacity(self.parameters.len() + 2 * self.statistics.len());
        for (name, var) in &self.parameters {
            all.push((name.clone(), var.as_detached_tensor().copy()?));
        }
        for (norm, Statistics { mean, variance }) in &self.statistics {
            all.push((format!("{norm}.running_mean"), mean.clone()));
            all.push((format!("{norm}.running_var"), variance.clone()));
        }
        Ok(all)
    }

    /// Puts the values of a snapshot back.
    ///
    /// # Errors
    /// If one is missing or has another shape.
    pub fn restore(&mut self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        let take = |name: &str| match values.get(name) {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("tensor `{name}` is missing"),
        };
        for (name, var) in &self.parameters {
            var.set(&take(name)?.to_device(var.device())?)?;
        }
        for (norm, statistics) in &mut self.statistics {
            let device = statistics.mean.device().clone();
            statistics.mean = take(&format!("{norm}.running_mean"))?.to_device(&device)?;
            statistics.variance = take(&format!("{norm}.running_var"))?.to_device(&device)?;
        }
        Ok(())
    }

    /// Frame logits `[n * t, classes]` of normalised pictures `[n * t, 3, h, w]`; running statistics
    /// of live batch norms move on.
    ///
    /// # Errors
    /// If shapes do not fit, or the device refuses.
    pub fn forward(&mut self, pictures: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let mut features = self.features(pictures, pass)?;
        if let Some(mask) = pass.feature_mask {
            features = (features * mask)?;
        }
        let linear = self.architecture.linear;
        let weight = self.parameter(&format!("{linear}.weight"), true)?;
        let bias = self.parameter(&format!("{linear}.bias"), true)?;
        let logits = features.matmul(&weight.t()?)?.broadcast_add(&bias)?;
        match (pass.motion, self.architecture.motion_features) {
            (_, 0) => Ok(logits),
            (Some(motion), _) => {
                let weight = self.parameter(Architecture::MOTION_WEIGHT, true)?;
                logits + motion.matmul(&weight.t()?)?
            }
            (None, _) => candle_core::bail!("the network weighs motion, and is told none"),
        }
    }

    /// What the linear layer sees: features `[n * t, features]` of normalised pictures `[n * t, 3, h, w]`, without
    /// dropout.
    ///
    /// # Errors
    /// If shapes do not fit, or the device refuses.
    pub fn features(&mut self, pictures: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.watched(pictures, pass, &mut |_, _| Ok(()))
    }

    /// As [`Self::features`], and `see` is shown the activations on the way.
    ///
    /// # Errors
    /// If shapes do not fit, the device refuses, or `see` does.
    pub fn watched(&mut self, pictures: &Tensor, pass: &Pass<'_>, see: &mut Watcher<'_>) -> Result<Tensor> {
        let architecture = self.architecture.clone();
        let learns = pass.depth.stem_learns();
        let mut x = self.conv(&architecture.stem, &FeatureMap::from_tensor(pictures)?, pass, learns)?;
        if architecture.has_stem_pool {
            x = training::max_pool_3x3_s2_p1(&x)?;
        }
        for (index, block) in architecture.blocks.iter().enumerate() {
            x = self.block(block, &x, pass, pass.depth.block_learns(index), &mut |map| {
                see(Site::Depthwise(index), map)
            })?;
            see(Site::Block(index), &x)?;
        }
        if let Some(last) = &architecture.last {
            x = self.conv(last, &x, pass, pass.depth.last_learns())?;
        }
        training::global_average_pool(&x)
    }

    /// Puts another linear layer in: `weight` `[classes, features + motion_features]`, `bias` `[classes]`.
    ///
    /// # Errors
    /// If they have another shape.
    pub fn set_head(&mut self, weight: &Tensor, bias: &Tensor) -> Result<()> {
        let Architecture { linear, features, motion_features, .. } = self.architecture;
        let mut values = vec![
            (format!("{linear}.weight"), weight.narrow(1, 0, features)?.contiguous()?),
            (format!("{linear}.bias"), bias.clone()),
        ];
        if motion_features > 0 {
            let weight = weight.narrow(1, features, motion_features)?.contiguous()?;
            values.push((Architecture::MOTION_WEIGHT.to_owned(), weight));
        }
        for (name, value) in values {
            match self.parameters.get(&name) {
                Some(var) => var.set(&value.to_device(var.device())?)?,
                None => candle_core::bail!("parameter `{name}` is missing"),
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        block: &Block,
        x: &FeatureMap,
        pass: &Pass<'_>,
        learns: bool,
        see_depthwise: &mut dyn FnMut(&FeatureMap) -> Result<()>,
    ) -> Result<FeatureMap> {
        let shifted = if block.is_shifted { self.shifted(x, pass)? } else { x.clone() };
        let around = if self.shift.place == ShiftPlace::Block { shifted.clone() } else { x.clone() };
        let mut y = shifted;
        for unit in &block.convs {
            y = self.conv(unit, &y, pass, learns)?;
            if unit.is_depthwise() {
                see_depthwise(&y)?;
            }
        }
        match &block.shortcut {
            Shortcut::Absent => Ok(y),
            Shortcut::Identity => training::add(&y, &around, block.activation),
            Shortcut::Projection(unit) => {
                training::add(&y, &self.conv(unit, &around, pass, learns)?, block.activation)
            }
        }
    }

    /// The input of a shifted block: channels of neighbours, as many as the pass brings in.
    fn shifted(&self, x: &FeatureMap, pass: &Pass<'_>) -> Result<FeatureMap> {
        let (_, channels, _, _) = x.dims4();
        let Folds { first, second } = self.shift.folds(channels);
        let (first, second) = (part(first, pass.shift_strength), part(second, pass.shift_strength));
        let (from_past, from_future) = match self.shift.kind {
            ShiftKind::Mit => (second, first),
            ShiftKind::None | ShiftKind::Causal | ShiftKind::Paddle => (first, second),
        };
        training::temporal_shift(x, pass.t, &TemporalShift { from_past, from_future })
    }

    fn conv(&mut self, unit: &ConvUnit, x: &FeatureMap, pass: &Pass<'_>, learns: bool) -> Result<FeatureMap> {
        let weight = self.parameter(&format!("{}.weight", unit.conv), learns)?;
        let y = if unit.is_depthwise() {
            training::depthwise3x3(x, &weight, unit.stride)?
        } else {
            training::conv2d(x, &weight, unit.stride, unit.padding)?
        };
        let is_live = learns && self.is_live(&unit.norm, pass.batch_norm);
        let scale = self.parameter(&format!("{}.weight", unit.norm), is_live)?;
        let shift = self.parameter(&format!("{}.bias", unit.norm), is_live)?;
        let Some(statistics) = self.statistics.get_mut(&unit.norm) else {
            candle_core::bail!("batch norm `{}` is missing", unit.norm);
        };
        if !is_live {
            let known = [&statistics.mean, &statistics.variance];
            return training::batch_norm_frozen(&y, [&scale, &shift], known, BATCH_NORM_EPS, unit.activation);
        }
        let (y, batch) = training::batch_norm_train(&y, &scale, &shift, BATCH_NORM_EPS, unit.activation)?;
        let variance =
            if self.has_biased_variance { &batch.biased_variance } else { &batch.unbiased_variance };
        statistics.mean = moved(&statistics.mean, &batch.mean)?;
        statistics.variance = moved(&statistics.variance, variance)?;
        Ok(y)
    }

    fn is_live(&self, norm: &str, mode: BatchNormMode) -> bool {
        match mode {
            BatchNormMode::Train => true,
            BatchNormMode::Partial => norm == self.architecture.stem.norm,
            BatchNormMode::Frozen => false,
        }
    }

    /// A parameter's value; one that does not learn takes no part in the graph of gradients.
    fn parameter(&self, name: &str, learns: bool) -> Result<Tensor> {
        match self.parameters.get(name) {
            Some(var) if learns => Ok(var.as_tensor().clone()),
            Some(var) => Ok(var.as_detached_tensor()),
            None => candle_core::bail!("parameter `{name}` is missing"),
        }
    }
}

/// A running statistic after a batch.
fn moved(running: &Tensor, batch: &Tensor) -> Result<Tensor> {
    Ok(((running * (1.0 - STATISTICS_MOMENTUM))? + (batch * STATISTICS_MOMENTUM)?)?.detach())
}

/// The first channels of a fold, as many as `strength` says.
fn part(fold: Range<usize>, strength: f64) -> Range<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "channels are few, the strength is 0 to 1"
    )]
    let width = (fold.len() as f64 * strength.clamp(0.0, 1.0)).round() as usize;
    fold.start..fold.start + width
}
