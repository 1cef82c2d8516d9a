//! Memory on the GPU, and memory on the host that the GPU copies without the driver's help.

#![allow(unsafe_code, reason = "calls the driver, and reads memory that it gave")]

use std::ffi::c_void;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::cuda::args::StreamFolds;
use crate::cuda::program::Element;

/// Makes `context` the calling thread's. Unlike cudarc's own it does not stop at an error that another call left.
pub(super) fn bind(context: &CudaContext) -> Result<(), DriverError> {
    // SAFETY: a context that its owner has not given back.
    unsafe { result::ctx::set_current(context.cu_ctx()) }
}

/// Waits for everything that was asked of `stream`, whatever error another call left.
pub(super) fn wait(stream: &CudaStream) -> Result<(), DriverError> {
    // SAFETY: a stream that its owner has not given back.
    unsafe { result::stream::synchronize(stream.cu_stream()) }
}

/// Waits for a stream when it is dropped, so that an error or a panic leaves no copy under way.
#[derive(Debug)]
pub(super) struct Idle {
    stream: Arc<CudaStream>,
    is_waited_for: bool,
}

impl Idle {
    /// Before something is asked of `stream`.
    pub(super) fn before(stream: &Arc<CudaStream>) -> Self {
        Self { stream: Arc::clone(stream), is_waited_for: false }
    }

    /// Waits now.
    pub(super) fn wait(mut self) -> Result<(), DriverError> {
        self.is_waited_for = true;
        wait(&self.stream)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if !self.is_waited_for {
            let _idle = wait(&self.stream);
        }
    }
}

/// Memory on a GPU, used on one stream, given back when it is dropped.
#[derive(Debug)]
pub struct DeviceMemory {
    stream: Arc<CudaStream>,
    address: u64,
    bytes: usize,
}

