//! The host in a GPU's stead: the same launches, the kernels' bodies compiled by the host's compiler.
//!
//! For tests only. Memory is the process's own, and launches run one after the other. The same launches run the
//! kernels' PTX instead where there is an interpreter (`interpreted.rs`).

#![allow(unsafe_code, reason = "calls C++ with addresses")]

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;

use super::args::{KernelArgs, Launch, StreamFolds};
use super::buffers::{Addresses, Sizes};
use super::machine::{FoldsOf, Machine, MachineError, check};
use super::program::{Element, Program, SLOTS, Slot};
use super::tuner::{self, Bench, Known, Tuned};
use super::ways::{Scale, Stage};
use crate::frames::{FrameForm, FrameMemory, Frames};

mod interpreted;

type Twin = unsafe extern "C" fn(args: *const c_void, grid: *const c_int);

unsafe extern "C" {
    fn tsm_step_twin(name: *const c_char, threads: *mut c_int) -> Option<Twin>;
}

/// Memory that kernels write through an address: atomics, because nobody holds it by `&mut` meanwhile.
#[derive(Debug, Default)]
pub struct HostMemory(Vec<AtomicU64>);

impl HostMemory {
    fn zeros(bytes: usize) -> Self {
        Self((0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn of_floats(values: &[f32], element: Element) -> Self {
        let bytes: Vec<u8> = match element {
            Element::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Element::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        };
        Self::of_bytes(&bytes)
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let memory = Self::zeros(bytes.len());
        memory.write(0, bytes);
        memory
    }

    pub(super) fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        for (word, bytes) in self.0[at / 8..].iter().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    }
}

/// Runs a program with the host's twins of the kernels.
#[derive(Debug)]
pub struct Twins {
    program: Program,
    multiprocessors: usize,
    weights: HostMemory,
    biases: HostMemory,
    /// What the tuner's clock shows is drawn from it, if it is asked.
    clock: Option<u64>,
    /// What was found for each number of streams.
    tuned: HashMap<usize, Vec<Stage>>,
    /// Those of the last step.
    frames: FrameMemory,
}

impl Twins {
    /// As on a GPU of so many multiprocessors: their number decides about tiles and splits.
    pub fn new(mut program: Program, multiprocessors: usize) -> Self {
        let [weights, biases] = program.weights();
        let weights = HostMemory::of_floats(weights, program.element());
        let biases = HostMemory::of_floats(biases, Element::F32);
        program.forget_weights();
        Self {
            program,
            multiprocessors,
            weights,
            biases,
            clock: None,
            tuned: HashMap::new(),
            frames: FrameMemory::normalised(0),
        }
    }

    /// Tuned at the first step of a size, as a GPU is, by a clock that shows what `seed` says: any way may win. Where
    /// ways of a layer do not agree, that step fails.
    #[must_use]
    pub fn tuned(self, seed: u64) -> Self {
        Self { clock: Some(seed), ..self }
    }

    fn plan(
        &mut self,
        scale: Scale,
        at: &Addresses,
        slots: &[HostMemory],
    ) -> Result<Vec<Stage>, MachineError> {
        let Some(clock) = self.clock else { return Ok(self.program.estimated(scale)) };
        if let Some(stages) = self.tuned.get(&scale.pictures) {
            return Ok(stages.clone());
        }
        let mut bench = TwinBench { slots, element: self.program.element(), clock };
        let Tuned { stages, refused } = tuner::tune(&self.program, scale, at, &mut bench, &mut Known::new())?;
        if !refused.is_empty() {
            return Err(MachineError::Disagreement(refused.join(", ")));
        }
        self.tuned.insert(scale.pictures, stages.clone());
        Ok(stages)
    }
}

/// Any output, and any time.
struct TwinBench<'a> {
    slots: &'a [HostMemory],
    element: Element,
    clock: u64,
}

impl Bench for TwinBench<'_> {
    fn output(&mut self, launch: &Launch) -> Result<Vec<f32>, MachineError> {
        let slot = self.slots.iter().find(|slot| slot.address() == launch.args.y);
        let slot = slot.ok_or_else(|| MachineError::NoKernel(launch.kernel.clone()))?;
        slot.write(0, &vec![0xFF; slot.0.len() * 8]);
        run(launch)?;
        let element = if launch.args.is_f32_out != 0 { Element::F32 } else { self.element };
        let mut values = floats(&slot.bytes(), element);
        values.truncate(usize::try_from(launch.args.rows * launch.args.out_c).unwrap_or(0));
        Ok(values)
    }

    fn micros(&mut self, _launch: &Launch) -> Result<f32, MachineError> {
        // Knuth's numbers; the upper bits are the random ones.
        self.clock =
            self.clock.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(f32::from(u16::try_from(self.clock >> 48).unwrap_or(u16::MAX)))
    }
}

