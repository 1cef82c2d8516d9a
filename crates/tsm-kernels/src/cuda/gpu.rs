//! An NVIDIA GPU that runs a program: memory that is taken once a batch size, one graph a batch size.
//!
//! ```text
//! host    pinned [ table of memories │ frames ] ── as it is written ──► device [ table │ frames ]
//!                                                                     ▼ launches, in order   ┐ one CUDA graph,
//! host    pinned [ logits ] ◄────────────────────── one copy ── device [ logits ]            ┘ recorded once a size
//! ```
//!
//! The frames of a large batch go up in pieces, so that one piece is copied into pinned memory while another is on its
//! way; frames that lie in pinned memory already ([`Machine::frame_memory`]) are fetched from there. The first step of a power of two of streams finds out which way of each layer is the fastest (`tuner.rs`), for
//! batches of up to twice as many. A graph names addresses, so memory that grows for a larger batch throws away all
//! graphs; what was found out stays.
//!
//! For bug reports: `TSM_CUDA_GRAPH=off` makes the same launches one by one, `TSM_CUDA_TUNE=off` takes the ways that a
//! model says, without asking the GPU.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, DriverError};
use half::f16;

use super::args::{Launch, StreamFolds};
use super::buffers::{Addresses, Sizes};
use super::machine::{FoldsOf, FrameMemory, Machine, MachineError, check};
use super::program::{Element, Program, Slot};
use super::tuner::{self, Known, Tuned};
use super::ways::Scale;

mod graph;
mod layers;
mod memory;
mod trial;

use graph::Graph;
pub(crate) use graph::launch;
pub use memory::DeviceMemory;
use memory::{Idle, PinnedFloats, PinnedMemory, bind};
use trial::Trial;

/// What was found out about layers of any program, GPU by GPU: a network that is loaded again need not ask again.
static KNOWN: LazyLock<Mutex<HashMap<usize, Known>>> = LazyLock::new(Mutex::default);

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
    is_tuned: bool,
    weights: DeviceMemory,
    biases: DeviceMemory,
    arena: Option<Arena>,
    /// The fastest ways for each power of two of streams.
    tuned: HashMap<usize, Tuned>,
    /// What was recorded for each batch size.
    recorded: HashMap<usize, Recorded>,
}

/// Memory for batches up to a size.
struct Arena {
    pictures: usize,
    /// Streams whose frames lie in `upload`.
    uploaded: usize,
    sizes: Sizes,
    /// Empty for the frames, which lie in `upload`.
    slots: Vec<DeviceMemory>,
    upload: DeviceMemory,
    partial: DeviceMemory,
    counters: DeviceMemory,
    pinned_upload: PinnedMemory,
    pinned_logits: PinnedMemory,
}

/// A step of one batch size.
struct Recorded {
    launches: Vec<(CudaFunction, Launch)>,
    /// The same with the copy of the logits, unless graphs are switched off.
    graph: Option<Graph>,
}

/// Says what was being done when the driver refused.
fn doing(what: &'static str) -> impl Fn(DriverError) -> MachineError {
    move |error| MachineError::Driver { doing: what, source: Box::new(error) }
}

impl Gpu {
    /// Puts `program` on the GPU of `stream`, on a stream of its own.
    ///
    /// # Errors
    /// If the driver refuses, or memory is short.
    pub fn new(stream: &Arc<CudaStream>, program: Program) -> Result<Self, MachineError> {
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
        Ok(Self {
            program,
            stream,
            module,
            functions: HashMap::new(),
            multiprocessors: usize::try_from(multiprocessors).unwrap_or(1).max(1),
            has_graphs: !is_off("TSM_CUDA_GRAPH"),
            is_tuned: !is_off("TSM_CUDA_TUNE"),
            weights,
            biases,
            arena: None,
            tuned: HashMap::new(),
            recorded: HashMap::new(),
            context,
        })
    }

    /// Grows for `pictures` streams, if there were never so many.
    fn reserve(&mut self, pictures: usize) -> Result<(), MachineError> {
        if self.arena.as_ref().is_some_and(|arena| arena.pictures >= pictures) {
            return Ok(());
        }
        let has_grown = self.arena.is_some();
        // The old ones go first: the two need not fit at once, and graphs name the old addresses.
        self.recorded.clear();
        self.arena = None;
        // Who comes with one stream more may come with another.
        if has_grown && let Ok(arena) = self.arena(pictures.next_power_of_two()) {
            self.arena = Some(arena);
            return Ok(());
        }
        self.arena = Some(self.arena(pictures)?);
        Ok(())
    }

