//! Dense matrix products. No other file of the library calls the GEMM crates.
//!
//! `C ← A·B` or `C ← C + A·B` on views of any strides, one thread per call. Several threads share a product by blocks
//! of C, whose sizes do not depend on the number of threads, so that the bits of C do not depend on it either.

use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::error::ParseNameError;
use crate::scalar::{Precision, Scalar};

/// Which crate multiplies matrices. Both detect the instruction set at run time.
///
/// The default is [`Gemm`](Self::Gemm). Lowered layers of 64 channels and more take 1.05 to 1.07 times as long with
/// `matrixmultiply`, narrow ones 1.16 times, depthwise ones 2.4 times (geometric means of `examples/gemm_rate.rs` on a processor
/// with AVX-512); single wide layers are up to 8 % faster with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GemmBackend {
    /// The `gemm` crate with AVX-512 enabled (`x86-v4`).
    #[default]
    Gemm,
    /// The `matrixmultiply` crate.
    MatrixMultiply,
}

impl GemmBackend {
    /// Every backend.
    pub const ALL: &'static [Self] = &[Self::Gemm, Self::MatrixMultiply];

    /// The crate's name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm",
            Self::MatrixMultiply => "matrixmultiply",
        }
    }
}

impl fmt::Display for GemmBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for GemmBackend {
    type Err = ParseNameError;

    fn from_str(name: &str) -> Result<Self, ParseNameError> {
        ParseNameError::find("GEMM crate", Self::ALL, Self::name, name)
    }
}

/// `C ← A·B` (`accumulate` false; what C held before does not matter) or `C ← C + A·B`, on the calling thread.
///
/// Shapes: A is m×k, B k×n, C m×n. Shapes that do not fit are a broken internal contract and stop the program before
/// any memory is touched.
pub(crate) fn gemm<T: Scalar>(
    backend: GemmBackend,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    accumulate: bool,
    mut c: ArrayViewMut2<T>,
) {
    let ((m, k), (k_b, n)) = (a.dim(), b.dim());
    assert!(k == k_b && c.dim() == (m, n), "A {:?} · B {:?} does not fit C {:?}", a.dim(), b.dim(), c.dim());
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            c.fill(T::zero());
        }
        return;
    }
    let keep = if accumulate { T::one() } else { T::zero() };
    let (rows_a, columns_a) = (a.strides()[0], a.strides()[1]);
    let (rows_b, columns_b) = (b.strides()[0], b.strides()[1]);
    let (rows_c, columns_c) = (c.strides()[0], c.strides()[1]);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    match (backend, T::PRECISION) {
        // SAFETY: the pointers and strides are those of live ndarray views, whose shapes were checked above to be m×k, k×n
        // and m×n, so every address read or written belongs to its view; C is a unique borrow and overlaps neither A nor
        // B. `read_dst` is false where C's old contents must not matter. The crate accepts T = f32 and f64.
        (GemmBackend::Gemm, _) => unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c,
                columns_c,
                rows_c,
                accumulate,
                a,
                columns_a,
                rows_a,
                b,
                columns_b,
                rows_b,
                keep,
                T::one(),
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        },
        // SAFETY: pointers and strides are those of the views checked above, C is a unique borrow, and the casts keep
        // the type: PRECISION of the sealed `Scalar` is `Single` for f32 alone. With beta = 0 C is not read.
        (GemmBackend::MatrixMultiply, Precision::Single) => unsafe {
            let (a, b, c) = (a.cast::<f32>(), b.cast::<f32>(), c.cast::<f32>());
            let keep = if accumulate { 1.0 } else { 0.0 };
            matrixmultiply::sgemm(m, k, n, 1.0, a, rows_a, columns_a, b, rows_b, columns_b, keep, c, rows_c, columns_c);
        },
        // SAFETY: pointers and strides are those of the views checked above, C is a unique borrow, and the casts keep
        // the type: PRECISION of the sealed `Scalar` is `Double` for f64 alone. With beta = 0 C is not read.
        (GemmBackend::MatrixMultiply, Precision::Double) => unsafe {
            let (a, b, c) = (a.cast::<f64>(), b.cast::<f64>(), c.cast::<f64>());
            let keep = if accumulate { 1.0 } else { 0.0 };
            matrixmultiply::dgemm(m, k, n, 1.0, a, rows_a, columns_a, b, rows_b, columns_b, keep, c, rows_c, columns_c);
        },
    }
}

