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
pub mod clip_store;
mod clock;
pub mod crop;
pub mod cutter;
pub mod dataset;
pub mod decode;
pub mod draws;
pub mod loader;
pub mod prepare;
pub mod sampling;

#[cfg(test)]
mod shared_data;
