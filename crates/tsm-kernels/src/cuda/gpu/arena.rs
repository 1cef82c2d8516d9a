//! Memory for steps of up to so many streams: on the GPU, and pinned on the host for what goes up and comes back.
//!
//! ```text
//! host    pinned [ table of memories ] ─────────────┐
//! host    frames of bytes, if they are pinned ──────┼─ upload ──► device [ table │ bytes │ planes ]
//! host    others ─► pinned, from their first step on┘
//! host    pinned [ logits ] ◄───────────────── fetch_logits ── device [ slot of the logits ], the other slots
//! ```
//!
//! Of frames of bytes the first launch of a step makes planes, where those that are normalised already would lie.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::{CudaStream, DriverError};

use super::memory::{DeviceMemory, PinnedMemory, fetch, is_pinned};
use super::{StepKind, doing};
use crate::cuda::args::StreamFolds;
use crate::cuda::buffers::{Addresses, Sizes};
use crate::cuda::machine::{FoldsOf, MachineError};
use crate::cuda::program::{Program, Slot};
use crate::frames::{FrameForm, Frames};

/// Memory for steps of up to so many streams.
pub(super) struct Arena {
    pub(super) most_streams: usize,
    /// The step whose frames lie in `upload`; none where they may be half there.
    pub(super) uploaded: Option<StepKind>,
    sizes: Sizes,
    /// Empty for the frames, which lie in `upload`.
    pub(super) slots: Vec<DeviceMemory>,
    pub(super) partial: DeviceMemory,
    counters: DeviceMemory,
    upload: DeviceMemory,
    pinned_table: PinnedMemory,
    /// For frames that the GPU does not fetch where they are.
    pinned_frames: Option<PinnedMemory>,
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
            uploaded: None,
            slots: slots.collect::<Result<_, _>>()?,
            partial: device(sizes.partial)?,
            counters: device(sizes.counters)?,
            upload: device(sizes.upload())?,
            pinned_table: pinned(sizes.table)?,
            pinned_frames: None,
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
        let frames_at = |form| self.upload.address() + self.sizes.frames_at(form) as u64;
        addresses.bytes = frames_at(FrameForm::Rgb);
        addresses.slots[Slot::Frames as usize] = frames_at(FrameForm::Normalised);
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
            self.pinned_table.write_folds(stream, entry);
        }
        Ok(())
    }

    /// Asks for the table and the frames of a step to go up; without frames for the table alone. Frames must stay until
    /// the stream was waited for.
    pub(super) fn upload(
        &mut self,
        stream: &Arc<CudaStream>,
        frames: Option<Frames<'_>>,
        streams: usize,
        program: &Program,
    ) -> Result<(), MachineError> {
        let Self { sizes, uploaded, upload, pinned_table, pinned_frames, .. } = self;
        let table = pinned_table.copy_to(upload, 0, 0..sizes.table);
        table.map_err(doing("uploading the table of memories"))?;
        let Some(frames) = frames else { return Ok(()) };
        *uploaded = None;
        let (form, at) = (frames.form(), sizes.frames_at(frames.form()));
        let sent = match frames {
            Frames::Rgb(bytes) if is_pinned(bytes) => fetch(upload, at, bytes),
            _ => {
                let pinned = match pinned_frames {
                    Some(pinned) => pinned,
                    none => none.insert(
                        PinnedMemory::new(stream, sizes.frames()).map_err(doing("taking pinned memory"))?,
                    ),
                };
                pinned.send(upload, at, frames, program.element())
            }
        };
        sent.map_err(doing("uploading frames"))?;
        *uploaded = Some(StepKind { streams, form });
        Ok(())
    }

    /// Asks for the first `bytes` of the logits to come back.
    pub(super) fn fetch_logits(&self, bytes: usize) -> Result<(), MachineError> {
        let logits = &self.slots[Slot::Logits as usize];
        self.pinned_logits.copy_from(logits, bytes).map_err(doing("fetching logits"))
    }

    /// Leaves no number of an earlier step, but for the frames as they went up.
    pub(super) fn forget(&self) -> Result<(), DriverError> {
        if self.uploaded.is_some_and(|step| step.form == FrameForm::Rgb) {
            self.upload.fill(0xFF, self.sizes.frames_at(FrameForm::Normalised)..self.upload.bytes())?;
        }
        self.slots.iter().chain([&self.partial]).try_for_each(|memory| memory.fill(0xFF, 0..memory.bytes()))
    }

    /// Copies out what came back.
    pub(super) fn read_logits(&self, logits: &mut [f32]) {
        self.pinned_logits.read_floats(logits);
    }
}
