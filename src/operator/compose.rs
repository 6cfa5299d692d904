//! Products of operators.

use std::fmt;

use ndarray::{ArrayView5, ArrayViewMut5};
use sprs::{CsMat, smmp::mul_csr_csr};

use super::{
    LinearOperator, Request, Structure, Workspace, csr_bytes, csr_of, expect_available, expect_bytes, expect_shape,
    with_batch,
};
use crate::error::{Error, Result};
use crate::geometry::{Shape, checked_len};
use crate::scalar::Scalar;

/// The product A·B: first `B`, then `A`. Its adjoint is Bᵀ·Aᵀ.
///
/// Needs scratch memory for one batch of intermediate tensors, `batch · ∏ B.range()`, on top of what A and B need.
///
/// ```
/// use convmat::{Adjoint, Compose, LinearOperator, Pad, PadMode};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 1)], PadMode::Zeros)?;
/// let identity = Compose::<f32, _, _>::new(Adjoint(pad.clone()), pad)?; // pad, then crop
/// let x = Array5::from_shape_fn([2, 1, 1, 1, 3], |i| i.4 as f32);
/// assert_eq!(identity.apply(x.view())?, x);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Compose<T, A, B> {
    left: A,
    right: B,
    element: std::marker::PhantomData<T>,
}

impl<T, A: fmt::Debug, B: fmt::Debug> fmt::Debug for Compose<T, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compose").field("left", &self.left).field("right", &self.right).finish()
    }
}

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>> Compose<T, A, B> {
    /// The product `left · right`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `left.domain()` is not `right.range()`.
    pub fn new(left: A, right: B) -> Result<Self> {
        expect_shape("the domain of the left operator", &right.range(), &left.domain())?;
        Ok(Self { left, right, element: std::marker::PhantomData })
    }

    /// Runs `first` into a buffer from the workspace and `second` out of it.
    fn through(
        &self,
        batch: usize,
        workspace: &mut Workspace<T>,
        first: impl FnOnce(ArrayViewMut5<T>, &mut Workspace<T>) -> Result<()>,
        second: impl FnOnce(ArrayView5<T>, &mut Workspace<T>) -> Result<()>,
    ) -> Result<()> {
        let shape = with_batch(batch, self.right.range());
        let len = checked_len(&shape, "the number of elements of the intermediate batch")?;
        let mut between = workspace.take(len)?;
        let not_contiguous = |_| Error::Overflow { what: "the intermediate batch" };
        let result = ArrayViewMut5::from_shape(shape, &mut between)
            .map_err(not_contiguous)
            .and_then(|view| first(view, workspace))
            .and_then(|()| ArrayView5::from_shape(shape, &between).map_err(not_contiguous))
            .and_then(|view| second(view, workspace));
        workspace.give(between);
        result
    }
}

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>> LinearOperator<T> for Compose<T, A, B> {
    fn domain(&self) -> Shape {
        self.right.domain()
    }
    fn range(&self) -> Shape {
        self.left.range()
    }
    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.through(
            x.dim().0,
            workspace,
            |between, workspace| self.right.apply_into(x, between, workspace),
            |between, workspace| self.left.apply_into(between, y, workspace),
        )
    }
    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.through(
            y.dim().0,
            workspace,
            |between, workspace| self.left.apply_adjoint_into(y, between, workspace),
            |between, workspace| self.right.apply_adjoint_into(between, x, workspace),
        )
    }
    fn workspace_len(&self, batch: usize) -> usize {
        let between = self.right.range().iter().fold(batch, |len, &n| len.saturating_mul(n));
        between.saturating_add(self.left.workspace_len(batch).max(self.right.workspace_len(batch)))
    }
    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
        let (left, right) = (self.left.prepared(), self.right.prepared());
        if left.is_none() && right.is_none() {
            return None;
        }
        let left = left.unwrap_or_else(|| Ok(Box::new(&self.left)));
        let right = right.unwrap_or_else(|| Ok(Box::new(&self.right)));
        let both = left.and_then(|left| Ok((left, right?)));
        Some(both.map(|(left, right)| {
            let product: Box<dyn LinearOperator<T> + '_> = Box::new(Compose { left, right, element: self.element });
            product
        }))
    }
    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        let limit = request.memory_limit;
        let factors = csr_of(&self.left, limit).and_then(|left| Ok((left, csr_of(&self.right, limit)?)));
        Some(factors.and_then(|(left, right)| T::product(&left, &right, limit)).map(Structure))
    }
}

/// The product of two CSR matrices.
pub(crate) fn product<T: Scalar>(left: &CsMat<T>, right: &CsMat<T>, memory_limit: u128) -> Result<CsMat<T>> {
    // Each entry of the left factor meets one row of the right one: an upper bound on the product's entries.
    let entries = left.indices().iter().map(|&row| right.indptr().nnz_in_outer_sz(row) as u128).sum();
    let bytes = csr_bytes::<T>(left.rows(), entries);
    expect_bytes("the product's matrix", bytes, memory_limit, "apply")?;
    expect_available(bytes, "the product's matrix")?;
    Ok(mul_csr_csr(left.view(), right.view()))
}