    /// Memory for batches of up to `pictures` streams.
    fn arena(&self, pictures: usize) -> Result<Arena, MachineError> {
        let sizes = Sizes::of(&self.program, pictures, self.multiprocessors);
        let stream = &self.stream;
        let device = |bytes| DeviceMemory::zeros(stream, bytes).map_err(doing("taking memory for a batch"));
        let pinned = |bytes| PinnedMemory::new(stream, bytes).map_err(doing("taking pinned memory"));
        let slots = sizes
            .slots
            .iter()
            .enumerate()
            .map(|(slot, bytes)| device(if slot == Slot::Frames as usize { 0 } else { *bytes }));
        Ok(Arena {
            pictures,
            uploaded: 0,
            slots: slots.collect::<Result<_, _>>()?,
            upload: device(sizes.upload())?,
            partial: device(sizes.partial)?,
            counters: device(sizes.counters)?,
            pinned_upload: pinned(sizes.upload())?,
            pinned_logits: pinned(sizes.slots[Slot::Logits as usize])?,
            sizes,
        })
    }

    /// Finds out, once a power of two of streams, which ways are the fastest.
    fn tune(&mut self, power: usize) -> Result<(), MachineError> {
        let Some(arena) = &self.arena else { return Ok(()) };
        let addresses = arena.addresses(&self.weights, &self.biases);
        let scale = Scale { pictures: power, multiprocessors: self.multiprocessors };
        let (element, has_graphs) = (self.program.element(), self.has_graphs);
        let mut trial =
            Trial::new(&self.stream, &self.module, &mut self.functions, arena, element, has_graphs)?;
        // One asks at a time: two would measure each other.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(self.context.ordinal()).or_default();
        let tuned = tuner::tune(&self.program, scale, &addresses, &mut trial, known)?;
        if !tuned.refused.is_empty() {
            let refused = tuned.refused.join(", ");
            tracing::warn!(
                streams = power,
                refused,
                "CUDA kernels that are not used: they failed or disagree"
            );
        }
        self.tuned.insert(power, tuned);
        Ok(())
    }

    /// Looks the kernels up, and records the graph if there are graphs; says whether this size is new. The frames and
    /// the table of memories of a step are on their way already: finding out what is fastest needs them.
    fn record(&mut self, pictures: usize) -> Result<bool, MachineError> {
        if self.recorded.contains_key(&pictures) {
            return Ok(false);
        }
        let power = power_below(pictures);
        if self.is_tuned && !self.tuned.contains_key(&power) {
            self.tune(power)?;
        }
        let Some(arena) = &self.arena else { return Ok(false) };
        let addresses = arena.addresses(&self.weights, &self.biases);
        let scale = |pictures| Scale { pictures, multiprocessors: self.multiprocessors };
        let stages = self.tuned.get(&power).map(|tuned| tuned.stages.clone());
        let stages = stages.unwrap_or_else(|| self.program.estimated(scale(pictures)));
        let mut launches = Vec::with_capacity(stages.len());
        for stage in stages {
            let launch = self.program.launch(stage, scale(pictures), &addresses);
            launches.push((function(&self.module, &mut self.functions, &launch.kernel)?, launch));
        }
        // What another thread asks the GPU for may end a recording; launched one by one, a step is the same.
        let recorded =
            self.has_graphs.then(|| graph::record(&self.stream, || self.issue(pictures, &launches)));
        let graph = recorded.and_then(|recorded| {
            recorded
                .inspect_err(|error| {
                    tracing::warn!("steps of {pictures} streams go without a CUDA graph: {error}")
                })
                .ok()
        });
        self.recorded.insert(pictures, Recorded { launches, graph });
        Ok(true)
    }

    /// Launches, and copies the logits back; waits for nothing.
    fn issue(&self, pictures: usize, launches: &[(CudaFunction, Launch)]) -> Result<(), MachineError> {
        let Some(arena) = &self.arena else { return Ok(()) };
        self.context.bind_to_thread().map_err(doing("binding the context"))?;
        for (function, data) in launches {
            launch(function, data, &self.stream).map_err(doing("launching a kernel"))?;
        }
        let bytes = pictures * self.program.classes() * size_of::<f32>();
        let logits = &arena.slots[Slot::Logits as usize];
        arena.pinned_logits.copy_from(logits, bytes).map_err(doing("fetching logits"))
    }
}

