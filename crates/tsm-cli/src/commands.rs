//! One file a subcommand: flags as meant, the work of other crates, results on stdout.

pub(crate) mod bench;
#[cfg(feature = "video")]
mod clips_bar;
#[cfg(feature = "video")]
pub(crate) mod compare;
pub(crate) mod convert;
#[cfg(feature = "video")]
pub(crate) mod devices;
#[cfg(feature = "video")]
pub(crate) mod doctor;
#[cfg(feature = "video")]
pub(crate) mod eval;
#[cfg(feature = "video")]
mod grouping;
#[cfg(feature = "video")]
pub(crate) mod infer;
pub(crate) mod info;
#[cfg(feature = "video")]
mod inputs;
#[cfg(feature = "video")]
pub(crate) mod live;
#[cfg(feature = "video")]
pub(crate) mod prepare;
pub(crate) mod selftest;
#[cfg(feature = "video")]
pub(crate) mod train;
pub(crate) mod verify;
#[cfg(feature = "video")]
mod views;
