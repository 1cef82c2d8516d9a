//! One installation for machines with and without GPU: this program starts everywhere and hands over to a GPU build.
//!
//! ```text
//! tsm --device cuda ─ tsm-cuda beside it? ─ libcuda.so.1? ─ does it start? ─┬─ yes ─ exec, same arguments
//!                          │                     │          ▲      │        └─ it lacks a library of CUDA 13
//!                          │                     │          └──────┼── one more folder that has some ◄─┘
//!                          └─────────────────────┴─────────────────┴─ no: one line (cuda), or the processor (auto)
//! ```
//!
//! A program with CUDA names `libcuda.so.1` for the loader and ends before `main` where there is no driver, so it
//! cannot decide by itself. It is replaced by `exec`: one process, whose signals and exit code are the GPU build's own.
//! Nothing here opens a device.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tsm_model::device::{DeviceChoice, DeviceError};

use crate::args::device::AskedDevice;
use crate::exit_code::Failure;

mod libraries;
mod start;

use start::StartError;

/// The file name of a GPU build.
const NAME: &str = "tsm-cuda";

/// Names a GPU build that lies elsewhere.
const PLACE: &str = "TSM_CUDA";

/// Set for the program that is handed to, so that a second CPU build does not hand over again.
const HANDED_OVER: &str = "TSM_HANDED_OVER";

/// Why there is nothing to hand over to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error(
        "this tsm was built without CUDA and there is no {NAME} in {}{}; docs/cuda.md tells how to build and install one; \
         or use --device cpu",
        beside.display(),
        if *has_driver { "" } else { ", nor NVIDIA's driver (libcuda.so.1) on this machine, without which none is of use" }
    )]
    Build { beside: PathBuf, has_driver: bool },
    #[error("${PLACE} names {}, which is no file; name a tsm built with --features cuda, or use --device cpu", path.display())]
    NamedBuild { path: PathBuf },
    #[error("{} was built without CUDA; build it with --features cuda, or use --device cpu", path.display())]
    CpuBuild { path: PathBuf },
    #[error(
        "no libcuda.so.1 on this machine: NVIDIA's driver is not installed; install it, or use --device cpu"
    )]
    Driver,
    #[error("{}: holds none of CUDA 13's libraries (libcublas.so.13, libcurand.so.10, …); name their folder or a virtual environment with PyTorch", path.display())]
    Libraries { path: PathBuf },
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Tells those who ask by `-v` why the GPU build takes no GPU; the other one has told why there is no such build.
pub(crate) fn tell_why_none(why: &DeviceError) {
    if cfg!(feature = "cuda") {
        tracing::info!("no GPU is used: {why}");
    }
}

/// Becomes the GPU build beside this program where a GPU is asked for; comes back where this program is the one to run.
///
/// # Errors
/// Where `cuda` was asked for and cannot be had: the reason, and what to do.
pub(crate) fn hand_over(asked: Option<AskedDevice<'_>>) -> Result<(), Failure> {
    let Some(asked) = asked.filter(|asked| asked.choice.wants_gpu()) else {
        return Ok(());
    };
    if cfg!(feature = "cuda") {
        return Ok(());
    }
    match successor(asked.cuda_libs) {
        Ok(mut successor) => {
            let error = successor.args(env::args_os().skip(1)).env(HANDED_OVER, "1").exec();
            Err(Failure::bad_input(format!("{} cannot be run: {error}", successor.get_program().display())))
        }
        Err(missing) if matches!(asked.choice, DeviceChoice::Cuda(_)) => Err(Failure::bad_input(missing)),
        Err(missing) => {
            // Who was kept waiting hears why unasked.
            if matches!(missing, Missing::Start(StartError::Hangs { .. })) {
                tracing::warn!("no GPU is used: {missing}");
            } else {
                tracing::info!("no GPU is used: {missing}");
            }
            Ok(())
        }
    }
}

/// The GPU build that `--device auto` becomes, for `doctor`.
///
/// # Errors
/// What `auto` takes the processor for, and what to do about it.
#[cfg(feature = "video")]
pub(crate) fn of_auto() -> Result<PathBuf, Missing> {
    successor(None).map(|successor| PathBuf::from(successor.get_program()))
}

/// The GPU build, ready to start.
fn successor(cuda_libs: Option<&Path>) -> Result<Command, Missing> {
    let build = gpu_build()?;
    let driver = libraries::driver_folder().ok_or(Missing::Driver)?;
    let named = cuda_libs.map(named_folders).transpose()?.unwrap_or_default();
    let installed = libraries::installed(build.parent().unwrap_or(Path::new(".")));
    let with = |added: &[PathBuf]| {
        let mut command = Command::new(&build);
        // Last of ours: a folder of the driver may hold anything else besides.
        let behind = added.iter().chain(&driver);
        if let Some(path) = libraries::search_path(&named, env::var_os(libraries::PATH), behind) {
            command.env(libraries::PATH, path);
        }
        command
    };
    let mut added: Vec<PathBuf> = Vec::new();
    loop {
        match start::check(with(&added), start::PATIENCE) {
            Ok(()) => {
                let mut command = with(&added);
                command.arg0("tsm");
                return Ok(command);
            }
            Err(StartError::LacksLibrary { path, reason, library }) => {
                // A folder may be a whole system's, with a GLib or C++ library of its own that the GPU build and its
                // children would take, too: none that is not needed.
                let has_it = |folder: &&PathBuf| !added.contains(folder) && folder.join(&library).exists();
                match installed.iter().find(has_it) {
                    Some(folder) => added.push(folder.clone()),
                    None => return Err(StartError::LacksLibrary { path, reason, library }.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The folders of CUDA's libraries in what `--cuda-libs` names.
fn named_folders(path: &Path) -> Result<Vec<PathBuf>, Missing> {
    let found = libraries::below(path);
    if found.is_empty() { Err(Missing::Libraries { path: path.to_owned() }) } else { Ok(found) }
}

/// Where the GPU build is.
fn gpu_build() -> Result<PathBuf, Missing> {
    let own = env::current_exe().unwrap_or_default();
    if env::var_os(HANDED_OVER).is_some() {
        return Err(Missing::CpuBuild { path: own });
    }
    if let Some(path) = env::var_os(PLACE).filter(|path| !path.is_empty()).map(PathBuf::from) {
        // Absolute, because a bare name would be looked for in $PATH.
        return match std::path::absolute(&path) {
            Ok(path) if path.is_file() => Ok(path),
            _ => Err(Missing::NamedBuild { path }),
        };
    }
    let beside = own.parent().unwrap_or(Path::new(".")).to_owned();
    let places = [beside.join(NAME), beside.join("../lib/tsm").join(NAME)];
    let has_driver = libraries::driver_folder().is_some();
    places.into_iter().find(|path| path.is_file()).ok_or(Missing::Build { beside, has_driver })
}
