//! The swap.

use ndarray::{ArrayView5, ArrayViewMut5};
use sprs::CsMat;

use super::{LinearOperator, Request, Structure, Workspace, csr_bytes, csr_of, expect_available};
use crate::error::Result;
use crate::geometry::Shape;
use crate::scalar::Scalar;

/// The adjoint of an operator: `apply` and `apply_adjoint` exchanged, nothing else.
///
/// This type is all there is to a transposed convolution: the backward pass of a convolution, read as a forward pass.
///
/// ```
/// use convmat::{Adjoint, LinearOperator, Pad, PadMode};
/// # fn main() -> convmat::Result<()> {
/// let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 2)], PadMode::Zeros)?;
/// let crop = Adjoint(pad.clone()); // cutting off is the adjoint of adding zeros
/// let domain = LinearOperator::<f32>::domain(&crop);
/// assert_eq!(domain, LinearOperator::<f32>::range(&pad));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Adjoint<A>(pub A);

/// The transpose of a CSR matrix, in CSR form.
pub(crate) fn transposed<T: Scalar>(matrix: CsMat<T>) -> Result<CsMat<T>> {
    // Turning columns into rows takes a copy.
    expect_available(csr_bytes::<T>(matrix.cols(), matrix.nnz() as u128), "the transposed matrix")?;
    Ok(matrix.transpose_into().to_csr())
}

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Adjoint<A> {
    fn domain(&self) -> Shape {
        self.0.range()
    }
    fn range(&self) -> Shape {
        self.0.domain()
    }
    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.0.apply_adjoint_into(x, y, workspace)
    }
    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.0.apply_into(y, x, workspace)
    }
    fn workspace_len(&self, batch: usize) -> usize {
        self.0.workspace_len(batch)
    }
    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
        let prepared = self.0.prepared()?;
        Some(prepared.map(|prepared| Box::new(Adjoint(prepared)) as Box<dyn LinearOperator<T> + '_>))
    }
    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(csr_of(&self.0, request.memory_limit).and_then(T::transposed).map(Structure))
    }
}
