//! A network as a list of operations on slots of an arena, and how the list is run.

use std::ops::Range;

use candle_core::Result;
use tsm_kernels::blocked::{
    Conv, Depthwise, Inputs, InvertedResidual, Layout, MaxPool, Team, Winograd, fold_blocks, mean, pad,
    shift_in_place, shift_into_patch,
};
use tsm_kernels::cpu_level::CpuLevel;

use super::arena::{Arena, Slot};
use super::builder::Builder;
use crate::architecture::Architecture;
use crate::checkpoint::Weights;
use crate::spec::ModelSpec;

/// Lends a part of a stream's folds: stream, range, and what is done with it.
pub(super) type FoldsFn<'a> = dyn FnMut(usize, Range<usize>, &mut dyn FnMut(&mut [f32])) + 'a;

/// A network planned for one picture size.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) frame: Layout,
    pub(super) operations: Vec<Operation>,
    /// Where the logits lie in the end, and how far apart two pictures'.
    pub(super) logits: (Slot, Layout),
    pub(super) classes: usize,
    pub(super) arena: Arena,
    /// Of one frame, as the operations make them.
    pub(super) multiply_adds: usize,
}

/// From which slot to which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) from: Slot,
    pub(super) to: Slot,
    pub(super) is_patched: bool,
    pub(super) residual: Option<Slot>,
}

impl Route {
    pub(super) const fn plain(from: Slot, to: Slot) -> Self {
        Self { from, to, is_patched: false, residual: None }
    }
}

#[derive(Debug)]
pub(super) enum Operation {
    Conv(Box<Conv>, Route),
    Winograd(Box<Winograd>, Route),
    Depthwise(Depthwise, Route),
    InvertedResidual(Box<InvertedResidual>, Route),
    MaxPool(MaxPool, Route),
    Mean(Layout, Route),
    /// Makes the patch.
    Shift(Shifted),
    /// Shifts the tensor itself.
    ShiftInPlace(Shifted),
}

/// A shifted block's input, and where its fold lies among a stream's.
#[derive(Debug)]
pub(super) struct Shifted {
    pub(super) layout: Layout,
    pub(super) slot: Slot,
    pub(super) fold: usize,
    pub(super) state: Range<usize>,
}

impl Plan {
    /// Plans `architecture`, whose weights must be in `weights`.
    pub(super) fn new(
        architecture: &Architecture,
        spec: &ModelSpec,
        weights: &Weights,
        level: CpuLevel,
        threads: usize,
    ) -> Result<Self> {
        Builder::new(spec, weights, level, threads).plan(architecture)
    }

    /// One frame of each stream through the network: `frames` `[n, 3, h, w]`, `logits` `[n, classes]`.
    pub(super) fn run(
        &mut self,
        team: &mut Team,
        frames: &[f32],
        logits: &mut [f32],
        folds: &mut FoldsFn<'_>,
    ) {
        let pictures = logits.len() / self.classes;
        self.arena.reserve(pictures);
        pad(team, &self.frame, frames, self.arena.slot_mut(Slot::Frames));
        for operation in &self.operations {
            operation.run(&mut self.arena, team, pictures, folds);
        }
        let (slot, layout) = self.logits;
        let rows = self.arena.slot(slot).chunks_exact(layout.len());
        for (to, from) in logits.chunks_exact_mut(self.classes).zip(rows) {
            to.copy_from_slice(&from[..self.classes]);
        }
    }
}

impl Operation {
    fn run(&self, arena: &mut Arena, team: &mut Team, pictures: usize, folds: &mut FoldsFn<'_>) {
        match self {
            Self::Conv(conv, route) => {
                let mut y = arena.take(route.to);
                conv.run(team, pictures, route.inputs(arena), &mut y);
                arena.put(route.to, y);
            }
            Self::Winograd(conv, route) => {
                let (mut y, mut scratch) = (arena.take(route.to), arena.take(Slot::Bands));
                conv.run(team, pictures, route.inputs(arena), &mut scratch, &mut y);
                arena.put(route.to, y);
                arena.put(Slot::Bands, scratch);
            }
            Self::InvertedResidual(block, route) => {
                let (mut y, mut bands) = (arena.take(route.to), arena.take(Slot::Bands));
                block.run(team, pictures, route.inputs(arena), &mut bands, &mut y);
                arena.put(route.to, y);
                arena.put(Slot::Bands, bands);
            }
            Self::Depthwise(depthwise, route) => {
                let mut y = arena.take(route.to);
                depthwise.run_all(team, pictures, arena.slot(route.from), &mut y);
                arena.put(route.to, y);
            }
            Self::MaxPool(pool, route) => {
                let mut y = arena.take(route.to);
                pool.run(team, pictures, arena.slot(route.from), &mut y);
                arena.put(route.to, y);
            }
            Self::Mean(layout, route) => {
                let mut y = arena.take(route.to);
                let means = &mut y[..pictures * Layout::blocked(layout.channels(), 1, 1, 0).len()];
                mean(layout, pictures, &arena.slot(route.from)[..pictures * layout.len()], means);
                arena.put(route.to, y);
            }
            Self::Shift(shifted) => {
                let patch_len = fold_blocks(shifted.fold) * shifted.layout.plane();
                let mut patches = arena.take(Slot::Patch);
                let pictures = arena.slot(shifted.slot).chunks_exact(shifted.layout.len()).take(pictures);
                for (n, (x, patch)) in pictures.zip(patches.chunks_exact_mut(patch_len)).enumerate() {
                    folds(n, shifted.state.clone(), &mut |state| {
                        shift_into_patch(team, &shifted.layout, shifted.fold, x, state, patch);
                    });
                }
                arena.put(Slot::Patch, patches);
            }
            Self::ShiftInPlace(shifted) => {
                let all = arena.slot_mut(shifted.slot).chunks_exact_mut(shifted.layout.len());
                for (n, x) in all.take(pictures).enumerate() {
                    folds(n, shifted.state.clone(), &mut |state| {
                        shift_in_place(&shifted.layout, shifted.fold, x, state);
                    });
                }
            }
        }
    }
}

impl Route {
    fn inputs(self, arena: &Arena) -> Inputs<'_> {
        Inputs {
            x: arena.slot(self.from),
            patch: self.is_patched.then(|| arena.slot(Slot::Patch)),
            residual: self.residual.map(|slot| arena.slot(slot)),
        }
    }
}
