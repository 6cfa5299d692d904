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

/// [`Vector`] for a register by the names of its intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! vector {
    ($element:ty, $register:ty, $lanes:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $mul_add:ident) => {
        impl $crate::kernel::vector::Vector<$element> for $register {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller vouches for the instruction set.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn splat(value: $element) -> Self {
                // SAFETY: the caller vouches for the instruction set.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller vouches for the instruction set and the memory; the load is an unaligned one.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller vouches for the instruction set and the memory; the store is an unaligned one.
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: the caller vouches for the instruction set.
                unsafe { $mul_add(self, factor, term) }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use vector;
