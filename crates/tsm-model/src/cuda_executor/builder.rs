//! From the list of layers to the program: which slot each tensor lies in, and what is remembered of it.
//!
//! ```text
//! block   x (Even) ─┬─ [fold from the stream's memory] ─ conv ─► Hidden ─ conv ─► AlsoHidden ─ conv ─┬─► Odd
//!                   └─ (projection ─► Shortcut) ─────────────────────────────────────────── added by ┘
//!         whoever made x left its first channels in the stream's other memory
//! ```

use candle_core::{Result, bail};
use tsm_kernels::bias_activation::Activation;
use tsm_kernels::cuda::{ConvLayer, Element, Fold, Input, Map, Program, Slot};

use crate::architecture::{Architecture, Block, ConvUnit, Shortcut};
use crate::checkpoint::Weights;
use crate::folding::Folded;
use crate::shift::ShiftPlace;
use crate::spec::ModelSpec;

pub(super) struct Builder<'a> {
    spec: &'a ModelSpec,
    weights: &'a Weights,
    program: Program,
    /// Where the fold of each shifted block lies in a memory.
    places: Vec<usize>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(spec: &'a ModelSpec, weights: &'a Weights, element: Element) -> Self {
        let mut program = Program::new(element, spec.input.size_px, spec.classes.len());
        program.take_bytes(spec.input.mean, spec.input.std);
        Self { spec, weights, program, places: Vec::new() }
    }

    /// The whole network, and where each shifted block's fold lies in a memory.
    pub(super) fn program(mut self, network: &Architecture) -> Result<(Program, Vec<usize>)> {
        let frames = plain(self.program.frames());
        let stem = &network.stem;
        let mut x = if network.has_stem_pool {
            let wide = self.conv(stem, frames, None, Slot::Hidden, stem.activation)?;
            self.program.max_pool(wide, Slot::Even)
        } else {
            self.conv(stem, frames, None, Slot::Even, stem.activation)?
        };
        for block in &network.blocks {
            x = self.block(block, x)?;
        }
        if let Some(last) = &network.last {
            x = self.conv(last, plain(x), None, Slot::Hidden, last.activation)?;
        }
        let [weight, bias] = Folded::linear(self.weights, network.linear)?.into_vecs()?;
        self.program.classify(x, &weight, &bias);
        Ok((self.program, self.places))
    }

    fn block(&mut self, block: &Block, x: Map) -> Result<Map> {
        let fold = self.fold(block, x);
        let through = Input { map: x, fold };
        let around = if self.spec.shift.place == ShiftPlace::Block { through } else { plain(x) };
        let residual = match &block.shortcut {
            Shortcut::Absent => None,
            Shortcut::Identity => Some(around),
            Shortcut::Projection(unit) => {
                Some(plain(self.conv(unit, around, None, Slot::Shortcut, unit.activation)?))
            }
        };
        let to = if x.slot == Slot::Even { Slot::Odd } else { Slot::Even };
        let Some((last, before)) = block.convs.split_last() else { bail!("{} has no layers", block.name) };
        let mut input = through;
        for (index, unit) in before.iter().enumerate() {
            let slot = if index % 2 == 0 { Slot::Hidden } else { Slot::AlsoHidden };
            input = plain(self.conv(unit, input, None, slot, unit.activation)?);
        }
        // What follows the sum; the last convolution of a residual path has no activation of its own.
        let activation = if residual.is_some() { block.activation } else { last.activation };
        self.conv(last, input, residual, to, activation)
    }

    /// The fold of a shifted block's input, where there is one.
    fn fold(&mut self, block: &Block, x: Map) -> Option<Fold> {
        if !block.is_shifted {
            return None;
        }
        let channels = self.spec.shift.folds(x.channels).first.len();
        if channels == 0 {
            self.places.push(0);
            return None;
        }
        let fold = self.program.fold(x, channels);
        self.places.push(fold.at);
        Some(fold)
    }

    fn conv(
        &mut self,
        unit: &ConvUnit,
        from: Input,
        residual: Option<Input>,
        to: Slot,
        activation: Activation,
    ) -> Result<Map> {
        let [weight, bias] = Folded::conv(self.weights, unit)?.into_vecs()?;
        let conv = ConvLayer {
            weight: &weight,
            bias: &bias,
            kernel: unit.kernel,
            stride: unit.stride,
            padding: unit.padding,
            is_depthwise: unit.is_depthwise(),
            activation,
        };
        Ok(self.program.conv(&conv, from, residual, to))
    }
}

fn plain(map: Map) -> Input {
    Input { map, fold: None }
}
