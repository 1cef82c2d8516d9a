//! A step on an NVIDIA GPU: a list of launches as data, and the machines that run it.
//!
//! ```text
//! the model ─► Program (layers, weights, slots) ─ for n streams ─► ways of each layer
//!                                                   the tuner asks which is fastest ▼
//!                                                                    launches: kernel, grid, arguments
//!                                                                     ├─► Gpu    driver, a CUDA graph a kind of step
//!                                                                     └─► Twins  the same kernels, for the host
//! ```
//!
//! The kernels lie in `cuda/` of this crate, one body for both machines (`launch.cuh` shows how). So all that can
//! be wrong without a race or a driver (indices, borders, folds, sums, which buffer follows which) is tested where
//! there is no GPU. It knows no checkpoint and no network.

mod args;
mod buffers;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(test)]
#[cfg(feature = "cuda-host-twins")]
mod layers_tests;
mod machine;
pub(crate) mod planar;
pub(crate) mod preprocess;
mod program;
mod tile;
mod tuner;
#[cfg(feature = "cuda-host-twins")]
mod twins;
mod ways;

#[cfg(feature = "cuda")]
pub(crate) use args::{KernelArgs, Launch};
#[cfg(feature = "cuda")]
pub use gpu::{DeviceMemory, Gpu};
#[cfg(feature = "cuda")]
pub(crate) use gpu::{kernels, launch};
pub use machine::{FoldsOf, Machine, MachineError};
pub use program::{ConvLayer, Element, Fold, Input, Map, Program, Slot};
#[cfg(feature = "cuda-host-twins")]
pub use twins::{HostMemory, Twins};
