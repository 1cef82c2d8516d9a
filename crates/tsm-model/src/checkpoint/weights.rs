//! The tensors of a network by torchvision's names, on the CPU, in single precision.
//!
//! Batch norm is unfolded, so that training can start from here; folding is the executors' work.

use std::collections::BTreeMap;

use candle_core::Tensor;

/// Tensors by torchvision's names: `layer1.0.conv1.weight`, `features.3.conv.0.0.weight`, `fc.bias`.
///
/// What a [`super::Checkpoint`] holds is known to fit its network: every tensor of
/// [`crate::Architecture::parameters`], with that shape, f32, contiguous, on the CPU, finite.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Puts a tensor under a name and gives back the one that stood there. Whether it fits is
    /// checked by [`super::Checkpoint::save`].
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        self.tensors.insert(name.into(), tensor)
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Every name with its tensor, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}
