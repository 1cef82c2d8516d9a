//! Where NVIDIA's driver and CUDA 13's libraries are on this machine.
//!
//! The driver is looked for as the loader does it, by file name and without loading it: `ldconfig -p` is not
//! everywhere, and its cache does not know the folders that containers mount.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// The variable with folders that the loader searches before its own.
pub(super) const PATH: &str = "LD_LIBRARY_PATH";

/// The driver's library.
const DRIVER: &str = "libcuda.so.1";

/// What of CUDA 13 a GPU build may name.
const LIBRARIES: [&str; 6] = [
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcurand.so.10",
    "libcudart.so.13",
    "libnvrtc.so.13",
    "libcudnn.so.9",
];

/// Folders that the loader searches by itself on common systems.
const LOADER_FOLDERS: [&str; 6] =
    ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"];

/// Folders that hold a driver and that the loader does not always know: containers, WSL, Jetson, `NixOS`.
const DRIVER_FOLDERS: [&str; 6] = [
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/wsl/lib",
    "/usr/lib/aarch64-linux-gnu/tegra",
    "/usr/lib/aarch64-linux-gnu/nvidia",
    "/run/opengl-driver/lib",
];

/// Where a tree of libraries may keep them: itself, a toolkit, `nvidia` of Python's site-packages.
const BELOW: [&str; 9] = [
    "",
    "lib64",
    "lib",
    "cu13/lib",
    "cudnn/lib",
    "nvidia/cu13/lib",
    "nvidia/cudnn/lib",
    "../../cudnn/lib",
    "targets/x86_64-linux/lib",
];

/// The folder to add to the loader's own for the driver: `Some(None)` where the loader finds it by itself, `None`
/// where there is no driver.
#[expect(clippy::option_option, reason = "absent, known, and in a folder of its own are three answers")]
pub(super) fn driver_folder() -> Option<Option<PathBuf>> {
    let asked = absolute_folders(&env::var_os(PATH).unwrap_or_default());
    let is_there = |folder: &PathBuf| folder.join(DRIVER).exists();
    let multiarch = format!("{}-linux-gnu", env::consts::ARCH);
    let own =
        LOADER_FOLDERS.iter().flat_map(|folder| [PathBuf::from(folder), Path::new(folder).join(&multiarch)]);
    let configured = configured_folders(Path::new("/etc/ld.so.conf"));
    if asked.into_iter().chain(own).chain(configured).any(|folder| is_there(&folder)) {
        return Some(None);
    }
    DRIVER_FOLDERS.iter().map(PathBuf::from).find(is_there).map(Some)
}

/// The folders of a loader's path. An empty or relative part is the current folder or lies below it: whatever a
/// library there is, it was not put there for this machine.
fn absolute_folders(path: &OsStr) -> Vec<PathBuf> {
    env::split_paths(path).filter(|folder| folder.is_absolute()).collect()
}

