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
use crate::frames::Frames;

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
            memory.fill(0, 0..bytes)?;
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

    /// Asks for `bytes` of it to be set to `value`.
    pub(super) fn fill(&self, value: u8, bytes: Range<usize>) -> Result<(), DriverError> {
        let Range { start, end } = bytes;
        assert!(start <= end && end <= self.bytes, "bytes {start} to {end} of a memory of {}", self.bytes);
        if start == end {
            return Ok(()); // of no memory the driver would not hear
        }
        let first = self.address + start as u64;
        // SAFETY: within the memory, as just checked; who reads it afterwards waits for the stream.
        unsafe { result::memset_d8_async(first, value, end - start, self.stream.cu_stream()) }
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

/// Bytes that one thread writes: enough to be worth a thread.
const BYTES_A_TASK: usize = 1 << 19;
/// Bytes that go up together: few enough for the GPU's copy to begin early, enough for a copy to be worth its call.
const BYTES_A_PIECE: usize = 1 << 22;

/// Numbers of which any bits are one.
///
/// # Safety
/// Any bits must be a value, and none of them padding.
pub(super) unsafe trait PlainNumber: Copy + Default + Send {}
// SAFETY: any 32 bits are a number.
unsafe impl PlainNumber for f32 {}
// SAFETY: any 16 bits are a number.
unsafe impl PlainNumber for f16 {}
// SAFETY: any 8 bits are a number.
unsafe impl PlainNumber for u8 {}

/// Fills `to` from `from` by `put`, with several threads if they are many.
fn write<T: PlainNumber, F: Sync>(to: &mut [T], from: &[F], put: impl Fn(&mut [T], &[F]) + Sync) {
    let task = BYTES_A_TASK / size_of::<T>();
    if from.len() <= 2 * task {
        put(to, from);
        return;
    }
    to.par_chunks_mut(task).zip(from.par_chunks(task)).for_each(|(to, from)| put(to, from));
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

    fn values<T: PlainNumber>(&self, at: usize, count: usize) -> &[T] {
        let bytes = count * size_of::<T>();
        assert!(
            at.is_multiple_of(size_of::<T>()) && at + bytes <= self.bytes,
            "{bytes} bytes of pinned memory at {at}"
        );
        // SAFETY: `at` lies within the allocation, as just checked.
        let start = unsafe { self.start.byte_add(at) };
        // SAFETY: initialised when it was made, of numbers of which any bits are one, aligned (the driver gives pages),
        // and long enough. The GPU writes the logits alone, between a launch and the wait for it, where `Gpu` holds no
        // reference; frames it only reads.
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

    /// Asks for `frames` to be copied to `device` from byte `at` on, normalised ones as `element`.
    ///
    /// They go by way of this memory, in pieces, so that one is written while the one before is on its way.
    pub(super) fn send(
        &mut self,
        device: &DeviceMemory,
        at: usize,
        frames: Frames<'_>,
        element: Element,
    ) -> Result<(), DriverError> {
        match (frames, element) {
            (Frames::Rgb(bytes), _) => self.send_pieces(device, at, bytes, <[u8]>::copy_from_slice),
            (Frames::Normalised(values), Element::F32) => {
                self.send_pieces(device, at, values, <[f32]>::copy_from_slice)
            }
            (Frames::Normalised(values), Element::F16) => {
                self.send_pieces(device, at, values, |to: &mut [f16], from: &[f32]| {
                    to.convert_from_f32_slice(from);
                })
            }
        }
    }

    /// Writes `values` by `put`, piece by piece, and asks for a copy of each.
    fn send_pieces<T: PlainNumber, F: Sync>(
        &mut self,
        device: &DeviceMemory,
        at: usize,
        values: &[F],
        put: impl Fn(&mut [T], &[F]) + Sync,
    ) -> Result<(), DriverError> {
        for (index, piece) in values.chunks(BYTES_A_PIECE / size_of::<T>()).enumerate() {
            let (start, bytes) = (index * BYTES_A_PIECE, piece.len() * size_of::<T>());
            write(self.values_mut(start, piece.len()), piece, &put);
            self.copy_to(device, at + start, start..start + bytes)?;
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
        values.copy_from_slice(self.values(0, values.len()));
    }

    /// Asks for a copy of `bytes` to `device`, from byte `at` on.
    pub(super) fn copy_to(
        &self,
        device: &DeviceMemory,
        at: usize,
        bytes: Range<usize>,
    ) -> Result<(), DriverError> {
        let Range { start, end } = bytes;
        assert!(start <= end && end <= self.bytes, "bytes {start} to {end} of {}", self.bytes);
        // SAFETY: `start` lies within the allocation, as just checked.
        let first = unsafe { self.start.byte_add(start) };
        // SAFETY: initialised when it was made, and within the allocation; nobody writes these bytes before their owner
        // has waited for the stream.
        let own: &[u8] = unsafe { std::slice::from_raw_parts(first.cast(), end - start) };
        fetch(device, at, own)
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

/// Asks for a copy of `bytes` to `device`, from byte `at` on, for which its stream has to be waited before they change
/// or go.
pub(super) fn fetch(device: &DeviceMemory, at: usize, bytes: &[u8]) -> Result<(), DriverError> {
    assert!(at + bytes.len() <= device.bytes(), "{} bytes at {at} of {}", bytes.len(), device.bytes());
    let to = device.address() + at as u64;
    // SAFETY: within the device's memory, as just checked. Both live until the stream was waited for, which `Gpu::run`
    // does before it is left, by an error or a panic, too.
    unsafe { result::memcpy_htod_async(to, bytes, device.stream.cu_stream()) }
}

/// Whether the GPU can fetch `bytes` by itself.
pub(super) fn is_pinned(bytes: &[u8]) -> bool {
    let mut kind: u32 = 0;
    let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
    // SAFETY: this attribute is a number of 32 bits; of an address that it does not know the driver says so.
    let answer =
        unsafe { sys::cuPointerGetAttribute((&raw mut kind).cast(), attribute, bytes.as_ptr() as u64) };
    answer == sys::CUresult::CUDA_SUCCESS && kind == sys::CUmemorytype::CU_MEMORYTYPE_HOST as u32
}

/// Bytes in pinned memory, for frames.
pub(super) struct PinnedBytes {
    memory: PinnedMemory,
    count: usize,
}

impl PinnedBytes {
    /// So many zeros.
    pub(super) fn new(stream: &Arc<CudaStream>, count: usize) -> Result<Self, DriverError> {
        Ok(Self { memory: PinnedMemory::new(stream, count)?, count })
    }
}

impl Deref for PinnedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.values(0, self.count)
    }
}

impl DerefMut for PinnedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.values_mut(0, self.count)
    }
}
