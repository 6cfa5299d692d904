//! Vectors of AVX-512F: 512 bits.

use std::arch::x86_64::*;

use super::vector::{MAX_LANES, vector};

vector!(
    f32,
    __m512,
    16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    mul_add_lanes_ps,
    store_lanes_ps,
    interleave_ps,
    pick_ps
);
vector!(
    f64,
    __m512d,
    8,
    _mm512_setzero_pd,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_fmadd_pd,
    mul_add_lanes_pd,
    store_lanes_pd,
    interleave_pd,
    pick_pd
);

/// `a · b + c` in the lanes whose bit is set in `lanes`, c in the others.
///
/// # Safety
/// AVX-512F is available.
#[inline(always)]
unsafe fn mul_add_lanes_ps(a: __m512, b: __m512, c: __m512, lanes: u16) -> __m512 {
    // SAFETY: AVX-512F is available, as `# Safety` demands; the instruction works on registers alone.
    unsafe { _mm512_mask3_fmadd_ps(a, b, c, lanes) }
}

/// Stores the lanes whose bit is set in `lanes`, lane i to `to + i`.
///
/// # Safety
/// AVX-512F is available, and `to + i` may be written for every bit i that is set in `lanes`.
#[inline(always)]
unsafe fn store_lanes_ps(a: __m512, to: *mut f32, lanes: u16) {
    // SAFETY: AVX-512F is available, and `to + i` may be written wherever bit i of `lanes` is set, as `# Safety`
    // demands; the instruction touches no memory of the other lanes.
    unsafe { _mm512_mask_storeu_ps(to, lanes, a) }
}

/// `a[0], b[0], a[1], b[1], …` in two vectors.
///
/// # Safety
/// AVX-512F is available.
#[inline(always)]
unsafe fn interleave_ps(a: __m512, b: __m512) -> [__m512; 2] {
    // SAFETY: AVX-512F is available, as `# Safety` demands; the instructions work on registers alone.
    unsafe {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        [_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)]
    }
}

/// `a · b + c` in the lanes whose bit is set in `lanes`, c in the others.
///
/// # Safety
/// AVX-512F is available.
#[inline(always)]
unsafe fn mul_add_lanes_pd(a: __m512d, b: __m512d, c: __m512d, lanes: u16) -> __m512d {
    // SAFETY: AVX-512F is available, as `# Safety` demands; the instruction works on registers alone.
    unsafe { _mm512_mask3_fmadd_pd(a, b, c, lanes as u8) }
}

/// Stores the lanes whose bit is set in `lanes`, lane i to `to + i`.
///
/// # Safety
/// AVX-512F is available, and `to + i` may be written for every bit i that is set in `lanes`.
#[inline(always)]
unsafe fn store_lanes_pd(a: __m512d, to: *mut f64, lanes: u16) {
    // SAFETY: AVX-512F is available, and `to + i` may be written wherever bit i of `lanes` is set, as `# Safety`
    // demands; the instruction touches no memory of the other lanes.
    unsafe { _mm512_mask_storeu_pd(to, lanes as u8, a) }
}

/// `a[0], b[0], a[1], b[1], …` in two vectors.
///
/// # Safety
/// AVX-512F is available.
#[inline(always)]
unsafe fn interleave_pd(a: __m512d, b: __m512d) -> [__m512d; 2] {
    // SAFETY: AVX-512F is available, as `# Safety` demands; the instructions work on registers alone.
    unsafe {
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        [_mm512_permutex2var_pd(a, low, b), _mm512_permutex2var_pd(a, high, b)]
    }
}

/// Element `index[i]` of `from` in the lanes i whose bit is set in `lanes`, lane i of `a` in the others.
///
/// # Safety
/// AVX-512F is available.
#[inline(always)]
unsafe fn pick_ps(a: __m512, from: __m512, index: &[u32; MAX_LANES], lanes: u16) -> __m512 {
    // SAFETY: AVX-512F is available, as `# Safety` demands. The load reads the sixteen numbers of `index`; of each the
    // permutation uses the low four bits, so that any number names a lane.
    unsafe { _mm512_mask_permutexvar_ps(a, lanes, _mm512_loadu_si512(index.as_ptr().cast()), from) }
}

/// Element `index[i]` of `from` in the lanes i whose bit is set in `lanes`, lane i of `a` in the others.
///
/// # Safety
/// AVX-512F is available.
#[inline(always)]
unsafe fn pick_pd(a: __m512d, from: __m512d, index: &[u32; MAX_LANES], lanes: u16) -> __m512d {
    // SAFETY: AVX-512F is available, as `# Safety` demands. The load reads eight of the sixteen numbers of `index`; of
    // each the permutation uses the low three bits, so that any number names a lane.
    unsafe {
        let index = _mm512_cvtepu32_epi64(_mm256_loadu_si256(index.as_ptr().cast()));
        _mm512_mask_permutexvar_pd(a, lanes as u8, index, from)
    }
}
