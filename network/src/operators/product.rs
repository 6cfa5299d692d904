//! Products of matrices: `MatMul`, `Gemm`, and the sums of `Einsum` that are one.
//!
//! Blocks of fixed sizes are shared among threads, each a product by `ndarray` (`matrixmultiply`): bits do not depend on the number of
//! threads.

mod einsum;
mod gemm;
mod matmul;

use std::sync::Arc;

pub use einsum::Einsum;
pub use gemm::Gemm;
pub use matmul::MatMul;
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut1, ArrayViewMut2, ArrayViewMutD, Axis, Ix2};

use super::{Description, Made, slices};
use crate::error::{Result, invalid};

pub(super) fn make(d: &Description) -> Made {
    let a = d.attributes;
    Ok(Some(match d.name {
        "MatMul" => Arc::new(MatMul),
        "Gemm" => Arc::new(Gemm {
            alpha: a.float_or("alpha", 1.0)?,
            beta: a.float_or("beta", 1.0)?,
            transpose_a: a.switch_or("transA", false)?,
            transpose_b: a.switch_or("transB", false)?,
        }),
        "Einsum" => {
            let equation = a.text("equation")?.ok_or_else(|| invalid!("attribute equation is missing"))?;
            Arc::new(Einsum::new(equation)?)
        }
        _ => return Ok(None),
    }))
}

/// Rows of a block, and its columns where there are no more rows than that.
const ROWS: usize = 64;
const COLUMNS: usize = 256;

/// `Y = α·A·B` for every index of the axes before the last two, which A and B have as well: `[…, m, k]`, `[…, k, n]`, `[…, m, n]`.
fn multiply(alpha: f32, a: ArrayViewD<f32>, b: ArrayViewD<f32>, mut y: ArrayViewMutD<f32>) -> Result<()> {
    let depth = a.shape().last().copied().unwrap_or(0);
    if depth == 0 || y.is_empty() {
        y.fill(0.0);
        return Ok(());
    }
    let is_shared = slices::is_worth_sharing(y.len().saturating_mul(depth));
    Product { alpha, is_shared }.of_stacks(a, b, y)
}

/// How products are computed: halved until they are blocks, which are never listed.
#[derive(Clone, Copy)]
struct Product {
    alpha: f32,
    is_shared: bool,
}

impl Product {
    /// Both halves, on two threads if there are any to spare.
    fn both(self, first: impl FnOnce() -> Result<()> + Send, second: impl FnOnce() -> Result<()> + Send) -> Result<()> {
        let (first, second) = if self.is_shared { rayon::join(first, second) } else { (first(), second()) };
        first.and(second)
    }

    /// Of stacks of matrices, of which there are some.
    fn of_stacks(self, a: ArrayViewD<f32>, b: ArrayViewD<f32>, y: ArrayViewMutD<f32>) -> Result<()> {
        let axis = Axis(0);
        if y.ndim() > 2 {
            if let n @ 2.. = y.len_of(axis) {
                let ((a, a_rest), (b, b_rest)) = (a.split_at(axis, n / 2), b.split_at(axis, n / 2));
                let (y, y_rest) = y.split_at(axis, n / 2);
                return self.both(|| self.of_stacks(a, b, y), || self.of_stacks(a_rest, b_rest, y_rest));
            }
            return self.of_stacks(a.index_axis_move(axis, 0), b.index_axis_move(axis, 0), y.index_axis_move(axis, 0));
        }
        let wrong = |error: ndarray::ShapeError| invalid!("{error}");
        let a = a.into_dimensionality::<Ix2>().map_err(wrong)?;
        let b = b.into_dimensionality::<Ix2>().map_err(wrong)?;
        let y = y.into_dimensionality::<Ix2>().map_err(wrong)?;
        let width = if y.nrows() <= ROWS { COLUMNS } else { y.ncols() };
        self.of_matrices(a, b, y, width)
    }

    /// Of matrices, in blocks of so many columns at most.
    fn of_matrices(
        self,
        a: ArrayView2<f32>,
        b: ArrayView2<f32>,
        mut y: ArrayViewMut2<f32>,
        width: usize,
    ) -> Result<()> {
        if let blocks @ 2.. = y.nrows().div_ceil(ROWS) {
            let middle = blocks / 2 * ROWS;
            let ((a, a_rest), (y, y_rest)) = (a.split_at(Axis(0), middle), y.split_at(Axis(0), middle));
            return self.both(|| self.of_matrices(a, b, y, width), || self.of_matrices(a_rest, b, y_rest, width));
        }
        if let blocks @ 2.. = y.ncols().div_ceil(width) {
            let middle = blocks / 2 * width;
            let ((b, b_rest), (y, y_rest)) = (b.split_at(Axis(1), middle), y.split_at(Axis(1), middle));
            return self.both(|| self.of_matrices(a, b, y, width), || self.of_matrices(a, b_rest, y_rest, width));
        }
        if y.nrows() == 1 {
            times_vector(self.alpha, a.row(0), b, y.row_mut(0));
        } else {
            general_mat_mul(self.alpha, &a, &b, 0.0, &mut y);
        }
        Ok(())
    }
}

/// `y = α·a·B` for one row: B is read once, in the order in which it lies.
fn times_vector(alpha: f32, a: ArrayView1<f32>, b: ArrayView2<f32>, mut y: ArrayViewMut1<f32>) {
    if b.strides()[0] == 1 {
        y.iter_mut().zip(b.columns()).for_each(|(y, column)| *y = alpha * a.dot(&column));
        return;
    }
    y.fill(0.0);
    // Four rows at a time: y is read and written once for them.
    let mut first = 0;
    while first + 4 <= b.nrows() {
        let [p, q, r, s] = [0, 1, 2, 3].map(|i| alpha * a[first + i]);
        let rows = [0, 1, 2, 3].map(|i| b.row(first + i));
        if let (Some(y), [Some(b), Some(c), Some(d), Some(e)]) =
            (y.as_slice_mut(), rows.each_ref().map(|row| row.as_slice()))
        {
            for ((((y, b), c), d), e) in y.iter_mut().zip(b).zip(c).zip(d).zip(e) {
                *y += (p * b + q * c) + (r * d + s * e);
            }
        } else {
            [p, q, r, s].into_iter().zip(&rows).for_each(|(a, row)| y.scaled_add(a, row));
        }
        first += 4;
    }
    (first..b.nrows()).for_each(|i| y.scaled_add(alpha * a[i], &b.row(i)));
}

#[cfg(test)]
mod tests;
