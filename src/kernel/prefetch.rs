//! Asking for memory before it is needed.

/// Elements in a cache line of 64 bytes.
pub(crate) const fn line<T>() -> usize {
    64 / size_of::<T>()
}

/// Asks for the cache line of an address that will be read or written soon. The address may be any; on processors other
/// than x86-64 nothing happens.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE belongs to x86-64. A prefetch is a hint: it faults at no address and changes nothing that the program
    // can see.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for all lines of a slice.
#[inline(always)]
pub(crate) fn prefetch_all<T>(values: &[T]) {
    for value in values.iter().step_by(line::<T>()) {
        prefetch(value);
    }
}
