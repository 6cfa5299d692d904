//! Vectors of AVX2 with FMA: 256 bits.

use std::arch::x86_64::*;

use super::vector::Vector;

macro_rules! vector {
    ($element:ty, $register:ty, $lanes:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $mul_add:ident) => {
        impl Vector<$element> for $register {
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

vector!(f32, __m256, 8, _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);
vector!(f64, __m256d, 4, _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd);
