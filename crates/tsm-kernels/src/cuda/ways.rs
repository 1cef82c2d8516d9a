//! The ways in which a layer can be done, and the launch of each.
//!
//! ```text
//! product              tile x splits                              tile.rs
//! depthwise            one output a thread, or several of a row   cuda/depthwise.cuh
//! depthwise, product   one launch after the other, or the product with a loader that makes the depthwise convolution
//! ```
//!
//! All ways of a layer write the same outputs, but for the order of sums and, in f16, for what is rounded between a
//! depthwise convolution and the product behind it. Which is the fastest depends on the GPU, so it is asked
//! (`tuner.rs`); the first of [`Program::ways`] is what a model of it says.

use super::args::{Launch, LayerArgs, int};
use super::buffers::Addresses;
use super::program::{Kind, Layer, Program};
use super::tile::{self, Cut, Product, Source, Tile};

/// What a launch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The layer of this number.
    Layer(usize),
    /// The depthwise convolution of this number and the product behind it.
    Pair(usize),
}

/// How it does it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// There is but one.
    Only,
    /// A depthwise convolution, several outputs a thread or one.
    Depthwise { is_wide: bool },
    /// A product in tiles, its depth in splits.
    Product { tile: Tile, splits: usize },
}

/// A launch of a plan, but for the number of streams and the addresses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stage {
    pub(super) work: Work,
    pub(super) way: Way,
}

/// What decides about sizes: streams of a step, and multiprocessors of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) pictures: usize,
    pub(super) multiprocessors: usize,
}

impl Program {
    /// A plan by the model alone: every layer by itself.
    pub(super) fn estimated(&self, scale: Scale) -> Vec<Stage> {
        let works = (0..self.layers().len()).map(Work::Layer);
        works.map(|work| Stage { work, way: self.ways(work, scale)[0] }).collect()
    }

    /// Whether layer `index` is a depthwise convolution that the next one can make itself.
    pub(super) fn is_pair(&self, index: usize) -> bool {
        let [first, second, ..] = &self.layers()[index..] else { return false };
        first.kind == Kind::Depthwise
            && second.kind == Kind::Pointwise
            && second.from == first.to
            && second.to.slot != first.from.slot
            && second.residual != Some(first.to.slot)
            && first.shape.fold_out == 0
            && [first.shape.fold_in, second.shape.fold_in] == [0, 0]
    }

    /// In which ways `work` can be done, the likeliest first.
    pub(super) fn ways(&self, work: Work, scale: Scale) -> Vec<Way> {
        let layer = self.product_of(work);
        match layer.kind {
            Kind::MaxPool | Kind::Mean => vec![Way::Only],
            Kind::Depthwise => {
                let is_wide = quads(layer, across(layer), scale.pictures) >= scale.multiprocessors * 512;
                vec![Way::Depthwise { is_wide }, Way::Depthwise { is_wide: !is_wide }]
            }
            Kind::Frames | Kind::Pointwise | Kind::Patches => {
                let product = product(layer, work, scale.pictures);
                let likely = tile::likely(product, self.element(), scale.multiprocessors);
                likely.into_iter().map(|(tile, splits)| Way::Product { tile, splits }).collect()
            }
        }
    }

    /// The launch of `stage`.
    pub(super) fn launch(&self, stage: Stage, scale: Scale, at: &Addresses) -> Launch {
        let layer = self.product_of(stage.work);
        let args = self.args(stage.work, scale.pictures, at);
        let rows = scale.pictures * layer.to.height * layer.to.width;
        match stage.way {
            Way::Only if layer.kind == Kind::MaxPool => {
                self.a_quad_a_thread("max_pool", args, rows * layer.to.channels / 4)
            }
            Way::Only => self.a_quad_a_thread("mean", args, scale.pictures * layer.to.channels / 4),
            Way::Depthwise { is_wide } => {
                let (wide, across) = if is_wide { ("_wide", across(layer)) } else { ("", 1) };
                let kernel = format!("depthwise_s{}{wide}", args.stride);
                self.a_quad_a_thread(&kernel, args, quads(layer, across, scale.pictures))
            }
            Way::Product { tile, splits } => {
                let product = product(layer, stage.work, scale.pictures);
                let Cut { splits, split_depth, grid } =
                    tile::cut(product, tile, splits, scale.multiprocessors);
                Launch {
                    kernel: format!("{}_{}_{}", product.source.name(), tile.name, self.element().suffix()),
                    grid: grid.map(grid_size),
                    threads: tile.threads,
                    args: LayerArgs { splits: int(splits), split_depth: int(split_depth), ..args },
                }
            }
        }
    }

