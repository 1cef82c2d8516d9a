//! The host in a GPU's stead: the same launches, the kernels' bodies compiled by the host's compiler.
//!
//! For tests only. Memory is the process's own, and launches run one after the other.

#![allow(unsafe_code, reason = "calls C++ with addresses")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;

use super::args::{KernelArgs, Launch, StreamFolds};
use super::buffers::{Addresses, Sizes};
use super::machine::{FoldsOf, Machine, MachineError, check};
use super::program::{Element, Program, SLOTS, Slot};

type Twin = unsafe extern "C" fn(args: *const c_void, grid: *const c_int);

unsafe extern "C" {
    fn tsm_step_twin(name: *const c_char) -> Option<Twin>;
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

    fn write(&self, at: usize, bytes: &[u8]) {
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
}

impl Twins {
    /// As on a GPU of so many multiprocessors: their number decides about tiles and splits.
    pub fn new(program: Program, multiprocessors: usize) -> Self {
        let [weights, biases] = program.weights();
        let weights = HostMemory::of_floats(weights, program.element());
        let biases = HostMemory::of_floats(biases, Element::F32);
        Self { program, multiprocessors, weights, biases }
    }
}

/// Runs one launch.
pub(super) fn run<A: KernelArgs>(launch: &Launch<A>) -> Result<(), MachineError> {
    let no_kernel = || MachineError::NoKernel(launch.kernel.clone());
    let name = CString::new(launch.kernel.as_str()).map_err(|_nul| no_kernel())?;
    // SAFETY: the name ends with a zero; the function only compares it.
    let twin = unsafe { tsm_step_twin(name.as_ptr()) }.ok_or_else(no_kernel)?;
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
        let bytes = folds.bytes();
        let mut values: Vec<f32> = match self.program.element() {
            Element::F32 => bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
            Element::F16 => {
                bytes.as_chunks().0.iter().map(|chunk| f16::from_le_bytes(*chunk).to_f32()).collect()
            }
        };
        values.truncate(self.program.fold_len());
        Ok(values)
    }

    fn step(
        &mut self,
        frames: &[f32],
        streams: usize,
        folds: &FoldsOf<'_, HostMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        check(&self.program, frames.len(), streams, logits.len())?;
        let sizes = Sizes::of(&self.program, streams, self.multiprocessors);
        let mut slots: [HostMemory; SLOTS] = std::array::from_fn(|slot| {
            let memory = HostMemory::zeros(sizes.slots[slot]);
            // What nobody wrote must not look like a number.
            memory.write(0, &vec![0xFF; sizes.slots[slot]]);
            memory
        });
        slots[Slot::Frames as usize] = HostMemory::of_floats(frames, Element::F32);
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
            slots: std::array::from_fn(|slot| slots[slot].address()),
            streams: table.as_ptr() as u64,
            partial: partial.address(),
            counters: counters.address(),
        };
        for launch in self.program.launches(streams, &addresses, self.multiprocessors) {
            run(&launch)?;
        }
        let bytes = slots[Slot::Logits as usize].bytes();
        for (logit, bytes) in logits.iter_mut().zip(bytes.as_chunks().0) {
            *logit = f32::from_le_bytes(*bytes);
        }
        Ok(())
    }
}
