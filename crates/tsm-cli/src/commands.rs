//! One file a subcommand: flags as meant, the work of other crates, results on stdout.

pub(crate) mod bench;
mod clips_bar;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod eval;
mod grouping;
pub(crate) mod infer;
pub(crate) mod info;
pub(crate) mod live;
pub(crate) mod prepare;
pub(crate) mod train;
pub(crate) mod verify;
mod views;
