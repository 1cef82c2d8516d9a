//! Tensors as they lie in a file: a view into its bytes, read only once it is known to be wanted.
//!
//! ```text
//! storage   [ . . . . e e e e e e . . ]     bytes of the file
//!                     └ offset  strides, shape ─► read() ─► Vec<f32>
//! ```
//!
//! No memory is taken here for a number that the file declares: a view can neither reach beyond its
//! storage nor have more elements than it.

use half::{bf16, f16};

use super::error::Fault;

/// More dimensions than any weight has; bounds the work that a declared shape can cause.
const MAX_RANK: usize = 8;

/// How an element is stored, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementKind {
    F32,
    F16,
    Bf16,
    F64,
    /// Whole numbers and truth values of so many bytes: counters, never weights.
    Whole(usize),
}

impl ElementKind {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Whole(bytes) => bytes,
        }
    }
}

/// One tensor of a file.
#[derive(Debug, Clone)]
pub(super) struct RawTensor<'a> {
    kind: ElementKind,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: &'a [u8],
}

impl<'a> RawTensor<'a> {
    /// A view of `storage`: element `i` lies at `offset + Σ i·stride`, counted in elements.
    pub(super) fn view(
        storage: &'a [u8],
        kind: ElementKind,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self, Fault> {
        let held = storage.len() / kind.bytes();
        if shape.len() > MAX_RANK || shape.len() != strides.len() {
            let text = format!("a tensor has {} dimensions and {} strides", shape.len(), strides.len());
            return Err(Fault::Damaged(text));
        }
        let beyond = || {
            let text = format!(
                "a tensor {shape:?} with strides {strides:?} at {offset} leaves its storage of {held} elements"
            );
            Fault::Damaged(text)
        };
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(beyond)?;
        if count > held {
            return Err(beyond());
        }
        if count > 0 {
            let mut last = offset;
            for (&size, &stride) in shape.iter().zip(&strides) {
                let reach = (size - 1).checked_mul(stride).ok_or_else(beyond)?;
                last = last.checked_add(reach).ok_or_else(beyond)?;
            }
            if last >= held {
                return Err(beyond());
            }
        }
        Ok(Self { kind, shape, strides, offset, storage })
    }

    /// A tensor whose elements lie one after another in `storage`, which holds nothing else.
    pub(super) fn packed(storage: &'a [u8], kind: ElementKind, shape: Vec<usize>) -> Result<Self, Fault> {
        let mut strides = vec![1usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
        }
        Self::view(storage, kind, 0, shape, strides)
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the elements are counters, not weights.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.kind, ElementKind::Whole(_))
    }

    /// The elements in row-major order; `None` if they are whole numbers.
    pub(super) fn read(&self) -> Option<Vec<f32>> {
        match self.kind {
            ElementKind::F32 => Some(self.gather(|b: [u8; 4]| f32::from_le_bytes(b))),
            ElementKind::F16 => Some(self.gather(|b| f16::from_le_bytes(b).to_f32())),
            ElementKind::Bf16 => Some(self.gather(|b| bf16::from_le_bytes(b).to_f32())),
            #[expect(clippy::cast_possible_truncation, reason = "single precision is what we compute in")]
            ElementKind::F64 => Some(self.gather(|b| f64::from_le_bytes(b) as f32)),
            ElementKind::Whole(_) => None,
        }
    }

    fn gather<const BYTES: usize>(&self, decode: impl Fn([u8; BYTES]) -> f32) -> Vec<f32> {
        let (elements, _) = self.storage.as_chunks::<BYTES>();
        let count: usize = self.shape.iter().product();
        if self.is_packed() {
            return elements[self.offset..][..count].iter().map(|&e| decode(e)).collect();
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0usize; self.shape.len()];
        for _ in 0..count {
            let at = self.offset + index.iter().zip(&self.strides).map(|(i, s)| i * s).sum::<usize>();
            values.push(decode(elements[at]));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        values
    }

    /// Row-major without gaps; the stride of an axis of length 1 says nothing.
    fn is_packed(&self) -> bool {
        if self.shape.contains(&0) {
            return false;
        }
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return false;
            }
            expected *= size;
        }
        true
    }
}

/// The named tensors of a foreign file, in its order.
#[derive(Debug)]
pub(super) struct RawTensors<'a> {
    /// `torch zip`, `torch legacy`, `safetensors`.
    pub(super) format: &'static str,
    /// Names are unique.
    pub(super) tensors: Vec<(String, RawTensor<'a>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u8) -> Vec<u8> {
        (0..count).flat_map(|i| f32::from(i).to_le_bytes()).collect()
    }

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> Result<Vec<f32>, Fault> {
        let bytes = numbers(12);
        RawTensor::view(&bytes, ElementKind::F32, offset, shape.to_vec(), strides.to_vec())
            .map(|tensor| tensor.read().unwrap())
    }

    #[test]
    fn views_are_read_by_offset_and_strides() {
        assert_eq!(view(1, &[2, 3], &[1, 4]).unwrap(), [1.0, 5.0, 9.0, 2.0, 6.0, 10.0]);
        assert_eq!(view(4, &[2, 4], &[4, 1]).unwrap(), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        assert_eq!(view(0, &[3, 3], &[1, 1]).unwrap(), [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0]);
        assert_eq!(view(11, &[], &[]).unwrap(), [11.0]);
        assert_eq!(view(0, &[0, 3], &[3, 1]).unwrap(), Vec::<f32>::new());
    }

    #[test]
    fn a_view_beyond_its_storage_is_refused() {
        for (offset, shape, strides) in [
            (0, &[13][..], &[1][..]),
            (1, &[12], &[1]),
            (12, &[], &[]),
            (0, &[2], &[12]),
            (0, &[1 << 60], &[0]),
            (0, &[1 << 33, 1 << 33], &[0, 0]),
            (0, &[2, 2], &[usize::MAX, 1]),
            (usize::MAX, &[2], &[1]),
            (0, &[2, 2], &[1]),
            (0, &[1; 9], &[1; 9]),
        ] {
            assert!(
                matches!(view(offset, shape, strides), Err(Fault::Damaged(_))),
                "{offset} {shape:?} {strides:?}"
            );
        }
    }

    #[test]
    fn every_float_is_widened_and_whole_numbers_are_none() {
        let read = |bytes: &[u8], kind| RawTensor::packed(bytes, kind, vec![1]).unwrap().read();
        assert_eq!(read(&f16::from_f32(1.5).to_le_bytes(), ElementKind::F16), Some(vec![1.5]));
        assert_eq!(read(&bf16::from_f32(-2.0).to_le_bytes(), ElementKind::Bf16), Some(vec![-2.0]));
        assert_eq!(read(&0.25f64.to_le_bytes(), ElementKind::F64), Some(vec![0.25]));
        assert_eq!(read(&7i64.to_le_bytes(), ElementKind::Whole(8)), None);
    }
}
