//! Vectors: the few operations that kernels are written in, once, for every instruction set.

/// A vector of [`LANES`](Self::LANES) elements in one instruction set.
///
/// Every method must be inlined into a function that enables the instruction set; only there may it be called.
pub(crate) trait Vector<T>: Copy {
    const LANES: usize;

    /// # Safety
    /// The instruction set is available.
    unsafe fn zero() -> Self;

    /// # Safety
    /// The instruction set is available.
    unsafe fn splat(value: T) -> Self;

    /// # Safety
    /// The instruction set is available and `LANES` elements from `from` may be read; no alignment is needed.
    unsafe fn load(from: *const T) -> Self;

    /// # Safety
    /// The instruction set is available and `LANES` elements from `to` may be written; no alignment is needed.
    unsafe fn store(self, to: *mut T);

    /// `self · factor + term`, fused where the instruction set can.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
}
