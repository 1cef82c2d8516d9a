//! What this CPU can run, in order, and the proofs that a fast path asks for.
//!
//! ```text
//! CPU features ──► CpuLevel::supported() ──┐
//!                                          ├─ the lower ──► CpuLevel::detected() ──► kernel(level, …)
//! TSM_CPU=scalar|avx2|avx512 ──────────────┘                                          └─ Avx2::at(level)
//! ```
//!
//! The environment can lower the level, never raise it. An unknown value changes nothing here; the
//! program that reads the environment says so to its user ([`CpuLevel::from_name`]).

use std::sync::OnceLock;

/// The environment variable that lowers the level.
pub const CPU_LEVEL_VARIABLE: &str = "TSM_CPU";

/// A class of CPUs; a higher one can run everything that a lower one can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CpuLevel {
    /// Plain Rust, on every CPU: the meaning of each kernel.
    Scalar,
    /// x86-64 with AVX2 and FMA (2013 and newer).
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL. Kernels without a path of their own take that of AVX2.
    Avx512,
}

impl CpuLevel {
    /// All levels, the lowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The level that kernels use: what the CPU supports, lowered by `TSM_CPU`. Read once per process.
    pub fn detected() -> Self {
        static LEVEL: OnceLock<CpuLevel> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let wish = std::env::var(CPU_LEVEL_VARIABLE).ok();
            Self::lowered(Self::supported(), wish.as_deref())
        })
    }

    /// The highest level this CPU supports, whatever the environment says.
    pub fn supported() -> Self {
        if Avx512::detect().is_some() {
            Self::Avx512
        } else if Avx2::detect().is_some() {
            Self::Avx2
        } else {
            Self::Scalar
        }
    }

    /// All levels this CPU supports, the lowest first: what a twin test runs over.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|&level| level <= Self::supported()).collect()
    }

    /// The level called `name` in `TSM_CPU` (`scalar`, `avx2`, `avx512`), or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The name that `TSM_CPU` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    fn lowered(supported: Self, wish: Option<&str>) -> Self {
        wish.and_then(Self::from_name).map_or(supported, |level| level.min(supported))
    }
}

impl std::fmt::Display for CpuLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Proof that this CPU runs AVX2 and FMA: only [`Avx2::detect`] and [`Avx2::at`] make one.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// A proof, where the CPU has AVX2 and FMA.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return Some(Self(()));
        }
        None
    }

    /// A proof, where `level` allows AVX2 and the CPU has it.
    pub fn at(level: CpuLevel) -> Option<Self> {
        if level >= CpuLevel::Avx2 { Self::detect() } else { None }
    }
}

/// Proof that this CPU runs AVX-512 F, BW, DQ and VL besides AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

impl Avx512 {
    /// A proof, where the CPU has these features.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if Avx2::detect().is_some()
            && std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
        {
            return Some(Self(()));
        }
        None
    }

    /// A proof, where `level` allows AVX-512 and the CPU has it.
    pub fn at(level: CpuLevel) -> Option<Self> {
        if level >= CpuLevel::Avx512 { Self::detect() } else { None }
    }
}

/// Proof that this CPU runs AVX-512 VNNI, products of bytes summed up, besides what [`Avx512`] proves. Not a level
/// of its own: of the CPUs with AVX-512 only the first generation (2017) lacks it, and takes the path of AVX2.
#[derive(Debug, Clone, Copy)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    /// A proof, where `level` allows AVX-512 and the CPU has it with VNNI.
    pub fn at(level: CpuLevel) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if Avx512::at(level).is_some() && std::arch::is_x86_feature_detected!("avx512vnni") {
            return Some(Self(()));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = level;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_lowers_but_never_raises() {
        use CpuLevel::{Avx2, Avx512, Scalar};
        for (supported, wish, expected) in [
            (Avx512, None, Avx512),
            (Avx512, Some("avx2"), Avx2),
            (Avx512, Some("scalar"), Scalar),
            (Avx2, Some("avx512"), Avx2),
            (Scalar, Some("avx2"), Scalar),
        ] {
            assert_eq!(CpuLevel::lowered(supported, wish), expected);
        }
    }

    #[test]
    fn an_unknown_name_changes_nothing() {
        for wish in ["", "AVX2", "sse", "avx2 "] {
            assert_eq!(CpuLevel::lowered(CpuLevel::Avx2, Some(wish)), CpuLevel::Avx2);
        }
    }

    #[test]
    fn names_lead_back_to_their_level() {
        for level in CpuLevel::ALL {
            assert_eq!(CpuLevel::from_name(level.name()), Some(level));
        }
    }

    #[test]
    fn the_scalar_level_is_always_there_and_comes_first() {
        assert_eq!(CpuLevel::available()[0], CpuLevel::Scalar);
        assert!(Avx2::at(CpuLevel::Scalar).is_none());
    }
}
