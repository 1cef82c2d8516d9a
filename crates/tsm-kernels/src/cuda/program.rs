//! A network's step as data: layers, the slots their tensors lie in, and the weights as the kernels want them.
//!
//! ```text
//! [out, in, k, k] ─ conv ─► [k, k, in, out]     a row of depth after the other, neighbours are output channels
//! [c, 1, 3, 3]    ─ conv ─► [3, 3, c]           depthwise
//! layer           ─ ways.rs ─► grid and arguments for n streams on a machine with so many multiprocessors
//! ```

use crate::bias_activation::Activation;
use crate::frames::FrameForm;
use crate::normalise;

use super::args::{LayerArgs, int};

/// What activations and weights are stored as; sums are f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32 bits; products in full precision (no TF32).
    F32,
    /// 16 bits.
    F16,
}

impl Element {
    /// Its size.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

/// A buffer of the machine; which tensors lie in it, one after the other, is the program's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The frames, planar.
    Frames,
    /// A block's input or output, in turn with the next.
    Even,
    /// The other of the two.
    Odd,
    /// Between a block's convolutions.
    Hidden,
    /// The other one there.
    AlsoHidden,
    /// A block's input on its way around.
    Shortcut,
    /// Means over the picture.
    Features,
    /// The logits, f32.
    Logits,
}

pub(super) const SLOTS: usize = 8;

/// A tensor `[pictures, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// Where it lies.
    pub slot: Slot,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Map {
    const fn len(self) -> usize {
        self.height * self.width * self.channels
    }
}

/// The channels of a shifted map that come from the frame before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// How many.
    pub channels: usize,
    /// Where they lie in a stream's memory, in elements.
    pub at: usize,
}

/// A map to be read, and whether its first channels are another frame's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// The map.
    pub map: Map,
    /// The fold to be taken from the stream's memory.
    pub fold: Option<Fold>,
}

/// A convolution with what follows it.
#[derive(Debug, Clone, Copy)]
pub struct ConvLayer<'a> {
    /// `[out, in / groups, kernel, kernel]`, row-major.
    pub weight: &'a [f32],
    /// `[out]`.
    pub bias: &'a [f32],
    /// Side of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around.
    pub padding: usize,
    /// Whether every channel has its own filter.
    pub is_depthwise: bool,
    /// What follows bias and residual.
    pub activation: Activation,
}

/// What a layer is, as far as its kernels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Frames,
    Pointwise,
    Patches,
    Depthwise,
    MaxPool,
    Mean,
}

/// A layer, but for the number of streams and the addresses.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    pub(super) from: Map,
    pub(super) to: Map,
    pub(super) residual: Option<Slot>,
    /// Elements into the weights and the biases.
    pub(super) weight_at: usize,
    pub(super) bias_at: usize,
    pub(super) shape: LayerArgs,
}

/// What a machine runs.
#[derive(Debug)]
pub struct Program {
    element: Element,
    side: usize,
    classes: usize,
    layers: Vec<Layer>,
    weights: Vec<f32>,
    biases: Vec<f32>,
    /// Where in the weights stands what each level of red, green and blue becomes, `[3, 256]`, if bytes are taken.
    levels_at: Option<usize>,
    /// Elements a picture of each slot.
    slots: [usize; SLOTS],
    fold_len: usize,
}

/// Weights, their rows and folds begin at multiples of this: a load of eight halves or four floats is then aligned.
const ALIGNED: usize = 8;

impl Program {
    /// A program without layers for frames of `side` squared.
    pub fn new(element: Element, side: usize, classes: usize) -> Self {
        let mut program = Self {
            element,
            side,
            classes,
            layers: Vec::new(),
            weights: Vec::new(),
            biases: Vec::new(),
            levels_at: None,
            slots: [0; SLOTS],
            fold_len: 0,
        };
        program.reserve(program.frames());
        program
    }

    /// Lets it take frames of bytes as well, normalised by `mean` and `std` in a launch ahead of all layers; but for
    /// frames of an odd side: a thread has four pixels at once.
    pub fn take_bytes(&mut self, mean: [f32; 3], std: [f32; 3]) {
        if !(self.side * self.side).is_multiple_of(4) {
            return;
        }
        let levels = [0, 1, 2].map(|channel| normalise::table(mean[channel], std[channel]));
        self.levels_at = Some(self.weights_of(3, 256, |channel, level| levels[channel][level]));
    }

