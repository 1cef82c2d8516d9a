//! Optical flow between two frames of a stream, and what it looks like as a whole: motion as numbers that a linear
//! layer can weigh.
//!
//! ```text
//!  network input [3, h, w] ─ Grey::of ─► Pyramid of about 40 x 40 ─┐ previous
//!                            Grey::of ─► Pyramid of about 40 x 40 ─┤ now
//!                                                       ┌──────────┘
//!                                                       ▼
//!                FlowEstimator: 10 x 10 ─► 20 x 20 ─► 40 x 40, one Lucas/Kanade step each
//!                                                       │ (u, v) a pixel, in parts of the frame
//!                                                       ▼
//!                histograms: direction x speed, the mover, direction x place around it, edges ─► [FEATURES]
//! ```
//!
//! A shift lets a network compare features of two frames, but one that was trained on pictures has none that compare
//! well, and few clips do not teach it. This is what the comparison comes to, in closed form. Sources: Lucas and Kanade
//! 1981, Bouguet 2001 (pyramid); histograms of flow and of its edges: Laptev et al. 2008, Dalal et al. 2006.
//!
//! Plain loops, without a path of their own for any CPU: the compiler makes vectors of most of those over rows (not of
//! warping and the histograms, which go where the numbers say), and no bit depends on it. Nothing is allocated once the
//! buffers have grown.

mod histograms;
mod lucas_kanade;
mod mover;
mod plane;
mod pyramid;

pub use histograms::{FEATURES, Histograms};
pub use lucas_kanade::FlowEstimator;
pub use plane::Plane;
pub use pyramid::Pyramid;

/// Sides of the grey picture that flow is measured on: the shorter one is at least this, and less than twice of it.
const LEAST_SIDE: usize = 32;

/// What grey takes of red, green and blue (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Makes small grey pictures of network input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grey {
    weights: [f32; 3],
    offset: f32,
}

impl Grey {
    /// For input that was normalised with these means and deviations; grey is 0 for black and 1 for white.
    pub fn new(mean: [f32; 3], std: [f32; 3]) -> Self {
        let weights = [0, 1, 2].map(|c| LUMA[c] * std[c]);
        Self { weights, offset: (0..3).map(|c| LUMA[c] * mean[c]).sum() }
    }

    /// Pixels of the input that one of the grey picture averages, in each direction: a power of two.
    pub const fn factor(height: usize, width: usize) -> usize {
        let short = if height < width { height } else { width };
        let mut factor = 1;
        while short / (2 * factor) >= LEAST_SIDE {
            factor *= 2;
        }
        factor
    }

    /// Rows and columns of the grey picture of an input of this size.
    pub const fn shape(height: usize, width: usize) -> [usize; 2] {
        let factor = Self::factor(height, width);
        [height / factor, width / factor]
    }

    /// Makes `out` the grey picture of `input` `[3, height, width]` and its halves.
    ///
    /// # Panics
    /// If `input` has another length.
    pub fn of(&self, input: &[f32], height: usize, width: usize, out: &mut Pyramid) {
        assert_eq!(input.len(), 3 * height * width, "Grey::of: the input is not [3, height, width]");
        out.fill(|picture| self.draw(input, [height, width], picture));
    }

    /// Writes the grey picture alone.
    fn draw(&self, input: &[f32], [height, width]: [usize; 2], out: &mut Plane) {
        let factor = Self::factor(height, width);
        let [rows, columns] = Self::shape(height, width);
        out.resize(rows, columns);
        #[expect(clippy::cast_precision_loss, reason = "a factor is at most a picture's side")]
        let share = 1.0 / (factor * factor) as f32;
        for y in 0..rows {
            let out = out.row_mut(y);
            out.fill(self.offset);
            for (plane, weight) in input.chunks_exact(height * width).zip(self.weights) {
                for row in plane[y * factor * width..].chunks_exact(width).take(factor) {
                    for (out, pixels) in out.iter_mut().zip(row.chunks_exact(factor)) {
                        *out += pixels.iter().sum::<f32>() * (weight * share);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
