//! Vectors of AVX2 with FMA: 256 bits.

use std::arch::x86_64::*;

use super::vector::{MAX_LANES, vector};

vector!(
    f32,
    __m256,
    8,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    mul_add_lanes_ps,
    store_lanes_ps,
    interleave_ps,
    pick_ps
);
vector!(
    f64,
    __m256d,
    4,
    _mm256_setzero_pd,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_fmadd_pd,
    mul_add_lanes_pd,
    store_lanes_pd,
    interleave_pd,
    pick_pd
);

/// A mask of eight lanes of 32 bits: lane i is all ones where bit i of `lanes` is set, zero elsewhere.
///
/// # Safety
/// AVX2 is available.
#[inline(always)]
unsafe fn mask_ps(lanes: u16) -> __m256i {
    // SAFETY: AVX2 is available, as `# Safety` demands; the instructions work on registers alone.
    unsafe {
        let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(i32::from(lanes)), bits), bits)
    }
}

/// A mask of four lanes of 64 bits: lane i is all ones where bit i of `lanes` is set, zero elsewhere.
///
/// # Safety
/// AVX2 is available.
#[inline(always)]
unsafe fn mask_pd(lanes: u16) -> __m256i {
    // SAFETY: AVX2 is available, as `# Safety` demands; the instructions work on registers alone.
    unsafe {
        let bits = _mm256_setr_epi64x(1, 2, 4, 8);
        _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(i64::from(lanes)), bits), bits)
    }
}

/// `a · b + c` in the lanes whose bit is set in `lanes`, c in the others.
///
/// # Safety
/// AVX2 with FMA is available.
#[inline(always)]
unsafe fn mul_add_lanes_ps(a: __m256, b: __m256, c: __m256, lanes: u16) -> __m256 {
    // SAFETY: AVX2 and FMA are available, as `# Safety` demands; the instructions work on registers alone.
    unsafe { _mm256_blendv_ps(c, _mm256_fmadd_ps(a, b, c), _mm256_castsi256_ps(mask_ps(lanes))) }
}

/// Stores the lanes whose bit is set in `lanes`, lane i to `to + i`.
///
/// # Safety
/// AVX2 is available, and `to + i` may be written for every bit i that is set in `lanes`.
#[inline(always)]
unsafe fn store_lanes_ps(a: __m256, to: *mut f32, lanes: u16) {
    // SAFETY: AVX2 is available, and `to + i` may be written wherever bit i of `lanes` is set, as `# Safety` demands;
    // the instruction touches no memory of the other lanes.
    unsafe { _mm256_maskstore_ps(to, mask_ps(lanes), a) }
}

/// `a[0], b[0], a[1], b[1], …` in two vectors.
///
/// # Safety
/// AVX2 is available.
#[inline(always)]
unsafe fn interleave_ps(a: __m256, b: __m256) -> [__m256; 2] {
    // SAFETY: AVX2 is available, as `# Safety` demands; the instructions work on registers alone.
    unsafe {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
    }
}

/// `a · b + c` in the lanes whose bit is set in `lanes`, c in the others.
///
/// # Safety
/// AVX2 with FMA is available.
#[inline(always)]
unsafe fn mul_add_lanes_pd(a: __m256d, b: __m256d, c: __m256d, lanes: u16) -> __m256d {
    // SAFETY: AVX2 and FMA are available, as `# Safety` demands; the instructions work on registers alone.
    unsafe { _mm256_blendv_pd(c, _mm256_fmadd_pd(a, b, c), _mm256_castsi256_pd(mask_pd(lanes))) }
}

/// Stores the lanes whose bit is set in `lanes`, lane i to `to + i`.
///
/// # Safety
/// AVX2 is available, and `to + i` may be written for every bit i that is set in `lanes`.
#[inline(always)]
unsafe fn store_lanes_pd(a: __m256d, to: *mut f64, lanes: u16) {
    // SAFETY: AVX2 is available, and `to + i` may be written wherever bit i of `lanes` is set, as `# Safety` demands;
    // the instruction touches no memory of the other lanes.
    unsafe { _mm256_maskstore_pd(to, mask_pd(lanes), a) }
}

/// `a[0], b[0], a[1], b[1], …` in two vectors.
///
/// # Safety
/// AVX2 is available.
#[inline(always)]
unsafe fn interleave_pd(a: __m256d, b: __m256d) -> [__m256d; 2] {
    // SAFETY: AVX2 is available, as `# Safety` demands; the instructions work on registers alone.
    unsafe {
        let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        [_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high)]
    }
}

/// Element `index[i]` of `from` in the lanes i whose bit is set in `lanes`, lane i of `a` in the others.
///
/// # Safety
/// AVX2 is available.
#[inline(always)]
unsafe fn pick_ps(a: __m256, from: __m256, index: &[u32; MAX_LANES], lanes: u16) -> __m256 {
    // SAFETY: AVX2 is available, as `# Safety` demands. The load reads eight of the sixteen numbers of `index`; of each
    // the permutation uses the low three bits, so that any number names a lane.
    unsafe {
        let picked = _mm256_permutevar8x32_ps(from, _mm256_loadu_si256(index.as_ptr().cast()));
        _mm256_blendv_ps(a, picked, _mm256_castsi256_ps(mask_ps(lanes)))
    }
}

/// Element `index[i]` of `from` in the lanes i whose bit is set in `lanes`, lane i of `a` in the others.
///
/// # Safety
/// AVX2 is available.
#[inline(always)]
unsafe fn pick_pd(a: __m256d, from: __m256d, index: &[u32; MAX_LANES], lanes: u16) -> __m256d {
    // SAFETY: AVX2 is available, as `# Safety` demands. The load reads four of the sixteen numbers of `index`; of each
    // the permutation uses the low bits, so that any number names a lane.
    unsafe {
        // AVX2 permutes 32-bit lanes across the register, but no 64-bit lanes by a variable index: element i is picked
        // as its halves, lanes 2·i and 2·i + 1.
        let low = _mm256_slli_epi64::<1>(_mm256_cvtepu32_epi64(_mm_loadu_si128(index.as_ptr().cast())));
        let high = _mm256_slli_epi64::<32>(_mm256_add_epi64(low, _mm256_set1_epi64x(1)));
        let picked = _mm256_permutevar8x32_ps(_mm256_castpd_ps(from), _mm256_or_si256(low, high));
        _mm256_blendv_pd(a, _mm256_castps_pd(picked), _mm256_castsi256_pd(mask_pd(lanes)))
    }
}
