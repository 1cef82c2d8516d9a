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

#![forbid(unsafe_code)]

mod ahead;
pub mod augment;
pub mod averaging;
pub mod clip_store;
pub mod crop;
pub mod cutter;
pub mod dataset;
pub mod decode;
pub mod draws;
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
pub mod start;
pub mod streaming;
pub mod teacher;
pub mod trainer;

#[cfg(test)]
mod shared_data;
