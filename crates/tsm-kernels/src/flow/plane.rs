//! One number a pixel, and what flow does with such planes: halving, gradients, sums over squares, warping.

/// Rows of numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plane {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Plane {
    /// A plane of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// Rows and columns.
    pub const fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Its numbers, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Its numbers, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Another shape; what the numbers are then is the caller's to say.
    pub(super) fn resize(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.values.resize(rows * columns, 0.0);
    }

    /// Row `y`.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.columns..][..self.columns]
    }

    /// Row `y`, to be changed.
    pub(super) fn row_mut(&mut self, y: usize) -> &mut [f32] {
        &mut self.values[y * self.columns..][..self.columns]
    }

    /// The row at `y`, or the nearest there is.
    fn near_row(&self, y: usize, up: usize, down: usize) -> &[f32] {
        self.row((y + down).saturating_sub(up).min(self.rows - 1))
    }

    /// Means of 2 x 2 numbers; a last odd row or column is left out.
    pub(super) fn halve(&self, out: &mut Self) {
        out.resize(self.rows / 2, self.columns / 2);
        for y in 0..out.rows {
            let (upper, lower) = (self.row(2 * y), self.row(2 * y + 1));
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (out, (a, b)) in out.row_mut(y).iter_mut().zip(pairs) {
                *out = (a[0] + a[1] + b[0] + b[1]) * 0.25;
            }
        }
    }

    /// Each number twice in each direction, times `scale`: as many of them as `rows` x `columns` take.
    pub(super) fn double(&self, rows: usize, columns: usize, scale: f32, out: &mut Self) {
        out.resize(rows, columns);
        for y in 0..rows {
            let from = self.row((y / 2).min(self.rows - 1));
            for (x, out) in out.row_mut(y).iter_mut().enumerate() {
                *out = from[(x / 2).min(self.columns - 1)] * scale;
            }
        }
    }

    /// Half the difference of the neighbours left and right, and above and below; at an edge,
    /// that to the one neighbour.
    pub(super) fn gradients(&self, across: &mut Self, down: &mut Self) {
        across.resize(self.rows, self.columns);
        down.resize(self.rows, self.columns);
        let last = self.columns - 1;
        for y in 0..self.rows {
            let row = self.row(y);
            let out = across.row_mut(y);
            out[0] = row[1.min(last)] - row[0];
            out[last] = row[last] - row[last.saturating_sub(1)];
            for (out, three) in out.iter_mut().skip(1).zip(row.windows(3)) {
                *out = (three[2] - three[0]) * 0.5;
            }
            let (above, below) = (self.near_row(y, 1, 0), self.near_row(y, 0, 1));
            let is_inner = y > 0 && y + 1 < self.rows;
            let half = if is_inner { 0.5 } else { 1.0 };
            for (out, (above, below)) in down.row_mut(y).iter_mut().zip(above.iter().zip(below)) {
                *out = (below - above) * half;
            }
        }
    }

    /// The number at fractional places: `out[y, x] = self[y + v, x + u]`, between four pixels, inside the picture.
    pub(super) fn warp(&self, u: &Self, v: &Self, out: &mut Self) {
        out.resize(self.rows, self.columns);
        let (right, bottom) = (index_float(self.columns - 1), index_float(self.rows - 1));
        for y in 0..self.rows {
            let moves = u.row(y).iter().zip(v.row(y));
            for (x, (out, (u, v))) in out.row_mut(y).iter_mut().zip(moves).enumerate() {
                let (at_x, at_y) =
                    ((index_float(x) + u).clamp(0.0, right), (index_float(y) + v).clamp(0.0, bottom));
                let (left, top) = (floor_index(at_x), floor_index(at_y));
                let (part_x, part_y) = (at_x - index_float(left), at_y - index_float(top));
                let (upper, lower) = (self.row(top), self.near_row(top, 0, 1));
                let next = (left + 1).min(self.columns - 1);
                let above = upper[left] + (upper[next] - upper[left]) * part_x;
                let below = lower[left] + (lower[next] - lower[left]) * part_x;
                *out = above + (below - above) * part_y;
            }
        }
    }

    /// Means over squares of `2 * radius + 1`; beyond an edge the numbers of the edge stand.
    pub(super) fn smooth(&mut self, radius: usize, scratch: &mut Smoother) {
        let Smoother { down, padded } = scratch;
        down.resize(self.rows, self.columns);
        padded.resize(self.columns + 2 * radius, 0.0);
        let share = 1.0 / index_float((2 * radius + 1) * (2 * radius + 1));
        for y in 0..self.rows {
            let out = down.row_mut(y);
            out.fill(0.0);
            for step in 0..=2 * radius {
                for (out, value) in out.iter_mut().zip(self.near_row(y, radius, step)) {
                    *out += value;
                }
            }
        }
        for y in 0..self.rows {
            let row = down.row(y);
            padded[..radius].fill(row[0]);
            padded[radius..][..row.len()].copy_from_slice(row);
            padded[radius + row.len()..].fill(row[row.len() - 1]);
            let out = self.row_mut(y);
            out.fill(0.0);
            for step in 0..=2 * radius {
                for (out, value) in out.iter_mut().zip(&padded[step..]) {
                    *out += value;
                }
            }
            for value in out {
                *value *= share;
            }
        }
    }
}

/// Room of [`Plane::smooth`].
#[derive(Debug, Clone, Default)]
pub(super) struct Smoother {
    down: Plane,
    padded: Vec<f32>,
}

/// A whole place as a number.
#[expect(clippy::cast_precision_loss, reason = "places of a small picture are far below 2^24")]
pub(super) const fn index_float(index: usize) -> f32 {
    index as f32
}

/// The whole place at or before one that lies within the picture.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was clamped to the picture")]
const fn floor_index(at: f32) -> usize {
    at as usize
}
