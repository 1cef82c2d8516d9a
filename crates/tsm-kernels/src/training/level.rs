//! One body of code, compiled for each CPU level; the plain build of it is the scalar twin.
//!
//! ```text
//! for_each_level! { fn f(args) body } ──► f(level, args) ─┬─ avx512: body, 16 lanes
//!                                                         ├─ avx2:   body, 8 lanes
//!                                                         └─ scalar: body as rustc builds it for any CPU
//! ```
//!
//! Rust never contracts `a * b + c` nor reorders sums, and the bodies fix their lanes themselves. So all levels are
//! equal to the bit. What a body calls has to be `#[inline(always)]`, else it stays at the level of the crate.

#![allow(unsafe_code, reason = "bodies compiled for a level run behind a proof of it")]

/// Lanes that a body sums up in: two vectors of AVX-512, four of AVX2, so that an addition need not wait for the last.
pub(super) const LANES: usize = 32;

/// Defines `$name(level, args)`, whose body runs as compiled for `level`.
macro_rules! for_each_level {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident $(<$(const $generic:ident : $kind:ty),+>)?
        ($($arg:ident : $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $vis fn $name $(<$(const $generic: $kind),+>)?
            (level: $crate::cpu_level::CpuLevel, $($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body $(<$(const $generic: $kind),+>)? ($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512 $(<$(const $generic: $kind),+>)? ($($arg: $type),*) $(-> $result)? {
                    body $(::<$($generic),+>)? ($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$(const $generic: $kind),+>)? ($($arg: $type),*) $(-> $result)? {
                    body $(::<$($generic),+>)? ($($arg),*)
                }
                if $crate::cpu_level::Avx512::at(level).is_some() {
                    // SAFETY: an `Avx512` exists only where the CPU has these features.
                    return unsafe { avx512 $(::<$($generic),+>)? ($($arg),*) };
                }
                if $crate::cpu_level::Avx2::at(level).is_some() {
                    // SAFETY: an `Avx2` exists only where the CPU has AVX2 and FMA.
                    return unsafe { avx2 $(::<$($generic),+>)? ($($arg),*) };
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = level;
            body $(::<$($generic),+>)? ($($arg),*)
        }
    };
}
pub(super) use for_each_level;
