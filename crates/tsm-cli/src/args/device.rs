//! `--device` and `--cuda-libs`, the same for every command that computes.

use std::path::{Path, PathBuf};

use clap::Args;
use tsm_model::Device;
use tsm_model::device::{DeviceChoice, DeviceError};

use crate::gpu_build;

/// The device that a command was told to use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedDevice<'a> {
    /// Which one.
    pub(crate) choice: DeviceChoice,
    /// Where the CUDA libraries are, if the user says.
    pub(crate) cuda_libs: Option<&'a Path>,
}

/// For commands whose figures are compared: the processor unless a GPU is asked for.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// cpu, cuda, cuda:N, or auto: the GPU if there is one
    #[arg(long, default_value = "cpu", value_name = "D")]
    device: DeviceChoice,
    #[command(flatten)]
    libraries: LibraryArgs,
}

/// For commands that label: the GPU, where there is one and the GPU build is installed.
#[cfg(feature = "video")]
#[derive(Debug, Args)]
pub(crate) struct AutoDeviceArgs {
    /// cpu, cuda, cuda:N, or auto: the GPU if there is one and a GPU build beside this program
    #[arg(long, default_value = "auto", value_name = "D")]
    device: DeviceChoice,
    #[command(flatten)]
    libraries: LibraryArgs,
}

#[derive(Debug, Args)]
struct LibraryArgs {
    /// Where CUDA 13's libraries are, such as PyTorch's virtual environment
    /// [default: beside the GPU build, then the system's]
    #[arg(long, value_name = "DIR")]
    cuda_libs: Option<PathBuf>,
}

impl DeviceArgs {
    /// What was asked for.
    pub(crate) fn asked(&self) -> AskedDevice<'_> {
        AskedDevice { choice: self.device, cuda_libs: self.libraries.cuda_libs.as_deref() }
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`].
    pub(crate) fn open(&self) -> Result<Device, DeviceError> {
        self.device.open_telling(gpu_build::tell_why_none)
    }
}

#[cfg(feature = "video")]
impl AutoDeviceArgs {
    /// What was asked for.
    pub(crate) fn asked(&self) -> AskedDevice<'_> {
        AskedDevice { choice: self.device, cuda_libs: self.libraries.cuda_libs.as_deref() }
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`].
    pub(crate) fn open(&self) -> Result<Device, DeviceError> {
        self.device.open_telling(gpu_build::tell_why_none)
    }
}
