//! The operations of the planned executor: weights packed once, channels in blocks of sixteen, nothing copied.
//!
//! ```text
//! frame [3, h, w] ─ pad ─► planar ─ Conv (stem) ─► blocked ─┬─ InvertedResidual, or Conv, Depthwise, Conv
//!                                                           ├─ MaxPool
//!                                  shift: state ─► patch ──►┘        … ─ mean ─ Conv (linear) ─► logits
//! ```
//!
//! | file | does |
//! | --- | --- |
//! | [`layout`](self::Layout) | where a float of a picture lies |
//! | `tile`, `depthwise`, `max_pool`, `winograd/transform` | the innermost loops, once, for any vector |
//! | `vector`, `avx2`, `avx512` | that vector: plain Rust (the meaning), and one file an instruction set |
//! | `kernels` | which of them a level takes |
//! | `conv`, `winograd`, `inverted_residual` | loop nests around the innermost ones, over threads |
//! | `team`, `shared` | the threads, and slices that they write together |
//!
//! Each operation checks the lengths of its slices when it runs and the shapes when it is made; inside, kernels
//! go through pointers, because several threads write one tensor. An operation is made for a [`CpuLevel`]; plain
//! Rust is the twin of both others, and they differ from it by the roundings of fused multiply-adds only.
#![allow(
    unsafe_code,
    reason = "vector code behind a proof of the CPU level, and tensors written by several threads"
)]
#![expect(
    clippy::inline_always,
    reason = "what is not inlined would be compiled without the caller's instructions"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod border;
mod buffer;
mod conv;
mod depthwise;
mod inverted_residual;
mod kernels;
mod layout;
mod max_pool;
mod mean;
mod pad;
mod shared;
mod shift;
mod team;
#[cfg(test)]
mod tests;
mod tile;
mod vector;
mod winograd;

pub use buffer::Buffer;
pub use conv::{Conv, Filter, Inputs, Places};
pub use depthwise::Depthwise;
pub use inverted_residual::{InvertedResidual, band_rows_within, ring_rows};
pub use layout::{LANES, Layout, blocked_from_planar, planar_from_blocked};
pub use max_pool::MaxPool;
pub use mean::mean;
pub use pad::pad;
pub use shift::{fold_blocks, planar_from_state, shift_in_place, shift_into_patch};
pub use team::{Shared, Team};
pub use winograd::{TileSide, Winograd};

use crate::bias_activation::Activation;
#[cfg(doc)]
use crate::cpu_level::CpuLevel;

/// What results are held between; NaN passes.
fn activation_clamp(activation: Activation) -> [f32; 2] {
    match activation {
        Activation::None => [f32::NEG_INFINITY, f32::INFINITY],
        Activation::Relu => [0.0, f32::INFINITY],
        Activation::Relu6 => [0.0, 6.0],
    }
}
