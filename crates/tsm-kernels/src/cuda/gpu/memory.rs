//! Memory on the GPU, and memory on the host that the GPU copies without the driver's help.

#![allow(unsafe_code, reason = "calls the driver, and reads memory that it gave")]

use std::ffi::c_void;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaContext, CudaStream, DriverError, result};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::cuda::args::StreamFolds;

/// Memory on a GPU, given back when it is dropped.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Arc<CudaContext>,
    address: u64,
    bytes: usize,
}

impl DeviceMemory {
    /// Memory of zeros; of no bytes, no memory.
    pub(super) fn zeros(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, DriverError> {
        context.bind_to_thread()?;
        let mut memory = Self { context: Arc::clone(context), address: 0, bytes };
        if bytes > 0 {
            // SAFETY: a plain allocation in the context that was bound.
            memory.address = unsafe { result::malloc_sync(bytes) }?;
            // SAFETY: the memory is as large as the call says, and nobody else knows it yet.
            unsafe { result::memset_d8_sync(memory.address, 0, bytes) }?;
            // The call may return before the memory is set, and other streams do not wait for it.
            context.synchronize()?;
        }
        Ok(memory)
    }

    /// A copy of `values`.
    pub(super) fn of<T: Copy>(context: &Arc<CudaContext>, values: &[T]) -> Result<Self, DriverError> {
        let memory = Self::zeros(context, size_of_val(values))?;
        if !values.is_empty() {
            // SAFETY: the memory has the size of `values`, and the call returns when they were copied.
            unsafe { result::memcpy_htod_sync(memory.address, values) }?;
            context.synchronize()?;
        }
        Ok(memory)
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first `count` values, which must be plain numbers.
    pub(super) fn read<T: Copy + Default>(&self, count: usize) -> Result<Vec<T>, DriverError> {
        assert!(count * size_of::<T>() <= self.bytes, "{count} values of a memory of {} bytes", self.bytes);
        self.context.bind_to_thread()?;
        self.context.synchronize()?;
        let mut values = vec![T::default(); count];
        if count > 0 {
            // SAFETY: the memory is at least as large as `values`, and the call returns when they were copied.
            unsafe { result::memcpy_dtoh_sync(&mut values, self.address) }?;
        }
        Ok(values)
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.address != 0 && self.context.bind_to_thread().is_ok() {
            // SAFETY: the address came from `malloc_sync` and is given back once. A step waits for its stream before
            // it returns, and cuMemFree waits for the GPU besides.
            let _gone = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Memory on the host that does not move.
pub(super) struct PinnedMemory {
    context: Arc<CudaContext>,
    start: *mut c_void,
    bytes: usize,
}

// SAFETY: plain memory, reached only through this value's references; the GPU's copies are waited for by its owner.
unsafe impl Send for PinnedMemory {}

/// Floats that one thread copies: enough to be worth a thread.
const FLOATS_A_TASK: usize = 1 << 17;

impl PinnedMemory {
    pub(super) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, DriverError> {
        context.bind_to_thread()?;
        let bytes = bytes.max(1);
        // SAFETY: a plain allocation in the context that was bound; no flags, so it is ordinary cached memory.
        let start = unsafe { result::malloc_host(bytes, 0) }?;
        let memory = Self { context: Arc::clone(context), start, bytes };
        // SAFETY: the allocation is `bytes` long, and nobody else knows it.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(memory)
    }

    fn floats(&self, at: usize, count: usize) -> &[f32] {
        assert!(
            at.is_multiple_of(4) && at + count * 4 <= self.bytes,
            "{count} floats of pinned memory at {at}"
        );
        // SAFETY: `at` lies within the allocation, as just checked.
        let start = unsafe { self.start.byte_add(at) };
        // SAFETY: initialised when it was made, aligned (the driver gives pages), and long enough; the GPU writes it
        // only between a launch and the wait for it, where `Gpu` holds no reference.
        unsafe { std::slice::from_raw_parts(start.cast(), count) }
    }

    fn floats_mut(&mut self, at: usize, count: usize) -> &mut [f32] {
        assert!(
            at.is_multiple_of(4) && at + count * 4 <= self.bytes,
            "{count} floats of pinned memory at {at}"
        );
        // SAFETY: `at` lies within the allocation, as just checked.
        let start = unsafe { self.start.byte_add(at) };
        // SAFETY: as in `floats`, and the borrow is a unique one.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), count) }
    }

    /// Puts `values` at byte `at`, by several threads if they are many.
    pub(super) fn write_floats(&mut self, at: usize, values: &[f32]) {
        let own = self.floats_mut(at, values.len());
        if values.len() <= 2 * FLOATS_A_TASK {
            own.copy_from_slice(values);
            return;
        }
        own.par_chunks_mut(FLOATS_A_TASK)
            .zip(values.par_chunks(FLOATS_A_TASK))
            .for_each(|(to, from)| to.copy_from_slice(from));
    }

    /// Puts the entry of stream `index` of the table at the start.
    pub(super) fn write_folds(&mut self, index: usize, folds: StreamFolds) {
        let at = index * size_of::<StreamFolds>();
        assert!(at + size_of::<StreamFolds>() <= self.bytes, "stream {index} is not in the table");
        // SAFETY: `at` lies within the allocation, as just checked.
        let entry = unsafe { self.start.byte_add(at) };
        // SAFETY: aligned (pages, and entries of 16 bytes), within the allocation, and borrowed uniquely.
        unsafe { entry.cast::<StreamFolds>().write(folds) };
    }

    /// Copies the first floats out.
    pub(super) fn read_floats(&self, values: &mut [f32]) {
        values.copy_from_slice(self.floats(0, values.len()));
    }

    /// Asks for a copy of the first `bytes` to `device`.
    pub(super) fn copy_to(
        &self,
        device: &DeviceMemory,
        bytes: usize,
        stream: &CudaStream,
    ) -> Result<(), DriverError> {
        assert!(bytes <= device.bytes(), "{bytes} bytes to {}", device.bytes());
        let own = self.floats(0, bytes / 4);
        // SAFETY: both are long enough, and live until their owner has waited for the stream.
        unsafe { result::memcpy_htod_async(device.address(), own, stream.cu_stream()) }
    }

    /// Asks for a copy of the first `bytes` of `device`.
    pub(super) fn copy_from(
        &self,
        device: &DeviceMemory,
        bytes: usize,
        stream: &CudaStream,
    ) -> Result<(), DriverError> {
        assert!(bytes <= device.bytes() && bytes <= self.bytes, "{bytes} bytes of {}", device.bytes());
        // SAFETY: within the allocation, as just checked; nobody holds a reference, and `Gpu` reads it only when it has
        // waited for the stream.
        let own = unsafe { std::slice::from_raw_parts_mut(self.start.cast::<u8>(), bytes) };
        // SAFETY: both are long enough, and live until their owner has waited for the stream.
        unsafe { result::memcpy_dtoh_async(own, device.address(), stream.cu_stream()) }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: it came from `malloc_host` and is given back once; no copy is under way when its owner goes.
            let _gone = unsafe { result::free_host(self.start) };
        }
    }
}
