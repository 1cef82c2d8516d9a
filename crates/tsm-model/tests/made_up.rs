//! Networks with made-up weights: they recognise nothing and obey every law.

use tsm_model::checkpoint::{Checkpoint, Origin, Weights};
use tsm_model::{
    Architecture, Backbone, DType, Device, ExecutorChoice, Model, ModelSpec, ShiftKind, ShiftPlace,
    ShiftSpec, Tensor,
};

/// A generator of numbers in -1..1; the same seed, the same numbers.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f32::from(u16::try_from(self.0 >> 48).unwrap()) / 32768.0 - 1.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// A small network: seven classes, pictures of `size_px`.
pub(crate) fn spec(backbone: Backbone, kind: ShiftKind, place: ShiftPlace, size_px: usize) -> ModelSpec {
    let mut spec = ModelSpec::new(backbone, 7);
    spec.shift = ShiftSpec::new(kind, place, 8, 4, backbone);
    spec.input.size_px = size_px;
    spec
}

/// Weights for which activations keep a healthy size through all layers.
pub(crate) fn checkpoint(spec: ModelSpec, seed: u64) -> Checkpoint {
    let mut numbers = Numbers::new(seed);
    let mut weights = Weights::default();
    for parameter in Architecture::of(&spec).parameters() {
        let count = parameter.shape.iter().product();
        let fan_in: usize = parameter.shape.iter().skip(1).product();
        let scale = (6.0 / f32::from(u16::try_from(fan_in.max(1)).unwrap())).sqrt();
        let values: Vec<f32> = match parameter.name.rsplit('.').next() {
            Some("running_var") => numbers.take(count).iter().map(|v| 1.0 + 0.2 * v).collect(),
            Some("running_mean" | "bias") => numbers.take(count).iter().map(|v| 0.1 * v).collect(),
            _ if parameter.shape.len() == 1 => numbers.take(count).iter().map(|v| 0.9 + 0.1 * v).collect(),
            _ => numbers.take(count).iter().map(|v| scale * v).collect(),
        };
        weights.insert(parameter.name, Tensor::from_vec(values, parameter.shape, &Device::Cpu).unwrap());
    }
    Checkpoint { spec, weights, origin: Origin::Own }
}

pub(crate) fn model(backbone: Backbone, kind: ShiftKind, place: ShiftPlace, size_px: usize) -> Model {
    loaded(spec(backbone, kind, place, size_px), 1, ExecutorChoice::default())
}

/// The same network on each executor.
pub(crate) fn on_both(spec: &ModelSpec, seed: u64) -> [Model; 2] {
    [ExecutorChoice::default(), ExecutorChoice::Candle].map(|choice| loaded(spec.clone(), seed, choice))
}

fn loaded(spec: ModelSpec, seed: u64, choice: ExecutorChoice) -> Model {
    Model::load_with(&checkpoint(spec, seed), Device::Cpu, DType::F32, choice).unwrap()
}
