//! Vectors: the few operations that kernels are written in, once, for every instruction set.

/// Most lanes of any vector.
pub(crate) const MAX_LANES: usize = 16;

/// The vectors of an element type in each instruction set beyond the portable one.
pub trait Vectors: Sized {
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Self>;
}

impl Vectors for f32 {
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512;
}

impl Vectors for f64 {
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256d;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512d;
}

/// A vector of [`LANES`](Self::LANES) elements in one instruction set.
///
/// Methods are called only from functions that are inlined into one that enables the instruction set. Such a function
/// is reached through a `Level`, which exists only where the instruction set is available.
pub trait Vector<T>: Copy {
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

    /// `self + other`.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn add(self, other: Self) -> Self;

    /// `self − other`.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn sub(self, other: Self) -> Self;

    /// `self · other`.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn mul(self, other: Self) -> Self;

    /// `self · factor + term`, fused where the instruction set can.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;

    /// [`mul_add`](Self::mul_add) in the lanes whose bit is set in `lanes`, `term` in the others.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn mul_add_lanes(self, factor: Self, term: Self, lanes: u16) -> Self;

    /// `factor · element + term` of single elements, with the bits that [`mul_add`](Self::mul_add) gives them.
    fn mul_add_one(factor: T, element: T, term: T) -> T;

    /// Stores the first `count` lanes, fewer than `LANES`.
    ///
    /// # Safety
    /// The instruction set is available and `count` elements from `to` may be written.
    unsafe fn store_first(self, to: *mut T, count: usize);

    /// `self[0], other[0], self[1], other[1], …` in two vectors.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn interleave(self, other: Self) -> [Self; 2];

    /// Element `index[i]` of `from` in the lanes i whose bit is set in `lanes`, `self` in the others.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn pick(self, from: Self, index: &[u32; MAX_LANES], lanes: u16) -> Self;
}

/// Interleaves Q vectors, for a power of two Q: element `Q · i + q` of the result, read as one row, is element i of
/// vector q. With as many vectors as lanes that is a transposition.
///
/// Every stage is a perfect shuffle of all elements, which rotates the bits of their places by one (H. S. Stone, *Parallel
/// processing with the perfect shuffle*, 1971).
///
/// # Safety
/// The instruction set is available.
#[inline(always)]
pub(crate) unsafe fn interleave_all<T, V: Vector<T>, const Q: usize>(mut vectors: [V; Q]) -> [V; Q] {
    let mut stage = 1;
    while stage < Q {
        let from = vectors;
        for i in 0..Q / 2 {
            // SAFETY: the instruction set is available, as `# Safety` demands; `interleave` demands nothing else.
            [vectors[2 * i], vectors[2 * i + 1]] = unsafe { from[i].interleave(from[i + Q / 2]) };
        }
        stage *= 2;
    }
    vectors
}

/// [`Vector`] for a register by the names of its intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! vector {
    ($element:ty, $register:ty, $lanes:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident,
     $sub:ident, $mul:ident, $mul_add:ident, $mul_add_lanes:ident, $store_first:ident, $interleave:ident, $pick:ident) => {
        impl $crate::kernel::vector::Vector<$element> for $register {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn splat(value: $element) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the instruction set is available and LANES elements from `from` may be read, as the trait
                // demands; the load is an unaligned one.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the instruction set is available and LANES elements from `to` may be written, as the trait
                // demands; the store is an unaligned one.
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $add(self, other) }
            }

            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $sub(self, other) }
            }

            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $mul(self, other) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $mul_add(self, factor, term) }
            }

            #[inline(always)]
            unsafe fn mul_add_lanes(self, factor: Self, term: Self, lanes: u16) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $mul_add_lanes(self, factor, term, lanes) }
            }

            #[inline(always)]
            fn mul_add_one(factor: $element, element: $element, term: $element) -> $element {
                factor.mul_add(element, term)
            }

            #[inline(always)]
            unsafe fn store_first(self, to: *mut $element, count: usize) {
                // SAFETY: the instruction set is available and `count < LANES` elements from `to` may be written, as
                // the trait demands; the mask has just these lanes.
                unsafe { $store_first(self, to, ((1u32 << count) - 1) as u16) }
            }

            #[inline(always)]
            unsafe fn interleave(self, other: Self) -> [Self; 2] {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $interleave(self, other) }
            }

            #[inline(always)]
            unsafe fn pick(self, from: Self, index: &[u32; $crate::kernel::vector::MAX_LANES], lanes: u16) -> Self {
                // SAFETY: the instruction set is available, as the trait demands; no memory is touched.
                unsafe { $pick(self, from, index, lanes) }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use vector;
