//! Products of a sparse matrix with a batch: by rows, and by columns. It knows no convolution but as the two matrices of the
//! formulation that stores them.

use std::fmt;

use ndarray::{ArrayView5, ArrayViewMut2, ArrayViewMut5, Axis};
use rayon::prelude::*;
use sprs::CsMat;

use super::csr::{INSTEAD, csr};
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Shape, Side};
use crate::kernel::lanes::{CsrRows, Lanes};
use crate::kernel::{WORTH_A_TASK, for_each_task};
use crate::operator::{
    LinearOperator, Method, Request, Structure, Weights, Workspace, csr_bytes, expect_available, expect_bytes,
    expect_shape, on_slices,
};
use crate::scalar::Scalar;

/// A sparse matrix as an operator, stored once and multiplied from both sides.
///
/// ```text
/// y = A·x     by rows:      y[r] = Σ A[r, c]·x[c]                 every output is written once
/// x = Aᵀ·y    by columns:   x[c] += A[r, c]·y[r], row after row    the rows of A are the columns of Aᵀ (CSC)
/// ```
///
/// The product by rows shares the rows among threads; the one by columns, where different rows meet in one output, only the
/// samples. To multiply with a transpose by rows, give its own matrix:
/// [`Convolution::transposed_csr`](crate::Convolution::transposed_csr).
///
/// **Cost.** `2 · nonzeros` operations per sample; the matrix is read once for as many samples as four vectors hold.
/// **Bits** depend neither on the number of threads nor on the other samples: an output is summed in ascending order of the other
/// index.
///
/// ```
/// use convmat::matrix::SparseMatrix;
/// use convmat::{Channels, Convolution, Geometry, LinearOperator, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_shape_vec([1, 1, 1, 1, 2], vec![1.0, 10.0]).unwrap())?;
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 4], vec![1., 2., 3., 4.]).unwrap();
/// let by_rows = SparseMatrix::new(c.csr(1 << 20)?, g.large_shape(), g.small_shape())?;
/// let y = by_rows.apply(x.view())?;
/// assert_eq!(y.as_slice(), Some(&[21., 32., 43.][..]));
/// // Cᵀ by its own rows, and by the rows of C.
/// let transposed = SparseMatrix::new(c.transposed_csr(1 << 20)?, g.small_shape(), g.large_shape())?;
/// assert_eq!(transposed.apply(y.view())?, by_rows.apply_adjoint(y.view())?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SparseMatrix<T> {
    matrix: CsMat<T>,
    domain: Shape,
    range: Shape,
}

impl<T> fmt::Debug for SparseMatrix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut matrix = f.debug_struct("SparseMatrix");
        matrix.field("domain", &self.domain).field("range", &self.range).field("nonzeros", &self.matrix.nnz()).finish()
    }
}

impl<T: Scalar> SparseMatrix<T> {
    /// The operator of a matrix with `∏ range` rows and `∏ domain` columns. A matrix in CSC form is converted to CSR.
    ///
    /// # Errors
    /// [`Error::Shape`] if the matrix has another number of rows or columns.
    pub fn new(matrix: CsMat<T>, domain: Shape, range: Shape) -> Result<Self> {
        // Saturation cannot be a number of rows.
        let len = |shape: Shape| shape.iter().fold(1usize, |product, &n| product.saturating_mul(n));
        expect_shape("the matrix", &[len(range), len(domain)], &[matrix.rows(), matrix.cols()])?;
        Ok(Self { matrix: T::to_csr(matrix), domain, range })
    }

    /// The matrix, in CSR form.
    pub const fn csr(&self) -> &CsMat<T> {
        &self.matrix
    }

