//! From the list of layers to the list of operations: layouts, slots, and what is fused.
//!
//! ```text
//! block   x (Even) ─ shift ─► Patch
//!         x ─ projection ───────────────────────────────► Shortcut ─┐ added by the last convolution
//!         x, Patch ─ conv ─► Hidden ─ conv ─► AlsoHidden ─ conv ────┴─► Odd; the next block goes back to Even
//!
//!         expand, depthwise, project of a large picture: one operation, x ─► Odd
//!         a 3x3 convolution of a large picture: by Winograd's way
//! ```

use std::ops::Range;

use candle_core::Result;
use tsm_kernels::bias_activation::Activation;
use tsm_kernels::blocked::{
    Conv, Depthwise, Filter, InvertedResidual, Layout, MaxPool, Places, Winograd, band_rows_within,
    fold_blocks, ring_rows,
};
use tsm_kernels::cpu_level::CpuLevel;

use super::arena::{Arena, Sizes, Slot};
use super::plan::{Operation, Plan, Route, Shifted};
use crate::architecture::{Architecture, Block, ConvUnit, Shortcut};
use crate::checkpoint::Weights;
use crate::folding::Folded;
use crate::shift::ShiftPlace;
use crate::spec::ModelSpec;

/// Above this size the expanded tensor of a block is made in bands: two of them fill a core's second cache.
const WHOLE_EXPANDED_BYTES: usize = 1 << 19;

/// What a band takes: a part of that cache, beside the block's input, output and weights.
const BAND_BYTES: usize = 384 << 10;

/// A tensor of the plan.
#[derive(Debug, Clone, Copy)]
struct At {
    slot: Slot,
    layout: Layout,
}

/// A convolution's way: its tensors, and what stands in for the first blocks of its input.
#[derive(Debug, Clone, Copy)]
struct Way {
    from: At,
    to: At,
    residual: Option<At>,
    patch_blocks: usize,
}

