//! The buffers between the passes of a resize, and which code runs each pass.
//!
//! ```text
//! strip: 1, 8 or 16 source rows ─ horizontal ─► ring: quads of four narrow rows ─ vertical ─► output row
//!                                    │  ▲         [groups, quads a row] of four bytes, one a row
//!                                    ▼  │
//!                              tile: the strip's quads with rows as lanes, a turn of outputs at a time
//! ```
//!
//! Source row `r`, counted from the first one that the crop needs, stands in byte `r % 4` of the quads of group
//! `r / 4`, and that in the ring at `group % groups`. Bytes of rows that a window does not reach have weight 0.

use std::ops::Range;

use super::lines::Lines;
use super::quads::{QUAD, QuadWeights};
use super::scalar;
use super::weights::AxisWeights;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::cpu_level::CpuLevel;
#[cfg(target_arch = "x86_64")]
use crate::cpu_level::{Avx2, Avx512Vnni};

/// Bytes a pixel.
pub(super) const RGB: usize = 3;
/// Bytes of four pixels, and of one output in four rows.
pub(super) const RGB_QUAD: usize = QUAD * RGB;
/// Bytes of a channel of a quad in a strip: sixteen lanes, or eight twice as words.
pub(super) const TILE_BYTES: usize = 64;
/// Source rows of the highest strip.
const MOST_ROWS: usize = 16;
/// Vertical passes take so many quads of a ring row together.
const VERTICAL_TURN: usize = 32;

/// How four pixels are shuffled: the bytes of red, of green, of blue; 0x80 gives 0.
#[cfg(target_arch = "x86_64")]
pub(super) const PLANAR_QUADS: [u8; 16] = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0x80, 0x80, 0x80, 0x80];

/// The code that runs both passes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path {
    /// One source row at a time.
    Scalar,
    /// Eight.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Sixteen.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512Vnni),
}

impl Path {
    /// The fastest that `level` allows.
    pub(super) fn at(level: CpuLevel) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = Avx512Vnni::at(level).map(Self::Avx512);
            if let Some(path) = avx512.or_else(|| Avx2::at(level).map(Self::Avx2)) {
                return path;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = level;
        Self::Scalar
    }

    /// Source rows a strip.
    pub(super) fn strip_rows(self) -> usize {
        match self {
            Self::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => avx512::ROWS,
        }
    }
}

/// The weights of both axes and the buffers.
#[derive(Debug, Clone)]
pub(super) struct Passes {
    pub(super) horizontal: AxisWeights,
    pub(super) vertical: AxisWeights,
    horizontal_quads: QuadWeights,
    vertical_quads: QuadWeights,
    source: Lines,
    source_stride: usize,
    tile: Lines,
    ring: Lines,
    group_bytes: usize,
    /// A power of two, so that the place of a group is a mask away.
    groups: usize,
}

impl Passes {
    pub(super) fn new(horizontal: AxisWeights, vertical: AxisWeights) -> Self {
        let (horizontal_quads, vertical_quads) = (QuadWeights::new(&horizontal), QuadWeights::new(&vertical));
        let turns = horizontal_quads.turns();
        let (tile_quads, end) =
            turns.fold((0, 0), |(most, end), turn| (most.max(turn.quads.len()), end.max(turn.quads.end)));
        // Vector code reads whole quads of pixels, 16 bytes of which 12 count. An odd number of cache lines
        // from row to row: rows a power of two apart would drive each other out of the first cache.
        let row_bytes = (horizontal.source().len() * RGB).max(end * RGB_QUAD) + 4;
        let source_stride = row_bytes.next_multiple_of(2 * TILE_BYTES) + TILE_BYTES;
        // An output writes 16 bytes, too.
        let group_quads = (horizontal.len() * RGB + 1).next_multiple_of(VERTICAL_TURN);
        // The tallest window that waits for its last row, and the strip in which that lies.
        let groups = (vertical.most_taps().div_ceil(QUAD) + MOST_ROWS / QUAD).next_power_of_two();
        Self {
            source: Lines::zeros(MOST_ROWS * source_stride),
            source_stride,
            tile: Lines::zeros(tile_quads * RGB * TILE_BYTES),
            ring: Lines::zeros(groups * group_quads * QUAD),
            group_bytes: group_quads * QUAD,
            groups,
            horizontal,
            vertical,
            horizontal_quads,
            vertical_quads,
        }
    }

    /// The rows of the strip, to be filled.
    pub(super) fn strip(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let bytes = self.horizontal.source().len() * RGB;
        self.source.bytes_mut().chunks_exact_mut(self.source_stride).map(move |row| &mut row[..bytes])
    }

    /// Narrows the strip, whose first row is source row `first`, into the ring.
    pub(super) fn horizontal_pass(&mut self, path: Path, first: usize) {
        let first = first - self.vertical.source().start;
        let source = self.source.bytes();
        match path {
            Path::Scalar => {
                let place = self.place(first / QUAD);
                let narrow = &mut self.ring.bytes_mut()[place];
                scalar::horizontal(&self.horizontal, source, first % QUAD, narrow);
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(cpu) => {
                let places = self.places(first / QUAD);
                let ring = disjoint(self.ring.bytes_mut(), places);
                let rows = rows(source, self.source_stride);
                avx2::horizontal(cpu, &self.horizontal_quads, rows, tile(&mut self.tile), ring);
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(cpu) => {
                let places = self.places(first / QUAD);
                let ring = disjoint(self.ring.bytes_mut(), places);
                let rows = rows(source, self.source_stride);
                avx512::horizontal(cpu, &self.horizontal_quads, rows, tile(&mut self.tile), ring);
            }
        }
    }

    /// Sums up the ring rows of output row `index`.
    pub(super) fn vertical_pass(&self, path: Path, index: usize, out_row: &mut [u8]) {
        let ring = self.ring.bytes();
        let first = self.vertical_quads.firsts()[index];
        let group = |quad: usize| &ring[self.place(first + quad)];
        match path {
            Path::Scalar => {
                let start = self.vertical.window(index).start - self.vertical.source().start - first * QUAD;
                let sample = |tap: usize, at: usize| {
                    let row = start + tap;
                    group(row / QUAD)[at * QUAD + row % QUAD]
                };
                scalar::vertical(self.vertical.of(index), sample, out_row);
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(cpu) => avx2::vertical(cpu, self.vertical_quads.words(index), group, out_row),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(cpu) => avx512::vertical(cpu, self.vertical_quads.digits(index), group, out_row),
        }
    }

    /// Where a group stands in the ring.
    fn place(&self, group: usize) -> Range<usize> {
        let at = (group & (self.groups - 1)) * self.group_bytes;
        at..at + self.group_bytes
    }

    /// Where the groups of a strip stand, the first given.
    fn places<const N: usize>(&self, first: usize) -> [Range<usize>; N] {
        std::array::from_fn(|i| self.place(first + i))
    }
}

#[cfg(target_arch = "x86_64")]
fn disjoint<const N: usize>(ring: &mut [u8], places: [Range<usize>; N]) -> [&mut [u8]; N] {
    ring.get_disjoint_mut(places).expect("a ring has more groups than a strip")
}

#[cfg(target_arch = "x86_64")]
fn rows<const N: usize>(source: &[u8], stride: usize) -> [&[u8]; N] {
    std::array::from_fn(|row| &source[row * stride..][..stride])
}

#[cfg(target_arch = "x86_64")]
fn tile(tile: &mut Lines) -> &mut [[u8; TILE_BYTES]] {
    tile.bytes_mut().as_chunks_mut().0
}
