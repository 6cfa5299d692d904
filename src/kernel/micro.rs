//! The microkernel: a register tile of `rows × vectors` accumulators over a list of taps.
//!
//! ```text
//! out[r][v] (+)= Σ_taps Σ_steps a[tap·a_tap + step·rows + r] · b[base[v] + shift + step·b_step]
//! ```
//!
//! A is packed so that the rows of one step lie side by side; they are broadcast. B is read in place: every vector of the tile
//! has its own base, every tap its own shift, so one panel serves any number of taps that look at it from other places.
//! Sums run over taps, then steps, in the order given, whatever the shape of the tile: the bits of an output depend on no
//! neighbour. Each call sums from zero and adds what was there before at the end: sums of blocks that are added have a smaller
//! error than one running sum (N. Higham, *Accuracy and stability of numerical algorithms*, 2002, section 4.2). How many vectors a tile has follows from the registers: accumulators, one vector per column and one broadcast
//! must fit, and there must be enough accumulators to hide the latency of a multiplication (T. Smith et al., *Anatomy of
//! high-performance many-threaded matrix multiplication*, 2014, section IV).

mod taps;

pub(crate) use self::taps::{TapLists, TapShift, Taps};
use super::dispatch::Level;
use super::isa::Isa;
use super::portable::Array4;
use super::vector::Vector;
use crate::scalar::{Precision, Scalar};

/// The operands of a register tile.
pub(crate) struct Tile<'a, T> {
    /// Rows of the tile, at most [`max_rows`].
    pub(crate) rows: usize,
    /// Where each vector of the tile starts in B; their number is one of [`vector_counts`].
    pub(crate) bases: &'a [u32],
    pub(crate) taps: Taps<'a>,
    /// Steps of every tap.
    pub(crate) steps: usize,
    pub(crate) a: &'a [T],
    /// Elements of A from one tap to the next.
    pub(crate) a_tap: usize,
    pub(crate) b: &'a [T],
    /// Elements of B from one step to the next.
    pub(crate) b_step: usize,
    /// Elements from one row of the output to the next.
    pub(crate) pitch: usize,
    /// Whether the output is added to; otherwise what it held does not matter.
    pub(crate) accumulate: bool,
}

macro_rules! shapes {
    ($isa:ident, $max_rows:literal; $($rows:literal: [$($count:literal),*],)*) => {
        mod $isa {
            pub(super) const MAX_ROWS: usize = $max_rows;
            /// Numbers of vectors that tiles of 1, 2, … rows may have, ascending.
            pub(super) const COUNTS: [&[usize]; $max_rows] = [$(&[$($count),*]),*];
        }
        macro_rules! $isa {
            ($vector:ty, $tile:expr, $out:expr) => {
                match ($tile.rows, $tile.bases.len()) {
                    $($(($rows, $count) => micro::<_, $vector, $rows, $count>($tile, $out),)*)*
                    (rows, vectors) => unreachable!("no tile of {rows} rows and {vectors} vectors"),
                }
            };
        }
    };
}

shapes!(avx512, 8;
    1: [2, 4, 8, 12],
    2: [2, 4, 8, 12],
    3: [1, 2, 3, 4, 6],
    4: [1, 2, 3, 4, 6],
    5: [1, 2, 3, 4],
    6: [1, 2, 3, 4],
    7: [1, 2, 3],
    8: [1, 2, 3],
);
shapes!(avx2, 6;
    1: [2, 4, 8],
    2: [2, 4, 6],
    3: [1, 2, 3],
    4: [1, 2],
    5: [1, 2],
    6: [1, 2],
);
shapes!(portable, 4;
    1: [1, 2, 4],
    2: [1, 2, 4],
    3: [1, 2],
    4: [1, 2],
);

/// Most vectors of any tile.
pub(crate) const MAX_VECTORS: usize = 12;

/// Most rows of a tile.
pub(crate) const fn max_rows(isa: Isa) -> usize {
    match isa {
        Isa::Portable => portable::MAX_ROWS,
        Isa::Avx2 => avx2::MAX_ROWS,
        Isa::Avx512 => avx512::MAX_ROWS,
    }
}

/// Numbers of vectors that a tile of so many rows may have, ascending; the last one is the fastest per vector.
pub(crate) fn vector_counts(isa: Isa, rows: usize) -> &'static [usize] {
    match isa {
        Isa::Portable => portable::COUNTS[rows - 1],
        Isa::Avx2 => avx2::COUNTS[rows - 1],
        Isa::Avx512 => avx512::COUNTS[rows - 1],
    }
}

/// Elements of a vector.
pub(crate) const fn lanes<T: Scalar>(isa: Isa) -> usize {
    match isa {
        Isa::Portable => <Array4<T> as Vector<T>>::LANES,
        Isa::Avx2 => 32 / size_of::<T>(),
        Isa::Avx512 => 64 / size_of::<T>(),
    }
}

