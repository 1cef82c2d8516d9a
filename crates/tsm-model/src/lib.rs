//! Temporal Shift Module networks (TSM, arXiv 1811.08383): what they are, how they are stored, and
//! how they label a clip or the next frame of a stream.
//!
//! ```text
//! file ─ checkpoint ─► ModelSpec + Weights ─ architecture ─► Executor ─┬─ step(frame, state) ─► logits
//!                                                            (seam)    └─ forward_clip ─► logits
//! ```
//!
//! It knows no clock and no video: frames come in as normalised numbers or bytes, and what runs on several threads
//! within a step is over when the step is.
//!
//! ```no_run
//! use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
//! use tsm_model::{Device, Model};
//!
//! let checkpoint = Checkpoint::open("model.safetensors".as_ref(), &SpecOverrides::default())?;
//! let mut model = Model::load(&checkpoint, Device::Cpu)?;
//! let mut state = model.fresh_state();
//! let frame = vec![0.0; 3 * 224 * 224];
//! let mut logits = vec![0.0; model.spec().classes.len()];
//! model.step(&frame, &mut [&mut state], &mut logits)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod architecture;
pub mod atomic_file;
mod candle_executor;
mod candle_network;
pub mod checkpoint;
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
mod cuda_executor;
pub mod device;
pub mod executor;
mod folding;
pub mod gpu;
pub mod label_map;
mod model;
pub mod motion_head;
pub mod path_fault;
mod planned_executor;
pub mod preprocess;
pub mod shift;
mod spare_threads;
pub mod spec;
pub mod verify;

pub use architecture::Architecture;
pub use candle_core::{DType, Device, Tensor};
pub use candle_executor::CandleExecutor;
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
pub use cuda_executor::CudaExecutor;
pub use executor::{ClipLogits, Executor, StateTensor, StepError, StreamState};
pub use model::{ExecutorChoice, Model};
pub use planned_executor::{Clips, PlanElement, PlanOptions, PlannedExecutor};
pub use preprocess::InputSpec;
pub use shift::{ShiftKind, ShiftPlace, ShiftSpec};
pub use spec::{Backbone, ModelSpec, MotionFeatures};
pub use tsm_kernels::blocked::Team;
pub use tsm_kernels::frames::{FrameForm, FrameMemory, FrameMut, Frames};