impl DeviceMemory {
    /// Memory of zeros; of no bytes, no memory.
    pub(super) fn zeros(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self, DriverError> {
        bind(stream.context())?;
        let mut memory = Self { stream: Arc::clone(stream), address: 0, bytes };
        if bytes > 0 {
            // SAFETY: a plain allocation in the context that was bound.
            memory.address = unsafe { result::malloc_sync(bytes) }?;
            memory.fill(0, bytes)?;
            wait(stream)?;
        }
        Ok(memory)
    }

    /// A copy of `values`.
    pub(super) fn of<T: PlainNumber>(stream: &Arc<CudaStream>, values: &[T]) -> Result<Self, DriverError> {
        let memory = Self::zeros(stream, size_of_val(values))?;
        if !values.is_empty() {
            // SAFETY: the memory has the size of `values`, which live until the copy was waited for.
            let asked = unsafe { result::memcpy_htod_async(memory.address, values, stream.cu_stream()) };
            wait(stream)?;
            asked?;
        }
        Ok(memory)
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `count` values from the `first` on, once the stream has done what it was asked for.
    pub(super) fn read<T: PlainNumber>(&self, first: usize, count: usize) -> Result<Vec<T>, DriverError> {
        let (at, end) = (first * size_of::<T>(), (first + count) * size_of::<T>());
        assert!(end <= self.bytes, "bytes {at} to {end} of a memory of {}", self.bytes);
        bind(self.stream.context())?;
        let mut values = vec![T::default(); count];
        if count > 0 {
            let (from, stream) = (self.address + at as u64, self.stream.cu_stream());
            // SAFETY: the stretch lies within the memory, as just checked, and is as long as `values`, which live until
            // the copy was waited for.
            let asked = unsafe { result::memcpy_dtoh_async(&mut values, from, stream) };
            wait(&self.stream)?;
            asked?;
        }
        Ok(values)
    }

    /// Asks for the first `bytes` to be set to `value`.
    pub(super) fn fill(&self, value: u8, bytes: usize) -> Result<(), DriverError> {
        assert!(bytes <= self.bytes, "{bytes} bytes of a memory of {}", self.bytes);
        if bytes == 0 {
            return Ok(()); // of no memory the driver would not hear
        }
        // SAFETY: within the memory, as just checked; who reads it afterwards waits for the stream.
        unsafe { result::memset_d8_async(self.address, value, bytes, self.stream.cu_stream()) }
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.address != 0 && bind(self.stream.context()).is_ok() {
            // SAFETY: the address came from `malloc_sync` and is given back once. A step waits for its stream before
            // it returns, and cuMemFree waits for the GPU besides.
            let _gone = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Memory on the host that does not move, copied on one stream.
pub(super) struct PinnedMemory {
    stream: Arc<CudaStream>,
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
///
/// # Safety
/// Any bits must be a value, and none of them padding.
pub(super) unsafe trait PlainNumber: Copy + Default + Send {}
// SAFETY: any 32 bits are a number.
unsafe impl PlainNumber for f32 {}
// SAFETY: any 16 bits are a number.
unsafe impl PlainNumber for f16 {}

/// Fills `to` from `from` by `put`, with several threads if they are many.
fn write<T: PlainNumber>(to: &mut [T], from: &[f32], put: impl Fn(&mut [T], &[f32]) + Sync) {
    if from.len() <= 2 * FLOATS_A_TASK {
        put(to, from);
        return;
    }
    to.par_chunks_mut(FLOATS_A_TASK).zip(from.par_chunks(FLOATS_A_TASK)).for_each(|(to, from)| put(to, from));
}

impl PinnedMemory {
    pub(super) fn new(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self, DriverError> {
        bind(stream.context())?;
        let bytes = bytes.max(1);
        // SAFETY: a plain allocation in the context that was bound; no flags, so it is ordinary cached memory.
        let start = unsafe { result::malloc_host(bytes, 0) }?;
        let memory = Self { stream: Arc::clone(stream), start, bytes };
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
        // SAFETY: initialised when it was made, aligned (the driver gives pages), and long enough. The GPU writes the
        // logits alone, between a launch and the wait for it, where `Gpu` holds no reference; frames it only reads.
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
        // long enough, and borrowed uniquely; the GPU only reads it, and `Gpu` waits for that before a step is left,
        // for which frames are borrowed.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), count) }
    }

    /// Asks for everything before byte `at`, and behind it `frames` as `element`, to be copied to `device`.
    ///
    /// `frames` go by way of this memory, in pieces, so that one is written while the one before is on its way; or
    /// straight from where they are, if the GPU can fetch them there. So they must stay until the stream was waited
    /// for.
    pub(super) fn send(
        &mut self,
        device: &DeviceMemory,
        at: usize,
        frames: &[f32],
        element: Element,
    ) -> Result<(), DriverError> {
        if element == Element::F32 && is_pinned(frames) {
            assert!(at + size_of_val(frames) <= device.bytes(), "frames at {at} of {}", device.bytes());
            self.copy_to(device, 0..at)?;
            // SAFETY: within the device's memory, as just checked; both live until the stream was waited for, which
            // `Gpu::run` does before it is left, by an error or a panic, too.
            return unsafe {
                result::memcpy_htod_async(device.address() + at as u64, frames, self.stream.cu_stream())
            };
        }
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
            self.copy_to(device, sent..end)?;
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
    pub(super) fn copy_to(&self, device: &DeviceMemory, bytes: Range<usize>) -> Result<(), DriverError> {
        let Range { start, end } = bytes;
        assert!(start <= end && end <= device.bytes() && end <= self.bytes, "bytes {start} to {end}");
        // SAFETY: `start` lies within the allocation, as just checked.
        let first = unsafe { self.start.byte_add(start) };
        // SAFETY: initialised when it was made, and within the allocation; nobody writes these bytes before their owner
        // has waited for the stream.
        let own: &[u8] = unsafe { std::slice::from_raw_parts(first.cast(), end - start) };
        // SAFETY: both are long enough, and live until their owner has waited for the stream.
        unsafe { result::memcpy_htod_async(device.address() + start as u64, own, self.stream.cu_stream()) }
    }

    /// Asks for a copy of the first `bytes` of `device`.
    pub(super) fn copy_from(&self, device: &DeviceMemory, bytes: usize) -> Result<(), DriverError> {
        assert!(bytes <= device.bytes() && bytes <= self.bytes, "{bytes} bytes of {}", device.bytes());
        // SAFETY: within the allocation, as just checked; nobody holds a reference, and `Gpu` reads it only when it has
        // waited for the stream.
        let own = unsafe { std::slice::from_raw_parts_mut(self.start.cast::<u8>(), bytes) };
        // SAFETY: both are long enough, and live until their owner has waited for the stream.
        unsafe { result::memcpy_dtoh_async(own, device.address(), self.stream.cu_stream()) }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if bind(self.stream.context()).is_ok() {
            // SAFETY: it came from `malloc_host` and is given back once. No copy is under way: a step is not left
            // before its stream was waited for (`Idle`).
            let _gone = unsafe { result::free_host(self.start) };
        }
    }
}

/// Whether the GPU can fetch `values` by itself.
fn is_pinned(values: &[f32]) -> bool {
    let mut kind: u32 = 0;
    let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
    // SAFETY: this attribute is a number of 32 bits; of an address that it does not know the driver says so.
    let answer =
        unsafe { sys::cuPointerGetAttribute((&raw mut kind).cast(), attribute, values.as_ptr() as u64) };
    answer == sys::CUresult::CUDA_SUCCESS && kind == sys::CUmemorytype::CU_MEMORYTYPE_HOST as u32
}

/// Floats in pinned memory, for frames.
pub(super) struct PinnedFloats {
    memory: PinnedMemory,
    count: usize,
}

impl PinnedFloats {
    /// So many zeros.
    pub(super) fn new(stream: &Arc<CudaStream>, count: usize) -> Result<Self, DriverError> {
        Ok(Self { memory: PinnedMemory::new(stream, count * size_of::<f32>())?, count })
    }
}

impl Deref for PinnedFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.memory.floats(0, self.count)
    }
}

impl DerefMut for PinnedFloats {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.memory.values_mut(0, self.count)
    }
}
