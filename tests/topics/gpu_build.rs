//! One installation for machines with and without GPU: `tsm` hands over to a GPU build, or says what is missing.
//!
//! The GPU build here is a script that tells how it was called; the driver and the libraries are empty files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tsm_tests::program::{Finished, Running};

/// A GPU build of `version` that does `body`.
fn program(version: &str, body: &str) -> String {
    format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ echo tsm {version}; exit 0; }}\n{body}\n")
}

/// A machine with a driver, a folder of libraries and a GPU build.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(build: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for file in
            ["driver/libcuda.so.1", "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13"]
        {
            let path = machine.path(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let path = machine.path("build");
        std::fs::write(&path, program(env!("CARGO_PKG_VERSION"), build)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &self.path("build"))
    }

    fn run_with(&self, arguments: &[&str], build: &Path) -> Finished {
        let (driver, build) = (self.path("driver"), build.display().to_string());
        let environment =
            [("LD_LIBRARY_PATH", driver.to_str().unwrap()), ("TSM_CUDA", &build), ("VIRTUAL_ENV", "")];
        Running::start_with(arguments, &environment).finish()
    }
}

#[test]
fn the_gpu_build_gets_the_same_arguments_and_its_exit_code_is_ours() {
    let machine = Machine::new("echo \"$@\"; echo \"$LD_LIBRARY_PATH\"; exit 7");
    let libraries = machine.path("venv");
    let arguments =
        ["verify", "--device", "cuda:1", "--cuda-libs", libraries.to_str().unwrap(), "--vectors", "a b"];
    let finished = machine.run(&arguments);
    assert_eq!(finished.code(), 7, "{finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines[0], arguments.join(" "));
    let path: Vec<&str> = lines[1].split(':').collect();
    let found = machine.path("venv/lib/python3.12/site-packages/nvidia/cu13/lib");
    assert_eq!(path.first(), found.to_str().as_ref());
    assert_eq!(path.last(), machine.path("driver").to_str().as_ref());
}

#[test]
fn a_signal_reaches_the_gpu_build_because_it_is_the_same_process() {
    let machine = Machine::new("echo '{\"frame\": 0}'; exec sleep 60");
    let (driver, build) = (machine.path("driver"), machine.path("build"));
    let environment = [("LD_LIBRARY_PATH", driver.to_str().unwrap()), ("TSM_CUDA", build.to_str().unwrap())];
    let running = Running::start_with(&["verify", "--device", "cuda", "--vectors", "x"], &environment);
    running.wait_for_frame();
    running.signal("TERM");
    assert_eq!(running.finish().code(), -1, "a signal ended it");
}

#[test]
fn what_is_missing_is_one_line() {
    let machine = Machine::new("exit 0");
    let cuda = ["verify", "--device", "cuda", "--vectors", "x"];
    let without = |environment: &[(&str, &str)]| Running::start_with(&cuda, environment).finish();
    without(&[]).assert_bad_input("docs/cuda.md");
    without(&[("TSM_CUDA", "/nowhere/tsm-cuda")]).assert_bad_input("$TSM_CUDA names /nowhere/tsm-cuda");
    let wrong = [&cuda[..], &["--cuda-libs", "/nowhere"]].concat();
    machine.run(&wrong).assert_bad_input("/nowhere: holds none of CUDA 13's libraries");
    let broken = machine.path("broken");
    let text = "#!/bin/sh\necho 'tsm: error while loading shared libraries: libcurand.so.10: cannot open' >&2\nexit 127\n";
    std::fs::write(&broken, text).unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.run_with(&cuda, &broken).assert_bad_input("does not start: libcurand.so.10: cannot open;");
}

#[test]
fn what_is_no_gpu_build_of_this_version_is_not_handed_to() {
    let machine = Machine::new("exit 0");
    let cuda = ["verify", "--device", "cuda", "--vectors", "x"];
    let with = |text: &str, mode: u32| {
        let build = machine.path("other");
        std::fs::write(&build, text).unwrap();
        std::fs::set_permissions(&build, std::fs::Permissions::from_mode(mode)).unwrap();
        machine.run_with(&cuda, &build)
    };
    with(&program("9.9.9", "exit 0"), 0o755).assert_bad_input("other is tsm 9.9.9, not tsm ");
    with("#!/bin/sh\n", 0o755).assert_bad_input("other is no tsm, not tsm ");
    with("a text", 0o755).assert_bad_input("other cannot be run: Exec format error");
    with("a text", 0o644).assert_bad_input("other cannot be run: Permission denied");
    machine.run_with(&cuda, &machine.path("driver")).assert_bad_input("which is no file");
}

#[test]
fn two_cpu_builds_do_not_hand_over_to_each_other_for_ever() {
    let machine = Machine::new("exit 0");
    let tsm = tsm_tests::program::tsm();
    machine
        .run_with(&["verify", "--device", "cuda", "--vectors", "x"], tsm)
        .assert_bad_input("was built without CUDA");
}

#[test]
fn auto_runs_on_the_processor_where_no_gpu_can_be_had() {
    let finished = Running::start_with(&["live", "nowhere.mp4", "--device", "auto"], &[]).finish();
    finished.assert_bad_input("nowhere.mp4");
    let machine = Machine::new("exit 3");
    let broken = machine.path("driver");
    let finished = machine.run_with(&["live", "nowhere.mp4"], &broken);
    finished.assert_bad_input("nowhere.mp4");
}
