//! Sixteen floats and what a kernel does with them; each instruction set has them in registers of its own.

use super::layout::LANES;

/// Sixteen floats.
///
/// The methods of an instruction set's own vector may run only where the CPU has that set: they are called from
/// within functions compiled for it, which are entered with a proof.
pub(super) trait Vector: Copy {
    /// Sixteen times `value`.
    fn splat(value: f32) -> Self;

    /// The sixteen floats behind `from`.
    ///
    /// # Safety
    /// They are readable.
    unsafe fn load(from: *const f32) -> Self;

    /// Asks for the cache line of `at` to be brought to the second cache; any address will do.
    fn prefetch(at: *const f32);

    /// Writes the floats behind `to`.
    ///
    /// # Safety
    /// They are writable, and nobody else reads or writes them meanwhile.
    unsafe fn store(self, to: *mut f32);

    /// `self * factor + sum`, lane by lane; in one rounding where the CPU has it.
    fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// `self + other`.
    fn add(self, other: Self) -> Self;

    /// `self - other`.
    fn sub(self, other: Self) -> Self;

    /// `other` where it is larger or NaN, else `self`.
    fn max(self, other: Self) -> Self;

    /// `other` where it is smaller or NaN, else `self`.
    fn min(self, other: Self) -> Self;
}

/// Plain Rust: the meaning of every kernel, and what runs on other CPUs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain([f32; LANES]);

impl Plain {
    #[inline]
    fn zip(self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for (lane, other) in lanes.iter_mut().zip(other.0) {
            *lane = combine(*lane, other);
        }
        Self(lanes)
    }
}

impl Vector for Plain {
    #[inline]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller says that sixteen floats are readable there; an array of them needs no more alignment.
        Self(unsafe { from.cast::<[f32; LANES]>().read() })
    }

    #[inline]
    fn prefetch(_: *const f32) {}

    #[inline]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that sixteen floats are writable there.
        unsafe { to.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        // Not `f32::mul_add`: without FMA in the CPU that is a slow call.
        self.zip(factor, |a, b| a * b).add(sum)
    }

    #[inline]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
}
