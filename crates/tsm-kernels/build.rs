//! Compiles `cuda/`: with nvcc for GPUs (feature `cuda`), with the host's compiler for tests (feature
//! `cuda-host-twins`).

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cuda");
    println!("cargo:rerun-if-env-changed=TSM_CUDA_ARCHS");
    println!("cargo:rerun-if-env-changed=NVCC");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        fat_binary();
    }
    #[cfg(feature = "cuda-host-twins")]
    host_twins();
}

/// GPUs that get machine code of their own. Others compile PTX when the program starts: later ones the newest's, and a
/// Jetson Orin, which takes no machine code of other boards, that of the nearest before it.
const ARCHS: &str = "75 80 89 90";

/// A Jetson Orin.
const ORIN: u32 = 87;

/// One file for all GPUs: `$OUT_DIR/step.fatbin`. `TSM_CUDA_ARCHS="90"` builds for fewer, faster.
fn fat_binary() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let nvcc = std::env::var("NVCC").unwrap_or_else(|_unset| "nvcc".to_owned());
    let wish = std::env::var("TSM_CUDA_ARCHS").unwrap_or_else(|_unset| ARCHS.to_owned());
    let number =
        |arch: &str| arch.parse::<u32>().unwrap_or_else(|_| panic!("TSM_CUDA_ARCHS: {arch} is not like 90"));
    let mut archs: Vec<u32> = wish.split([' ', ',']).filter(|arch| !arch.is_empty()).map(number).collect();
    archs.sort_unstable();
    archs.dedup();
    let newest = *archs.last().expect("TSM_CUDA_ARCHS names a compute capability, such as 90");
    let before_orin = archs.iter().copied().rfind(|arch| *arch <= ORIN).filter(|arch| *arch != newest);
    let mut command = std::process::Command::new(&nvcc);
    command.args(["-fatbin", "-O3", "-std=c++17", "--threads", "0", "-lineinfo"]);
    for arch in &archs {
        command.arg(format!("-gencode=arch=compute_{arch},code=sm_{arch}"));
    }
    command.arg(format!("-gencode=arch=compute_{newest},code=compute_{newest}"));
    if let Some(arch) = before_orin {
        command.arg(format!("-gencode=arch=compute_{arch},code=compute_{arch}"));
    }
    command.arg("cuda/step.cu").arg("-o").arg(out.join("step.fatbin"));
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{nvcc} could not compile cuda/step.cu: {status}"),
        Err(error) => {
            panic!("{nvcc} could not be started ({error}); the feature `cuda` needs NVIDIA's toolkit")
        }
    }
}

/// The same source as a static library.
#[cfg(feature = "cuda-host-twins")]
fn host_twins() {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).flag("-xc++").flag("-march=x86-64-v3");
    build.file("cuda/step.cu").compile("tsm_step_twins");
}
