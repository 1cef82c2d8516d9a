//! One installation for machines with and without GPU: this program starts everywhere and hands over to a GPU build.
//!
//! ```text
//! tsm --device cuda ─ tsm-cuda beside it? ─ libcuda.so.1? ─ CUDA 13 libraries ─ does it start? ─ exec, same arguments
//!                          └──────────── no: one line (cuda), or the processor (auto) ────┘
//! ```
//!
//! A program with CUDA names `libcuda.so.1` for the loader and ends before `main` where there is no driver, so it
//! cannot decide by itself. It is replaced by `exec`: one process, whose signals and exit code are the GPU build's own.
//! Nothing here opens a device.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tsm_model::device::DeviceChoice;

use crate::args::device::AskedDevice;
use crate::exit_code::Failure;

mod libraries;

/// The file name of a GPU build.
const NAME: &str = "tsm-cuda";

/// Names a GPU build that lies elsewhere.
const PLACE: &str = "TSM_CUDA";

/// Set for the program that is handed to, so that a second CPU build does not hand over again.
const HANDED_OVER: &str = "TSM_HANDED_OVER";

/// What both builds say of themselves: flags of one version may be unknown to the other.
const VERSION: &str = concat!("tsm ", env!("CARGO_PKG_VERSION"));

/// Why there is nothing to hand over to.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error(
        "this tsm was built without CUDA and there is no {NAME} in {}; build one as docs/cuda.md says \
         (cargo build --release --bin tsm --features cuda --target-dir target/cuda), or use --device cpu",
        beside.display()
    )]
    Build { beside: PathBuf },
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
    #[error("{} does not start: {reason}; name CUDA 13's libraries with --cuda-libs DIR, or use --device cpu", path.display())]
    DoesNotStart { path: PathBuf, reason: String },
    #[error("{} cannot be run: {reason}; build it anew with --features cuda, or use --device cpu", path.display())]
    NoProgram { path: PathBuf, reason: String },
    #[error("{} is {is}, not {VERSION}; build both from one source, or use --device cpu", path.display())]
    OtherVersion { path: PathBuf, is: String },
}

/// Becomes the GPU build beside this program where a GPU is asked for; comes back where this program is the one to run.
///
/// # Errors
/// Where `cuda` was asked for and cannot be had: the reason, and what to do.
pub(crate) fn hand_over(asked: Option<AskedDevice<'_>>) -> Result<(), Failure> {
    let Some(asked) = asked.filter(|asked| asked.choice.wants_gpu() && !cfg!(feature = "cuda")) else {
        return Ok(());
    };
    match successor(asked.cuda_libs) {
        Ok(mut successor) => {
            let error = successor.args(env::args_os().skip(1)).env(HANDED_OVER, "1").exec();
            Err(Failure::bad_input(format!("{} cannot be run: {error}", successor.get_program().display())))
        }
        Err(missing) if matches!(asked.choice, DeviceChoice::Cuda(_)) => Err(Failure::bad_input(missing)),
        Err(missing) => {
            tracing::info!("no GPU is used: {missing}");
            Ok(())
        }
    }
}

/// The GPU build, ready to start.
fn successor(cuda_libs: Option<&Path>) -> Result<Command, Missing> {
    let build = gpu_build()?;
    let driver = libraries::driver_folder().ok_or(Missing::Driver)?;
    let mut folders = match cuda_libs {
        None => Vec::new(),
        Some(path) => match libraries::below(path) {
            found if found.is_empty() => return Err(Missing::Libraries { path: path.to_owned() }),
            found => found,
        },
    };
    folders.extend(libraries::installed(build.parent().unwrap_or(Path::new("."))));
    // Last of ours: a folder of the driver may hold anything else besides.
    folders.extend(driver);
    let path = libraries::search_path(folders, env::var_os("LD_LIBRARY_PATH"));
    check_start(&build, &path)?;
    let mut command = Command::new(build);
    command.arg0("tsm").env("LD_LIBRARY_PATH", path);
    Ok(command)
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
    places.into_iter().find(|path| path.is_file()).ok_or(Missing::Build { beside })
}

/// Has the loader try: it alone knows which libraries the build names, and says which one is missing. A program that
/// starts says what it is.
fn check_start(build: &Path, library_path: &OsString) -> Result<(), Missing> {
    let mut command = Command::new(build);
    command.arg("--version").env("LD_LIBRARY_PATH", library_path).stdin(Stdio::null());
    let path = build.to_owned();
    match command.output() {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            match said.lines().next().unwrap_or_default() {
                VERSION => Ok(()),
                "" => Err(Missing::OtherVersion { path, is: "no tsm".to_owned() }),
                other => Err(Missing::OtherVersion { path, is: other.to_owned() }),
            }
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = said.lines().next().unwrap_or("it ended without a word");
            // The loader begins with the program's name and its own complaint's title.
            let reason = line.rsplit_once("shared libraries: ").map_or(line, |(_, what)| what).to_owned();
            Err(Missing::DoesNotStart { path, reason })
        }
        Err(error) => Err(Missing::NoProgram { path, reason: error.to_string() }),
    }
}
