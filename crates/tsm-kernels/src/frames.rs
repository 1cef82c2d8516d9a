//! Frames on their way into a step: normalised numbers, or the bytes of a picture that the step's device normalises.
//!
//! ```text
//! camera ─ resize, crop ─ RGB [h, w, 3] ─┬─ normalise::planar_from_rgb ─► [3, h, w] f32 ─► a CPU
//!                                        └─ as they are, a quarter of the bytes ───────────► a GPU, which normalises
//! ```
//!
//! Both are the same frame: who takes bytes makes of them, to the bit, what `planar_from_rgb` does.

use std::fmt;
use std::ops::DerefMut;

use crate::normalise::planar_from_rgb;

/// What a frame's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameForm {
    /// `[3, h, w]`, normalised.
    Normalised,
    /// `[h, w, 3]`: red, green and blue of each pixel.
    Rgb,
}

/// The frames of a step, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Frames<'a> {
    /// `[n, 3, h, w]`, normalised.
    Normalised(&'a [f32]),
    /// `[n, h, w, 3]`: red, green and blue of each pixel.
    Rgb(&'a [u8]),
}

impl<'a> Frames<'a> {
    /// What their numbers are.
    pub const fn form(self) -> FrameForm {
        match self {
            Self::Normalised(_) => FrameForm::Normalised,
            Self::Rgb(_) => FrameForm::Rgb,
        }
    }

    /// Numbers of all frames: three a pixel, whatever their form.
    pub const fn len(self) -> usize {
        match self {
            Self::Normalised(values) => values.len(),
            Self::Rgb(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Those of the first `values` numbers.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn first(self, values: usize) -> Self {
        match self {
            Self::Normalised(all) => Self::Normalised(&all[..values]),
            Self::Rgb(all) => Self::Rgb(&all[..values]),
        }
    }

    /// Frame by frame, of `values` numbers each; what is left over of them is left out, as `chunks_exact` does.
    ///
    /// # Panics
    /// If `values` is 0.
    pub fn each(self, values: usize) -> impl Iterator<Item = Self> + Send + 'a {
        assert!(values > 0, "a frame has numbers");
        (0..self.len() / values).map(move |index| match self {
            Self::Normalised(all) => Self::Normalised(&all[index * values..][..values]),
            Self::Rgb(all) => Self::Rgb(&all[index * values..][..values]),
        })
    }
}

impl<'a> From<&'a [f32]> for Frames<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Normalised(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Frames<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::Normalised(values)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Frames<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Self::Normalised(values)
    }
}

impl<'a> From<&'a FrameMemory> for Frames<'a> {
    fn from(memory: &'a FrameMemory) -> Self {
        memory.frames()
    }
}

/// A frame to be written.
#[derive(Debug, PartialEq)]
pub enum FrameMut<'a> {
    /// `[3, h, w]`, normalised.
    Normalised(&'a mut [f32]),
    /// `[h, w, 3]`: red, green and blue of each pixel.
    Rgb(&'a mut [u8]),
}

/// Bytes wherever a device fetches them best.
pub type ByteMemory = Box<dyn DerefMut<Target = [u8]> + Send>;

/// Where frames wait for a step, in the form that its executor takes them in soonest.
pub enum FrameMemory {
    /// `[n, 3, h, w]`, normalised.
    Normalised(Vec<f32>),
    /// `[n, h, w, 3]`: red, green and blue of each pixel.
    Rgb(ByteMemory),
}

impl FrameMemory {
    /// So many zeros, for normalised frames.
    pub fn normalised(values: usize) -> Self {
        Self::Normalised(vec![0.0; values])
    }

    /// All of them.
    pub fn frames(&self) -> Frames<'_> {
        match self {
            Self::Normalised(values) => Frames::Normalised(values),
            Self::Rgb(bytes) => Frames::Rgb(bytes),
        }
    }

    /// Writes the frames of `rgb` `[n, h, w, 3]`, normalised by `mean` and `std` where that is the memory's form.
    ///
    /// # Panics
    /// If `rgb` has another length, or is no whole number of frames of `pixels` pixels.
    pub fn write_rgb(&mut self, rgb: &[u8], pixels: usize, mean: [f32; 3], std: [f32; 3]) {
        assert!(rgb.len().is_multiple_of(3 * pixels), "write_rgb: no whole number of frames");
        match self {
            Self::Rgb(bytes) => bytes.copy_from_slice(rgb),
            Self::Normalised(values) => normalise(rgb, pixels, mean, std, values),
        }
    }
}

impl fmt::Debug for FrameMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameMemory({:?}, {} values)", self.frames().form(), self.frames().len())
    }
}

