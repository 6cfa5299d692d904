//! Asking for memory before it is needed.

/// Elements in a cache line of 64 bytes.
pub(crate) const fn line<T>() -> usize {
    64 / size_of::<T>()
}

/// Asks for the cache line of an address, to be read or written soon. Any address may be asked for; where the instruction is
/// missing nothing happens.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE belongs to x86-64, and a prefetch reads nothing that the program could see: it cannot fault.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