    /// The layer that makes the outputs of `work`.
    fn product_of(&self, work: Work) -> &Layer {
        match work {
            Work::Layer(index) => &self.layers()[index],
            Work::Pair(index) => &self.layers()[index + 1],
        }
    }

    fn args(&self, work: Work, pictures: usize, at: &Addresses) -> LayerArgs {
        let bytes = self.element().bytes();
        let weight = |layer: &Layer| at.weights + (layer.weight_at * bytes) as u64;
        let bias = |layer: &Layer| at.biases + (layer.bias_at * size_of::<f32>()) as u64;
        let layer = self.product_of(work);
        let from = match work {
            Work::Layer(_) => layer.from,
            Work::Pair(index) => self.layers()[index].from,
        };
        let to = layer.to;
        let args = LayerArgs {
            x: at.slots[from.slot as usize],
            weight: weight(layer),
            bias: bias(layer),
            y: at.slots[to.slot as usize],
            residual: layer.residual.map_or(0, |slot| at.slots[slot as usize]),
            partial: at.partial,
            counters: at.counters,
            streams: at.streams,
            pictures: int(pictures),
            in_h: int(from.height),
            in_w: int(from.width),
            in_c: int(from.channels),
            out_h: int(to.height),
            out_w: int(to.width),
            out_c: int(to.channels),
            rows: int(pictures * to.height * to.width),
            splits: 1,
            ..layer.shape
        };
        let Work::Pair(index) = work else { return args };
        let first = &self.layers()[index];
        let LayerArgs { kernel, stride, padding, .. } = first.shape;
        LayerArgs {
            depthwise_weight: weight(first),
            depthwise_bias: bias(first),
            depthwise_activation: first.shape.activation,
            kernel,
            stride,
            padding,
            ..args
        }
    }

    fn a_quad_a_thread(&self, kernel: &str, args: LayerArgs, quads: usize) -> Launch {
        const THREADS: usize = 128;
        Launch {
            kernel: format!("{kernel}_{}", self.element().suffix()),
            grid: [grid_size(quads.div_ceil(THREADS)), 1, 1],
            threads: 128,
            args,
        }
    }
}

fn product(layer: &Layer, work: Work, pictures: usize) -> Product {
    Product {
        rows: pictures * layer.to.height * layer.to.width,
        columns: layer.to.channels,
        depth: usize::try_from(layer.shape.depth).expect("it was a usize"),
        source: match (layer.kind, work) {
            (_, Work::Pair(_)) => Source::DepthwisePointwise,
            (Kind::Frames, _) => Source::Frames,
            (Kind::Patches, _) => Source::Patches,
            _ => Source::Pointwise,
        },
    }
}

/// Outputs a thread of the wide depthwise kernels.
const fn across(layer: &Layer) -> usize {
    if layer.shape.stride == 1 { 4 } else { 2 }
}

/// Threads of a depthwise convolution with so many outputs a thread: each has four channels.
fn quads(layer: &Layer, across: usize, pictures: usize) -> usize {
    pictures * layer.to.height * layer.to.width.div_ceil(across) * layer.to.channels / 4
}

fn grid_size(blocks: usize) -> u32 {
    u32::try_from(blocks).expect("a grid has fewer than 2^31 blocks")
}
