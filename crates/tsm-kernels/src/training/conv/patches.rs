//! Which pixels a filter sees: strips of outputs, their patches of `x`, and gradients put back where they came from.
//!
//! ```text
//! strip: some rows of y ─► patches [ci k k, strip]: row (c, ky, kx) has x[c, oy s + ky - p, ox s + kx - p]
//! ```
//!
//! Rows of all pictures of the batch are counted through, `picture * h' + oy`, and a strip is a range of them; of a
//! pointwise convolution it is any range of pixels.
#![allow(unsafe_code, reason = "groups of strips write pictures of one array side by side")]

use crate::cpu_level::CpuLevel;
use crate::training::buffer::Buffer;
use crate::training::feature_map::{Dims, Host};
use crate::training::matmul::{Matrix, Planes};
use crate::training::rows::{self, GradientSums};

/// What a strip's matrices may take together, to stay in a core's second-level cache of 1 to 2 MiB.
const STRIP_FLOATS: usize = 192 * 1024;

/// Pixels of a strip: enough that packing the weights is little work beside the product, and rows are long.
const STRIP_PIXELS: std::ops::RangeInclusive<usize> = 256..=4096;

/// Groups of strips that the backward pass sums up apart. More would balance better and cost more memory.
const MAX_GROUPS: usize = 16;

/// Parts that the work is split into at least, where there is so much, for the threads.
const MIN_PARTS: usize = 4;

/// The sizes of one convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvShape {
    pub(super) x: Dims,
    pub(super) y: Dims,
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// Output pixels `first .. first + len` of every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) first: usize,
    pub(super) len: usize,
}

/// The rows of one picture that belong to a strip.
struct Segment {
    picture: usize,
    rows: std::ops::Range<usize>,
    /// Where they begin within the strip.
    at: usize,
}

impl ConvShape {
    /// For a filter that fits into the padded picture.
    pub(super) fn new(x: Dims, out_channels: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let side = |side: usize| (side + 2 * padding - kernel) / stride + 1;
        let y = Dims { n: x.n, c: out_channels, h: side(x.h), w: side(x.w) };
        Self { x, y, kernel, stride, padding }
    }