/// Normalises frames of `pixels` pixels each.
///
/// # Panics
/// If `out` has another length than `rgb`, or that is no whole number of frames.
fn normalise(rgb: &[u8], pixels: usize, mean: [f32; 3], std: [f32; 3], out: &mut [f32]) {
    assert_eq!(rgb.len(), out.len(), "normalise: input and output differ in length");
    assert!(rgb.len().is_multiple_of(3 * pixels), "normalise: no whole number of frames");
    for (rgb, out) in rgb.chunks_exact(3 * pixels).zip(out.chunks_exact_mut(3 * pixels)) {
        planar_from_rgb(rgb, mean, std, out);
    }
}

/// Frames as normalised numbers, for who takes nothing else; its memory is kept.
#[derive(Debug, Clone, Default)]
pub struct NormalisedFrames {
    values: Vec<f32>,
}

impl NormalisedFrames {
    /// Makes room for so many numbers.
    pub fn reserve(&mut self, values: usize) {
        self.values.reserve(values.saturating_sub(self.values.len()));
    }

    /// `frames` of `pixels` pixels each, as they are or normalised by `mean` and `std`. Allocates nothing once so many
    /// were seen.
    ///
    /// # Panics
    /// If they are no whole number of frames.
    pub fn of<'a>(
        &'a mut self,
        frames: Frames<'a>,
        pixels: usize,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> &'a [f32] {
        match frames {
            Frames::Normalised(values) => values,
            Frames::Rgb(rgb) => {
                self.values.resize(rgb.len(), 0.0);
                normalise(rgb, pixels, mean, std, &mut self.values);
                &self.values
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];

    #[test]
    fn bytes_and_numbers_are_the_same_frames() {
        let rgb: Vec<u8> = (0..2 * 4 * 3).map(|i: u8| i.wrapping_mul(37)).collect();
        let mut memory = FrameMemory::normalised(rgb.len());
        memory.write_rgb(&rgb, 4, MEAN, STD);
        let mut expected = vec![0.0; rgb.len()];
        for (rgb, frame) in rgb.chunks_exact(12).zip(expected.chunks_exact_mut(12)) {
            planar_from_rgb(rgb, MEAN, STD, frame);
        }
        assert_eq!(memory.frames(), Frames::from(&expected));
        let mut kept = NormalisedFrames::default();
        let normalised = Frames::from(kept.of(Frames::Rgb(&rgb), 4, MEAN, STD));
        assert_eq!(memory.frames(), normalised);
        let mut own = NormalisedFrames::default();
        assert_eq!(Frames::from(own.of(normalised, 4, MEAN, STD)), normalised);
        let mut bytes = FrameMemory::Rgb(Box::new(vec![0; rgb.len()]));
        bytes.write_rgb(&rgb, 4, MEAN, STD);
        assert_eq!(bytes.frames(), Frames::Rgb(&rgb));
    }

    #[test]
    fn frames_are_told_apart_by_their_length() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let frames = Frames::from(&values);
        let each: Vec<_> = frames.each(3).collect();
        assert_eq!(each, [Frames::from(&[1.0, 2.0, 3.0]), Frames::from(&[4.0, 5.0, 6.0])]);
        assert_eq!(frames.first(2), Frames::from(&[1.0, 2.0]));
        assert_eq!((frames.len(), frames.is_empty(), frames.form()), (7, false, FrameForm::Normalised));
        assert_eq!(Frames::Rgb(&[7; 9]).each(9).next(), Some(Frames::Rgb(&[7; 9])));
    }
}
