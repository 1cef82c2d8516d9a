//! Which layers are tried: those that a program can have, of any shape.

use proptest::prelude::*;

use super::oracle::Numbers;
use crate::bias_activation::Activation;
use crate::cuda::program::{ConvLayer, Element, Fold, Input, Map, Program, Slot};

/// Multiply-adds of a case: each is done in some tens of ways, and by the oracle, which is slow.
const MOST_MULTIPLY_ADDS: usize = 400_000;

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    /// The stem.
    Frames,
    Pointwise,
    Patches,
    Depthwise,
    /// A depthwise convolution and the product behind it.
    Pair,
}

/// What is added to the outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Around {
    Nothing,
    /// Another map.
    Another,
    /// The same with a fold.
    AnotherShifted,
    /// The input, where it has the output's shape.
    Input,
    /// The input as it is before it is shifted.
    InputUnshifted,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) what: What,
    pub(super) element: Element,
    pub(super) pictures: usize,
    size: [usize; 2],
    channels: usize,
    columns: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    activations: [Activation; 2],
    around: Around,
    /// Elements that another layer remembers before.
    gap: usize,
    /// Channels of the folds of the input or what is around, and of the output.
    folds: [usize; 2],
    pub(super) multiprocessors: usize,
    pub(super) seed: u64,
}

pub(super) fn cases(what: What) -> impl Strategy<Value = Case> {
    let activation = || prop::sample::select(vec![Activation::None, Activation::Relu, Activation::Relu6]);
    let around =
        vec![Around::Nothing, Around::Another, Around::AnotherShifted, Around::Input, Around::InputUnshifted];
    let fold = || prop_oneof![1 => Just(0usize), 3 => 1usize..=80];
    let map = (1usize..=4, [1usize..=17, 1usize..=17], 1usize..=10, 1usize..=18);
    let window = (prop::sample::select(vec![1usize, 3, 5, 7]), 1usize..=2, 0usize..=4);
    let rest = (prop::sample::select(vec![1usize, 5, 40]), any::<u64>());
    let element = prop::sample::select(vec![Element::F32, Element::F16]);
    let follows = ([activation(), activation()], prop::sample::select(around), 0usize..=24, [fold(), fold()]);
    (element, map, window, follows, rest).prop_map(move |(element, map, window, follows, rest)| {
        let (pictures, size, eights_in, eights_out) = map;
        let (kernel, stride, padding) = window;
        let (activations, around, gap, folds) = follows;
        let (multiprocessors, seed) = rest;
        let (channels, columns) = (eights_in * 8, eights_out * 8);
        let case = Case { element, pictures, size, channels, columns, ..Case::of_one_pixel(what, element) };
        let case = Case { kernel, stride, padding, activations, around, gap, folds, ..case };
        Case { multiprocessors, seed, ..case }.fitted()
    })
}

impl Case {
    /// A small one, before it is [`Self::fitted`].
    pub(super) fn of_one_pixel(what: What, element: Element) -> Self {
        Self {
            what,
            element,
            pictures: 1,
            size: [1, 1],
            channels: 8,
            columns: 16,
            kernel: 3,
            stride: 1,
            padding: 1,
            activations: [Activation::None; 2],
            around: Around::Nothing,
            gap: 0,
            folds: [0; 2],
            multiprocessors: 1,
            seed: 1,
        }
    }

    /// The nearest case that a program can have, and that is small enough.
    pub(super) fn fitted(mut self) -> Self {
        match self.what {
            What::Frames => (self.channels, self.folds[0]) = (3, 0),
            What::Pointwise => (self.kernel, self.stride, self.padding) = (1, 1, 0),
            What::Patches => {}
            What::Depthwise | What::Pair => (self.kernel, self.padding) = (3, self.padding % 3),
        }
        if self.what == What::Depthwise {
            self.columns = self.channels;
        }
        while self.multiply_adds() > MOST_MULTIPLY_ADDS && self.pictures > 1 {
            self.pictures -= 1;
        }
        while self.multiply_adds() > MOST_MULTIPLY_ADDS && self.size[0] > 1 {
            self.size[0] -= 1;
        }
        if self.size.iter().any(|length| length + 2 * self.padding < self.kernel) {
            self.padding = self.kernel / 2;
        }
        let has_outputs_shape = self.output_size() == self.size && self.columns == self.channels;
        self.around = match (self.what, self.around) {
            (What::Depthwise | What::Frames, _) => Around::Nothing,
            (_, Around::Input | Around::InputUnshifted) if !has_outputs_shape => Around::Another,
            (_, around) => around,
        };
        // One place in the arguments names both folds.
        let shifted = if self.around == Around::AnotherShifted { self.columns } else { self.channels };
        self.folds[0] %= shifted + 1;
        if self.what == What::Pair && self.around != Around::AnotherShifted {
            self.folds[0] = 0; // a depthwise convolution of a shifted map is made by itself
        }
        self.folds[1] %= self.columns + 1;
        self
    }

