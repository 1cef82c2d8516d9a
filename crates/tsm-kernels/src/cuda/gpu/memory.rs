//! Memory on the GPU, and memory on the host that the GPU copies without the driver's help.

#![allow(unsafe_code, reason = "calls the driver, and reads memory that it gave")]

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaContext, CudaStream, DriverError, result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::cuda::args::StreamFolds;
use crate::cuda::program::Element;

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

    /// The first `count` values, which must be plain numbers, once the GPU has done what it was asked for.
    pub(super) fn read<T: Copy + Default>(&self, count: usize) -> Result<Vec<T>, DriverError> {
        self.context.bind_to_thread()?;
        self.context.synchronize()?;
        self.read_from(0, count)
    }

    /// `count` values from the `first` on, which must be plain numbers that the GPU has written already.
    pub(super) fn read_from<T: Copy + Default>(
        &self,
        first: usize,
        count: usize,
    ) -> Result<Vec<T>, DriverError> {
        let (at, end) = (first * size_of::<T>(), (first + count) * size_of::<T>());
        assert!(end <= self.bytes, "bytes {at} to {end} of a memory of {}", self.bytes);
        self.context.bind_to_thread()?;
        let mut values = vec![T::default(); count];
        if count > 0 {
            // SAFETY: the stretch lies within the memory, as just checked, and is as long as `values`; the call returns
            // when they were copied.
            unsafe { result::memcpy_dtoh_sync(&mut values, self.address + at as u64) }?;
        }
        Ok(values)
    }

    /// Asks for the first `bytes` to be set to `value`.
    pub(super) fn fill(&self, value: u8, bytes: usize, stream: &CudaStream) -> Result<(), DriverError> {
        assert!(bytes <= self.bytes, "{bytes} bytes of a memory of {}", self.bytes);
        // SAFETY: within the memory, as just checked; who reads it afterwards waits for the stream.
        unsafe { result::memset_d8_async(self.address, value, bytes, stream.cu_stream()) }
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
/// Floats that go up together: few enough for the GPU's copy to begin early, enough for a copy to be worth its call.
const FLOATS_A_PIECE: usize = 1 << 20;

/// Numbers of which any bits are one.
trait PlainNumber: Copy + Send {}
impl PlainNumber for f32 {}
impl PlainNumber for f16 {}

/// Fills `to` from `from` by `put`, with several threads if they are many.
fn write<T: PlainNumber>(to: &mut [T], from: &[f32], put: impl Fn(&mut [T], &[f32]) + Sync) {
    if from.len() <= 2 * FLOATS_A_TASK {
        put(to, from);
        return;
    }
    to.par_chunks_mut(FLOATS_A_TASK).zip(from.par_chunks(FLOATS_A_TASK)).for_each(|(to, from)| put(to, from));
}

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

    fn values_mut<T: PlainNumber>(&mut self, at: usize, count: usize) -> &mut [T] {
        let bytes = count * size_of::<T>();
        assert!(
            at.is_multiple_of(size_of::<T>()) && at + bytes <= self.bytes,
            "{bytes} bytes of pinned memory at {at}"
        );
        // SAFETY: `at` lies within the allocation, as just checked.
        let start = unsafe { self.start.byte_add(at) };
        // SAFETY: initialised when it was made, of numbers of which any bits are one, aligned (the driver gives pages),
        // long enough, and borrowed uniquely; the GPU only reads it, and `Gpu` waits for that before the next step.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), count) }
    }

    /// Puts `frames` at byte `at` as `element`, and asks for all up to their end to be copied to `device`: in pieces,
    /// so that one is written while the one before is on its way.
    pub(super) fn send(
        &mut self,
        device: &DeviceMemory,
        at: usize,
        frames: &[f32],
        element: Element,
        stream: &CudaStream,
    ) -> Result<(), DriverError> {
        let mut sent = 0;
        for (index, piece) in frames.chunks(FLOATS_A_PIECE).enumerate() {
            let from = at + index * FLOATS_A_PIECE * element.bytes();
            match element {
                Element::F32 => write(self.values_mut(from, piece.len()), piece, <[f32]>::copy_from_slice),
                Element::F16 => write(self.values_mut::<f16>(from, piece.len()), piece, |to, from| {
                    to.convert_from_f32_slice(from);
                }),
            }
            let end = from + piece.len() * element.bytes();
            self.copy_to(device, sent..end, stream)?;
            sent = end;
        }
        Ok(())
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

    /// Asks for a copy of `bytes` to the same place of `device`.
    fn copy_to(
        &self,
        device: &DeviceMemory,
        bytes: Range<usize>,
        stream: &CudaStream,
    ) -> Result<(), DriverError> {
        let Range { start, end } = bytes;
        assert!(start <= end && end <= device.bytes() && end <= self.bytes, "bytes {start} to {end}");
        // SAFETY: `start` lies within the allocation, as just checked.
        let first = unsafe { self.start.byte_add(start) };
        // SAFETY: initialised when it was made, and within the allocation; nobody writes these bytes before their owner
        // has waited for the stream.
        let own: &[u8] = unsafe { std::slice::from_raw_parts(first.cast(), end - start) };
        // SAFETY: both are long enough, and live until their owner has waited for the stream.
        unsafe { result::memcpy_htod_async(device.address() + start as u64, own, stream.cu_stream()) }
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
