//! Advice to Linux to put large memory on large pages, which cost one look-up where small ones cost hundreds.
#![allow(unsafe_code, reason = "advice to the kernel about our own memory")]

/// What x86-64 and most others have.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for huge pages under all whole ones within `floats`.
#[cfg(target_os = "linux")]
pub(crate) fn advise(floats: &[f32]) {
    let start = floats.as_ptr().addr();
    let first = start.next_multiple_of(HUGE_PAGE_BYTES);
    let end = (start + size_of_val(floats)) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if first >= end {
        return;
    }
    let at = floats.as_ptr().wrapping_byte_add(first - start).cast_mut().cast();
    // SAFETY: the range lies within `floats`, and this advice changes no byte of it. Refused advice is no loss.
    let _refused = unsafe { libc::madvise(at, end - first, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn advise(_: &[f32]) {}
