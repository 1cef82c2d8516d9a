//! Matrix products over parts of larger arrays: strided views, and what several threads write side by side.
//!
//! ```text
//! Planes ─ matrix(first, rows, cols, pitch) ─► MatrixMut ◄── product ── Matrix x Matrix
//!            (columns of one strip: threads take strips that do not meet)
//! ```
//!
//! The product is that of the `gemm` crate, which picks AVX-512, AVX2 or plain code by itself; at
//! [`CpuLevel::Scalar`] three plain loops take its place. It runs on the calling thread: who splits the work does
//! so in parts that do not depend on the number of threads, so the sums do not either.
#![allow(
    unsafe_code,
    reason = "the gemm crate takes pointers, and strips of one array are written side by side"
)]

use std::marker::PhantomData;

use crate::cpu_level::CpuLevel;

/// A readable matrix within a slice: element `(i, j)` is `floats[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    floats: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` floats, the first at `floats[0]`, one every `row_stride`.
    pub(super) fn new(floats: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let end = last_index(rows, columns, row_stride).map_or(0, |last| last + 1);
        assert!(
            end <= floats.len(),
            "matrix: {rows}x{columns} in rows of {row_stride} exceeds {}",
            floats.len()
        );
        Self { floats, rows, columns, row_stride, column_stride: 1 }
    }

    /// The same floats with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.floats[row * self.row_stride + column * self.column_stride]
    }
}

fn last_index(rows: usize, columns: usize, row_stride: usize) -> Option<usize> {
    Some(rows.checked_sub(1)? * row_stride + columns.checked_sub(1)?)
}

/// An array that several threads write at once, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    start: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Planes` gives access through unsafe functions only, whose callers keep the parts apart.
unsafe impl Send for Planes<'_> {}
// SAFETY: as above.
unsafe impl Sync for Planes<'_> {}

impl<'a> Planes<'a> {
    /// All of `floats`, borrowed for as long as its parts are in use.
    pub(super) fn new(floats: &'a mut [f32]) -> Self {
        Self { start: floats.as_mut_ptr(), len: floats.len(), lifetime: PhantomData }
    }

    /// The floats `first .. first + len`.
    ///
    /// # Safety
    /// While the result lives, nobody else touches these floats.
    pub(super) unsafe fn part(&self, first: usize, len: usize) -> &'a mut [f32] {
        assert!(first + len <= self.len, "planes: {first} + {len} exceeds {}", self.len);
        // SAFETY: within the array, as just checked.
        let start = unsafe { self.start.add(first) };
        // SAFETY: within the array, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// The `rows` x `columns` floats from `first` on, a row every `pitch`.
    ///
    /// # Safety
    /// While the result lives, nobody else touches these floats.
    pub(super) unsafe fn matrix(
        &self,
        first: usize,
        rows: usize,
        columns: usize,
        pitch: usize,
    ) -> MatrixMut<'a> {
        let end = last_index(rows, columns, pitch).map_or(0, |last| first + last + 1);
        assert!(end <= self.len, "planes: {rows}x{columns} in rows of {pitch} exceeds {}", self.len);
        assert!(columns <= pitch || rows <= 1, "planes: rows of {columns} overlap every {pitch}");
        // SAFETY: `first` is at most the length of the array.
        let start = unsafe { self.start.add(if end == 0 { 0 } else { first }) };
        MatrixMut { start, rows, columns, pitch, lifetime: PhantomData }
    }
}

/// A writable matrix: rows of `columns` floats, one every `pitch`.
pub(super) struct MatrixMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    pitch: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl<'a> MatrixMut<'a> {
    /// All of `floats` as `rows` dense rows of `columns`.
    pub(super) fn dense(floats: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(floats.len(), rows * columns, "matrix: not {rows}x{columns}");
        Self { start: floats.as_mut_ptr(), rows, columns, pitch: columns, lifetime: PhantomData }
    }

