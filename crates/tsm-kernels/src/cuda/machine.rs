//! What runs a program: a GPU, or the host in its stead.

use std::fmt;

use super::program::Program;
use crate::frames::{ByteMemory, FrameForm, FrameMemory, Frames};

/// Why a machine could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The driver refused.
    #[error("CUDA, while {doing}: {source}")]
    Driver {
        /// What was being done.
        doing: &'static str,
        /// What the driver says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A kernel is not among those that were compiled.
    #[error("the kernel {0} is not in this build")]
    NoKernel(String),
    /// A kernel was to be launched in blocks of another size than it is compiled for.
    #[error(
        "the kernel {kernel} runs in blocks of {needed} threads, and was to be launched in blocks of {found}"
    )]
    Threads {
        /// Its name.
        kernel: String,
        /// Threads a block of the launch.
        found: u32,
        /// Those it is compiled for.
        needed: u32,
    },
    /// Every kernel that could do a layer failed, or left outputs that are no numbers.
    #[error("no kernel could do a layer: {0}")]
    AllRefused(String),
    /// Kernels that do the same layer do not say the same.
    #[error("kernels of one layer have different outputs: {0}")]
    Disagreement(String),
    /// A step of so many streams has tensors that the kernels cannot count.
    #[error(
        "a step of {streams} streams is too large for the kernels; at most {most} fit at this size of pictures"
    )]
    TooMany {
        /// The streams.
        streams: usize,
        /// As many as fit.
        most: usize,
    },
    /// The program normalises no bytes.
    #[error("this program takes normalised frames, and no bytes")]
    NoBytes,
    /// The lengths of a step's inputs do not fit each other, or a memory is of another program.
    #[error("a step of {streams} streams was given {what} of {found} instead of {needed}")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// The length given.
        found: usize,
        /// The one needed.
        needed: usize,
        /// The streams.
        streams: usize,
    },
}

/// The memories of a stream in a step: what the last one left, and where this one leaves its own.
pub type FoldsOf<'a, F> = dyn Fn(usize) -> (&'a F, &'a F) + 'a;

/// Runs one [`Program`].
pub trait Machine: Send + fmt::Debug {
    /// What one stream remembers, on the machine: the folds of all shifted blocks, channels last.
    type Folds: Send + Sync + fmt::Debug + 'static;

    /// What it runs.
    fn program(&self) -> &Program;

    /// A memory of zeros.
    ///
    /// # Errors
    /// If there is no room.
    fn zeros(&self) -> Result<Self::Folds, MachineError>;

    /// Copies a memory out, as f32.
    ///
    /// # Errors
    /// If the machine fails.
    fn read(&self, folds: &Self::Folds) -> Result<Vec<f32>, MachineError>;

    /// So many zeros, where the machine fetches them best.
    fn byte_memory(&self, bytes: usize) -> ByteMemory {
        Box::new(vec![0; bytes])
    }

    /// Zeros for the frames of `streams` streams: bytes, if the program takes them.
    fn frame_memory(&self, streams: usize) -> FrameMemory {
        let values = streams * self.program().frame_values();
        if self.program().takes(FrameForm::Rgb) {
            FrameMemory::Rgb(self.byte_memory(values))
        } else {
            FrameMemory::normalised(values)
        }
    }

    /// One frame of each of `streams` streams; `logits` are `[streams, classes]`.
    ///
    /// `folds` gives each stream's memories, which must be distinct ones. The first is not written. Allocates nothing
    /// once the number of streams was seen with frames of that form.
    ///
    /// # Errors
    /// If lengths do not fit, or the machine fails; what was to be written is then undefined.
    fn step(
        &mut self,
        frames: Frames<'_>,
        streams: usize,
        folds: &FoldsOf<'_, Self::Folds>,
        logits: &mut [f32],
    ) -> Result<(), MachineError>;

    /// As [`Self::step`], with the frames of the last one, which the machine still has.
    ///
    /// # Errors
    /// As there; or if the last step was not one of `streams` streams.
    fn step_again(
        &mut self,
        streams: usize,
        folds: &FoldsOf<'_, Self::Folds>,
        logits: &mut [f32],
    ) -> Result<(), MachineError>;
}

/// Checks what every step relies on.
pub(super) fn check(
    program: &Program,
    form: FrameForm,
    frames: usize,
    streams: usize,
    logits: usize,
) -> Result<(), MachineError> {
    if !program.takes(form) {
        return Err(MachineError::NoBytes);
    }
    let most = program.most_streams();
    if streams > most {
        return Err(MachineError::TooMany { streams, most });
    }
    let needs = [
        ("frames", frames, streams * program.frame_values()),
        ("logits", logits, streams * program.classes()),
    ];
    for (what, found, needed) in needs {
        if found != needed {
            return Err(MachineError::Length { what, found, needed, streams });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::program::Element;
    use super::*;

    #[test]
    fn a_step_whose_tensors_the_kernels_cannot_count_is_refused() {
        let program = Program::new(Element::F32, 224, 5);
        let (values, most) = (program.frame_values(), program.most_streams());
        let elements = most as u64 * values as u64;
        assert!(elements < 1 << 31 && elements + values as u64 >= 1 << 31, "{most}");
        let form = FrameForm::Normalised;
        check(&program, form, most * values, most, most * 5).unwrap();
        let refused = check(&program, form, (most + 1) * values, most + 1, (most + 1) * 5).unwrap_err();
        assert!(matches!(refused, MachineError::TooMany { .. }), "{refused}");
    }
}
