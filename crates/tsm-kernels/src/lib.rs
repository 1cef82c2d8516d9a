//! The fast operations of `tsm`: what turns a camera's picture into network input,
//! and what candle lacks or does slowly.
//!
//! ```text
//! Picture ─ colour ─► RGB rows ─ resize ─► crop [h, w, 3] ─ orientation ─ normalise ─► [3, h, w] f32 ─► the network
//!                                                              └───────────── as bytes, to a GPU ─────────────► │
//!                                                                             candle_ops ◄─────────────┘
//!                                                              (preprocess, depthwise, … on tensors)
//! ```
//!
//! | module | does | fast path | equal to its scalar twin |
//! | --- | --- | --- | --- |
//! | [`colour`] | any YUV or RGB layout to RGB, within 2 levels of ffmpeg, greys exact | AVX2 and AVX-512 for 8-bit 4:2:0 and 4:2:2 as they lie | to the bit |
//! | [`resize`] | PIL's antialiased bilinear with a crop, to the bit | AVX2, AVX-512 with VNNI | to the bit |
//! | [`orientation`] | turns and mirrors | none: it sees the small crop | |
//! | [`normalise`] | `(x / 255 - mean) / std`, planar | a table | |
//! | [`frames`] | frames on their way into a step: normalised, or bytes that a GPU normalises | | |
//! | [`depthwise`] | depthwise convolution | AVX2 for 3x3, stride 1 and 2 | to the bit |
//! | [`mod@bias_activation`] | bias or residual, and the activation | the same code compiled for AVX2 | to the bit |
//! | [`flow`] | optical flow between two frames, and its histograms | rows that the compiler makes vectors of | |
//! | [`blocked`] | whole networks without candle: packed weights, channels in blocks of sixteen, a team of threads | one body compiled for AVX2 and AVX-512 | but for the roundings of fused multiply-adds |
//! | [`candle_ops`] | depthwise, bias and activation, the 1x1 convolution, the shift of a step and preprocessing on tensors, over threads | | |
//! | `cuda` | whole networks on an NVIDIA GPU: layers as data, launches, one graph a batch size and form of frames (features `cuda`, `cuda-host-twins`) | kernels in `cuda/` | the same source compiled for the host |
//! | [`training`] | convolution, batch norm, pools, shift, sums with their gradients | one body compiled for AVX2 and AVX-512 | to the bit, but for the matrix product |
//! | [`cpu_level`] | which path runs: what the CPU has, lowered by `TSM_CPU` | | |
//! | [`allocations`] | counts what tests and benches take from the allocator | | |
//!
//! All but [`blocked`], [`candle_ops`] and [`training`] are plain functions on slices: no thread, no clock, no network,
//! and no memory taken once their buffers have grown (the depthwise convolution takes one padded plane a call).
//!
//! # The rule of unsafe
//!
//! This is the only crate of the workspace with `unsafe`, and only vector code has it. Each such function takes a
//! proof that the CPU can run it ([`cpu_level::Avx2`]), which only the detection makes. Inside, everything is safe
//! Rust but the loads and stores, and those go through references to whole arrays, so that a wrong index is a
//! panic and not a read beyond the end. Each fast path has a scalar twin that is its meaning, and a test that
//! runs both over random inputs on every level the machine has. A prefetch alone takes no proof: every x86-64 has it.
//!
//! [`training`] has two more, each in a type or function of its own: threads that write strips of one array, and the
//! call of the `gemm` crate. `cuda` calls the driver and, in tests, C++ with addresses. [`blocked`] goes through
//! pointers, as its page says why. Both give the kernel advice about huge pages, and [`allocations`] is an allocator.
//!
//! # One picture, from the decoder to the network
//!
//! ```
//! use tsm_kernels::colour::{RgbRows, RowScratch};
//! use tsm_kernels::normalise::planar_from_rgb;
//! use tsm_kernels::picture::{Component, Matrix, Picture, Pixels, Range, Samples, Subsampling};
//! use tsm_kernels::resize::{CropRect, ResizePlan};
//!
//! // NV12 as a decoder leaves it: rows of 640 bytes, U and V in turn behind Y. All grey.
//! let memory = vec![128; 640 * 480 * 3 / 2];
//! let (luma, chroma) = memory.split_at(640 * 480);
//! let picture = Picture::new(640, 480, Pixels::Yuv {
//!     y: Component::new(luma, 640, 1),
//!     u: Component::new(chroma, 640, 2),
//!     v: Component::new(&chroma[1..], 640, 2),
//!     subsampling: Subsampling::YUV420,
//!     matrix: Matrix::Bt601,
//!     range: Range::Full,
//!     samples: Samples::Eight,
//! })?;
//!
//! // Once a stream: short side 256, centre crop 224.
//! let crop = CropRect { x: 58, y: 16, width: 224, height: 224 };
//! let mut plan = ResizePlan::new(640, 480, 341, 256, crop)?;
//! let columns = plan.source_columns();
//! let mut scratch = RowScratch::new();
//! let mut rgb = vec![0; 224 * 224 * 3];
//! let mut input = vec![0.0; 3 * 224 * 224];
//!
//! // Once a frame.
//! let mut rows = RgbRows::new(&picture, &mut scratch);
//! plan.run_rows(|row, out| rows.row(row, columns.clone(), out), &mut rgb);
//! planar_from_rgb(&rgb, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], &mut input);
//!
//! assert!(rgb.iter().all(|&level| level == 128));
//! assert!((input[0] - (128.0 / 255.0 - 0.485) / 0.229).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod allocations;
pub mod bias_activation;
pub mod blocked;
pub mod candle_ops;
pub mod colour;
pub mod cpu_level;
#[cfg(any(feature = "cuda", feature = "cuda-host-twins"))]
pub mod cuda;
pub mod depthwise;
pub mod flow;
pub mod frames;
mod huge_pages;
pub mod normalise;
pub mod orientation;
pub mod picture;
pub mod resize;
pub mod training;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod shared_data;
