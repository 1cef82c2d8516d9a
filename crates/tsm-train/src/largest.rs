//! Which of several values is the largest.

/// Index of the largest value, the first of several; 0 where there is none or all are NaN.
pub(crate) fn largest<T: PartialOrd + Copy>(values: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        // Only NaN cannot be compared with itself.
        if values.get(best).is_some_and(|top| value > top || top.partial_cmp(top).is_none()) {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_values_wins_and_nan_never() {
        assert_eq!(largest(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(largest(&[f32::NAN, -1.0, 0.0]), 2);
    }
}
