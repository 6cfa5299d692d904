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
use ndarray::{ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut1, ArrayViewMut2, ArrayViewMutD, Axis, Ix2, s};
use rayon::prelude::*;

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

/// A block of a product, and what it is the product of.
struct Block<'a> {
    a: ArrayView2<'a, f32>,
    b: ArrayView2<'a, f32>,
    y: ArrayViewMut2<'a, f32>,
}

/// `Y = α·A·B` for every index of the axes before the last two, which A and B have as well: `[…, m, k]`, `[…, k, n]`, `[…, m, n]`.
fn multiply(alpha: f32, a: ArrayViewD<f32>, b: ArrayViewD<f32>, mut y: ArrayViewMutD<f32>) -> Result<()> {
    let depth = a.shape().last().copied().unwrap_or(0);
    if depth == 0 {
        y.fill(0.0);
        return Ok(());
    }
    let work = y.len().saturating_mul(depth);
    let mut blocks = Vec::new();
    split(a, b, y, &mut blocks)?;
    match slices::is_worth_sharing(work) {
        true => blocks.into_par_iter().for_each(|block| block.multiply(alpha)),
        false => blocks.into_iter().for_each(|block| block.multiply(alpha)),
    }
    Ok(())
}

/// Adds all blocks of a product to a list.
fn split<'a>(
    a: ArrayViewD<'a, f32>,
    b: ArrayViewD<'a, f32>,
    mut y: ArrayViewMutD<'a, f32>,
    blocks: &mut Vec<Block<'a>>,
) -> Result<()> {
    if y.ndim() > 2 {
        for index in 0..y.len_of(Axis(0)) {
            let (first, rest) = y.split_at(Axis(0), 1);
            let (a, b) = (a.clone().index_axis_move(Axis(0), index), b.clone().index_axis_move(Axis(0), index));
            split(a, b, first.index_axis_move(Axis(0), 0), blocks)?;
            y = rest;
        }
        return Ok(());
    }
    let wrong = |error: ndarray::ShapeError| invalid!("{error}");
    let a = a.into_dimensionality::<Ix2>().map_err(wrong)?;
    let b = b.into_dimensionality::<Ix2>().map_err(wrong)?;
    let mut y = y.into_dimensionality::<Ix2>().map_err(wrong)?;
    let width = if y.nrows() <= ROWS { COLUMNS } else { y.ncols().max(1) };
    let mut row = 0;
    while y.nrows() > 0 {
        let (mut rows, rest) = y.split_at(Axis(0), ROWS.min(a.nrows() - row));
        let a = a.slice_move(s![row..row + rows.nrows(), ..]);
        (y, row) = (rest, row + rows.nrows());
        let mut column = 0;
        while rows.ncols() > 0 {
            let (y, rest) = rows.split_at(Axis(1), width.min(b.ncols() - column));
            let b = b.slice_move(s![.., column..column + y.ncols()]);
            (rows, column) = (rest, column + y.ncols());
            blocks.push(Block { a, b, y });
        }
    }
    Ok(())
}

impl Block<'_> {
    fn multiply(mut self, alpha: f32) {
        if self.y.nrows() == 1 {
            times_vector(alpha, self.a.row(0), self.b, self.y.row_mut(0));
        } else {
            general_mat_mul(alpha, &self.a, &self.b, 0.0, &mut self.y);
        }
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
