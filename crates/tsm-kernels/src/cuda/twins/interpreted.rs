//! The kernels' PTX in the twins' stead: what a GPU is given, run by the interpreter of `tests/gpu`.
//!
//! ```text
//! launch ─┬─ the source, compiled for the host (a twin)
//!         └─ the PTX that nvcc made of it, instruction by instruction    $TSM_PTX_INTERPRETER, scripts/without-gpu.sh
//! ```
//!
//! So every test of the twins is one of the PTX as well: of what the compiler made, of barriers that a twin does not
//! need, of threads that read shared memory while others write it.

#![allow(unsafe_code, reason = "loads a library and calls it")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

use crate::cuda::args::{KernelArgs, Launch};

/// `tsm_ptx_run` of `tests/gpu`: 0 if it ran.
type Run = unsafe extern "C" fn(
    kernel: *const c_char,
    args: *const c_void,
    bytes: usize,
    grid: *const c_uint,
    threads: c_uint,
) -> c_int;

/// The C library's `RTLD_NOW`: a function that the library lacks is told at once.
const RTLD_NOW: c_int = 2;

unsafe extern "C" {
    fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The interpreter that the environment names, if it names one.
static RUN: LazyLock<Option<Run>> = LazyLock::new(|| {
    let path = std::env::var_os("TSM_PTX_INTERPRETER")?;
    let c_path = CString::new(path.as_bytes()).expect("a path has no zeros");
    let run = load(&c_path);
    Some(run.unwrap_or_else(|| panic!("TSM_PTX_INTERPRETER: {} has no `tsm_ptx_run`", path.display())))
});

fn load(path: &CStr) -> Option<Run> {
    // SAFETY: a path that ends with a zero; what runs when it is loaded is the interpreter's own.
    let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
    if library.is_null() {
        return None;
    }
    // SAFETY: a library that was just loaded, and is never closed.
    let found = unsafe { dlsym(library, c"tsm_ptx_run".as_ptr()) };
    // SAFETY: a function of that name has that signature (`tests/gpu`); none is a null pointer, which is `None`.
    unsafe { std::mem::transmute::<*mut c_void, Option<Run>>(found) }
}

/// Runs a launch, if the environment names an interpreter; `Some(false)` if it knows no such kernel.
pub(super) fn run<A: KernelArgs>(launch: &Launch<A>, name: &CStr) -> Option<bool> {
    let run = (*RUN)?;
    let args: *const A = &raw const launch.args;
    // SAFETY: the name ends with a zero, the arguments are as long as said, and the addresses in them are of memories
    // that live in the caller and are as large as the launch's sizes say.
    let code =
        unsafe { run(name.as_ptr(), args.cast(), size_of::<A>(), launch.grid.as_ptr(), launch.threads) };
    Some(code == 0)
}
