//! The matrix of any operator: from its structure where it is known, by probing elsewhere.
//!
//! Operators of this crate hand over their matrix through a method whose types only this crate can name. So users implement
//! [`LinearOperator`] without a sparse matrix of one particular library, and products of their operators and this crate's
//! still have structural factors.

use sprs::CsMat;

use super::{LinearOperator, Workspace, csr_bytes, expect_available, expect_bytes, grow, new_batch, reserved};
use crate::error::Result;
use crate::geometry::checked_len;
use crate::scalar::Scalar;

/// A request for a matrix of at most so many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub(crate) memory_limit: u128,
}

/// A matrix in CSR form with structural entries.
#[derive(Debug)]
pub struct Structure<T>(pub(crate) CsMat<T>);

/// The matrix of an operator in CSR form, `∏ range` × `∏ domain`, columns ascending within a row.
///
/// This crate's operators build it from their structure and keep structural entries, zeros among them; [`Adjoint`](crate::Adjoint),
/// [`Compose`](crate::Compose), [`Sum`](crate::Sum), [`Scaled`](crate::Scaled) and [`Stacked`](crate::Stacked) transpose, multiply, add and
/// place the matrices of what they hold. Any other operator is probed: it is
/// applied to every unit vector, ∏ domain applications, and its numerical nonzeros are kept.
///
/// ```
/// use convmat::{Adjoint, Pad, PadMode, csr_of};
/// # fn main() -> convmat::Result<()> {
/// let pad = Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 0)], PadMode::Replicate)?;
/// let matrix = csr_of::<f64, _>(&Adjoint(pad), 1 << 20)?;
/// assert_eq!(matrix.to_dense(), ndarray::array![[1., 1., 0.], [0., 0., 1.]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if the matrix, or the dense block of columns that probing needs, exceeds
/// `memory_limit` bytes; [`Error::Memory`](crate::Error::Memory) if there is none for it; those of the operator.
pub fn csr_of<T: Scalar, A: LinearOperator<T> + ?Sized>(operator: &A, memory_limit: u128) -> Result<CsMat<T>> {
    match operator.structural_matrix(Request { memory_limit }) {
        Some(matrix) => matrix.map(|Structure(matrix)| matrix),
        None => T::probe(&operator, memory_limit),
    }
}

/// The matrix of an operator from its action on unit vectors, a block of them at a time.
pub(crate) fn probe<T: Scalar>(operator: &dyn LinearOperator<T>, memory_limit: u128) -> Result<CsMat<T>> {
    const WHAT: &str = "the probed matrix";
    const INSTEAD: &str = "apply and apply_adjoint";
    let (domain, range) = (operator.domain(), operator.range());
    let columns = checked_len(&domain, "the number of columns")?;
    let rows = checked_len(&range, "the number of rows")?;
    let column_bytes = (rows as u128 + columns as u128).max(1) * size_of::<T>() as u128;
    expect_bytes("one probed column", column_bytes, memory_limit, INSTEAD)?;
    let block = ((memory_limit / column_bytes).min(64) as usize).min(columns.max(1));
    // Columns of A are rows of its transpose: CSC.
    let mut offsets = reserved(columns + 1, WHAT)?;
    offsets.push(0);
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    let mut workspace = Workspace::new();
    for start in (0..columns).step_by(block) {
        let count = block.min(columns - start);
        let mut units = new_batch(count, domain)?;
        units
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| i % columns == start + i / columns)
            .for_each(|(_, unit)| *unit = T::one());
        let mut images = new_batch(count, range)?;
        operator.apply_into(units.view(), images.view_mut(), &mut workspace)?;
        for column in images.outer_iter() {
            let entries = || column.iter().enumerate().filter(|(_, value)| **value != T::zero());
            let count = entries().count();
            expect_bytes(WHAT, csr_bytes::<T>(rows, (indices.len() + count) as u128), memory_limit, INSTEAD)?;
            grow(&mut indices, count, WHAT)?;
            grow(&mut values, count, WHAT)?;
            indices.extend(entries().map(|(row, _)| row));
            values.extend(entries().map(|(_, &value)| value));
            offsets.push(indices.len());
        }
    }
    // Turning columns into rows takes a copy.
    expect_available(csr_bytes::<T>(rows, indices.len() as u128), WHAT)?;
    Ok(CsMat::new_csc((rows, columns), offsets, indices, values).to_csr())
}