pub(super) struct Builder<'a> {
    spec: &'a ModelSpec,
    weights: &'a Weights,
    level: CpuLevel,
    threads: usize,
    sizes: Sizes,
    operations: Vec<Operation>,
    /// Floats of a stream's folds so far.
    state_len: usize,
    /// Multiply-adds of a frame that the operations so far do without.
    saved_multiply_adds: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(spec: &'a ModelSpec, weights: &'a Weights, level: CpuLevel, threads: usize) -> Self {
        let (sizes, operations) = (Sizes::default(), Vec::new());
        let (state_len, saved_multiply_adds) = (0, 0);
        Self { spec, weights, level, threads, sizes, operations, state_len, saved_multiply_adds }
    }

    /// Plans the whole network.
    pub(super) fn plan(mut self, network: &Architecture) -> Result<Plan> {
        let size = self.spec.input.size_px;
        let frame = self.tensor(Slot::Frames, Layout::planar(3, size, size, network.stem.padding));
        let (mut x, blocks) = self.stem(network, frame)?;
        for (index, block) in blocks.iter().enumerate() {
            let border = blocks.get(index + 1).map_or(0, first_padding);
            x = self.block(block, x, border)?;
        }
        if let Some(last) = &network.last {
            let to = self.after(last, x.layout, Slot::Hidden, 0);
            self.conv(last, Way::plain(x, to))?;
            x = to;
        }
        let means = self.tensor(Slot::Shortcut, Layout::blocked(network.features, 1, 1, 0));
        self.operations.push(Operation::Mean(x.layout, Route::plain(x.slot, means.slot)));
        let logits = self.tensor(Slot::Patch, Layout::blocked(network.classes, 1, 1, 0));
        self.linear(network.linear, means, logits)?;
        let Self { sizes, operations, saved_multiply_adds, .. } = self;
        Ok(Plan {
            frame: frame.layout,
            operations,
            logits: (logits.slot, logits.layout),
            classes: network.classes,
            arena: Arena::new(sizes),
            multiply_adds: network.multiply_adds(size) - saved_multiply_adds,
        })
    }

    /// The layers before the first block that is planned as one; gives those that are left.
    fn stem<'n>(&mut self, network: &'n Architecture, frame: At) -> Result<(At, &'n [Block])> {
        let stem = &network.stem;
        if network.has_stem_pool {
            let first = self.after(stem, frame.layout, Slot::Hidden, 1);
            self.conv(stem, Way::plain(frame, first))?;
            let (side, channels) = (first.layout.height().div_ceil(2), stem.out_channels);
            let border = network.blocks.first().map_or(0, first_padding);
            let pooled = self.tensor(Slot::Even, Layout::blocked(channels, side, side, border));
            let pool = MaxPool::new(self.level, first.layout, pooled.layout);
            self.operations.push(Operation::MaxPool(pool, Route::plain(first.slot, pooled.slot)));
            return Ok((pooled, &network.blocks));
        }
        // The first block of MobileNetV2 does not expand: the stem takes that part.
        if let Some((block, others)) = network.blocks.split_first()
            && let [depthwise, project] = block.convs.as_slice()
            && !block.is_shifted
            && block.shortcut == Shortcut::Absent
        {
            let border = others.first().map_or(0, first_padding);
            let to = self.tensor_of(
                project,
                depthwise.out_side(stem.out_side(frame.layout.height())),
                Slot::Even,
                border,
            );
            self.inverted_residual([stem, depthwise, project], Way::plain(frame, to))?;
            return Ok((to, others));
        }
        let border = network.blocks.first().map_or(0, first_padding);
        let first = self.after(stem, frame.layout, Slot::Even, border);
        self.conv(stem, Way::plain(frame, first))?;
        Ok((first, &network.blocks))
    }

    fn block(&mut self, block: &Block, x: At, border: usize) -> Result<At> {
        let patch_blocks = self.shift(block, x);
        let residual = match &block.shortcut {
            Shortcut::Absent => None,
            Shortcut::Identity => Some(x),
            Shortcut::Projection(unit) => {
                let around = self.after(unit, x.layout, Slot::Shortcut, 0);
                self.conv(unit, Way::plain(x, around))?;
                Some(around)
            }
        };
        let slot = if x.slot == Slot::Even { Slot::Odd } else { Slot::Even };
        let mut convs = block.convs.clone();
        if residual.is_some()
            && let Some(last) = convs.last_mut()
        {
            // What follows the sum; the last convolution of a residual path has no activation of its own.
            last.activation = block.activation;
        }
        let side = block.out_side(x.layout.height());
        let Some((last, before)) = convs.split_last() else { return Ok(x) };
        let to = self.tensor_of(last, side, slot, border);
        if let [expand, depthwise] = before
            && depthwise.is_depthwise()
            && expanded_bytes(expand, x.layout) > WHOLE_EXPANDED_BYTES
        {
            self.inverted_residual([expand, depthwise, last], Way { from: x, to, residual, patch_blocks })?;
            return Ok(to);
        }
        let (mut from, mut patch_blocks) = (x, patch_blocks);
        for (index, unit) in before.iter().enumerate() {
            let slot = if index % 2 == 0 { Slot::Hidden } else { Slot::AlsoHidden };
            let next = self.after(unit, from.layout, slot, convs[index + 1].padding);
            self.conv(unit, Way { from, to: next, residual: None, patch_blocks })?;
            (from, patch_blocks) = (next, 0);
        }
        self.conv(last, Way { from, to, residual, patch_blocks })?;
        Ok(to)
    }

    /// Plans the shift of a block's input; gives the blocks of the patch, 0 where there is none.
    fn shift(&mut self, block: &Block, x: At) -> usize {
        let fold = self.spec.shift.folds(x.layout.channels()).first.len();
        if !block.is_shifted || !self.spec.shift.is_streamable() || fold == 0 {
            return 0;
        }
        let state = self.state_range(fold * x.layout.height() * x.layout.width());
        let shifted = Shifted { layout: x.layout, slot: x.slot, fold, state };
        if self.spec.shift.place == ShiftPlace::Block {
            self.operations.push(Operation::ShiftInPlace(shifted));
            return 0;
        }
        self.operations.push(Operation::Shift(shifted));
        self.sizes.a_picture(Slot::Patch, fold_blocks(fold) * x.layout.plane());
        fold_blocks(fold)
    }

    fn state_range(&mut self, floats: usize) -> Range<usize> {
        let start = self.state_len;
        self.state_len += floats;
        start..self.state_len
    }

    /// Plans one convolution of either kind.
    fn conv(&mut self, unit: &ConvUnit, way: Way) -> Result<()> {
        let (route, places) = (way.route(), way.places());
        let layouts = [places.input, places.output];
        let operation = if unit.is_depthwise() {
            Operation::Depthwise(self.packed_depthwise(unit, layouts)?, route)
        } else if let Some(side) = Winograd::suits(&places, filter(unit), self.threads) {
            let [weight, bias] = Folded::conv(self.weights, unit)?.into_vecs()?;
            let conv = Winograd::new(self.level, places, side, &weight, &bias, unit.activation);
            self.sizes.fixed(Slot::Bands, self.threads * conv.scratch_len());
            self.saved_multiply_adds += conv.saved_multiply_adds();
            Operation::Winograd(Box::new(conv), route)
        } else {
            Operation::Conv(Box::new(self.packed(unit, places)?), route)
        };
        self.operations.push(operation);
        Ok(())
    }

    /// Plans expand, depthwise and project as one operation.
    fn inverted_residual(&mut self, [expand, depthwise, project]: [&ConvUnit; 3], way: Way) -> Result<()> {
        let (from, to) = (way.from.layout, way.to.layout);
        let (hidden, side) = (depthwise.in_channels, expand.out_side(from.height()));
        let rows =
            band_rows_within(BAND_BYTES, [side, to.width()], hidden, depthwise.stride).min(to.height());
        let ring = Layout::blocked(hidden, side, side, 1).ring(ring_rows(rows, depthwise.stride));
        let band = Layout::blocked(hidden, to.height(), to.width(), 0).ring(rows);
        let [first, last] = [
            Places { input: from, output: ring, residual: None, patch_blocks: way.patch_blocks },
            Places { input: band, patch_blocks: 0, ..way.places() },
        ];
        let block = InvertedResidual::new(
            self.packed(expand, first)?,
            self.packed_depthwise(depthwise, [ring, band])?,
            self.packed(project, last)?,
            rows,
        );
        self.sizes.fixed(Slot::Bands, self.threads * block.scratch_len());
        self.operations.push(Operation::InvertedResidual(Box::new(block), way.route()));
        Ok(())
    }

    fn linear(&mut self, name: &str, from: At, to: At) -> Result<()> {
        let [weight, bias] = Folded::linear(self.weights, name)?.into_vecs()?;
        let way = Way::plain(from, to);
        let conv = Conv::new(self.level, way.places(), Filter::POINTWISE, &weight, &bias, Activation::None);
        self.operations.push(Operation::Conv(Box::new(conv), way.route()));
        Ok(())
    }

    fn packed(&self, unit: &ConvUnit, places: Places) -> Result<Conv> {
        let [weight, bias] = Folded::conv(self.weights, unit)?.into_vecs()?;
        Ok(Conv::new(self.level, places, filter(unit), &weight, &bias, unit.activation))
    }

    fn packed_depthwise(&self, unit: &ConvUnit, layouts: [Layout; 2]) -> Result<Depthwise> {
        let [weight, bias] = Folded::conv(self.weights, unit)?.into_vecs()?;
        Ok(Depthwise::new(self.level, layouts, unit.stride, &weight, &bias, unit.activation))
    }

    /// The output of `unit` for an input of `layout`.
    fn after(&mut self, unit: &ConvUnit, layout: Layout, slot: Slot, border: usize) -> At {
        self.tensor_of(unit, unit.out_side(layout.height()), slot, border)
    }

    fn tensor_of(&mut self, unit: &ConvUnit, side: usize, slot: Slot, border: usize) -> At {
        self.tensor(slot, Layout::blocked(unit.out_channels, side, side, border))
    }

    fn tensor(&mut self, slot: Slot, layout: Layout) -> At {
        self.sizes.a_picture(slot, layout.len());
        At { slot, layout }
    }
}

impl Way {
    const fn plain(from: At, to: At) -> Self {
        Self { from, to, residual: None, patch_blocks: 0 }
    }

    fn places(&self) -> Places {
        Places {
            input: self.from.layout,
            output: self.to.layout,
            residual: self.residual.map(|at| at.layout),
            patch_blocks: self.patch_blocks,
        }
    }

    fn route(&self) -> Route {
        Route {
            from: self.from.slot,
            to: self.to.slot,
            is_patched: self.patch_blocks > 0,
            residual: self.residual.map(|at| at.slot),
        }
    }
}

fn filter(unit: &ConvUnit) -> Filter {
    Filter { kernel: unit.kernel, stride: unit.stride, padding: unit.padding }
}

/// The border that a block's input needs.
fn first_padding(block: &Block) -> usize {
    block.convs.first().map_or(0, |conv| conv.padding)
}

/// Bytes of the whole tensor behind `expand`.
fn expanded_bytes(expand: &ConvUnit, input: Layout) -> usize {
    let side = expand.out_side(input.height());
    expand.out_channels * side * side * size_of::<f32>()
}