impl Gpu {
    /// Frames up (none: they are there), the step, logits back; says whether this size is new.
    fn run(&mut self, frames: Option<&[f32]>, streams: usize) -> Result<bool, MachineError> {
        let idle = Idle::before(&self.stream);
        let Some(arena) = &mut self.arena else { return Ok(false) };
        let Arena { pinned_upload, upload, sizes, uploaded, .. } = arena;
        match frames {
            Some(frames) => {
                *uploaded = 0;
                let element = self.program.element();
                let sent = pinned_upload.send(upload, sizes.table, frames, element);
                sent.map_err(doing("uploading frames"))?;
                *uploaded = streams;
            }
            None => pinned_upload
                .copy_to(upload, 0..sizes.table)
                .map_err(doing("uploading the table of memories"))?,
        }
        let is_new = self.record(streams)?;
        let recorded = &self.recorded[&streams];
        match &recorded.graph {
            Some(graph) => graph.launch().map_err(doing("launching a graph"))?,
            None => self.issue(streams, &recorded.launches)?,
        }
        idle.wait().map_err(doing("running a step"))?;
        Ok(is_new)
    }

    /// A step of frames, or of those that are there, whose lengths were checked.
    fn step_of(
        &mut self,
        frames: Option<&[f32]>,
        streams: usize,
        folds: &FoldsOf<'_, DeviceMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        let needed = self.program.fold_len() * self.program.element().bytes();
        let Some(arena) = &mut self.arena else { return Ok(()) };
        for stream in 0..streams {
            let (read, write) = folds(stream);
            let found = read.bytes().min(write.bytes());
            if found < needed {
                return Err(MachineError::Length { what: "a memory", found, needed, streams });
            }
            let entry = StreamFolds { read: read.address(), write: write.address() };
            arena.pinned_upload.write_folds(stream, entry);
        }
        if self.run(frames, streams)? {
            self.report(streams)?;
        }
        if let Some(arena) = &self.arena {
            arena.pinned_logits.read_floats(logits);
        }
        Ok(())
    }

    /// Writes what each launch takes, where the environment asks for it.
    fn report(&self, streams: usize) -> Result<(), MachineError> {
        let Some(path) = std::env::var_os("TSM_CUDA_LAYERS") else { return Ok(()) };
        let refused = self.tuned.get(&power_below(streams)).map_or(&[][..], |tuned| &tuned.refused);
        let table = layers::table(&self.stream, &self.recorded[&streams].launches, refused);
        let table = table.map_err(doing("timing launches"))?;
        std::fs::write(&path, table).map_err(|error| MachineError::Driver {
            doing: "writing TSM_CUDA_LAYERS",
            source: Box::new(error),
        })
    }
}

/// The largest power of two that is not above `streams`, which is not 0.
const fn power_below(streams: usize) -> usize {
    1 << streams.ilog2()
}

/// Whether the environment switches something off.
fn is_off(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|wish| wish == "off")
}

/// A kernel by its name.
fn function(
    module: &Arc<CudaModule>,
    known: &mut HashMap<String, CudaFunction>,
    kernel: &str,
) -> Result<CudaFunction, MachineError> {
    if let Some(function) = known.get(kernel) {
        return Ok(function.clone());
    }
    let found = module.load_function(kernel).map_err(doing("looking a kernel up"))?;
    Ok(known.entry(kernel.to_owned()).or_insert(found).clone())
}

impl Arena {
    fn addresses(&self, weights: &DeviceMemory, biases: &DeviceMemory) -> Addresses {
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

    fn frame_memory(&self, floats: usize) -> FrameMemory {
        match PinnedFloats::new(&self.stream, floats) {
            Ok(pinned) => Box::new(pinned),
            // The system locks no more memory: any other does, too.
            Err(_refused) => Box::new(vec![0.0; floats]),
        }
    }

    fn step(
        &mut self,
        frames: &[f32],
        streams: usize,
        folds: &FoldsOf<'_, DeviceMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        check(&self.program, frames.len(), streams, logits.len())?;
        bind(&self.context).map_err(doing("binding the context"))?;
        if streams == 0 {
            return Ok(());
        }
        self.reserve(streams)?;
        self.step_of(Some(frames), streams, folds, logits)
    }

    fn step_again(
        &mut self,
        streams: usize,
        folds: &FoldsOf<'_, DeviceMemory>,
        logits: &mut [f32],
    ) -> Result<(), MachineError> {
        bind(&self.context).map_err(doing("binding the context"))?;
        if streams == 0 {
            return Ok(());
        }
        let uploaded = self.arena.as_ref().map_or(0, |arena| arena.uploaded);
        check(&self.program, uploaded * self.program.frame_floats(), streams, logits.len())?;
        self.step_of(None, streams, folds, logits)
    }
}
