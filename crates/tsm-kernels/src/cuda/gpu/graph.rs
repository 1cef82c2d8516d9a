//! Launches, one by one or recorded.

#![allow(unsafe_code, reason = "calls the driver with addresses")]

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaFunction, CudaGraph, CudaStream, DriverError, result};

use crate::cuda::args::{KernelArgs, Launch};

/// Puts one kernel on `stream`.
pub(crate) fn launch<A: KernelArgs>(
    function: &CudaFunction,
    launch: &Launch<A>,
    stream: &CudaStream,
) -> Result<(), DriverError> {
    let [x, y, z] = launch.grid;
    let args: *const A = &raw const launch.args;
    let mut params: [*mut c_void; 1] = [args.cast_mut().cast()];
    // SAFETY: the kernel takes one `A`, which the driver copies before it returns. The addresses in it are of memories
    // as large as the launch's sizes say; `Gpu` keeps them until the stream has been waited for, and candle gives them
    // back in the stream's order.
    unsafe {
        result::launch_kernel(
            function.cu_function(),
            (x, y, z),
            (launch.threads, 1, 1),
            0,
            stream.cu_stream(),
            &mut params,
        )
    }
}

/// A recorded step.
pub(super) struct Graph(CudaGraph);

// SAFETY: the driver wants calls that name one graph one after the other, from whichever thread. A `Graph` is not
// `Sync`, it is never cloned, and its one owner is reached through `&mut Gpu`.
unsafe impl Send for Graph {}

impl Graph {
    pub(super) fn new(graph: CudaGraph) -> Self {
        Self(graph)
    }

    pub(crate) fn launch(&self) -> Result<(), DriverError> {
        self.0.launch()
    }
}