    /// Row `row`.
    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "matrix: no row {row} of {}", self.rows);
        // SAFETY: rows lie within the array, as checked when the matrix was made.
        let start = unsafe { self.start.add(row * self.pitch) };
        // SAFETY: rows are apart, and this one is borrowed from the matrix, whose owner is alone with it.
        unsafe { std::slice::from_raw_parts_mut(start, self.columns) }
    }
}

/// What becomes of the floats that a product is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onto {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// `to = a b` or `to += a b`.
pub(super) fn product(level: CpuLevel, to: &mut MatrixMut<'_>, onto: Onto, a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!((a.rows, b.columns), (to.rows, to.columns), "product: the result has another shape");
    assert_eq!(a.columns, b.rows, "product: inner sizes differ");
    if to.rows == 0 || to.columns == 0 {
        return;
    }
    if level == CpuLevel::Scalar {
        return plain_product(to, onto, a, b);
    }
    let stride = |stride: usize| isize::try_from(stride).expect("strides within an array fit");
    let alpha = if onto == Onto::Add { 1.0 } else { 0.0 };
    // SAFETY: all indices lie within the three arrays, as checked where the matrices were made; `to` is borrowed
    // mutably and so apart from `a` and `b`.
    unsafe {
        gemm::gemm(
            to.rows,
            to.columns,
            a.columns,
            to.start,
            1,
            stride(to.pitch),
            onto == Onto::Add,
            a.floats.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.floats.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            alpha,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

fn plain_product(to: &mut MatrixMut<'_>, onto: Onto, a: Matrix<'_>, b: Matrix<'_>) {
    for i in 0..to.rows {
        let row = to.row(i);
        if onto == Onto::Replace {
            row.fill(0.0);
        }
        for k in 0..a.columns {
            let factor = a.at(i, k);
            for (j, out) in row.iter_mut().enumerate() {
                *out += factor * b.at(k, j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "small numbers, and bits"
    )]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_gives_the_plain_product(
            (m, k, n) in (1usize..40, 1usize..70, 1usize..60), turned in 0usize..4, add in any::<bool>(),
            seed in 0u32..1000,
        ) {
            let value = |i: usize| ((i as u32 * 7919 + seed) % 101) as f32 / 50.0 - 1.0;
            let floats: Vec<f32> = (0..m * k + k * n).map(value).collect();
            let (a, b) = floats.split_at(m * k);
            let a = if turned & 1 == 0 { Matrix::new(a, m, k, k) } else { Matrix::new(a, k, m, m).transposed() };
            let b = if turned & 2 == 0 { Matrix::new(b, k, n, n) } else { Matrix::new(b, n, k, k).transposed() };
            let onto = if add { Onto::Add } else { Onto::Replace };
            let run = |level| {
                let mut to = vec![0.5; m * n];
                product(level, &mut MatrixMut::dense(&mut to, m, n), onto, a, b);
                to
            };
            let expected = run(CpuLevel::Scalar);
            for (ours, expected) in run(CpuLevel::supported()).iter().zip(&expected) {
                // At most 70 products of at most 1, in another order and with fused additions.
                prop_assert!((ours - expected).abs() < 1e-4, "{ours} {expected}");
            }
        }
    }

    #[test]
    fn only_the_given_columns_are_written() {
        let mut floats = vec![7.0; 3 * 10];
        let ones = [1.0; 6];
        let planes = Planes::new(&mut floats);
        // SAFETY: nobody else uses the array.
        let mut strip = unsafe { planes.matrix(4, 3, 2, 10) };
        let (a, b) = (Matrix::new(&ones, 3, 2, 2), Matrix::new(&ones, 2, 2, 2));
        product(CpuLevel::supported(), &mut strip, Onto::Replace, a, b);
        for (i, &value) in floats.iter().enumerate() {
            assert_eq!(value.to_bits(), if [4, 5].contains(&(i % 10)) { 2f32 } else { 7f32 }.to_bits());
        }
    }
}
