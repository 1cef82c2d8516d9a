//! What each launch of a step takes, for bug reports and for whoever tunes the tiles: `TSM_CUDA_LAYERS=FILE`.

use std::fmt::Write as _;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaFunction, CudaStream, DriverError};

use super::graph::launch;
use crate::cuda::args::Launch;

/// Runs of a launch between two events: enough for the clock's half microsecond.
const RUNS: u16 = 20;

/// One line a launch: microseconds (launches one by one, so those of small ones are the driver's), grid, kernel, shape.
///
/// Sums stay right: what a launch reads it does not write. Behind them stand the kernels that did not agree with others
/// when the GPU was asked for the fastest, which is a bug of theirs.
pub(super) fn table(
    stream: &Arc<CudaStream>,
    launches: &[(CudaFunction, Launch)],
    refused: &[String],
) -> Result<String, DriverError> {
    let event = || stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
    let (start, end) = (event()?, event()?);
    let mut text = String::new();
    for (function, data) in launches {
        launch(function, data, stream)?;
        start.record(stream)?;
        for _ in 0..RUNS {
            launch(function, data, stream)?;
        }
        end.record(stream)?;
        end.synchronize()?;
        let micros = start.elapsed_ms(&end)? * 1000.0 / f32::from(RUNS);
        let Launch { kernel, grid, args, .. } = data;
        let shape = format!("{}x{}x{} s{}", args.rows, args.out_c, args.depth, args.splits);
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{micros:9.2} us  {grid:?}  {kernel}  {shape}");
    }
    for kernel in refused {
        let _written = writeln!(text, "refused: {kernel}");
    }
    Ok(text)
}
