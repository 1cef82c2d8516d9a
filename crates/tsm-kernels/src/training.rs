//! The operations of training, forward and backward, in candle's autograd.
//!
//! ```text
//! frames [n, 3, h, w] ─ FeatureMap::from_tensor ─► conv2d ─ batch_norm_train ─ depthwise3x3 ─ … ─ add ─┐
//!                                                                                                      │
//! loss.backward() ◄── loss ◄── linear, in candle ◄── Tensor [n, c] ◄── global_average_pool ◄───────────┘
//! ```
//!
//! Parameters are candle tensors (`Var`s where they learn), the loss is a candle tensor, and `Tensor::backward`
//! finds all gradients. Between, activations are [`FeatureMap`]s: in f32 on the CPU our own memory and kernels, on
//! any other device or in another data type tensors and candle's own operations, through the same functions.
//!
//! Three things make it fast. Activations' gradients do not go through candle's store, which copies each three
//! times. A batch normalisation never runs: its neighbours take its sums and make its products while the values
//! are in a core's cache. Memory is kept from step to step ([`release_idle_buffers`]).
//!
//! Same input, same bits: sums are cut by shapes alone, whatever the number of threads. The matrix product is the
//! `gemm` crate's, whose blocks follow the CPU's caches: on another CPU the last bits may differ.
//!
//! # A step
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use tsm_kernels::bias_activation::Activation;
//! use tsm_kernels::training::{FeatureMap, batch_norm_train, conv2d, global_average_pool};
//!
//! let frames = Tensor::randn(0f32, 1.0, (2, 3, 9, 8), &Device::Cpu)?;
//! let filter = Var::randn(0f32, 0.1, (4, 3, 3, 3), &Device::Cpu)?;
//! let (weight, bias) = (Var::ones(4, frames.dtype(), &Device::Cpu)?, Var::zeros(4, frames.dtype(), &Device::Cpu)?);
//!
//! let x = FeatureMap::from_tensor(&frames)?;
//! let x = conv2d(&x, &filter, 2, 1)?;
//! let (x, stats) = batch_norm_train(&x, &weight, &bias, 1e-5, Activation::Relu6)?;
//! let features = global_average_pool(&x)?;
//! let gradients = features.sqr()?.sum_all()?.backward()?;
//! assert_eq!(gradients.get(&filter).unwrap().dims(), [4, 3, 3, 3]);
//! assert_eq!(stats.mean.dims(), [4]);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod add;
mod average_pool;
mod batch_norm;
mod buffer;
mod candle_way;
mod conv;
mod depthwise3x3;
mod feature_map;
mod graph;
mod level;
mod matmul;
mod max_pool;
mod rows;
mod temporal_shift;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;

pub use add::add;
pub use average_pool::global_average_pool;
pub use batch_norm::{BatchStats, batch_norm_frozen, batch_norm_train};
pub use buffer::release_idle_buffers;
pub use conv::conv2d;
pub use depthwise3x3::depthwise3x3;
pub use feature_map::FeatureMap;
pub use max_pool::max_pool_3x3_s2_p1;
pub use temporal_shift::{TemporalShift, temporal_shift};
