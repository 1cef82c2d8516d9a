//! How training operations stand in candle's graph without carrying their data through it.
//!
//! ```text
//! candle's graph   token ──► token ──► token ──► loss       one float each: order, and who wants gradients
//!                    │         │         │
//! beside it        cell ◄─── cell ◄─── cell                 gradients of activations, moved and not copied
//! ```
//!
//! Candle's `backward` makes zeros for each gradient, adds to them on one thread and keeps the result: three passes
//! over memory an operation, more than the operation itself takes. So only the parameters' gradients go that way. Each
//! operation is a node whose output is one float, a token; candle calls its backward in the right order, and
//! there it takes its output's gradient from a cell and leaves its input's in the cell of its input.
//!
//! What an operation saved goes at its backward: `backward` runs once for each forward.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::buffer::Buffer;
use super::rows::{self, Correction, GradientSums};
use crate::cpu_level::CpuLevel;

/// The backward of one operation: from the gradient of its output in candle's graph to those of its arguments.
pub(super) type Gradients = [Option<Tensor>; 3];

/// A tensor in candle's graph with `value`, whose gradients `backward` computes; called once at most.
pub(super) fn node(
    name: &'static str,
    arguments: [&Tensor; 3],
    (value, shape): (Vec<f32>, Shape),
    backward: impl FnOnce(&Tensor) -> Result<Gradients> + Send + 'static,
) -> Result<Tensor> {
    let op = Node { name, value: Mutex::new(Some((value, shape))), backward: Mutex::new(Some(backward)) };
    arguments[0].apply_op3(arguments[1], arguments[2], op)
}

/// [`node`] whose value is a token: no data, but a place in the graph.
pub(super) fn token(
    name: &'static str,
    arguments: [&Tensor; 3],
    backward: impl FnOnce() -> Result<Gradients> + Send + 'static,
) -> Result<Tensor> {
    node(name, arguments, (vec![0.0], Shape::from(1)), move |_| backward())
}

/// What stands for no argument, and for the gradient of a token.
pub(super) fn blank() -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, &Device::Cpu)
}

/// The floats of a parameter on the CPU, in order.
pub(super) fn parameter(tensor: &Tensor) -> Result<Arc<[f32]>> {
    with_floats(tensor, |floats| floats.into())
}

/// What `read` makes of the floats of a tensor on the CPU.
pub(super) fn with_floats<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a parameter is not on the CPU") };
    let all = storage.as_slice::<f32>()?;
    let first = layout.start_offset();
    Ok(read(&all[first..first + layout.shape().elem_count()]))
}

struct Node<F> {
    name: &'static str,
    value: Mutex<Option<(Vec<f32>, Shape)>>,
    backward: Mutex<Option<F>>,
}

impl<F: FnOnce(&Tensor) -> Result<Gradients> + Send> CustomOp3 for Node<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        match lock(&self.value).take() {
            Some((value, shape)) => Ok((CpuStorage::F32(value), shape)),
            None => bail!("{}: the forward pass ran already", self.name),
        }
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        third: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(backward) = lock(&self.backward).take() else {
            bail!("{}: backward ran already, run the forward pass again", self.name)
        };
        let [a, b, c] = backward(gradient)?;
        let wanted = |argument: &Tensor, gradient: Option<Tensor>| gradient.filter(|_| argument.track_op());
        Ok((wanted(first, a), wanted(second, b), wanted(third, c)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A gradient of an activation `[c, n, h, w]`, perhaps still to be corrected for a batch normalisation.
pub(super) struct Gradient {
    pub(super) values: Arc<Buffer>,
    /// Per channel, and the activation that it is about.
    pub(super) correction: Option<(Vec<Correction>, Arc<Buffer>)>,
    /// Per channel; empty where nobody asked.
    pub(super) sums: Vec<GradientSums>,
}

impl Gradient {
    /// The gradient of channel `channel` at `first ..`, as many as `scratch` holds; corrected ones in `scratch`.
    pub(super) fn row<'a>(
        &'a self,
        level: CpuLevel,
        channel: usize,
        first: usize,
        scratch: &'a mut [f32],
    ) -> &'a [f32] {
        let len = scratch.len();
        let values = &self.values[first..first + len];
        let Some((corrections, y)) = &self.correction else { return values };
        rows::correct(level, scratch, values, &y[first..first + len], corrections[channel]);
        scratch
    }

    /// The same gradient without a correction to be made.
    pub(super) fn corrected(self, channels: usize) -> Arc<Buffer> {
        let Some((corrections, y)) = self.correction else { return self.values };
        let mut corrected = Buffer::new(self.values.len());
        let plane = corrected.len() / channels.max(1);
        let level = CpuLevel::detected();
        corrected.par_chunks_mut(plane.max(1)).enumerate().for_each(|(channel, row)| {
            let range = channel * plane..channel * plane + row.len();
            rows::correct(level, row, &self.values[range.clone()], &y[range], corrections[channel]);
        });
        Arc::new(corrected)
    }
}

/// Where the gradient of one activation comes together.
#[derive(Default)]
pub(super) struct GradientCell(Mutex<Option<Gradient>>);

impl GradientCell {
    /// Adds `gradient` to what is there.
    pub(super) fn leave(&self, gradient: Gradient, channels: usize) {
        let mut here = lock(&self.0);
        *here = Some(match here.take() {
            None => gradient,
            Some(before) => sum(before, gradient, channels),
        });
    }

    /// What all who used the activation left.
    pub(super) fn take(&self) -> Result<Gradient> {
        match lock(&self.0).take() {
            Some(gradient) => Ok(gradient),
            None => {
                bail!("an activation got no gradient: backward ran already, or from elsewhere than the loss")
            }
        }
    }
}

fn sum(a: Gradient, b: Gradient, channels: usize) -> Gradient {
    let sums = a.sums.iter().zip(&b.sums).map(|(a, b)| a.merge(*b)).collect();
    let (mut a, mut b) = (a.corrected(channels), b.corrected(channels));
    if Arc::get_mut(&mut a).is_none() {
        // Addition of two is the same either way round, so this changes no bit.
        std::mem::swap(&mut a, &mut b);
    }
    let mut values = Arc::try_unwrap(a).unwrap_or_else(|shared| copy(&shared));
    let level = CpuLevel::detected();
    let part = values.len().div_ceil(16).max(1);
    values.par_chunks_mut(part).enumerate().for_each(|(i, to)| {
        rows::add(level, to, &b[i * part..][..to.len()]);
    });
    Gradient { values: Arc::new(values), correction: None, sums }
}

fn copy(values: &Buffer) -> Buffer {
    let mut copy = Buffer::new(values.len());
    copy.copy_from_slice(values);
    copy
}
