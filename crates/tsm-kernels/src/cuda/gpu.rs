//! An NVIDIA GPU that runs a program: memory for the largest batch so far, one graph a kind of step.
//!
//! ```text
//! host    pinned [ table of memories │ frames ] ── as it is written ──► device [ table │ frames ]
//!                                                                     ▼ launches, in order   ┐ one CUDA graph,
//! host    pinned [ logits ] ◄────────────────────── one copy ── device [ logits ]            ┘ recorded once a kind
//! ```
//!
//! Frames go up as bytes, which the first launch normalises, or normalised, in up to four times as many. Those of a
//! large batch go in pieces, so that one piece is copied into pinned memory while another is on its way; bytes that
//! lie in pinned memory already ([`Machine::frame_memory`]) are fetched from there. A kind of step is a number of
//! streams and the form of their frames.
//!
//! The first step of a power of two of streams finds out which way of each layer is the fastest (`tuner.rs`), for
//! batches of up to twice as many. A graph names addresses, so memory that grows for a larger batch throws away all
//! graphs; what was found out stays.
//!
//! For bug reports: `TSM_CUDA_GRAPH=off` makes the same launches one by one, `TSM_CUDA_OVERLAP=off` lets each begin
//! behind the one ahead of it (`overlap.rs`), `TSM_CUDA_TUNE=off` takes the ways that a model says, without asking the
//! GPU.

use std::collections::HashMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, DriverError};
use half::f16;

use super::machine::{FoldsOf, Machine, MachineError, check};
use super::program::{Element, Program};
use super::tuner::{self, Known, Tuned};
use super::ways::Scale;
use crate::frames::{ByteMemory, FrameForm, Frames};

mod arena;
mod graph;
mod layers;
mod memory;
mod overlap;
mod recorded;
mod trial;

use arena::Arena;
use graph::Begin;
pub(crate) use graph::launch;
pub use memory::DeviceMemory;
use memory::{Idle, PinnedBytes, bind};
use recorded::{Recorded, function};
use trial::Trial;

/// What was found out about layers of any program, GPU by GPU: a network that is loaded again need not ask again.
static KNOWN: LazyLock<Mutex<HashMap<usize, Known>>> = LazyLock::new(Mutex::default);

/// Whether this process has written to the file of `TSM_CUDA_LAYERS`.
static HAS_REPORTED: AtomicBool = AtomicBool::new(false);

/// Machine code and PTX of everything in `cuda/`.
static KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/step.fatbin"));

/// They, as the driver loads them.
pub(crate) fn kernels() -> cudarc::nvrtc::Ptx {
    cudarc::nvrtc::Ptx::from_binary(KERNELS.to_vec())
}

/// A GPU with a program on it.
pub struct Gpu {
    program: Program,
    context: Arc<CudaContext>,
    /// Our own: the default stream cannot be recorded.
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    functions: HashMap<String, CudaFunction>,
    multiprocessors: usize,
    has_graphs: bool,
    has_overlap: bool,
    is_tuned: bool,
    weights: DeviceMemory,
    biases: DeviceMemory,
    arena: Option<Arena>,
    /// The fastest ways for each power of two of streams.
    tuned: HashMap<usize, Tuned>,
    /// Whether launches begin early, for each power of two of streams and each form of frames.
    overlaps: HashMap<StepKind, bool>,
    /// What was recorded for each kind of step.
    recorded: HashMap<StepKind, Recorded>,
}

/// What launches differ by from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StepKind {
    streams: usize,
    form: FrameForm,
}

/// Why there is memory in a step.
const RESERVED: &str = "every step reserves its memory first";

/// Says what was being done when the driver refused.
fn doing(what: &'static str) -> impl Fn(DriverError) -> MachineError {
    move |error| MachineError::Driver { doing: what, source: Box::new(error) }
}