    /// Whether each output sees just its own pixel.
    pub(super) fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (1, 1, 0)
    }

    /// Rows of the patch matrix.
    pub(super) fn patch_rows(&self) -> usize {
        self.x.c * self.kernel * self.kernel
    }

    /// All outputs, cut into strips.
    pub(super) fn strips(&self) -> Vec<Strip> {
        // A few at least, for the threads.
        self.strips_of(0, self.y.row(), self.y.row().div_ceil(MIN_PARTS))
    }

    /// The outputs `first .. end` in strips of about the same length, `longest` at most.
    fn strips_of(&self, first: usize, end: usize, longest: usize) -> Vec<Strip> {
        let unit = if self.is_pointwise() { 16 } else { self.y.w };
        let pixels = STRIP_FLOATS / (self.patch_rows() + self.y.c);
        let pixels = pixels.clamp(*STRIP_PIXELS.start(), *STRIP_PIXELS.end()).min(longest).max(1);
        let pixels = (end - first).div_ceil((end - first).div_ceil(pixels).max(1));
        let pixels = pixels.next_multiple_of(unit).max(1);
        (first..end).step_by(pixels).map(|first| Strip { first, len: pixels.min(end - first) }).collect()
    }

    /// The strips in groups whose inputs do not meet.
    pub(super) fn groups(&self) -> Vec<Vec<Strip>> {
        if self.is_pointwise() {
            let strips = self.strips();
            let size = strips.len().div_ceil(self.most_groups()).max(1);
            return strips.chunks(size).map(<[Strip]>::to_vec).collect();
        }
        let pictures = self.x.n.div_ceil(self.most_groups()).max(1);
        let plane = self.y.plane();
        let range = |first: usize| (first * plane, (first + pictures).min(self.x.n) * plane);
        let strips = |first| self.strips_of(range(first).0, range(first).1, usize::MAX);
        (0..self.x.n).step_by(pictures).map(strips).collect()
    }

    /// As many groups as keep their gradients of the weights smaller than what the products read.
    fn most_groups(&self) -> usize {
        let weights = self.y.c * self.patch_rows();
        let read = self.y.row() * (self.y.c + self.patch_rows());
        (read / weights.max(1)).clamp(MIN_PARTS, MAX_GROUPS)
    }

    /// The patches of `strip` as a matrix `[ci k k, strip]`, gathered in `scratch` where they are not `x` as it lies.
    pub(super) fn patches<'a>(
        &self,
        level: CpuLevel,
        x: &'a Host,
        strip: Strip,
        scratch: &'a mut Buffer,
    ) -> Matrix<'a> {
        let row = self.x.row();
        if self.is_pointwise() {
            if x.norm.is_none() {
                return Matrix::new(&x.values[strip.first..], self.x.c, strip.len, row);
            }
            for (channel, to) in scratch.chunks_exact_mut(strip.len).enumerate() {
                x.read(level, channel, channel * row + strip.first, to);
            }
            return Matrix::new(scratch, self.x.c, strip.len, strip.len);
        }
        let segments = self.segments(strip);
        let mut pixels = Buffer::new(self.x.plane());
        let taps = self.kernel * self.kernel;
        for (channel, to) in scratch.chunks_exact_mut(taps * strip.len).enumerate() {
            for segment in &segments {
                let rows = self.input_rows(segment);
                let first = channel * row + segment.picture * self.x.plane() + rows.start * self.x.w;
                let pixels = x.read(level, channel, first, &mut pixels[..rows.len() * self.x.w]);
                self.gather(segment, rows.start, pixels, to, strip.len);
            }
        }
        Matrix::new(scratch, self.patch_rows(), strip.len, strip.len)
    }

    fn segments(&self, strip: Strip) -> Vec<Segment> {
        let (first, end) = (strip.first / self.y.w, (strip.first + strip.len) / self.y.w);
        let mut segments = Vec::new();
        let mut row = first;
        while row < end {
            let (picture, oy) = (row / self.y.h, row % self.y.h);
            let rows = oy..self.y.h.min(oy + end - row);
            let at = (row - first) * self.y.w;
            row += rows.len();
            segments.push(Segment { picture, rows, at });
        }
        segments
    }

    /// The rows of `x` that the segment sees.
    fn input_rows(&self, segment: &Segment) -> std::ops::Range<usize> {
        let first = (segment.rows.start * self.stride).saturating_sub(self.padding);
        let end = ((segment.rows.end - 1) * self.stride + self.kernel).saturating_sub(self.padding);
        first.min(self.x.h)..end.min(self.x.h)
    }

    /// The outputs `ox` whose tap `kx` lies within the row, and the pixel of the first one.
    fn inside(&self, kx: usize) -> (std::ops::Range<usize>, usize) {
        let first = self.padding.saturating_sub(kx).div_ceil(self.stride).min(self.y.w);
        let end = (self.x.w + self.padding).saturating_sub(kx).div_ceil(self.stride).min(self.y.w);
        (first..end.max(first), (first * self.stride + kx).saturating_sub(self.padding))
    }

    /// The row of `x` that output row `oy` sees at tap `ky`, if it lies within the picture.
    fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        (oy * self.stride + ky).checked_sub(self.padding).filter(|&iy| iy < self.x.h)
    }

    /// One channel's pixels (from row `first_row` on) to its `k k` rows of the patch matrix.
    fn gather(&self, segment: &Segment, first_row: usize, pixels: &[f32], to: &mut [f32], pitch: usize) {
        for (tap, to) in to.chunks_exact_mut(pitch).enumerate() {
            let (ky, kx) = (tap / self.kernel, tap % self.kernel);
            let (inside, ix) = self.inside(kx);
            for (i, oy) in segment.rows.clone().enumerate() {
                let to = &mut to[segment.at + i * self.y.w..][..self.y.w];
                let Some(iy) = self.input_row(oy, ky) else {
                    to.fill(0.0);
                    continue;
                };
                to[..inside.start].fill(0.0);
                to[inside.end..].fill(0.0);
                let to = &mut to[inside.clone()];
                if to.is_empty() {
                    continue;
                }
                let from = &pixels[(iy - first_row) * self.x.w + ix..];
                match self.stride {
                    1 => to.copy_from_slice(&from[..to.len()]),
                    stride => {
                        to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }

    fn pictures(&self, strips: &[Strip]) -> std::ops::Range<usize> {
        let plane = self.y.plane();
        let end = strips.last().map_or(0, |strip| strip.first + strip.len);
        strips.first().map_or(0, |strip| strip.first / plane)..end / plane
    }

    /// Zeros the pictures of a group's `dx`.
    pub(super) fn clear(&self, dx: &Planes<'_>, strips: &[Strip]) {
        let pictures = self.pictures(strips);
        for channel in 0..self.x.c {
            let first = channel * self.x.row() + pictures.start * self.x.plane();
            // SAFETY: a group has its pictures alone.
            unsafe { dx.part(first, pictures.len() * self.x.plane()) }.fill(0.0);
        }
    }

    /// Adds the gradients of a strip's patches to the pixels they were taken from.
    pub(super) fn put_back(&self, level: CpuLevel, strip: Strip, d_patches: &[f32], dx: &Planes<'_>) {
        let taps = self.kernel * self.kernel;
        let segments = self.segments(strip);
        for (row, from) in d_patches.chunks_exact(strip.len).enumerate() {
            let (channel, ky, kx) = (row / taps, row % taps / self.kernel, row % self.kernel);
            let (inside, ix) = self.inside(kx);
            if inside.is_empty() {
                continue;
            }
            for segment in &segments {
                let plane = channel * self.x.row() + segment.picture * self.x.plane();
                // SAFETY: a group has its pictures alone, and works on one strip after the other.
                let pixels = unsafe { dx.part(plane, self.x.plane()) };
                for (i, oy) in segment.rows.clone().enumerate() {
                    let Some(iy) = self.input_row(oy, ky) else { continue };
                    let from = &from[segment.at + i * self.y.w..][inside.clone()];
                    let to = &mut pixels[iy * self.x.w + ix..];
                    match self.stride {
                        1 => rows::add(level, &mut to[..from.len()], from),
                        stride => to.iter_mut().step_by(stride).zip(from).for_each(|(to, from)| *to += from),
                    }
                }
            }
        }
    }

    /// Masks a group's pictures of `dx` for the normalisation that `x` is read through; `None` if there is none.
    pub(super) fn mask_pictures(
        &self,
        level: CpuLevel,
        x: &Host,
        strips: &[Strip],
        dx: &Planes<'_>,
    ) -> Option<Vec<GradientSums>> {
        let norm = x.norm.as_ref()?;
        let pictures = self.pictures(strips);
        let len = pictures.len() * self.x.plane();
        let sums = norm.affines.iter().enumerate().map(|(channel, &affine)| {
            let first = channel * self.x.row() + pictures.start * self.x.plane();
            // SAFETY: a group has its pictures alone.
            let dx = unsafe { dx.part(first, len) };
            rows::mask_and_sum(level, dx, &x.values[first..first + len], affine, norm.activation)
        });
        Some(sums.collect())
    }
}
