//! A machine without kernels that keeps books of its memories: what a step leaves in one is the number of steps since
//! the last reset, whoever made them, and what must not be written it refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tsm_kernels::cuda::{FoldsOf, Machine, MachineError, Program};
use tsm_model::{CudaExecutor, DType, Device, Frames, ModelSpec};

use crate::made_up;

/// Runs nothing.
#[derive(Debug)]
pub(crate) struct Ledger {
    program: Program,
    /// Memories that were asked for; the first of them is the zeros that all streams share.
    given: Arc<AtomicUsize>,
    /// Streams of the last step, whose frames are there.
    last: usize,
}

/// One memory.
#[derive(Debug)]
pub(crate) struct Page {
    number: usize,
    /// Steps that lie behind what it holds; 0 as long as nobody wrote it.
    steps: AtomicUsize,
}

/// An executor of the network of `spec` on such a machine, and the count of memories that were asked for.
pub(crate) fn executor(spec: &ModelSpec) -> (CudaExecutor<Ledger>, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let machine = |program| Ok(Ledger { program, given, last: 0 });
    let checkpoint = made_up::checkpoint(spec.clone(), 1);
    (CudaExecutor::new(&checkpoint, Device::Cpu, DType::F32, machine).unwrap(), count)
}

impl Machine for Ledger {
    type Folds = Page;

    fn program(&self) -> &Program {
        &self.program
    }

    fn zeros(&self) -> Result<Page, MachineError> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        Ok(Page { number, steps: AtomicUsize::new(0) })
    }

    fn read(&self, folds: &Page) -> Result<Vec<f32>, MachineError> {
        let steps = u16::try_from(folds.steps.load(Ordering::Relaxed)).unwrap();
        Ok(vec![f32::from(steps); self.program.fold_len()])
    }

    fn step(
        &mut self,
        _frames: Frames<'_>,
        streams: usize,
        folds: &FoldsOf<'_, Page>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        for stream in 0..streams {
            let (read, write) = folds(stream);
            assert_ne!(write.number, 0, "the shared zeros are written");
            for other in 0..streams {
                let (theirs, written) = folds(other);
                assert_ne!(write.number, theirs.number, "{stream} writes what {other} reads");
                assert!(other == stream || write.number != written.number, "{stream} and {other} write one");
            }
            write.steps.store(read.steps.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        logits.fill(0.0);
        self.last = streams;
        Ok(())
    }

    fn step_again(
        &mut self,
        streams: usize,
        folds: &FoldsOf<'_, Page>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        assert_eq!(streams, self.last, "the frames of another step are there");
        self.step(Frames::Normalised(&[]), streams, folds, logits)
    }
}
