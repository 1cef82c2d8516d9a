//! Memory for steps of up to so many streams: on the GPU, and pinned on the host for what goes up and comes back.
//!
//! ```text
//! host    pinned [ table of memories │ frames ] ── upload ──► device [ table │ frames ]   slots, partial sums
//! host    pinned [ logits ] ◄─────────────── fetch_logits ── device [ slot of the logits ]
//! ```

use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaStream, DriverError};

use super::doing;
use super::memory::{DeviceMemory, PinnedMemory};
use crate::cuda::args::StreamFolds;
use crate::cuda::buffers::{Addresses, Sizes};
use crate::cuda::machine::{FoldsOf, MachineError};
use crate::cuda::program::{Program, Slot};

/// Memory for steps of up to so many streams.
pub(super) struct Arena {
    pub(super) most_streams: usize,
    /// Streams whose frames lie in `upload`; none where they may be half there.
    pub(super) uploaded: usize,
    sizes: Sizes,
    /// Empty for the frames, which lie in `upload`.
    pub(super) slots: Vec<DeviceMemory>,
    pub(super) partial: DeviceMemory,
    counters: DeviceMemory,
    upload: DeviceMemory,
    pinned_upload: PinnedMemory,
    pinned_logits: PinnedMemory,
}

impl Arena {
    /// For steps of `program` of up to `streams` streams.
    pub(super) fn new(
        stream: &Arc<CudaStream>,
        program: &Program,
        streams: usize,
        multiprocessors: usize,
    ) -> Result<Self, MachineError> {
        let sizes = Sizes::of(program, streams, multiprocessors);
        let device = |bytes| DeviceMemory::zeros(stream, bytes).map_err(doing("taking memory for a batch"));
        let pinned = |bytes| PinnedMemory::new(stream, bytes).map_err(doing("taking pinned memory"));
        let slots = sizes
            .slots
            .iter()
            .enumerate()
            .map(|(slot, bytes)| device(if slot == Slot::Frames as usize { 0 } else { *bytes }));
        Ok(Self {
            most_streams: streams,
            uploaded: 0,
            slots: slots.collect::<Result<_, _>>()?,
            partial: device(sizes.partial)?,
            counters: device(sizes.counters)?,
            upload: device(sizes.upload())?,
            pinned_upload: pinned(sizes.upload())?,
            pinned_logits: pinned(sizes.slots[Slot::Logits as usize])?,
            sizes,
        })
    }

    /// Where everything lies.
    pub(super) fn addresses(&self, weights: &DeviceMemory, biases: &DeviceMemory) -> Addresses {
        let mut addresses = Addresses {
            weights: weights.address(),
            biases: biases.address(),
            streams: self.upload.address(),
            partial: self.partial.address(),
            counters: self.counters.address(),
            ..Addresses::default()
        };
        for (address, memory) in addresses.slots.iter_mut().zip(&self.slots) {
            *address = memory.address();
        }
        addresses.slots[Slot::Frames as usize] = self.upload.address() + self.sizes.table as u64;
        addresses
    }

    /// Writes the table of the memories of a step, of `needed` bytes each.
    pub(super) fn write_table(
        &mut self,
        streams: usize,
        folds: &FoldsOf<'_, DeviceMemory>,
        needed: usize,
    ) -> Result<(), MachineError> {
        for stream in 0..streams {
            let (read, write) = folds(stream);
            let found = read.bytes().min(write.bytes());
            if found < needed {
                return Err(MachineError::Length { what: "a memory", found, needed, streams });
            }
            let entry = StreamFolds { read: read.address(), write: write.address() };
            self.pinned_upload.write_folds(stream, entry);
        }
        Ok(())
    }

    /// Asks for the table and the frames of a step to go up; without frames for the table alone.
    pub(super) fn upload(
        &mut self,
        frames: Option<&[f32]>,
        streams: usize,
        program: &Program,
    ) -> Result<(), MachineError> {
        let Self { sizes, uploaded, upload, pinned_upload, .. } = self;
        let Some(frames) = frames else {
            return pinned_upload
                .copy_to(upload, 0..sizes.table)
                .map_err(doing("uploading the table of memories"));
        };
        *uploaded = 0;
        pinned_upload
            .send(upload, sizes.table, frames, program.element())
            .map_err(doing("uploading frames"))?;
        *uploaded = streams;
        Ok(())
    }

    /// Asks for the first `bytes` of the logits to come back.
    pub(super) fn fetch_logits(&self, bytes: usize) -> Result<(), MachineError> {
        let logits = &self.slots[Slot::Logits as usize];
        self.pinned_logits.copy_from(logits, bytes).map_err(doing("fetching logits"))
    }

    /// Leaves no number of an earlier step, but for the frames.
    pub(super) fn forget(&self) -> Result<(), DriverError> {
        self.slots.iter().chain([&self.partial]).try_for_each(|memory| memory.fill(0xFF, memory.bytes()))
    }

    /// Copies out what came back.
    pub(super) fn read_logits(&self, logits: &mut [f32]) {
        self.pinned_logits.read_floats(logits);
    }
}