    /// Elements of scratch memory by rows, and by columns.
    fn scratch_lens(&self, batch: usize) -> [usize; 2] {
        [rows_scratch(&self.matrix, batch), columns_scratch(&self.matrix, batch)]
    }

    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        self.scratch_lens(batch).into_iter().fold(0, usize::max)
    }

    pub(crate) fn by_rows(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        let batch = x.dim().0;
        let [scratch, _] = self.scratch_lens(batch);
        on_slices((self.domain, self.range), x, y, scratch, workspace, |x, y, scratch| {
            by_rows(&self.matrix, batch, x, y, scratch)
        })
    }

    pub(crate) fn by_columns(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        let batch = y.dim().0;
        let [_, scratch] = self.scratch_lens(batch);
        on_slices((self.range, self.domain), y, x, scratch, workspace, |y, x, scratch| {
            by_columns(&self.matrix, batch, y, x, scratch);
            Ok(())
        })
    }
}

/// The matrix in CSR form.
pub(crate) fn to_csr<T: Scalar>(matrix: CsMat<T>) -> CsMat<T> {
    if matrix.is_csr() { matrix } else { matrix.to_csr() }
}

impl<T: Scalar> LinearOperator<T> for SparseMatrix<T> {
    fn domain(&self) -> Shape {
        self.domain
    }

    fn range(&self) -> Shape {
        self.range
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::sparse(self, x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::sparse_adjoint(self, y, x, workspace)
    }

    fn workspace_len(&self, batch: usize) -> usize {
        T::sparse_scratch(self, batch)
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(self.copied(request.memory_limit).map(Structure))
    }
}

impl<T: Scalar> SparseMatrix<T> {
    fn copied(&self, memory_limit: u128) -> Result<CsMat<T>> {
        let bytes = csr_bytes::<T>(self.matrix.rows(), self.matrix.nnz() as u128);
        expect_bytes("a copy of the matrix", bytes, memory_limit, "csr")?;
        expect_available(bytes, "a copy of the matrix")?;
        Ok(self.matrix.clone())
    }
}

/// The formulation that stores C and Cᵀ, both in CSR form, so that each direction reads rows and writes every output once.
///
/// **Cost.** `2 · entries` operations per sample; memory [`twice`](Self::bytes) that of C alone.
/// **Non-finite data** reach exactly the outputs that read them.
/// **Bits** depend neither on the number of threads nor on the other samples: an output is summed in column order.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<T> {
    matrix: CsMat<T>,
    transpose: CsMat<T>,
}

impl<T: Scalar> Sparse<T> {
    /// Builds both matrices.
    ///
    /// # Errors
    /// As [`csr`], with the limit on the two together.
    pub(crate) fn new(geometry: &Geometry<3>, weights: &Weights<T>, memory_limit: u128) -> Result<Self> {
        let bytes = Self::bytes(geometry);
        expect_bytes("the sparse matrix and its transpose", bytes, memory_limit, INSTEAD)?;
        expect_available(bytes, "the sparse matrix and its transpose")?;
        let of = |rows| csr(geometry, weights, rows, memory_limit);
        Ok(Self { matrix: of(Side::Small)?, transpose: of(Side::Large)? })
    }

    /// Bytes that this formulation stores.
    pub(crate) fn bytes(geometry: &Geometry<3>) -> u128 {
        let of = |rows| csr_bytes::<T>(rows, geometry.entries());
        of(geometry.rows()).saturating_add(of(geometry.columns()))
    }

    fn of(&self, output: Side) -> &CsMat<T> {
        match output {
            Side::Small => &self.matrix,
            Side::Large => &self.transpose,
        }
    }
}

impl<T: Scalar> Method<T> for Sparse<T> {
    fn scratch_len(&self, output: Side, batch: usize) -> usize {
        rows_scratch(self.of(output), batch)
    }

    fn run(&self, output: Side, batch: usize, from: &[T], to: &mut [T], scratch: &mut [T]) -> Result<()> {
        by_rows(self.of(output), batch, from, to, scratch)
    }
}

/// One interleaved block of samples, unless there is a single sample, which needs no interleaving.
fn rows_scratch<T: Scalar>(matrix: &CsMat<T>, batch: usize) -> usize {
    Lanes::of::<T>(batch).scratch_len(matrix.cols())
}