    /// The frames, as a map.
    pub const fn frames(&self) -> Map {
        Map { slot: Slot::Frames, height: self.side, width: self.side, channels: 3 }
    }

    /// Room for `channels` of `map` in each stream's memory, written by the layer that was added last.
    ///
    /// # Panics
    /// If the last layer's output is another map, or there is a fold of it already.
    pub fn fold(&mut self, map: Map, channels: usize) -> Fold {
        let layer = self.layers.last_mut().expect("a layer makes what is remembered of it");
        assert!(layer.to == map && layer.shape.fold_out == 0, "{map:?} is not what the last layer makes");
        assert!(channels <= map.channels, "a fold of {channels} of {map:?}");
        let fold = Fold { channels, at: self.fold_len };
        (layer.shape.fold_out, layer.shape.fold_out_at) = (int(channels), int(fold.at));
        self.fold_len = (fold.at + map.height * map.width * channels).next_multiple_of(ALIGNED);
        fold
    }

    /// Adds a convolution of `from`, which adds `residual` (of the output's shape) before it activates.
    ///
    /// # Panics
    /// If shapes do not fit, or channels are no multiples of eight (but for the three of the frames).
    pub fn conv(&mut self, conv: &ConvLayer<'_>, from: Input, residual: Option<Input>, to: Slot) -> Map {
        let map = from.map;
        let side = |length: usize| (length + 2 * conv.padding - conv.kernel) / conv.stride + 1;
        let (height, width, channels) = (side(map.height), side(map.width), conv.bias.len());
        let output = Map { slot: to, height, width, channels };
        let groups = if conv.is_depthwise { map.channels } else { 1 };
        let taps = conv.kernel * conv.kernel;
        assert_eq!(conv.weight.len(), channels * (map.channels / groups) * taps, "weights of {map:?}");
        let kind = match (map.slot, conv.is_depthwise) {
            (Slot::Frames, false) => Kind::Frames,
            (_, true) => Kind::Depthwise,
            _ if conv.kernel == 1 && conv.stride == 1 && conv.padding == 0 => Kind::Pointwise,
            _ => Kind::Patches,
        };
        assert!(kind == Kind::Frames || map.channels.is_multiple_of(ALIGNED), "{map:?} has odd channels");
        assert!(channels.is_multiple_of(ALIGNED), "{channels} output channels");
        assert!(kind != Kind::Depthwise || (conv.kernel == 3 && conv.stride <= 2 && residual.is_none()));
        let depth = if conv.is_depthwise { taps } else { map.channels * taps };
        let columns = channels.next_multiple_of(ALIGNED);
        // Frames are planar, so their depth is (channel, ky, kx); all others have the channels innermost.
        let is_planar = kind == Kind::Frames;
        let inner = map.channels / groups;
        let weight_at = self.weights_of(depth, columns, |row, column| {
            let (channel, tap) =
                if is_planar { (row / taps, row % taps) } else { (row % inner, row / inner) };
            conv.weight.get((column * inner + channel) * taps + tap).copied().unwrap_or(0.0)
        });
        let bias_at = self.bias_of(conv.bias, columns);
        let fold_in = from.fold.or(residual.and_then(|input| input.fold));
        if let Some(residual) = residual {
            assert_eq!(Map { slot: to, ..residual.map }, output, "a residual has the output's shape");
        }
        let channels_of = |fold: Option<Fold>| fold.map_or(0, |fold| int(fold.channels));
        let shape = LayerArgs {
            ld_weight: int(columns),
            kernel: int(conv.kernel),
            stride: int(conv.stride),
            padding: int(conv.padding),
            depth: int(depth),
            fold_in: channels_of(from.fold),
            fold_in_at: fold_in.map_or(0, |fold| int(fold.at)),
            fold_residual: channels_of(residual.and_then(|input| input.fold)),
            activation: activation_number(conv.activation),
            ..LayerArgs::default()
        };
        let residual = residual.map(|input| input.map.slot);
        self.push(Layer { kind, from: map, to: output, residual, weight_at, bias_at, shape })
    }

    /// Adds a 3x3 max pool of stride 2 with one pixel of padding.
    pub fn max_pool(&mut self, from: Map, to: Slot) -> Map {
        let output = Map { slot: to, height: from.height.div_ceil(2), width: from.width.div_ceil(2), ..from };
        self.push(Layer::plain(Kind::MaxPool, from, output))
    }

