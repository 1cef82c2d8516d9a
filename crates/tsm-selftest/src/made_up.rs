//! Networks and frames made up from a seed: they recognise nothing and obey every law.
//!
//! Integers make the numbers and powers of two scale them, so every machine makes the same bits.

use tsm_model::checkpoint::{Checkpoint, Origin, Weights};
use tsm_model::device::ComputeError;
use tsm_model::{Architecture, Backbone, Device, ModelSpec, Tensor};

/// Classes of a made-up network: as many as Kinetics has, what the published models label.
const CLASSES: usize = 400;

/// Numbers in -1..1; the same seed, the same numbers (xorshift, Marsaglia 2003).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next one.
    pub fn next_number(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bytes = self.0.to_be_bytes();
        f32::from(u16::from_be_bytes([bytes[0], bytes[1]])) / 32768.0 - 1.0
    }

    /// The next `count`.
    pub fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next_number()).collect()
    }
}

/// A causal network of `backbone` that sees pictures of `size_px`, with weights of `seed` for which activations keep
/// a healthy size through all layers, in half precision, too.
///
/// # Errors
/// [`ComputeError`] if the memory runs out.
pub fn checkpoint(backbone: Backbone, size_px: usize, seed: u64) -> Result<Checkpoint, ComputeError> {
    let mut spec = ModelSpec::new(backbone, CLASSES);
    spec.input.size_px = size_px;
    let mut numbers = Numbers::new(seed);
    let mut weights = Weights::default();
    for parameter in Architecture::of(&spec).parameters() {
        let count = parameter.shape.iter().product();
        let values = values(&parameter.name, &parameter.shape, &mut numbers, count);
        weights.insert(parameter.name, Tensor::from_vec(values, parameter.shape, &Device::Cpu)?);
    }
    Ok(Checkpoint { spec, weights, origin: Origin::Own })
}

fn values(name: &str, shape: &[usize], numbers: &mut Numbers, count: usize) -> Vec<f32> {
    let around = |numbers: &mut Numbers, middle: f32, width: f32| {
        (0..count).map(|_| middle + width * numbers.next_number()).collect()
    };
    match name.rsplit('.').next() {
        Some("running_var") => around(numbers, 1.0, 0.25),
        Some("running_mean" | "bias") => around(numbers, 0.0, 0.125),
        _ if shape.len() == 1 => around(numbers, 0.875, 0.125),
        _ => {
            // He et al. 2015: variance 2 / fan-in keeps the size of what a ReLU lets through.
            let fan_in: usize = shape.iter().skip(1).product();
            let fan_in = u16::try_from(fan_in.max(1)).map_or(f32::from(u16::MAX), f32::from);
            around(numbers, 0.0, (6.0 / fan_in).sqrt())
        }
    }
}

/// `count` bytes of any level.
pub fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    (0..count).map(|_| numbers.next_number().to_bits().to_le_bytes()[2]).collect()
}

/// `count` normalised frames `[count, 3, size_px, size_px]` of the stream `seed`.
pub fn frames(seed: u64, count: usize, size_px: usize) -> Vec<f32> {
    Numbers::new(seed).take(count * 3 * size_px * size_px)
}
