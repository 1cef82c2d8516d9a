//! Where frames wait for a step: ordinary memory, or such that a device fetches from by itself.

use std::ops::DerefMut;

/// Floats on the host, wherever their device wants them.
pub type FrameMemory = Box<dyn DerefMut<Target = [f32]> + Send>;

/// So many zeros in ordinary memory.
pub fn ordinary(floats: usize) -> FrameMemory {
    Box::new(vec![0.0; floats])
}
