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

/// What the loader says of a program that names a library that is nowhere.
const LACKS: &str = "tsm: error while loading shared libraries: libcublas.so.13: cannot open shared object file: No such file or directory";

/// A GPU build that only starts with `folder` on the loader's path, and then tells that path.
fn in_need_of(folder: &str) -> String {
    let path = "echo \"$LD_LIBRARY_PATH\"";
    let program = program(env!("CARGO_PKG_VERSION"), path);
    let lacks =
        format!("case \"$LD_LIBRARY_PATH\" in *{folder}*) ;; *) echo '{LACKS}' >&2; exit 127 ;; esac");
    program.replacen('\n', &format!("\n{lacks}\n"), 1)
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
        machine.write("build", &program(env!("CARGO_PKG_VERSION"), build));
        machine
    }

    /// Writes a program.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &self.path("build"))
    }

    fn run_with(&self, arguments: &[&str], build: &Path) -> Finished {
        self.start(arguments, build, &[]).finish()
    }

    fn start(&self, arguments: &[&str], build: &Path, more: &[(&str, &str)]) -> Running {
        let (driver, build) = (self.path("driver"), build.display().to_string());
        let mut environment =
            vec![("LD_LIBRARY_PATH", driver.to_str().unwrap()), ("TSM_CUDA", &build), ("VIRTUAL_ENV", "")];
        environment.extend([("CUDA_HOME", ""), ("CUDA_PATH", "")]);
        environment.extend(more);
        Running::start_with(arguments, &environment)
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
    let broken = |complaint: &str| {
        let text = format!("#!/bin/sh\ncat >&2 <<'end'\n{complaint}\nend\nexit 127\n");
        machine.run_with(&cuda, &machine.write("broken", &text))
    };
    broken(LACKS).assert_bad_input("does not start: libcublas.so.13: cannot open shared object file: ");
    broken(LACKS).assert_bad_input("; name CUDA 13's libraries with --cuda-libs DIR, or use --device cpu");
    broken("tsm: symbol lookup error: tsm: undefined symbol: cuCtxCreate_v4")
        .assert_bad_input("undefined symbol: cuCtxCreate_v4; it needs NVIDIA driver 580 or newer");
    broken("tsm: /lib/libc.so.6: version `GLIBC_2.38' not found (required by tsm)")
        .assert_bad_input("(required by tsm); it was made on a newer system than this");
    broken("no").assert_bad_input("does not start: no; mend that, or use --device cpu");
}

#[test]
fn a_gpu_build_that_starts_as_it_is_gets_the_users_own_path() {
    let machine = Machine::new("echo \"$LD_LIBRARY_PATH\"");
    let venv = machine.path("venv").display().to_string();
    let cuda = ["verify", "--device", "cuda", "--vectors", "x"];
    let own = format!("{}:/nowhere:", machine.path("driver").display());
    let environment = [("VIRTUAL_ENV", venv.as_str()), ("LD_LIBRARY_PATH", &own)];
    let finished = machine.start(&cuda, &machine.path("build"), &environment).finish();
    assert_eq!((finished.stdout.as_str(), finished.code()), (own.as_str(), 0), "{finished:?}");
}

#[test]
fn folders_are_added_behind_the_users_own_and_only_those_in_need() {
    let machine = Machine::new("exit 0");
    let build = machine.write("needy", &in_need_of("toolkit/lib64"));
    for file in ["toolkit/lib64/libcublas.so.13", "conda/lib/libcublas.so.13", "conda/lib/libglib-2.0.so.0"] {
        let path = machine.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let (toolkit, conda) = (machine.path("toolkit"), machine.path("conda"));
    // The other folder comes first, and has another library.
    std::fs::remove_file(conda.join("lib/libcublas.so.13")).unwrap();
    std::fs::write(conda.join("lib/libcudart.so.13"), "").unwrap();
    let environment = [("CUDA_HOME", conda.to_str().unwrap()), ("VIRTUAL_ENV", toolkit.to_str().unwrap())];
    let cuda = ["verify", "--device", "cuda", "--vectors", "x"];
    let finished = machine.start(&cuda, &build, &environment).finish();
    let expected = format!("{}:{}", machine.path("driver").display(), toolkit.join("lib64").display());
    assert_eq!((finished.stdout.as_str(), finished.code()), (expected.as_str(), 0), "{finished:?}");
}

#[test]
fn a_gpu_build_that_hangs_does_not_hold_the_program_up() {
    let machine = Machine::new("exit 0");
    let hangs = machine.write("hangs", "#!/bin/sh\nexec sleep 600\n");
    let talks = machine.write("talks", "#!/bin/sh\nexec yes\n");
    let auto = ["live", "-v", "nowhere.mp4"];
    let cuda = ["verify", "--device", "cuda", "--vectors", "x"];
    // All at once: each takes its ten seconds.
    let [auto, quiet] = [&auto[..], &["live", "nowhere.mp4"]].map(|it| machine.start(it, &hangs, &[]));
    let [hangs, talks] = [hangs, talks].map(|build| machine.start(&cuda, &build, &[]));
    // Who was kept waiting hears why, asked by -v or not.
    for auto in [auto, quiet].map(Running::finish) {
        assert_eq!(auto.code(), 2, "{auto:?}");
        for needle in ["no GPU is used: ", "hangs --version did not end within 10 s", "tsm: nowhere.mp4"] {
            assert!(auto.stderr.contains(needle), "`{needle}` is not in {}", auto.stderr);
        }
    }
    hangs.finish().assert_bad_input("hangs --version did not end within 10 s");
    talks.finish().assert_bad_input("talks --version did not end within 10 s");
}

#[test]
fn the_doctor_tells_what_auto_will_do() {
    let machine = Machine::new("exit 0");
    let line = |build: &Path| {
        let finished = machine.run_with(&["doctor"], build);
        let lines: Vec<&str> = finished.stdout.lines().filter(|line| line.starts_with("gpu ")).collect();
        assert_eq!(lines.len(), 1, "{finished:?}");
        lines[0].to_owned()
    };
    let build = machine.path("build");
    assert_eq!(
        line(&build),
        format!("gpu        {} starts; --device auto hands over to it", build.display())
    );
    let needy = line(&machine.write("needy", &in_need_of("nowhere")));
    assert!(needy.starts_with("gpu        none, so that --device auto takes the processor: "), "{needy}");
    assert!(needy.contains("name CUDA 13's libraries with --cuda-libs DIR"), "{needy}");
    let absent = line(&machine.path("absent"));
    assert!(absent.contains("$TSM_CUDA names "), "{absent}");
}

#[test]
fn what_is_no_gpu_build_of_this_version_is_not_handed_to() {
    let machine = Machine::new("exit 0");
    let cuda = ["verify", "--device", "cuda", "--vectors", "x"];
    let with = |text: &str, mode: u32| {
        let build = machine.write("other", text);
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