impl Gpu {
    /// Puts `program` on the GPU of `stream`, on a stream of its own.
    ///
    /// # Errors
    /// If the driver refuses, or memory is short.
    pub fn new(stream: &Arc<CudaStream>, mut program: Program) -> Result<Self, MachineError> {
        let context = Arc::clone(stream.context());
        let stream = context.new_stream().map_err(doing("making a stream"))?;
        let module = context.load_module(kernels()).map_err(doing("loading the kernels"))?;
        let count = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let multiprocessors = context.attribute(count).map_err(doing("counting multiprocessors"))?;
        let [weights, biases] = program.weights();
        let weights = match program.element() {
            Element::F32 => DeviceMemory::of(&stream, weights),
            Element::F16 => {
                let halves: Vec<f16> = weights.iter().map(|v| f16::from_f32(*v)).collect();
                DeviceMemory::of(&stream, &halves)
            }
        };
        let weights = weights.map_err(doing("uploading weights"))?;
        let biases = DeviceMemory::of(&stream, biases).map_err(doing("uploading biases"))?;
        program.forget_weights();
        Ok(Self {
            program,
            stream,
            module,
            functions: HashMap::new(),
            multiprocessors: usize::try_from(multiprocessors).unwrap_or(1).max(1),
            has_graphs: !is_off("TSM_CUDA_GRAPH"),
            has_overlap: !is_off("TSM_CUDA_OVERLAP"),
            is_tuned: !is_off("TSM_CUDA_TUNE"),
            weights,
            biases,
            arena: None,
            tuned: HashMap::new(),
            overlaps: HashMap::new(),
            recorded: HashMap::new(),
            context,
        })
    }

    /// Grows for `streams` streams, if there were never so many.
    fn reserve(&mut self, streams: usize) -> Result<(), MachineError> {
        if self.arena.as_ref().is_some_and(|arena| arena.most_streams >= streams) {
            return Ok(());
        }
        let has_grown = self.arena.is_some();
        // The old ones go first: the two need not fit at once, and graphs name the old addresses.
        self.recorded.clear();
        self.arena = None;
        let arena = |streams| Arena::new(&self.stream, &self.program, streams, self.multiprocessors);
        // Who comes with one stream more may come with another.
        let roomy = if has_grown { arena(streams.next_power_of_two()).ok() } else { None };
        self.arena = Some(roomy.map_or_else(|| arena(streams), Ok)?);
        Ok(())
    }

    /// Finds out, once a power of two of streams, which ways are the fastest.
    fn tune(&mut self, power: usize) -> Result<(), MachineError> {
        let arena = self.arena.as_ref().expect(RESERVED);
        let addresses = arena.addresses(&self.weights, &self.biases);
        let scale = Scale { pictures: power, multiprocessors: self.multiprocessors };
        let (element, has_graphs) = (self.program.element(), self.has_graphs);
        let mut trial =
            Trial::new(&self.stream, &self.module, &mut self.functions, arena, element, has_graphs);
        let tuned = {
            // One asks at a time: two would measure each other.
            let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.entry(self.context.ordinal()).or_default();
            tuner::tune(&self.program, scale, &addresses, &mut trial, known)?
        };
        let is_new = |kernel: &&String| !self.tuned.values().any(|tuned| tuned.refused.contains(*kernel));
        let refused: Vec<&str> = tuned.refused.iter().filter(is_new).map(String::as_str).collect();
        if !refused.is_empty() {
            let refused = refused.join(", ");
            tracing::warn!(
                streams = power,
                refused,
                "CUDA kernels that are not used: they failed or disagree"
            );
        }
        self.tuned.insert(power, tuned);
        Ok(())
    }
}

impl Gpu {
    /// Frames up (none: they are there), the step, logits back; says whether this kind is new.
    fn run(&mut self, frames: Option<Frames<'_>>, step: StepKind) -> Result<bool, MachineError> {
        // An error or a panic may not leave a copy under way.
        let idle = Idle::before(&self.stream);
        self.arena.as_mut().expect(RESERVED).upload(&self.stream, frames, step.streams, &self.program)?;
        let is_new = self.record(step)?;
        let recorded = &self.recorded[&step];
        match &recorded.graph {
            Some(graph) => graph.launch().map_err(doing("launching a graph"))?,
            None => self.issue(step.streams, &recorded.launches, Begin::Behind)?,
        }
        idle.wait().map_err(doing("running a step"))?;
        Ok(is_new)
    }

    /// Makes the GPU this thread's. What a call of somebody else's left behind, such as a tensor that went, is no
    /// fault of the step that comes next, as which cudarc would tell it.
    fn begin(&self) -> Result<(), MachineError> {
        if let Err(left) = self.context.check_err() {
            tracing::debug!("an earlier call left an error behind: {left}");
        }
        bind(&self.context).map_err(doing("binding the context"))
    }

