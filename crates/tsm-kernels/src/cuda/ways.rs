//! The ways in which a layer can be done, and the launch of each.
//!
//! ```text
//! product              tile x splits                              tile.rs
//! depthwise            one output a thread, or several           cuda/depthwise.cuh
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
    /// A depthwise convolution, so many outputs a thread.
    Depthwise(Reach),
    /// A product in tiles, its depth in splits.
    Product { tile: Tile, splits: usize },
}

/// Outputs that a thread of a depthwise convolution makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// One: the most threads, for few pictures.
    One,
    /// Neighbours of a row.
    Wide,
    /// Those of two rows: the fewest loads.
    Tall,
}

impl Reach {
    /// Columns and rows of outputs.
    const fn outputs(self, layer: &Layer) -> [usize; 2] {
        let across = if layer.shape.stride == 1 { 4 } else { 2 };
        match self {
            Self::One => [1, 1],
            Self::Wide => [across, 1],
            Self::Tall => [across, 2],
        }
    }

    /// In kernels' names.
    const fn name(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Wide => "_wide",
            Self::Tall => "_tall",
        }
    }

    /// Threads of a depthwise convolution: each has four channels.
    fn threads(self, layer: &Layer, pictures: usize) -> usize {
        let [across, down] = self.outputs(layer);
        let places = layer.to.height.div_ceil(down) * layer.to.width.div_ceil(across);
        pictures * places * layer.to.channels / 4
    }
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
                let is_many = Reach::Wide.threads(layer, scale.pictures) >= scale.multiprocessors * 512;
                let likely = [[Reach::One, Reach::Wide], [Reach::Wide, Reach::One]][usize::from(is_many)];
                likely.into_iter().chain([Reach::Tall]).map(Way::Depthwise).collect()
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
            Way::Depthwise(reach) => {
                let kernel = format!("depthwise_s{}{}", args.stride, reach.name());
                self.a_quad_a_thread(&kernel, args, reach.threads(layer, scale.pictures))
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

    /// The launch that makes planes of frames of bytes, if it takes them: ahead of all others.
    pub(super) fn normalising(&self, pictures: usize, at: &Addresses) -> Option<Launch> {
        /// As `NORMALISE_THREADS` there.
        const THREADS: usize = 256;
        let levels_at = self.levels_at()?;
        let frames = self.frames();
        let pixels = pictures * frames.height * frames.width;
        let args = LayerArgs {
            x: at.bytes,
            weight: at.weights + (levels_at * self.element().bytes()) as u64,
            y: at.slots[frames.slot as usize],
            pictures: int(pictures),
            in_h: int(frames.height),
            in_w: int(frames.width),
            in_c: int(frames.channels),
            out_h: int(frames.height),
            out_w: int(frames.width),
            out_c: int(frames.channels),
            rows: int(pixels),
            ..LayerArgs::default()
        };
        let kernel = format!("normalise_{}", self.element().suffix());
        let grid = [grid_size((pixels / 4).div_ceil(THREADS)), 1, 1];
        Some(Launch { kernel, grid, threads: 256, args })
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

fn grid_size(blocks: usize) -> u32 {
    u32::try_from(blocks).expect("a grid has fewer than 2^31 blocks")
}
