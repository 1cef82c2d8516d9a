//! The weights of one axis as flat numbers, for a kernel that does not run here.
//!
//! ```text
//! output     0  1  2 …           neighbouring outputs stand side by side: threads that make neighbours
//! starts     s0 s1 s2            read neighbours
//! counts     n0 n1 n2
//! tap 0      w  w  w
//! tap 1      w  w  w             beyond an output's count: 0
//! ```

use std::ops::Range;

use super::weights::AxisWeights;

/// For each output of a range, where its window lies and what each source sample counts, with 22 fractional bits.
#[derive(Debug)]
pub(crate) struct AxisTaps {
    /// All source samples that any output needs.
    pub(crate) source: Range<usize>,
    /// The first sample of each output's window, counted in the source.
    pub(crate) starts: Vec<usize>,
    /// The length of each window.
    pub(crate) counts: Vec<usize>,
    /// `[taps of the longest window, outputs]`. An axis that keeps its size has weights of one, which change nothing.
    pub(crate) weights: Vec<i32>,
}

impl AxisTaps {
    /// The taps for the `wanted` outputs of scaling `source_len` to `scaled_len`.
    pub(crate) fn new(source_len: usize, scaled_len: usize, wanted: Range<usize>) -> Self {
        let outputs = wanted.len();
        let axis = AxisWeights::new(source_len, scaled_len, wanted);
        let windows: Vec<Range<usize>> = (0..outputs).map(|output| axis.window(output)).collect();
        let mut weights = vec![0; axis.most_taps() * outputs];
        for output in 0..outputs {
            for (tap, &weight) in axis.of(output).iter().enumerate() {
                weights[tap * outputs + output] = weight;
            }
        }
        Self {
            source: axis.source(),
            starts: windows.iter().map(|window| window.start).collect(),
            counts: windows.iter().map(Range::len).collect(),
            weights,
        }
    }
}