pub(super) fn floats(bytes: &[u8], element: Element) -> Vec<f32> {
    match element {
        Element::F32 => bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
        Element::F16 => bytes.as_chunks().0.iter().map(|chunk| f16::from_le_bytes(*chunk).to_f32()).collect(),
    }
}

/// Runs one launch.
///
/// # Errors
/// If there is no such kernel, or its blocks have another number of threads than the launch says.
pub(super) fn run<A: KernelArgs>(launch: &Launch<A>) -> Result<(), MachineError> {
    let no_kernel = || MachineError::NoKernel(launch.kernel.clone());
    let name = CString::new(launch.kernel.as_str()).map_err(|_nul| no_kernel())?;
    let mut threads = 0;
    // SAFETY: the name ends with a zero, and the function only compares it; `threads` is an int of ours.
    let twin = unsafe { tsm_step_twin(name.as_ptr(), &raw mut threads) }.ok_or_else(no_kernel)?;
    let needed = u32::try_from(threads).unwrap_or(0);
    if launch.threads != needed {
        let (kernel, found) = (launch.kernel.clone(), launch.threads);
        return Err(MachineError::Threads { kernel, found, needed });
    }
    if let Some(is_known) = interpreted::run(launch, &name) {
        return if is_known { Ok(()) } else { Err(no_kernel()) };
    }
    let grid = launch.grid.map(|size| c_int::try_from(size).unwrap_or(c_int::MAX));
    let args: *const A = &raw const launch.args;
    // SAFETY: the arguments have the layout that the twin expects (`args.rs` mirrors `layer.cuh` and `picture.cuh`),
    // and their addresses are of memories that live in the caller and are as large as the launch's sizes say.
    unsafe { twin(args.cast(), grid.as_ptr()) };
    Ok(())
}

impl Machine for Twins {
    type Folds = HostMemory;

    fn program(&self) -> &Program {
        &self.program
    }

    fn zeros(&self) -> Result<HostMemory, MachineError> {
        Ok(HostMemory::zeros(self.program.fold_len() * self.program.element().bytes()))
    }

    fn read(&self, folds: &HostMemory) -> Result<Vec<f32>, MachineError> {
        let mut values = floats(&folds.bytes(), self.program.element());
        values.truncate(self.program.fold_len());
        Ok(values)
    }

    fn step(
        &mut self,
        frames: Frames<'_>,
        streams: usize,
        folds: &FoldsOf<'_, HostMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        self.frames = match frames {
            Frames::Normalised(values) => FrameMemory::Normalised(values.to_vec()),
            Frames::Rgb(bytes) => FrameMemory::Rgb(Box::new(bytes.to_vec())),
        };
        self.step_again(streams, folds, logits)
    }

    fn step_again(
        &mut self,
        streams: usize,
        folds: &FoldsOf<'_, HostMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        let frames = self.frames.frames();
        let form = frames.form();
        check(&self.program, form, frames.len(), streams, logits.len())?;
        let sizes = Sizes::of(&self.program, streams, self.multiprocessors);
        let mut slots: [HostMemory; SLOTS] = std::array::from_fn(|slot| {
            let memory = HostMemory::zeros(sizes.slots[slot]);
            // What nobody wrote must not look like a number.
            memory.write(0, &vec![0xFF; sizes.slots[slot]]);
            memory
        });
        let bytes = match frames {
            Frames::Normalised(values) => {
                slots[Slot::Frames as usize] = HostMemory::of_floats(values, self.program.element());
                HostMemory::default()
            }
            Frames::Rgb(bytes) => HostMemory::of_bytes(bytes),
        };
        let table: Vec<StreamFolds> = (0..streams)
            .map(|stream| {
                let (read, write) = folds(stream);
                StreamFolds { read: read.address(), write: write.address() }
            })
            .collect();
        let (partial, counters) = (HostMemory::zeros(sizes.partial), HostMemory::zeros(sizes.counters));
        let addresses = Addresses {
            weights: self.weights.address(),
            biases: self.biases.address(),
            bytes: bytes.address(),
            slots: std::array::from_fn(|slot| slots[slot].address()),
            streams: table.as_ptr() as u64,
            partial: partial.address(),
            counters: counters.address(),
        };
        let scale = Scale { pictures: streams, multiprocessors: self.multiprocessors };
        if form == FrameForm::Rgb {
            run(&self.program.normalising(streams, &addresses).ok_or(MachineError::NoBytes)?)?;
        }
        let plan = self.plan(scale, &addresses, &slots)?;
        for stage in plan {
            run(&self.program.launch(stage, scale, &addresses))?;
        }
        let bytes = slots[Slot::Logits as usize].bytes();
        for (logit, bytes) in logits.iter_mut().zip(bytes.as_chunks().0) {
            *logit = f32::from_le_bytes(*bytes);
        }
        Ok(())
    }
}