/// output ← matrix · input for every sample, parallel over rows.
fn by_rows<T: Scalar>(matrix: &CsMat<T>, batch: usize, input: &[T], output: &mut [T], scratch: &mut [T]) -> Result<()> {
    let (rows, columns) = matrix.shape();
    if batch == 0 || rows == 0 {
        return Ok(());
    }
    if columns == 0 {
        output.fill(T::zero());
        return Ok(());
    }
    let all = all_rows(matrix);
    let mut start = 0;
    while start < batch {
        let lanes = Lanes::of::<T>(batch - start);
        let samples = lanes.count().min(batch - start);
        let input = &input[start * columns..][..samples * columns];
        let output = &mut output[start * rows..][..samples * rows];
        let mut output =
            ArrayViewMut2::from_shape((samples, rows), output).map_err(|_| Error::Overflow { what: "the batch" })?;
        let input = interleaved(lanes, input, columns, scratch);
        // Rows per task: by the work of an average row.
        let flops_per_row = 2 * (matrix.nnz() / rows + 1) * samples;
        let rows_per_task = (WORTH_A_TASK / flops_per_row).clamp(1, rows);
        let tasks: Vec<_> = output.axis_chunks_iter_mut(Axis(1), rows_per_task).collect();
        tasks.into_par_iter().enumerate().for_each(|(task, output)| {
            let first = task * rows_per_task;
            lanes.gather(all.range(first..first + output.ncols()), input, output);
        });
        start += samples;
    }
    Ok(())
}

fn all_rows<T>(matrix: &CsMat<T>) -> CsrRows<'_, T> {
    let (offsets, columns, values) = (matrix.indptr(), matrix.indices(), matrix.data());
    CsrRows { offsets: offsets.into_raw_storage(), columns, values }
}

/// `to[column·lanes + sample] = from[sample·columns + column]`; lanes without a sample become 0 and are never stored.
fn interleaved<'a, T: Scalar>(lanes: Lanes, from: &'a [T], columns: usize, to: &'a mut [T]) -> &'a [T] {
    // Blocks of columns keep both the reads and the writes in the first-level cache.
    const BLOCK: usize = 64;
    if lanes.count() == 1 {
        return from;
    }
    let to = &mut to[..columns * lanes.count()];
    to.par_chunks_mut(BLOCK * lanes.count()).enumerate().with_min_len(16).for_each(|(block, to)| {
        lanes.interleave(&from[block * BLOCK..], columns, to);
    });
    to
}

/// Lanes of a task by columns, which has samples of its own: as many tasks as threads where the samples last.
fn columns_lanes<T: Scalar>(batch: usize) -> Lanes {
    Lanes::of::<T>(batch.div_ceil(rayon::current_num_threads()))
}

/// An interleaved block of inputs and one of outputs per task.
fn columns_scratch<T: Scalar>(matrix: &CsMat<T>, batch: usize) -> usize {
    let lanes = columns_lanes::<T>(batch);
    let tasks = batch.div_ceil(lanes.count()).min(rayon::current_num_threads());
    tasks.saturating_mul(lanes.scratch_len(matrix.rows().saturating_add(matrix.cols())))
}

/// output ← matrixᵀ · input for every sample, parallel over samples.
fn by_columns<T: Scalar>(matrix: &CsMat<T>, batch: usize, input: &[T], output: &mut [T], scratch: &mut [T]) {
    let (rows, columns) = matrix.shape();
    if batch == 0 || columns == 0 {
        return;
    }
    if rows == 0 {
        output.fill(T::zero());
        return;
    }
    let all = all_rows(matrix);
    let lanes = columns_lanes::<T>(batch);
    let per_task = lanes.scratch_len(rows + columns);
    let mut tasks: Vec<_> =
        output.chunks_mut(lanes.count() * columns).zip(input.chunks(lanes.count() * rows)).collect();
    for_each_task(&mut tasks, scratch, per_task, |(output, input), scratch| {
        if lanes.count() == 1 {
            return lanes.scatter(all, input, output);
        }
        let (from, to) = scratch.split_at_mut(rows * lanes.count());
        lanes.interleave(input, rows, from);
        lanes.scatter(all, from, to);
        lanes.deinterleave(to, columns, output);
    });
}
