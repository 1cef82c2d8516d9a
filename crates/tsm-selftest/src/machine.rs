//! Where a report was made: the processor, the GPU and its driver, and the program.

use serde::Serialize;
use tsm_kernels::cpu_level::CpuLevel;
use tsm_model::Device;
use tsm_model::gpu::{self, Gpu};

/// Where a report was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// The device that was tested: `cpu`, or `cuda`.
    pub device: &'static str,
    /// The GPU, where one was tested.
    pub gpu: Option<Gpu>,
    /// The processor, as the system names it.
    pub cpu: String,
    /// The instructions that our kernels use of it.
    pub cpu_level: &'static str,
    /// Threads it runs at once.
    pub cpu_threads: usize,
    /// The system.
    pub os: String,
    /// The program's version.
    pub version: &'static str,
    /// Whether it was built for GPUs, with or without cuDNN.
    pub build: &'static str,
}

impl Machine {
    /// This machine, with `device` under test.
    pub fn of(device: &Device) -> Self {
        Self {
            device: if device.is_cpu() { "cpu" } else { "cuda" },
            gpu: gpu::describe(device),
            cpu: cpu_name(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cpu_level: CpuLevel::detected().name(),
            cpu_threads: std::thread::available_parallelism().map_or(1, usize::from),
            os: os(),
            version: env!("CARGO_PKG_VERSION"),
            build: match (cfg!(feature = "cuda"), cfg!(feature = "cudnn")) {
                (true, true) => "cuda,cudnn",
                (true, false) => "cuda",
                _ => "cpu",
            },
        }
    }

    /// The device in a few words.
    pub fn one_line(&self) -> String {
        match &self.gpu {
            Some(gpu) => gpu.to_string(),
            None if self.device == "cuda" => "a GPU that its driver does not describe".to_owned(),
            None => format!("cpu {} ({}, {} threads)", self.cpu, self.cpu_level, self.cpu_threads),
        }
    }
}

fn cpu_name(cpuinfo: &str) -> String {
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    value("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn os() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_a_name_is_told_by_its_kind() {
        assert_eq!(cpu_name("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n"), "Some CPU @ 2 GHz");
        assert_eq!(cpu_name(""), std::env::consts::ARCH);
    }
}