/// Folders of `/etc/ld.so.conf` and of the files that it includes from `ld.so.conf.d`.
fn configured_folders(conf: &Path) -> Vec<PathBuf> {
    let mut files = vec![conf.to_owned()];
    let included = fs::read_dir(conf.with_extension("conf.d"));
    files.extend(included.into_iter().flatten().flatten().map(|entry| entry.path()));
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .filter(|line| line.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// Folders with CUDA 13's libraries in the tree at `root`: a folder of them, a toolkit, a virtual environment.
pub(super) fn below(root: &Path) -> Vec<PathBuf> {
    let mut roots = vec![root.to_owned()];
    // lib/python3.12/site-packages of a virtual environment, whatever Python's version.
    let pythons = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    roots.extend(pythons.map(|entry| entry.path().join("site-packages")).filter(|path| path.is_dir()));
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in roots.iter().flat_map(|root| BELOW.iter().map(move |below| root.join(below))) {
        let folder = folder.canonicalize().unwrap_or(folder);
        if holds_libraries(&folder) && !found.contains(&folder) {
            found.push(folder);
        }
    }
    found
}

fn holds_libraries(folder: &Path) -> bool {
    LIBRARIES.iter().any(|library| folder.join(library).exists())
}

/// Whether a library of this file name is one of CUDA's, which `--cuda-libs` can name, and not the driver's.
pub(super) fn is_of_cuda(library: &str) -> bool {
    /// Those that candle's build names, and those that they name.
    const STARTS: [&str; 7] =
        ["libcublas", "libcudart", "libcurand", "libcudnn", "libnvrtc", "libnvJitLink", "libcusparse"];
    STARTS.iter().any(|start| library.starts_with(start))
}

/// Folders with CUDA 13's libraries beside the GPU build in `beside`, then those of toolkits and of the virtual
/// environment that is active.
pub(super) fn installed(beside: &Path) -> Vec<PathBuf> {
    let mut roots = vec![beside.to_owned(), beside.join("..")];
    let named = ["CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV"].into_iter().filter_map(env::var_os);
    roots.extend(named.filter(|value| !value.is_empty()).map(PathBuf::from));
    roots.push(PathBuf::from("/usr/local/cuda"));
    let toolkits = fs::read_dir("/usr/local").into_iter().flatten().flatten();
    let mut toolkits: Vec<PathBuf> = toolkits
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("cuda-13"))
        .map(|e| e.path())
        .collect();
    toolkits.sort();
    roots.extend(toolkits.into_iter().rev());
    roots.iter().flat_map(|root| below(root)).collect()
}

/// The loader's path with the folders that the user `named` for this run, then the user's own `path`, then what was
/// `found` besides, each folder once; none where the user's own does.
pub(super) fn search_path<'a>(
    named: &'a [PathBuf],
    path: Option<OsString>,
    found: impl Iterator<Item = &'a PathBuf>,
) -> Option<OsString> {
    let found: Vec<&PathBuf> = found.collect();
    if named.is_empty() && found.is_empty() {
        return None;
    }
    let path: Vec<PathBuf> = env::split_paths(&path.unwrap_or_default()).collect();
    let mut all: Vec<&PathBuf> = Vec::new();
    for folder in named.iter().chain(&path).chain(found) {
        // A colon cannot stand in a path of the loader; such a folder is left out rather than all of them.
        if !folder.as_os_str().is_empty() && !all.contains(&folder) && !folder.to_string_lossy().contains(':')
        {
            all.push(folder);
        }
    }
    env::join_paths(all).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn libraries_are_found_in_a_folder_a_toolkit_and_a_virtual_environment() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        touch(&root.join("plain/libcublas.so.13"));
        touch(&root.join("toolkit/lib64/libcudart.so.13"));
        let packages = root.join("venv/lib/python3.12/site-packages/nvidia");
        touch(&packages.join("cu13/lib/libcublas.so.13"));
        touch(&packages.join("cudnn/lib/libcudnn.so.9"));
        touch(&root.join("old/libcublas.so.12"));
        assert_eq!(below(&root.join("plain")), [root.join("plain")]);
        assert_eq!(below(&root.join("toolkit")), [root.join("toolkit/lib64")]);
        let both = [packages.join("cu13/lib"), packages.join("cudnn/lib")];
        assert_eq!(below(&root.join("venv")), both);
        assert_eq!(below(&packages.join("cu13/lib")), both, "cuDNN lies beside");
        assert!(below(&root.join("old")).is_empty());
        assert!(below(&root.join("nowhere")).is_empty());
    }

    #[test]
    fn what_was_found_comes_behind_the_users_own_path_and_nothing_twice() {
        let path = |named: &[&str], own: Option<&str>, found: &[&str]| {
            let [named, found] = [named, found].map(|all| all.iter().map(PathBuf::from).collect::<Vec<_>>());
            search_path(&named, own.map(OsString::from), found.iter()).map(|path| path.into_string().unwrap())
        };
        let all = path(&["/a", "/b", "/a", "/c:d"], Some("/b:/e:"), &["/f", "/e", "/a"]);
        assert_eq!(all.as_deref(), Some("/a:/b:/e:/f"));
        assert_eq!(path(&[], None, &["/f"]).as_deref(), Some("/f"));
        assert_eq!(path(&[], Some("/b:"), &[]), None, "the user's own stays as it is");
    }

    #[test]
    fn a_driver_in_the_current_folder_is_none() {
        assert!(absolute_folders(OsStr::new("")).is_empty());
        assert_eq!(absolute_folders(OsStr::new(":/a:.:b:./c:/d:")), ["/a", "/d"].map(PathBuf::from));
    }

    #[test]
    fn the_driver_is_no_library_of_cuda() {
        assert!(["libcublas.so.13", "libnvrtc.so.13", "libcudart.so.13"].into_iter().all(is_of_cuda));
        assert!(
            !["libcuda.so.1", "libcurl.so.4", "libnvidia-ml.so.1", "libstdc++.so.6", ""]
                .into_iter()
                .any(is_of_cuda)
        );
    }

    #[test]
    fn configured_folders_are_those_of_the_loaders_files() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("ld.so.conf");
        fs::write(&conf, "include /etc/ld.so.conf.d/*.conf\n").unwrap();
        fs::create_dir(folder.path().join("ld.so.conf.d")).unwrap();
        fs::write(folder.path().join("ld.so.conf.d/x.conf"), "# text\n /opt/driver\n").unwrap();
        assert_eq!(configured_folders(&conf), [PathBuf::from("/opt/driver")]);
    }
}