    /// Adds the mean over the picture and the linear layer: `weight` `[classes, channels]`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn classify(&mut self, from: Map, weight: &[f32], bias: &[f32]) {
        assert_eq!(
            [weight.len(), bias.len()],
            [self.classes * from.channels, self.classes],
            "the linear layer"
        );
        let features = Map { slot: Slot::Features, height: 1, width: 1, ..from };
        let features = self.push(Layer::plain(Kind::Mean, from, features));
        let (depth, columns) = (from.channels, self.classes.next_multiple_of(ALIGNED));
        let weight_at = self.weights_of(depth, columns, |row, column| {
            if column < bias.len() { weight[column * depth + row] } else { 0.0 }
        });
        let bias_at = self.bias_of(bias, columns);
        let logits = Map { slot: Slot::Logits, height: 1, width: 1, channels: self.classes };
        let mut linear = Layer::plain(Kind::Pointwise, features, logits);
        (linear.weight_at, linear.bias_at) = (weight_at, bias_at);
        linear.shape.ld_weight = int(columns);
        linear.shape.depth = int(depth);
        linear.shape.is_f32_out = 1;
        self.push(linear);
    }

    /// What activations are stored as.
    pub const fn element(&self) -> Element {
        self.element
    }

    /// Logits a frame.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Numbers of a frame.
    pub const fn frame_values(&self) -> usize {
        3 * self.side * self.side
    }

    /// Whether it takes frames of this form.
    pub const fn takes(&self, form: FrameForm) -> bool {
        matches!(form, FrameForm::Normalised) || self.levels_at.is_some()
    }

    /// Where the levels' values stand in the weights.
    pub(super) const fn levels_at(&self) -> Option<usize> {
        self.levels_at
    }

    /// Elements of a stream's memory, gaps included.
    pub const fn fold_len(&self) -> usize {
        self.fold_len
    }

    /// Streams of the largest step whose tensors have fewer than 2^31 elements, as the kernels count.
    pub fn most_streams(&self) -> usize {
        let largest = self.slots.iter().copied().chain([self.frame_values(), 1]).max().unwrap_or(1);
        i32::MAX as usize / largest
    }

    /// Kernels of a step of normalised frames, each layer by itself.
    pub fn launch_count(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn weights(&self) -> [&[f32]; 2] {
        [&self.weights, &self.biases]
    }

    /// Gives their memory back, once the machine has them.
    pub(super) fn forget_weights(&mut self) {
        (self.weights, self.biases) = (Vec::new(), Vec::new());
    }

    pub(super) const fn slot_floats(&self, slot: usize) -> usize {
        self.slots[slot]
    }

    pub(super) const fn slot_element(&self, slot: usize) -> Element {
        if slot == Slot::Logits as usize { Element::F32 } else { self.element }
    }

    /// Its layers, in order.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn push(&mut self, layer: Layer) -> Map {
        assert!(layer.from.slot != layer.to.slot, "{:?} is read and written", layer.to);
        let to = layer.to;
        self.reserve(to);
        self.layers.push(layer);
        to
    }

    fn reserve(&mut self, map: Map) {
        let slot = &mut self.slots[map.slot as usize];
        *slot = map.len().max(*slot);
    }

    /// Appends `[rows, columns]` values.
    fn weights_of(&mut self, rows: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> usize {
        let at = self.weights.len();
        self.weights.extend((0..rows * columns).map(|i| value(i / columns, i % columns)));
        self.weights.resize(self.weights.len().next_multiple_of(ALIGNED), 0.0);
        at
    }

    fn bias_of(&mut self, bias: &[f32], columns: usize) -> usize {
        let at = self.biases.len();
        self.biases.extend(bias);
        self.biases.resize((at + columns).next_multiple_of(ALIGNED), 0.0);
        at
    }
}

impl Layer {
    fn plain(kind: Kind, from: Map, to: Map) -> Self {
        let shape = LayerArgs { kernel: 1, stride: 1, ..LayerArgs::default() };
        Self { kind, from, to, residual: None, weight_at: 0, bias_at: 0, shape }
    }
}

pub(super) const fn activation_number(activation: Activation) -> i32 {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Relu6 => 2,
    }
}