/// Runs one tile into `out`, `rows` rows of `bases.len()` vectors, `pitch` apart.
///
/// A tile that leaves one of its operands is a broken internal contract and stops the program before any memory is
/// touched.
pub(crate) fn run<T: Scalar>(level: Level, tile: &Tile<T>, out: &mut [T]) {
    let lanes = lanes::<T>(level.isa());
    let (rows, vectors) = (tile.rows, tile.bases.len());
    // A sum that saturates is greater than the length of any slice, so that it fails the assertions below.
    let end = |start: usize, count: usize, step: usize, length: usize| {
        start.saturating_add(count.saturating_sub(1).saturating_mul(step)).saturating_add(length)
    };
    assert!(rows >= 1 && end(0, rows, tile.pitch, vectors * lanes) <= out.len(), "the tile leaves its output");
    let last_base = tile.bases.iter().copied().max().unwrap_or(0) as usize;
    if tile.taps.len() > 0 && tile.steps > 0 {
        let (last_tap, last_shift) = (tile.taps.last_tap(), tile.taps.last_shift());
        assert!(end(last_tap.saturating_mul(tile.a_tap), tile.steps, rows, rows) <= tile.a.len(), "the tile leaves A");
        assert!(end(last_base + last_shift, tile.steps, tile.b_step, lanes) <= tile.b.len(), "the tile leaves B");
    }
    let out = out.as_mut_ptr();
    match level.isa() {
        // SAFETY: the assertions above found the last element that the tile reads of A and B and writes of `out` inside
        // of its slice. The portable set is available on every processor.
        Isa::Portable => unsafe { portable!(Array4<T>, tile, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the assertions above found all that the tile reads and writes inside of its slices; a `Level` of AVX2
        // exists only where AVX2 and FMA are available; PRECISION of the sealed `Scalar` names the type, so that the
        // casts keep it.
        Isa::Avx2 => unsafe {
            match T::PRECISION {
                Precision::Single => avx2_f32(tile.cast(), out.cast()),
                Precision::Double => avx2_f64(tile.cast(), out.cast()),
            }
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the assertions above found all that the tile reads and writes inside of its slices; a `Level` of
        // AVX-512 exists only where AVX-512F is available; PRECISION of the sealed `Scalar` names the type, so that the
        // casts keep it.
        Isa::Avx512 => unsafe {
            match T::PRECISION {
                Precision::Single => avx512_f32(tile.cast(), out.cast()),
                Precision::Double => avx512_f64(tile.cast(), out.cast()),
            }
        },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("only the portable set is available here"),
    }
}

impl<T: Scalar> Tile<'_, T> {
    /// The same tile under the concrete name of its element type.
    ///
    /// # Safety
    /// `U` is `T`.
    unsafe fn cast<U>(&self) -> &Tile<'_, U> {
        // SAFETY: `U` is `T`, as `# Safety` demands, so that this is a reference to the same type.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }
}

macro_rules! entry {
    ($name:ident, $shapes:ident, $element:ty, $vector:ty, $features:literal) => {
        /// # Safety
        /// The instruction set is available, and `tile` and `out` passed the assertions of [`run`].
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $name(tile: &Tile<$element>, out: *mut $element) {
            // SAFETY: `micro` demands what `# Safety` demands, and the macro gives it the tile's numbers of rows and
            // vectors.
            unsafe { $shapes!($vector, tile, out) }
        }
    };
}

entry!(avx2_f32, avx2, f32, std::arch::x86_64::__m256, "avx2,fma");
entry!(avx2_f64, avx2, f64, std::arch::x86_64::__m256d, "avx2,fma");
entry!(avx512_f32, avx512, f32, std::arch::x86_64::__m512, "avx512f");
entry!(avx512_f64, avx512, f64, std::arch::x86_64::__m512d, "avx512f");

/// # Safety
/// * The instruction set of `V` is available.
/// * `tile.rows` is R and `tile.bases` has N elements.
/// * With L = `V::LANES`, each of the following is at most the length of its slice: `(R − 1)·pitch + N·L` of the
///   output; and, if there are taps and steps, `tap·a_tap + steps·R` of A for every tap, and
///   `base + shift + (steps − 1)·b_step + L` of B for every base and shift.
#[inline(always)]
unsafe fn micro<T: Scalar, V: Vector<T>, const R: usize, const N: usize>(tile: &Tile<T>, out: *mut T) {
    // SAFETY: the instruction set is available. Step i of a tap reads R elements of A from `tap·a_tap + i·R` and a
    // vector of B from `base + shift + i·b_step`, and the output is read and written by N vectors in each of R rows:
    // `# Safety` bounds the last of each. `v < N` is an index of `tile.bases`.
    unsafe {
        let mut sums = [[V::zero(); N]; R];
        // Without taps or steps B is not read, and bases may lie outside of it: `wrapping_add` allows that.
        let bases: [*const T; N] =
            std::array::from_fn(|v| tile.b.as_ptr().wrapping_add(*tile.bases.get_unchecked(v) as usize));
        for tap in tile.taps.all() {
            let mut a = tile.a.as_ptr().wrapping_add(tap.tap as usize * tile.a_tap);
            let mut offset = tap.shift as usize;
            for _ in 0..tile.steps {
                // Operands of the shorter side of the tile are held in registers; those of the longer side are loaded
                // one by one.
                if R >= N {
                    let b: [V; N] = std::array::from_fn(|v| V::load(bases[v].add(offset)));
                    for (r, row) in sums.iter_mut().enumerate() {
                        let factor = V::splat(*a.add(r));
                        for (sum, &b) in row.iter_mut().zip(&b) {
                            *sum = factor.mul_add(b, *sum);
                        }
                    }
                } else {
                    let factors: [V; R] = std::array::from_fn(|r| V::splat(*a.add(r)));
                    for v in 0..N {
                        let b = V::load(bases[v].add(offset));
                        for (row, &factor) in sums.iter_mut().zip(&factors) {
                            row[v] = factor.mul_add(b, row[v]);
                        }
                    }
                }
                a = a.wrapping_add(R);
                offset += tile.b_step;
            }
        }
        let one = V::splat(T::one());
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                let out = out.add(r * tile.pitch + v * V::LANES);
                let sum = if tile.accumulate { one.mul_add(V::load(out), *sum) } else { *sum };
                sum.store(out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
