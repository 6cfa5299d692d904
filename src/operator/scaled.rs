//! Multiples of operators.

use ndarray::{ArrayView5, ArrayViewMut5};

use super::vectors::multiply;
use super::{LinearOperator, Request, Structure, Workspace, csr_of};
use crate::error::{Error, Result};
use crate::geometry::Shape;
use crate::scalar::Scalar;

/// The multiple α·A of an operator: `y = α·(A·x)`. Its adjoint is α·Aᵀ.
///
/// **Bits.** Every output of A is multiplied once, so that it is rounded once more: by a power of two not at all, unless it leaves the
/// range of its type. α = 0 multiplies as well: what is not finite does not vanish. The matrix, [`csr_of`](crate::csr_of), has the entries
/// α·a, each rounded once: sums of products with those may round differently.
///
/// **Cost.** That of A and one multiplication per output; no scratch memory but A's.
///
/// ```
/// use convmat::{LinearOperator, Pad, PadMode, Scaled};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let half = Scaled::new(0.5f32, Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 0)], PadMode::Replicate)?)?;
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 2], vec![3.0, 4.0]).unwrap();
/// let y = half.apply(x.view())?;
/// assert_eq!(y.as_slice(), Some(&[1.5, 1.5, 2.0][..]));
/// assert_eq!(half.apply_adjoint(y.view())?.as_slice(), Some(&[1.5, 1.0][..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Scaled<T, A> {
    factor: T,
    operator: A,
}

impl<T: Scalar, A: LinearOperator<T>> Scaled<T, A> {
    /// `factor · operator`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a factor that is not finite.
    pub fn new(factor: T, operator: A) -> Result<Self> {
        if !factor.to_f64().is_finite() {
            return Err(Error::NotFinite { what: "the factor of an operator" });
        }
        Ok(Self { factor, operator })
    }
}

/// A product of an operator, then times the factor.
pub(crate) fn product<T: Scalar>(
    operator: &dyn LinearOperator<T>,
    is_adjoint: bool,
    factor: T,
    x: ArrayView5<T>,
    mut y: ArrayViewMut5<T>,
    workspace: &mut Workspace<T>,
) -> Result<()> {
    match is_adjoint {
        false => operator.apply_into(x, y.view_mut(), workspace)?,
        true => operator.apply_adjoint_into(x, y.view_mut(), workspace)?,
    }
    multiply(y, factor);
    Ok(())
}

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Scaled<T, A> {
    fn domain(&self) -> Shape {
        self.operator.domain()
    }
    fn range(&self) -> Shape {
        self.operator.range()
    }
    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::scaled(&self.operator, false, self.factor, x, y, workspace)
    }
    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::scaled(&self.operator, true, self.factor, y, x, workspace)
    }
    fn workspace_len(&self, batch: usize) -> usize {
        self.operator.workspace_len(batch)
    }
    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
        let prepared = self.operator.prepared()?;
        Some(prepared.map(|operator| {
            let scaled: Box<dyn LinearOperator<T> + '_> = Box::new(Scaled { factor: self.factor, operator });
            scaled
        }))
    }
    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        let matrix = csr_of(&self.operator, request.memory_limit);
        Some(matrix.map(|mut matrix| {
            matrix.data_mut().iter_mut().for_each(|value| *value *= self.factor);
            Structure(matrix)
        }))
    }
}
