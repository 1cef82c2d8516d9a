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

mod ahead;
pub mod augment;
pub mod averaging;
pub mod clip_store;
mod clock;
pub mod crop;
pub mod cutter;
pub mod dataset;
pub mod decode;
pub mod draws;
pub mod evaluate;
pub mod fingerprint;
pub mod finish;
pub mod infer;
mod largest;
pub mod learner;
pub mod loader;
pub mod loss;
pub mod metrics;
pub mod mixing;
pub mod network;
pub mod optimiser;
pub mod parameter_groups;
pub mod prepare;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod run_state;
pub mod sampling;
pub mod schedule;
pub mod sides;
pub mod solved_head;
pub mod start;
pub mod streaming;
pub mod teacher;
pub mod trainer;

#[cfg(test)]
mod shared_data;
