//! The flags of `tsm selftest`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tsm_selftest::{DataType, Scope};

use super::device::DeviceArgs;

#[derive(Debug, Args)]
pub(crate) struct SelftestArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Small pictures, few frames, a short table: within 3 minutes on two cores [default on a cpu]
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,
    /// Pictures of 224x224, 10,000 frames, 1 to 256 streams [default on a GPU]
    #[arg(long)]
    pub(crate) full: bool,
    /// What is computed in [default: f32 on a cpu, both on a GPU]
    #[arg(long)]
    pub(crate) data_type: Option<DataTypeArg>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataTypeArg {
    /// Single precision
    F32,
    /// Half precision
    F16,
    /// One after the other
    Both,
}

impl SelftestArgs {
    /// How much is tried, on a processor or on a GPU.
    pub(crate) const fn scope(&self, is_cpu: bool) -> Scope {
        if self.quick || (is_cpu && !self.full) { Scope::Quick } else { Scope::Full }
    }

    /// What is computed in, on a processor or on a GPU.
    pub(crate) fn data_types(&self, is_cpu: bool) -> Vec<DataType> {
        let default = if is_cpu { DataTypeArg::F32 } else { DataTypeArg::Both };
        match self.data_type.unwrap_or(default) {
            DataTypeArg::F32 => vec![DataType::F32],
            DataTypeArg::F16 => vec![DataType::F16],
            DataTypeArg::Both => vec![DataType::F32, DataType::F16],
        }
    }
}
