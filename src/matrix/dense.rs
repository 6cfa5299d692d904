//! The explicit dense matrix C, `rows × columns`, and products with it by GEMM (GEMV for a batch of one).

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::entries::Pattern;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::kernel::{GemmBackend, parallel_gemm};
use crate::operator::{Method, Weights, allocatable, expect_bytes, flat};
use crate::scalar::Scalar;

/// Bytes of the dense matrix: `rows · columns · size_of::<T>()`.
pub(crate) fn dense_bytes<T: Scalar>(geometry: &Geometry<3>) -> u128 {
    (geometry.rows() as u128).saturating_mul(geometry.columns() as u128).saturating_mul(size_of::<T>() as u128)
}

/// C as a dense array, `[rows, columns]`.
///
/// # Errors
/// [`Error::MemoryLimit`] before anything is allocated if it would exceed `memory_limit` bytes; [`Error::Overflow`] if no array
/// can be that large, [`Error::Memory`] if there is none for it.
pub(crate) fn dense<T: Scalar>(geometry: &Geometry<3>, weights: &Weights<T>, memory_limit: u128) -> Result<Array2<T>> {
    let bytes = dense_bytes::<T>(geometry);
    expect_bytes("the dense matrix", bytes, memory_limit, "the sparse matrix or im2col")?;
    if bytes > isize::MAX as u128 {
        return Err(Error::Overflow { what: "the number of elements of the dense matrix" });
    }
    let mut matrix = Array2::zeros(allocatable::<T, 2>([geometry.rows(), geometry.columns()], "the dense matrix")?);
    let weights = flat(weights);
    let pattern = Pattern::new(geometry, Side::Small);
    for (row, mut values) in matrix.outer_iter_mut().enumerate() {
        pattern.for_each_in_row(row, |column, weight| values[column] = weights[weight]);
    }
    Ok(matrix)
}

/// The formulation that stores C densely. Y = X·Cᵀ and X = Y·C with the batch as rows.
///
/// **Cost.** `2 · rows · columns` operations per sample and as many elements of memory, whatever the sparsity.
/// **Non-finite data.** An infinite or NaN input spreads to every output of its sample, since 0·∞ = NaN.
/// **Bits** do not depend on the number of threads; they may depend on the batch size, which the GEMM crates choose their
/// blocks by.
#[derive(Clone, Debug)]
pub(crate) struct Dense<T> {
    matrix: Array2<T>,
    backend: GemmBackend,
}

impl<T: Scalar> Dense<T> {
    /// Builds the matrix.
    ///
    /// # Errors
    /// Those of [`dense`].
    pub(crate) fn new(
        geometry: &Geometry<3>,
        weights: &Weights<T>,
        backend: GemmBackend,
        memory_limit: u128,
    ) -> Result<Self> {
        Ok(Self { matrix: dense(geometry, weights, memory_limit)?, backend })
    }
}

impl<T: Scalar> Method<T> for Dense<T> {
    fn run(&self, output: Side, batch: usize, from: &[T], to: &mut [T], _scratch: &mut [T]) -> Result<()> {
        let matrix = match output {
            Side::Small => self.matrix.view(),
            Side::Large => self.matrix.t(),
        };
        let overflow = |_| Error::Overflow { what: "the batch" };
        let from = ArrayView2::from_shape((batch, matrix.ncols()), from).map_err(overflow)?;
        let to = ArrayViewMut2::from_shape((batch, matrix.nrows()), to).map_err(overflow)?;
        parallel_gemm(self.backend, matrix, from.reversed_axes(), to.reversed_axes());
        Ok(())
    }
}
