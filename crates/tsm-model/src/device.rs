//! Where tensors live, as the user names it, and why a network cannot be evaluated there.

use std::str::FromStr;

use candle_core::Device;

/// A device as flags name it: `cpu`, `cuda`, `cuda:1`, `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// The n-th NVIDIA GPU, from 0. The driver counts in 32 bits; a larger number would come round to another GPU.
    Cuda(u16),
    /// The first GPU where there is one that can be used, else the processor.
    Auto,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The text names no device.
    #[error("`{0}` is no device; known are auto, cpu, cuda and cuda:N")]
    Unknown(String),
    /// The program was built without CUDA.
    #[error(
        "this tsm was built without CUDA; docs/cuda.md tells how to build one that has it (`cargo build --release --bin tsm --features cuda --target-dir target/cuda`); or use --device cpu"
    )]
    NotBuilt,
    /// There is no such GPU, or no driver.
    #[error("no CUDA device {index}: {source}; use --device cpu")]
    Absent {
        /// The GPU's number.
        index: u16,
        /// What the driver says.
        source: ComputeError,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            None if text == "auto" => Ok(Self::Auto),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_not_a_number| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl DeviceChoice {
    /// Whether a GPU is asked for, or would be taken.
    pub const fn wants_gpu(self) -> bool {
        matches!(self, Self::Cuda(_) | Self::Auto)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] without the feature `cuda`, [`DeviceError::Absent`] without GPU.
    pub fn open(self) -> Result<Device, DeviceError> {
        self.open_telling(|_why| ())
    }

    /// As [`Self::open`]; `hear` is told why where [`Self::Auto`] takes the processor.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_telling(self, hear: impl FnOnce(&DeviceError)) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(Self::Cuda(0).open().unwrap_or_else(|why| {
                hear(&why);
                Device::Cpu
            })),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError::NotBuilt),
            Self::Cuda(index) => {
                let device = Device::new_cuda(usize::from(index));
                device.map_err(|source| DeviceError::Absent { index, source: source.into() })
            }
        }
    }
}

/// Why a network cannot be made or evaluated, in a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// A tensor operation failed. Candle's own message may carry a backtrace; it is left out.
    #[error("{}", first_line(.0))]
    Operation(candle_core::Error),
    /// The weights lack a tensor that the description speaks of.
    #[error("tensor `{tensor}` is missing; are description and weights of two models?")]
    MissingTensor {
        /// Its name.
        tensor: &'static str,
    },
    /// A tensor has another shape than the description says.
    #[error("tensor `{tensor}` is {found:?}, but the model needs {needed:?}")]
    TensorShape {
        /// Its name.
        tensor: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        needed: Vec<usize>,
    },
}

impl From<candle_core::Error> for ComputeError {
    fn from(error: candle_core::Error) -> Self {
        Self::Operation(error)
    }
}

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or("unknown fault").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_users_write_them() {
        assert_eq!("cpu".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cpu);
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        assert_eq!("cuda:2".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(2));
        assert_eq!("auto".parse::<DeviceChoice>().unwrap(), DeviceChoice::Auto);
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cpu:0"] {
            assert!(matches!(wrong.parse::<DeviceChoice>(), Err(DeviceError::Unknown(_))), "{wrong}");
        }
    }

    #[test]
    fn a_number_that_would_come_round_to_another_gpu_is_no_device() {
        assert_eq!("cuda:65535".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(65_535));
        for wrong in ["cuda:65536", "cuda:4294967296", "cuda:18446744073709551616", "cuda:-1"] {
            assert!(matches!(wrong.parse::<DeviceChoice>(), Err(DeviceError::Unknown(_))), "{wrong}");
        }
    }

    #[test]
    fn auto_takes_the_gpu_or_tells_why_it_takes_the_processor() {
        let mut heard = None;
        let device = DeviceChoice::Auto.open_telling(|why| heard = Some(why.to_string())).unwrap();
        match DeviceChoice::Cuda(0).open() {
            Ok(_gpu) => assert!(device.is_cuda() && heard.is_none(), "{heard:?}"),
            Err(why) => assert_eq!((device.is_cpu(), heard), (true, Some(why.to_string()))),
        }
    }

    #[test]
    fn a_compute_error_is_one_line() {
        let error = candle_core::Error::Msg("first\nsecond".into());
        assert_eq!(ComputeError::from(error).to_string(), "first");
    }
}
