//! An NVIDIA GPU that runs a program: memory that is taken once a batch size, one graph a batch size.
//!
//! ```text
//! host    pinned [ table of memories │ frames ] ── one copy ──► device [ table │ frames ]
//!                                                                     ▼ launches, in order
//! host    pinned [ logits ] ◄────────────────────── one copy ── device [ logits ]
//!         └───────────────────── all of it one CUDA graph, recorded at the first step of a size ─────┘
//! ```
//!
//! A graph names addresses, so memory that grows for a larger batch throws away all graphs. `TSM_CUDA_GRAPH=off` makes
//! the same copies and launches one by one, for bug reports.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc;
use cudarc::driver::sys::{CUdevice_attribute, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, DriverError};
use half::f16;

use super::args::{Launch, StreamFolds};
use super::buffers::{Addresses, Sizes};
use super::machine::{FoldsOf, Machine, MachineError, check};
use super::program::{Element, Program, Slot};

mod graph;
mod layers;
mod memory;

use graph::Graph;
pub(crate) use graph::launch;
pub use memory::DeviceMemory;
use memory::PinnedMemory;

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
    weights: DeviceMemory,
    biases: DeviceMemory,
    arena: Option<Arena>,
    /// What was recorded for each batch size.
    recorded: HashMap<usize, Recorded>,
}

/// Memory for batches up to a size.
struct Arena {
    pictures: usize,
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
    /// The same with the copies, unless graphs are switched off.
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
            Element::F32 => DeviceMemory::of(&context, weights),
            Element::F16 => {
                let halves: Vec<f16> = weights.iter().map(|v| f16::from_f32(*v)).collect();
                DeviceMemory::of(&context, &halves)
            }
        };
        let weights = weights.map_err(doing("uploading weights"))?;
        let biases = DeviceMemory::of(&context, biases).map_err(doing("uploading biases"))?;
        Ok(Self {
            program,
            stream,
            module,
            functions: HashMap::new(),
            multiprocessors: usize::try_from(multiprocessors).unwrap_or(1).max(1),
            has_graphs: !std::env::var("TSM_CUDA_GRAPH").is_ok_and(|wish| wish == "off"),
            weights,
            biases,
            arena: None,
            recorded: HashMap::new(),
            context,
        })
    }

    /// Grows for `pictures` streams, if there were never so many.
    fn reserve(&mut self, pictures: usize) -> Result<(), MachineError> {
        if self.arena.as_ref().is_some_and(|arena| arena.pictures >= pictures) {
            return Ok(());
        }
        // The old ones go first: the two need not fit at once, and graphs name the old addresses.
        self.recorded.clear();
        self.arena = None;
        let sizes = Sizes::of(&self.program, pictures, self.multiprocessors);
        let context = &self.context;
        let device = |bytes| DeviceMemory::zeros(context, bytes).map_err(doing("taking memory for a batch"));
        let pinned = |bytes| PinnedMemory::new(context, bytes).map_err(doing("taking pinned memory"));
        let slots = sizes
            .slots
            .iter()
            .enumerate()
            .map(|(slot, bytes)| device(if slot == Slot::Frames as usize { 0 } else { *bytes }));
        self.arena = Some(Arena {
            pictures,
            slots: slots.collect::<Result<_, _>>()?,
            upload: device(sizes.upload())?,
            partial: device(sizes.partial)?,
            counters: device(sizes.counters)?,
            pinned_upload: pinned(sizes.upload())?,
            pinned_logits: pinned(sizes.slots[Slot::Logits as usize])?,
            sizes,
        });
        Ok(())
    }

    /// Looks the kernels up, and records the graph if there are graphs; says whether this size is new.
    fn record(&mut self, pictures: usize) -> Result<bool, MachineError> {
        if self.recorded.contains_key(&pictures) {
            return Ok(false);
        }
        let Some(arena) = &self.arena else { return Ok(false) };
        let addresses = arena.addresses(&self.weights, &self.biases);
        let mut launches = Vec::new();
        for launch in self.program.launches(pictures, &addresses, self.multiprocessors) {
            let function = if let Some(function) = self.functions.get(&launch.kernel) {
                function.clone()
            } else {
                let found =
                    self.module.load_function(&launch.kernel).map_err(doing("looking a kernel up"))?;
                self.functions.entry(launch.kernel.clone()).or_insert(found).clone()
            };
            launches.push((function, launch));
        }
        let graph = if self.has_graphs {
            let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            self.stream.begin_capture(mode).map_err(doing("beginning to record"))?;
            let issued = self.issue(pictures, &launches);
            let flags = CUgraphInstantiate_flags(0);
            let graph = self.stream.end_capture(flags).map_err(doing("recording a step"));
            issued?;
            let Some(graph) = graph? else { return Err(MachineError::NoKernel("an empty graph".to_owned())) };
            graph.upload().map_err(doing("uploading a graph"))?;
            Some(Graph::new(graph))
        } else {
            None
        };
        self.recorded.insert(pictures, Recorded { launches, graph });
        Ok(true)
    }

    /// Copies, launches, copies back; waits for nothing.
    fn issue(&self, pictures: usize, launches: &[(CudaFunction, Launch)]) -> Result<(), MachineError> {
        let Some(arena) = &self.arena else { return Ok(()) };
        self.context.bind_to_thread().map_err(doing("binding the context"))?;
        let bytes = arena.sizes.table + pictures * self.program.frame_floats() * size_of::<f32>();
        arena.pinned_upload.copy_to(&arena.upload, bytes, &self.stream).map_err(doing("uploading frames"))?;
        for (function, data) in launches {
            launch(function, data, &self.stream).map_err(doing("launching a kernel"))?;
        }
        let bytes = pictures * self.program.classes() * size_of::<f32>();
        let logits = &arena.slots[Slot::Logits as usize];
        arena.pinned_logits.copy_from(logits, bytes, &self.stream).map_err(doing("fetching logits"))
    }
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
        DeviceMemory::zeros(&self.context, bytes).map_err(doing("taking memory for a stream"))
    }

    fn read(&self, folds: &DeviceMemory) -> Result<Vec<f32>, MachineError> {
        let count = self.program.fold_len();
        let fetching = doing("fetching a state");
        match self.program.element() {
            Element::F32 => folds.read(count).map_err(fetching),
            Element::F16 => {
                let halves: Vec<f16> = folds.read(count).map_err(fetching)?;
                Ok(halves.into_iter().map(f16::to_f32).collect())
            }
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
        self.reserve(streams)?;
        let is_new = self.record(streams)?;
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
        arena.pinned_upload.write_floats(arena.sizes.table, frames);
        let recorded = &self.recorded[&streams];
        match &recorded.graph {
            Some(graph) => graph.launch().map_err(doing("launching a graph"))?,
            None => self.issue(streams, &recorded.launches)?,
        }
        self.stream.synchronize().map_err(doing("running a step"))?;
        if is_new && let Some(path) = std::env::var_os("TSM_CUDA_LAYERS") {
            let table = layers::table(&self.stream, &recorded.launches).map_err(doing("timing launches"))?;
            std::fs::write(&path, table).map_err(|error| MachineError::Driver {
                doing: "writing TSM_CUDA_LAYERS",
                source: Box::new(error),
            })?;
        }
        if let Some(arena) = &self.arena {
            arena.pinned_logits.read_floats(logits);
        }
        Ok(())
    }
}
