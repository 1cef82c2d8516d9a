//! What a GPU is, for reports: its name, its driver and its size.

use std::fmt;

use candle_core::Device;
use serde::Serialize;

/// A GPU that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Its number among the machine's: that of `cuda:N`.
    pub ordinal: usize,
    /// As its maker calls it.
    pub name: String,
    /// What it can execute: 9.0 is an H100 or H200, 8.9 an L4, 8.7 a Jetson Orin.
    pub compute_capability: String,
    /// All of its memory.
    pub memory_bytes: usize,
    /// The driver's version, where the system tells.
    pub driver: Option<String>,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, compute_capability, memory_bytes, driver, .. } = self;
        let driver = driver.as_deref().unwrap_or("unknown");
        write!(f, "{name} (sm {compute_capability}, {} MiB, driver {driver})", memory_bytes >> 20)
    }
}

/// The GPU behind `device`; none for a CPU, or where the driver does not answer.
#[cfg(feature = "cuda")]
pub fn describe(device: &Device) -> Option<Gpu> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let context = stream.context();
    let (major, minor) = context.compute_capability().ok()?;
    Some(Gpu {
        ordinal: context.ordinal(),
        name: context.name().ok()?,
        compute_capability: format!("{major}.{minor}"),
        memory_bytes: context.total_mem().ok()?,
        driver: driver(),
    })
}

/// The GPU behind `device`: none in a program that was built without CUDA.
#[cfg(not(feature = "cuda"))]
pub fn describe(_device: &Device) -> Option<Gpu> {
    None
}

/// The driver's version: what the kernel module says of itself.
#[cfg(feature = "cuda")]
fn driver() -> Option<String> {
    let version = std::fs::read_to_string("/sys/module/nvidia/version").ok();
    let text = version.or_else(|| {
        let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
        // NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  …
        let is_version = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
        text.split_whitespace().find(is_version).map(str::to_owned)
    })?;
    Some(text.trim().to_owned())
}