    fn output_size(&self) -> [usize; 2] {
        self.size.map(|length| (length + 2 * self.padding - self.kernel) / self.stride + 1)
    }

    fn multiply_adds(&self) -> usize {
        let [height, width] = self.size.map(|length| length.div_ceil(self.stride));
        let depth = match self.what {
            What::Frames | What::Patches => self.channels * self.kernel * self.kernel,
            What::Depthwise => 9,
            What::Pointwise | What::Pair => self.channels,
        };
        self.pictures * height * width * depth * self.columns
    }

    /// The program of `layers`, and layers before it that leave what they read of the frame before.
    pub(super) fn built(&self, layers: &[OwnedLayer]) -> Built {
        let mut program = Program::new(self.element, 1, 1);
        left_behind(&mut program, Map { slot: Slot::Odd, height: 1, width: 1, channels: 24 }, self.gap);
        let [[height, width], [out_height, out_width]] = [self.size, self.output_size()];
        let slot = if self.what == What::Frames { Slot::Frames } else { Slot::Even };
        let map = Map { slot, height, width, channels: self.channels };
        let other =
            Map { slot: Slot::Shortcut, height: out_height, width: out_width, channels: self.columns };
        let shifted = if self.around == Around::AnotherShifted { other } else { map };
        let fold = left_behind(&mut program, shifted, self.folds[0]);
        let [of_map, of_other] = [map, other].map(|map| fold.filter(|_| map == shifted));
        let input = Input { map, fold: of_map };
        let residual = match self.around {
            Around::Nothing => None,
            Around::Another | Around::AnotherShifted => Some(Input { map: other, fold: of_other }),
            Around::Input => Some(input),
            Around::InputUnshifted => Some(Input { map, fold: None }),
        };
        let first = program.layers().len();
        let mut made: Vec<Map> = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let is_last = index + 1 == layers.len();
            let from = made.last().map_or(input, |map| Input { map: *map, fold: None });
            let to = if is_last { Slot::Odd } else { Slot::Hidden };
            made.push(program.conv(&layer.layer(), from, residual.filter(|_| is_last), to));
        }
        let output = made[layers.len() - 1];
        let fold_out = (self.folds[1] > 0).then(|| program.fold(output, self.folds[1]));
        Built { program, first, input, residual, made, fold_out }
    }

    /// The convolutions: their weights amount to outputs of some ones, so that every activation bends some.
    pub(super) fn layers(&self, numbers: &mut Numbers) -> Vec<OwnedLayer> {
        let &Self { channels, columns, kernel, stride, padding, activations: [first, second], .. } = self;
        let depthwise = |numbers: &mut Numbers, activation| OwnedLayer {
            weight: numbers.take(channels * 9),
            bias: numbers.take(channels),
            window: [3, stride, padding],
            is_depthwise: true,
            activation,
        };
        let dense = |numbers: &mut Numbers, window: [usize; 3], activation| OwnedLayer {
            weight: numbers.take(columns * channels * window[0] * window[0]),
            bias: numbers.take(columns),
            window,
            is_depthwise: false,
            activation,
        };
        match self.what {
            What::Depthwise => vec![depthwise(numbers, first)],
            What::Pair => vec![depthwise(numbers, first), dense(numbers, [1, 1, 0], second)],
            _ => vec![dense(numbers, [kernel, stride, padding], first)],
        }
    }
}

/// A convolution that owns its weights.
pub(super) struct OwnedLayer {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// Kernel, stride, padding.
    pub(super) window: [usize; 3],
    pub(super) is_depthwise: bool,
    pub(super) activation: Activation,
}

impl OwnedLayer {
    pub(super) fn layer(&self) -> ConvLayer<'_> {
        let Self { weight, bias, window: [kernel, stride, padding], is_depthwise, activation } = self;
        ConvLayer {
            weight,
            bias,
            kernel: *kernel,
            stride: *stride,
            padding: *padding,
            is_depthwise: *is_depthwise,
            activation: *activation,
        }
    }
}

/// A program under test.
pub(super) struct Built {
    pub(super) program: Program,
    /// The first of the layers that are tried; those before only leave folds.
    pub(super) first: usize,
    pub(super) input: Input,
    pub(super) residual: Option<Input>,
    /// What each layer makes.
    pub(super) made: Vec<Map>,
    pub(super) fold_out: Option<Fold>,
}

/// Adds a layer that makes `map` and leaves a fold of it, unless that has no channels.
fn left_behind(program: &mut Program, map: Map, channels: usize) -> Option<Fold> {
    if channels == 0 {
        return None;
    }
    let from = Map { slot: Slot::AlsoHidden, height: map.height * 2, width: map.width * 2, ..map };
    let made = program.max_pool(from, map.slot);
    Some(program.fold(made, channels))
}
