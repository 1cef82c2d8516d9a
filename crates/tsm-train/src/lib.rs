//! Offline training and evaluation: folders and lists of clips in, models, figures and labels out.
//!
//! ```text
//! folder, list, CSV ─ dataset ─ split ─► clips ─ loader: decode ─ sample ─ crop ─ augment ─► Batch [n, t, 3, h, w]
//!                                               (worker threads, ahead of the model)
//! ```
//!
//! The data side: [`dataset`] says which clips there are, [`sampling`] which frames of a clip, [`crop`] which part of a
//! frame, [`augment`] what is changed about it, [`decode`] opens files, and [`loader`] does all of it ahead of the
//! model, in an order that depends on the seed alone. [`prepare`] writes lists and frames. It knows no command line.
//!
//! Without the feature `video` (on by default) there is the network that learns and nothing that reads clips: what
//! `tsm selftest` needs on a machine without `GStreamer`.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use tsm_model::InputSpec;
//! use tsm_train::augment::{ColourJitter, Flip};
//! use tsm_train::clip_store::ClipStore;
//! use tsm_train::crop::TrainCrop;
//! use tsm_train::dataset::groups::GroupRule;
//! use tsm_train::dataset::{self, split};
//! use tsm_train::loader::{Loader, LoaderOptions, LoaderSource, Mode, TrainView};
//! use tsm_train::sampling::{Sampling, UniformRule};
//!
//! let mut dataset = dataset::read(Path::new("clips"), None)?.dataset;
//! GroupRule::FileNames.apply(&mut dataset)?;
//! let split = split::split(&dataset, 0.2, 0)?;
//! let view = TrainView {
//!     sampling: Sampling::Uniform(UniformRule::Mit),
//!     segments: 8,
//!     crop: TrainCrop::MultiScale,
//!     flip: Flip::Auto.table(&dataset.classes)?,
//!     jitter: ColourJitter::default(),
//! };
//! let source = LoaderSource {
//!     dataset: Arc::new(dataset),
//!     clips: split.training.into(),
//!     store: Arc::new(ClipStore::new(4 << 30)),
//!     input: InputSpec::default(),
//! };
//! for batch in Loader::start(&source, Mode::Train(view), &LoaderOptions::default())? {
//!     let batch = batch?;
//!     assert_eq!(batch.pixels.len(), batch.shape().iter().product::<usize>());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "video")]
mod ahead;
#[cfg(feature = "video")]
pub mod augment;
pub mod averaging;
#[cfg(feature = "video")]
mod clip_logits;
pub mod clip_means;
#[cfg(feature = "video")]
pub mod clip_store;
#[cfg(feature = "video")]
mod clock;
mod counts;
#[cfg(feature = "video")]
pub mod crop;
#[cfg(feature = "video")]
pub mod cutter;
#[cfg(feature = "video")]
pub mod dataset;
#[cfg(feature = "video")]
pub mod decode;
pub mod draws;
#[cfg(feature = "video")]
pub mod evaluate;
#[cfg(feature = "video")]
pub mod fingerprint;
#[cfg(feature = "video")]
pub mod finish;
pub mod frame_shares;
#[cfg(feature = "video")]
pub mod infer;
#[cfg(feature = "video")]
mod largest;
pub mod learner;
#[cfg(feature = "video")]
pub mod loader;
pub mod loss;
#[cfg(feature = "video")]
pub mod metrics;
#[cfg(feature = "video")]
pub mod mixing;
pub mod motion_start;
pub mod network;
pub mod optimiser;
#[cfg(feature = "video")]
pub mod output_folder;
pub mod parameter_groups;
#[cfg(feature = "video")]
pub mod prepare;
#[cfg(feature = "video")]
pub mod progress;
#[cfg(feature = "video")]
pub mod recipe;
#[cfg(feature = "video")]
pub mod report;
pub mod row_mean;
#[cfg(feature = "video")]
pub mod run_state;
#[cfg(feature = "video")]
pub mod sampling;
pub mod schedule;
#[cfg(feature = "video")]
pub mod sides;
pub mod solved_head;
#[cfg(feature = "video")]
pub mod start;
#[cfg(feature = "video")]
pub mod streaming;
#[cfg(feature = "video")]
pub mod teacher;
#[cfg(feature = "video")]
pub mod trainer;

#[cfg(all(test, feature = "video"))]
mod shared_data;
