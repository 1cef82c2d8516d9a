//! Launches, one by one or recorded.

#![allow(unsafe_code, reason = "calls the driver with addresses")]

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::{
    CUevent_flags, CUgraphInstantiate_flags, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue,
    CUlaunchConfig, CUstreamCaptureMode, cuLaunchKernelEx,
};
use cudarc::driver::{CudaFunction, CudaGraph, CudaStream, DriverError};

use super::doing;
use super::memory::bind;
use crate::cuda::args::{KernelArgs, Launch};
use crate::cuda::machine::MachineError;

/// When a launch may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Once the one ahead of it has ended.
    Behind,
    /// Before that, where the GPU can; its kernel waits by itself (`cuda/launch.cuh`).
    Early,
}

/// Puts one kernel on `stream`, behind what is on it.
pub(crate) fn launch<A: KernelArgs>(
    function: &CudaFunction,
    data: &Launch<A>,
    stream: &CudaStream,
) -> Result<(), DriverError> {
    launch_at(function, data, stream, Begin::Behind)
}

/// Puts one kernel on `stream`.
pub(super) fn launch_at<A: KernelArgs>(
    function: &CudaFunction,
    data: &Launch<A>,
    stream: &CudaStream,
    begin: Begin,
) -> Result<(), DriverError> {
    let [x, y, z] = data.grid;
    let args: *const A = &raw const data.args;
    let mut params: [*mut c_void; 1] = [args.cast_mut().cast()];
    let mut early = CUlaunchAttribute {
        id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value: CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
    };
    let config = CUlaunchConfig {
        gridDimX: x,
        gridDimY: y,
        gridDimZ: z,
        blockDimX: data.threads,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: 0,
        hStream: stream.cu_stream(),
        attrs: &raw mut early,
        numAttrs: u32::from(begin == Begin::Early),
    };
    // SAFETY: the kernel takes one `A`, which the driver copies before it returns, as it does the attribute. The
    // addresses in it are of memories as large as the launch's sizes say; `Gpu` keeps them until the stream has been
    // waited for, and candle gives them back in the stream's order. A kernel that begins early touches what others
    // write only behind `wait_for_previous`, as its twin shows.
    unsafe { cuLaunchKernelEx(&raw const config, function.cu_function(), params.as_mut_ptr(), null_mut()) }
        .result()
}

/// Microseconds that the GPU takes for what `issue` asks `stream` for.
pub(super) fn timed(
    stream: &CudaStream,
    issue: impl FnOnce() -> Result<(), DriverError>,
) -> Result<f32, DriverError> {
    let event = || stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
    let (start, end) = (event()?, event()?);
    start.record(stream)?;
    issue()?;
    end.record(stream)?;
    end.synchronize()?;
    Ok(start.elapsed_ms(&end)? * 1000.0)
}

/// A recorded step.
pub(super) struct Graph {
    graph: CudaGraph,
    stream: Arc<CudaStream>,
}

// SAFETY: the driver wants calls that name one graph one after the other, from whichever thread. A `Graph` is not
// `Sync`, it is never cloned, and its one owner is reached through `&mut Gpu`.
unsafe impl Send for Graph {}

/// Records what `issue` asks `stream` for, which does nothing of it yet.
pub(super) fn record(
    stream: &Arc<CudaStream>,
    issue: impl FnOnce() -> Result<(), MachineError>,
) -> Result<Graph, MachineError> {
    let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    stream.begin_capture(mode).map_err(doing("beginning to record"))?;
    let issued = issue();
    let flags = CUgraphInstantiate_flags(0);
    // Ended in any case: a stream that records can do nothing else. Where cudarc only told what another call left
    // behind, it did not even try.
    let graph = stream.end_capture(flags).or_else(|error| stream.end_capture(flags).map_err(|_again| error));
    issued?;
    let Some(graph) = graph.map_err(doing("recording a step"))? else {
        return Err(MachineError::Driver { doing: "recording a step", source: "it asks for nothing".into() });
    };
    graph.upload().map_err(doing("uploading a graph"))?;
    Ok(Graph { graph, stream: Arc::clone(stream) })
}

impl Graph {
    pub(crate) fn launch(&self) -> Result<(), DriverError> {
        self.graph.launch()
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // cudarc gives graphs back in whatever context the thread has, and tells a failure to whoever comes next.
        let _bound = bind(self.stream.context());
    }
}
