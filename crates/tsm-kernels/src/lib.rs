//! The fast operations of a temporal shift network, each with a scalar twin.

pub mod bias_activation;
pub mod candle_ops;
pub mod colour;
pub mod cpu_level;
pub mod depthwise;
pub mod normalise;
pub mod orientation;
pub mod picture;
pub mod resize;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod shared_data;