/// `C ← A·B` over the threads of the current rayon pool, in blocks of rows of fixed size.
pub(crate) fn parallel_gemm<T: Scalar>(
    backend: GemmBackend,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    mut c: ArrayViewMut2<T>,
) {
    // Rows per block: enough work to be worth a task, few enough to share among the threads. At least 64, because a
    // transposed A holds one column of a block side by side, and that is the length of a contiguous read.
    let row_flops = 2 * a.ncols().max(1) * b.ncols().max(1);
    let rows = (super::WORTH_A_TASK / row_flops).clamp(64, 512);
    let blocks: Vec<_> = c.axis_chunks_iter_mut(Axis(0), rows).zip(a.axis_chunks_iter(Axis(0), rows)).collect();
    blocks.into_par_iter().for_each(|(c, a)| gemm(backend, a, b, false, c));
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;

    /// Small integers, so that every sum is exact in both types.
    fn matrix<T: Scalar>(rows: usize, columns: usize, seed: usize) -> Array2<T> {
        Array2::from_shape_fn((rows, columns), |(i, j)| T::from_f64(((i * 7 + j * 5 + seed) % 11) as f64 - 5.0))
    }

    fn literal<T: Scalar>(a: ArrayView2<T>, b: ArrayView2<T>) -> Array2<T> {
        Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| (0..a.ncols()).map(|l| a[[i, l]] * b[[l, j]]).sum())
    }

    fn check<T: Scalar>() {
        for &backend in GemmBackend::ALL {
            for (m, k, n) in [(0, 3, 2), (3, 0, 2), (1, 1, 1), (5, 7, 1), (1, 9, 6), (17, 33, 15), (65, 64, 49)] {
                let (a, b) = (matrix::<T>(m, k, 1), matrix::<T>(k, n, 2));
                let want = literal(a.view(), b.view());
                let mut c = Array2::from_elem((m, n), T::from_f64(f64::NAN));
                gemm(backend, a.view(), b.view(), false, c.view_mut());
                assert_eq!(c, want, "{backend:?} {m}×{k}×{n}");
                gemm(backend, a.view(), b.view(), true, c.view_mut());
                assert_eq!(c, &want + &want, "{backend:?} {m}×{k}×{n} accumulated");
                c.fill(T::from_f64(f64::NAN));
                parallel_gemm(backend, a.view(), b.view(), c.view_mut());
                assert_eq!(c, want, "{backend:?} {m}×{k}×{n} in parallel");
                // Strided, transposed and reversed views.
                let (a_t, b_r) = (a.t().to_owned(), b.slice(s![..;-1, ..]).to_owned());
                let mut wide = Array2::from_elem((2 * m, n + 1), T::from_f64(f64::NAN));
                gemm(backend, a_t.t(), b_r.slice(s![..;-1, ..]), false, wide.slice_mut(s![..;2, ..n]));
                assert_eq!(wide.slice(s![..;2, ..n]), want, "{backend:?} {m}×{k}×{n} strided");
                let untouched = wide.iter().filter(|v| v.partial_cmp(v).is_none()).count();
                assert_eq!(untouched, wide.len() - m * n, "wrote outside of the view");
            }
        }
    }

    #[test]
    fn both_backends_multiply_integers_exactly() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn shapes_that_do_not_fit_stop_before_any_access() {
        let (a, mut c) = (matrix::<f32>(2, 3, 0), matrix::<f32>(2, 2, 0));
        gemm(GemmBackend::Gemm, a.view(), a.view(), false, c.view_mut());
    }
}
