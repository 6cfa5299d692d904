//! Vectors as arrays, for the instruction set that the target guarantees.

use super::vector::{MAX_LANES, Vector};
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
        // SAFETY: four elements from `from` on may be read, as `Vector::load` demands; the read needs no alignment.
        Self(unsafe { from.cast::<[T; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: four elements from `to` on may be written, as `Vector::store` demands; the write needs no alignment.
        unsafe { to.cast::<[T; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // The fused `mul_add` of f32 and f64 would call the C library where the target has no instruction for it.
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + term.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add_lanes(self, factor: Self, term: Self, lanes: u16) -> Self {
        // SAFETY: this type's `mul_add` is plain arithmetic, which needs no instruction set and touches no memory.
        let all = unsafe { self.mul_add(factor, term) };
        Self(std::array::from_fn(|i| if lanes >> i & 1 == 1 { all.0[i] } else { term.0[i] }))
    }

    #[inline(always)]
    fn mul_add_one(factor: T, element: T, term: T) -> T {
        factor * element + term
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut T, count: usize) {
        for (i, &value) in self.0.iter().enumerate().take(count) {
            // SAFETY: `count` elements from `to` on may be written, as `Vector::store_first` demands, and `i < count`.
            unsafe { *to.add(i) = value }
        }
    }

    #[inline(always)]
    unsafe fn interleave(self, other: Self) -> [Self; 2] {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        [Self([a, e, b, f]), Self([c, g, d, h])]
    }

    #[inline(always)]
    unsafe fn pick(self, from: Self, index: &[u32; MAX_LANES], lanes: u16) -> Self {
        let picked = |i: usize| if lanes >> i & 1 == 1 { from.0[index[i] as usize % 4] } else { self.0[i] };
        Self(std::array::from_fn(picked))
    }
}
