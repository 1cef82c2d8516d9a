//! What a check expected, what it got, and whether that will do.

use crate::plan::DataType;

/// The outcome of a check that could be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) holds: bool,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Finding {
    /// `found` against `expected` outputs, the worst of all.
    pub(crate) fn of(what: &str, off: Off, data_type: DataType) -> Self {
        let tolerance = data_type.tolerance();
        Self {
            // Not `>`: what is no number does not hold.
            holds: off.relative() <= tolerance,
            expected: format!("within {tolerance:e} of the largest {what} ({:.4})", off.largest),
            got: format!("{:.1e} off", off.relative()),
        }
    }
}

/// How far two rows of outputs are apart, beside the largest output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Off {
    /// The largest difference; infinite where a value is not a number, or one row is longer.
    pub(crate) difference: f64,
    /// The largest expected value.
    pub(crate) largest: f64,
}

impl Off {
    /// Nothing compared yet.
    pub(crate) const NONE: Self = Self { difference: 0.0, largest: 0.0 };

    /// Compares all values.
    pub(crate) fn between(expected: &[f32], found: &[f32]) -> Self {
        let worse = |worst: f64, next: f64| if next.is_nan() { f64::INFINITY } else { worst.max(next) };
        let largest = expected.iter().fold(0.0, |most, v| worse(most, f64::from(v.abs())));
        if expected.len() != found.len() {
            return Self { difference: f64::INFINITY, largest };
        }
        let apart = expected.iter().zip(found).map(|(a, b)| f64::from(a - b).abs());
        Self { difference: apart.fold(0.0, worse), largest }
    }

    /// Both: the larger difference beside the larger output.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { difference: self.difference.max(other.difference), largest: self.largest.max(other.largest) }
    }

    /// The difference as a part of the largest value. Outputs that are all zero say nothing: infinite.
    pub(crate) fn relative(self) -> f64 {
        if self.largest > 0.0 { self.difference / self.largest } else { f64::INFINITY }
    }
}

/// How many values were compared, and how many are not the same bits.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    values: usize,
    others: usize,
}

impl Compared {
    pub(crate) fn add(&mut self, expected: &[f32], found: &[f32]) {
        let others = expected.iter().zip(found).filter(|(a, b)| a.to_bits() != b.to_bits());
        self.others += others.count() + expected.len().abs_diff(found.len());
        self.values += expected.len();
    }

    pub(crate) fn finding(&self, what: &str) -> Finding {
        let Self { values, others } = self;
        Finding {
            holds: *values > 0 && *others == 0,
            expected: format!("the {what}, to the bit"),
            got: format!("{others} of {values} values differ"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_never_holds() {
        for (expected, found) in
            [([1.0, 2.0], [1.0, f32::NAN]), ([f32::NAN, 2.0], [1.0, 2.0]), ([0.0, 0.0], [0.0, 0.0])]
        {
            let finding = Finding::of("logit", Off::between(&expected, &found), DataType::F16);
            assert!(!finding.holds, "{finding:?}");
        }
        assert!(!Finding::of("logit", Off::NONE, DataType::F32).holds);
    }

    #[test]
    fn a_difference_is_a_part_of_the_largest_output() {
        let off = Off::between(&[1.0, -4.0], &[1.5, -4.0]);
        assert!((off.relative() - 0.125).abs() < 1e-12);
        assert!(Off::between(&[1.0], &[1.0, 2.0]).relative().is_infinite());
    }

    #[test]
    fn another_bit_or_another_length_does_not_hold() {
        for (expected, found) in [(&[0.0, 1.0][..], &[-0.0, 1.0][..]), (&[1.0], &[1.0, 2.0]), (&[], &[])] {
            let mut compared = Compared::default();
            compared.add(expected, found);
            assert!(!compared.finding("numbers").holds, "{expected:?}, {found:?}");
        }
    }
}