    /// A step of frames, or of those that are there, whose lengths were checked.
    fn step_of(
        &mut self,
        frames: Option<Frames<'_>>,
        step: StepKind,
        folds: &FoldsOf<'_, DeviceMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        let needed = self.program.fold_len() * self.program.element().bytes();
        self.arena.as_mut().expect(RESERVED).write_table(step.streams, folds, needed)?;
        let is_new = self.run(frames, step)?;
        self.arena.as_ref().expect(RESERVED).read_logits(logits);
        if is_new {
            self.report(step);
        }
        Ok(())
    }

    /// Writes what each launch takes, where the environment asks for it: the first size over what was in the file,
    /// others behind it. A file that cannot be written fails no step.
    fn report(&self, step: StepKind) {
        let StepKind { streams, form } = step;
        let Some(path) = std::env::var_os("TSM_CUDA_LAYERS") else { return };
        let refused = self.tuned.get(&power_below(streams)).map_or(&[][..], |tuned| &tuned.refused);
        let table = match layers::table(&self.stream, &self.recorded[&step].launches, refused) {
            Ok(table) => format!("streams: {streams}, frames: {form:?}\n{table}"),
            Err(error) => return tracing::warn!("TSM_CUDA_LAYERS: launches cannot be timed: {error}"),
        };
        let has_reported = HAS_REPORTED.swap(true, Ordering::Relaxed);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(!has_reported)
            .append(has_reported)
            .open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(table.as_bytes())) {
            tracing::warn!("TSM_CUDA_LAYERS: {}: {error}", path.display());
        }
    }
}

/// The largest power of two that is not above `streams`, which is not 0.
const fn power_below(streams: usize) -> usize {
    1 << streams.ilog2()
}

/// Whether the environment switches something off.
fn is_off(variable: &str) -> bool {
    match std::env::var(variable).as_deref() {
        Ok("off") => true,
        Ok("on" | "") | Err(_) => false,
        Ok(other) => {
            tracing::warn!("{variable}={other:?} is neither `on` nor `off`; it stays on");
            false
        }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, multiprocessors, has_graphs, .. } = self;
        f.debug_struct("Gpu")
            .field("launches", &program.launch_count())
            .field("multiprocessors", multiprocessors)
            .field("has_graphs", has_graphs)
            .finish_non_exhaustive()
    }
}

impl Machine for Gpu {
    type Folds = DeviceMemory;

    fn program(&self) -> &Program {
        &self.program
    }

    fn zeros(&self) -> Result<DeviceMemory, MachineError> {
        let bytes = self.program.fold_len() * self.program.element().bytes();
        DeviceMemory::zeros(&self.stream, bytes).map_err(doing("taking memory for a stream"))
    }

    fn read(&self, folds: &DeviceMemory) -> Result<Vec<f32>, MachineError> {
        let count = self.program.fold_len();
        let fetching = doing("fetching a state");
        match self.program.element() {
            Element::F32 => folds.read(0, count).map_err(fetching),
            Element::F16 => {
                let halves: Vec<f16> = folds.read(0, count).map_err(fetching)?;
                Ok(halves.into_iter().map(f16::to_f32).collect())
            }
        }
    }

    fn byte_memory(&self, bytes: usize) -> ByteMemory {
        match PinnedBytes::new(&self.stream, bytes) {
            Ok(pinned) => Box::new(pinned),
            // The system locks no more memory: any other does, too.
            Err(_refused) => Box::new(vec![0; bytes]),
        }
    }

    fn step(
        &mut self,
        frames: Frames<'_>,
        streams: usize,
        folds: &FoldsOf<'_, DeviceMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        let form = frames.form();
        check(&self.program, form, frames.len(), streams, logits.len())?;
        self.begin()?;
        if streams == 0 {
            return Ok(());
        }
        self.reserve(streams)?;
        self.step_of(Some(frames), StepKind { streams, form }, folds, logits)
    }

    fn step_again(
        &mut self,
        streams: usize,
        folds: &FoldsOf<'_, DeviceMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        self.begin()?;
        if streams == 0 {
            return Ok(());
        }
        let uploaded = self.arena.as_ref().and_then(|arena| arena.uploaded);
        let step = uploaded.unwrap_or(StepKind { streams: 0, form: FrameForm::Normalised });
        check(&self.program, step.form, step.streams * self.program.frame_values(), streams, logits.len())?;
        self.step_of(None, step, folds, logits)
    }
}
