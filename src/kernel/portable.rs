//! Vectors as arrays, for the instruction set that the target guarantees.

use super::vector::Vector;
use crate::scalar::Scalar;

/// Four elements.
#[derive(Clone, Copy)]
pub(crate) struct Array4<T>([T; 4]);

impl<T: Scalar> Vector<T> for Array4<T> {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([T::zero(); 4])
    }

    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller vouches for four readable elements; an array of T has no stricter alignment than asked for here.
        Self(unsafe { from.cast::<[T; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller vouches for four writable elements.
        unsafe { to.cast::<[T; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // Not `mul_add`: without the instruction it is a call into the C library.
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + term.0[i]))
    }
}
