//! The mean of rows that come one after another: logits of frames and views, features of frames.
//!
//! Sums are kept in double precision, so that the mean of a long clip is as good as that of a short one. It does not
//! keep the rows.

use crate::counts::float;

/// Rows of `[width]`, summed and counted.
#[derive(Debug, Clone, PartialEq)]
pub struct RowMean {
    sums: Vec<f64>,
    rows: usize,
}

impl RowMean {
    /// No rows of this width yet.
    pub fn new(width: usize) -> Self {
        Self { sums: vec![0.0; width], rows: 0 }
    }

    /// Takes the next row in.
    ///
    /// # Panics
    /// If it is of another width.
    pub fn add(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.sums.len(), "RowMean: a row of another width");
        self.sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        self.rows += 1;
    }

    /// The mean of the rows so far, `[width]`; zeros where there is none.
    pub fn mean(&self) -> Vec<f32> {
        self.over(float(self.rows.max(1)))
    }

    /// The sum divided by a count of the caller's, where not every row counts.
    pub fn over(&self, count: f64) -> Vec<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "rows are single precision")]
        self.sums.iter().map(|sum| (sum / count) as f32).collect()
    }

    /// The sum of each column, `[width]`: what is largest in it is largest in the mean.
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// Forgets all rows and keeps its room.
    pub fn reset(&mut self) {
        self.sums.fill(0.0);
        self.rows = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_of_the_rows_since_the_last_reset() {
        let mut mean = RowMean::new(2);
        assert_eq!(mean.mean(), [0.0, 0.0]);
        mean.add(&[1.0, -2.0]);
        mean.add(&[2.0, 6.0]);
        assert_eq!((mean.mean(), mean.sums()), (vec![1.5, 2.0], [3.0, 4.0].as_slice()));
        assert_eq!(mean.over(4.0), [0.75, 1.0]);
        mean.reset();
        assert_eq!(mean, RowMean::new(2));
        mean.add(&[0.5, 0.25]);
        assert_eq!(mean.mean(), [0.5, 0.25]);
    }

    #[test]
    fn small_rows_are_not_lost_beside_a_large_one() {
        let mut mean = RowMean::new(1);
        mean.add(&[16_777_216.0]);
        (0..3).for_each(|_| mean.add(&[1.0]));
        assert_eq!(mean.sums(), [16_777_219.0]);
    }
}
