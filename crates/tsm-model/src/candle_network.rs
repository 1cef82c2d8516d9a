//! A network in Candle: folded convolutions in the order that [`Architecture`] lists.
//!
//! ```text
//! x [b, 3, h, w] ─ stem ─ pool ─┬─► shift? ─ convs ─┬─ + ─ act ─► … ─ last ─ mean ─ linear ─► [b, classes]
//!                               └──── shortcut ─────┘   (once a block)
//! ```
//!
//! What the shift does is handed in: whole clips move channels between rows, a stream takes them
//! from its state. Batch norm is folded into the convolution before it. It knows no stream.

use candle_core::{D, DType, Device, Module, Result, Tensor};
use candle_nn::Linear;
use tsm_kernels::bias_activation::Activation;
use tsm_kernels::candle_ops;

use crate::architecture::{Architecture, Block, ConvUnit, Shortcut};
use crate::checkpoint::Weights;
use crate::folding::Folded;
use crate::shift::ShiftPlace;

/// Shifts the input of the n-th shifted block, `[b, c, h, w]` to the same shape.
pub(crate) type ShiftFn<'a> = dyn FnMut(usize, &Tensor) -> Result<Tensor> + 'a;

/// Weights on their device, ready to run.
#[derive(Debug)]
pub(crate) struct CandleNetwork {
    stem: FoldedConv,
    has_stem_pool: bool,
    blocks: Vec<FoldedBlock>,
    last: Option<FoldedConv>,
    linear: Linear,
    place: ShiftPlace,
    dtype: DType,
}

#[derive(Debug)]
struct FoldedBlock {
    /// Its number among the shifted blocks.
    shift_index: Option<usize>,
    convs: Vec<FoldedConv>,
    shortcut: FoldedShortcut,
    activation: Activation,
}

#[derive(Debug)]
enum FoldedShortcut {
    Absent,
    Identity,
    Projection(FoldedConv),
}

#[derive(Debug)]
struct FoldedConv {
    unit: ConvUnit,
    weight: Tensor,
    bias: Tensor,
}

impl CandleNetwork {
    /// Folds `weights` and moves them to `device` as `dtype`.
    ///
    /// The weights must be those of `architecture`; a checkpoint that was opened is.
    pub(crate) fn new(
        architecture: &Architecture,
        place: ShiftPlace,
        weights: &Weights,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let load = Loader { weights, device, dtype };
        let mut shifted = 0..;
        let mut block = |block: &Block| -> Result<FoldedBlock> {
            Ok(FoldedBlock {
                shift_index: if block.is_shifted { shifted.next() } else { None },
                convs: block.convs.iter().map(|unit| load.conv(unit)).collect::<Result<_>>()?,
                shortcut: match &block.shortcut {
                    Shortcut::Absent => FoldedShortcut::Absent,
                    Shortcut::Identity => FoldedShortcut::Identity,
                    Shortcut::Projection(unit) => FoldedShortcut::Projection(load.conv(unit)?),
                },
                activation: block.activation,
            })
        };
        Ok(Self {
            stem: load.conv(&architecture.stem)?,
            has_stem_pool: architecture.has_stem_pool,
            blocks: architecture.blocks.iter().map(&mut block).collect::<Result<_>>()?,
            last: architecture.last.as_ref().map(|unit| load.conv(unit)).transpose()?,
            linear: load.linear(architecture.linear)?,
            place,
            dtype,
        })
    }

    /// Logits `[b, classes]`, f32, of normalised pictures `[b, 3, h, w]`.
    pub(crate) fn forward(&self, pictures: &Tensor, shift: &mut ShiftFn<'_>) -> Result<Tensor> {
        let mut x = self.stem.forward(&pictures.to_dtype(self.dtype)?)?;
        if self.has_stem_pool {
            x = max_pool(&x)?;
        }
        for block in &self.blocks {
            x = block.forward(x, self.place, shift)?;
        }
        if let Some(last) = &self.last {
            x = last.forward(&x)?;
        }
        let features = x.flatten_from(2)?.mean(D::Minus1)?;
        self.linear.forward(&features)?.to_dtype(DType::F32)
    }
}

impl FoldedBlock {
    fn forward(&self, x: Tensor, place: ShiftPlace, shift: &mut ShiftFn<'_>) -> Result<Tensor> {
        let (around, through) = match (self.shift_index, place) {
            (None, _) => (x.clone(), x),
            (Some(index), ShiftPlace::Blockres) => {
                let shifted = shift(index, &x)?;
                (x, shifted)
            }
            (Some(index), ShiftPlace::Block) => {
                let shifted = shift(index, &x)?;
                (shifted.clone(), shifted)
            }
        };
        let mut y = through;
        for conv in &self.convs {
            y = conv.forward(&y)?;
        }
        match &self.shortcut {
            FoldedShortcut::Absent => Ok(y),
            FoldedShortcut::Identity => candle_ops::add_activation(y, &around, self.activation),
            FoldedShortcut::Projection(conv) => {
                candle_ops::add_activation(y, &conv.forward(&around)?, self.activation)
            }
        }
    }
}

impl FoldedConv {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let unit = &self.unit;
        let y = if unit.is_depthwise() {
            candle_ops::depthwise_conv2d(x, &self.weight, unit.stride, unit.padding)?
        } else if unit.kernel == 1 && unit.stride == 1 {
            candle_ops::pointwise_conv2d(x, &self.weight)?
        } else {
            x.conv2d(&self.weight, unit.padding, unit.stride, 1, 1)?
        };
        candle_ops::bias_activation(y, &self.bias, unit.activation)
    }
}

/// 3x3, stride 2, one pixel of padding: what follows the stem of a `ResNet`.
///
/// Zeros stand in for the padding, which is right because they follow a ReLU.
fn max_pool(x: &Tensor) -> Result<Tensor> {
    x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?.max_pool2d_with_stride(3, 2)
}

/// Folds and moves.
struct Loader<'a> {
    weights: &'a Weights,
    device: &'a Device,
    dtype: DType,
}

impl Loader<'_> {
    fn conv(&self, unit: &ConvUnit) -> Result<FoldedConv> {
        let Folded { weight, bias } = Folded::conv(self.weights, unit)?;
        Ok(FoldedConv { unit: unit.clone(), weight: self.place(&weight)?, bias: self.place(&bias)? })
    }

    fn linear(&self, name: &str) -> Result<Linear> {
        let Folded { weight, bias } = Folded::linear(self.weights, name)?;
        Ok(Linear::new(self.place(&weight)?, Some(self.place(&bias)?)))
    }

    fn place(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.to_dtype(self.dtype)?.to_device(self.device)
    }
}
