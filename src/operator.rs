//! Linear operators on batches of tensors: the interface that every formulation implements.
//!
//! An operator A maps tensors of shape [`domain`](LinearOperator::domain) to tensors of shape
//! [`range`](LinearOperator::range); its adjoint Aᵀ maps back and satisfies ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩. What is generic
//! (swapping, composing, testing, probing for the matrix) is built once on those two maps and knows no convolution.

pub(crate) mod adjoint;
pub(crate) mod assembly;
pub(crate) mod compose;
pub(crate) mod dot_test;
pub(crate) mod lsqr;
mod method;
mod pad;
pub(crate) mod scaled;
pub(crate) mod solve;
mod stacked;
pub(crate) mod structure;
mod sum;
mod unit;
pub(crate) mod vectors;
mod workspace;

use std::fmt;
use std::sync::Arc;

pub use crate::memory::DEFAULT_MEMORY_LIMIT;
pub(crate) use crate::memory::{
    Needs, allocatable, bytes_of, collected, contiguous, copied, csr_bytes, expect_available, expect_bytes, filled,
    grow, reserved,
};
pub use adjoint::Adjoint;
pub use compose::Compose;
pub use dot_test::{DotTest, dot_test};
pub use lsqr::{Discrepancy, Lsqr, LsqrOptions, discrepancy, lsqr};
pub(crate) use method::Method;
use ndarray::{ArcArray, Array1, Array5, ArrayView1, ArrayView5, ArrayViewMut5, CowArray, Ix5};
pub use pad::{Pad, PadMode};
pub use scaled::Scaled;
pub use solve::{Equations, LeastSquaresOptions, Solution, least_squares};
pub use stacked::Stacked;
pub use structure::csr_of;
pub(crate) use structure::{Request, Structure};
pub use sum::Sum;
#[cfg(feature = "analysis")]
pub(crate) use unit::{InUnit, Unit, scale};
pub(crate) use vectors::dot;
pub use workspace::{Lent, Workspace};

use crate::error::{Error, Result};
use crate::geometry::{Shape, checked_len};
use crate::scalar::Scalar;

/// A linear map between batches of tensors, with its adjoint.
///
/// **Shapes.** The batch comes first: `x` is `[batch, channels, D, H, W]` with `[channels, D, H, W] = domain()`, `y` likewise
/// with `range()`. As a matrix, A has `∏ range` rows and `∏ domain` columns, both numbered row-major. Views of any
/// strides work, reversed ones included; a batch of 0 is allowed. What the output held before does not matter. Single samples
/// can be flat vectors: [`matvec`](Self::matvec), [`rmatvec`](Self::rmatvec). Operators of known rank, such as
/// [`Convolution`](crate::Convolution::apply), have methods of the same names for tensors of that rank.
///
/// **Errors.** [`Error::Shape`] wherever a tensor does not fit.
///
/// **Operators of one's own** implement the five required methods, take scratch memory from the workspace and give it back,
/// and are then what any other operator is: [`Compose`], [`Sum`], [`Scaled`], [`Stacked`] and [`Adjoint`] hold them, [`dot_test`] checks them, [`lsqr`] and
/// [`least_squares`] solve with them, [`csr_of`] finds their matrix. `examples/own_operator.rs` is one.
///
/// ```
/// use convmat::{Adjoint, LinearOperator, Pad, PadMode, Workspace};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 2)], PadMode::Replicate)?;
/// let x = Array5::from_shape_fn([1, 1, 1, 1, 3], |i| i.4 as f32);
/// assert_eq!(pad.apply(x.view())?.into_raw_vec_and_offset().0, [0., 0., 1., 2., 2., 2.]);
/// // The adjoint sums what was copied. It is no inverse.
/// let y = Array5::<f32>::ones([1, 1, 1, 1, 6]);
/// assert_eq!(pad.apply_adjoint(y.view())?.into_raw_vec_and_offset().0, [2., 1., 3.]);
/// # Ok(())
/// # }
/// ```
pub trait LinearOperator<T: Scalar>: Send + Sync {
    /// Shape of one input sample, `[channels, D, H, W]`.
    fn domain(&self) -> Shape;

    /// Shape of one output sample, `[channels, D, H, W]`.
    fn range(&self) -> Shape;

    /// y = A·x for every sample of the batch, into `y`, with scratch memory from `workspace`.
    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()>;

    /// x = Aᵀ·y for every sample of the batch, into `x`, with scratch memory from `workspace`.
    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()>;

    /// Elements of scratch memory that either direction has on loan from the workspace at one time, for contiguous tensors
    /// of this batch and the threads of the current rayon pool. Other layouts need a copy of the tensor on top. A workspace that
    /// lent buffers of several lengths may keep more.
    fn workspace_len(&self, batch: usize) -> usize;

    /// y = A·x in a new array.
    fn apply(&self, x: ArrayView5<T>) -> Result<Array5<T>> {
        let mut y = T::new_batch(x.dim().0, self.range())?;
        self.apply_into(x, y.view_mut(), &mut Workspace::new())?;
        Ok(y)
    }

    /// x = Aᵀ·y in a new array.
    fn apply_adjoint(&self, y: ArrayView5<T>) -> Result<Array5<T>> {
        let mut x = T::new_batch(y.dim().0, self.domain())?;
        self.apply_adjoint_into(y, x.view_mut(), &mut Workspace::new())?;
        Ok(x)
    }

    /// y = A·x for one sample as a vector, SciPy's and PyLops' `matvec`: the product of the matrix of A with x.
    ///
    /// ```text
    /// y[i] = Σ_j A[i, j]·x[j],    x of length ∏ domain, y of length ∏ range
    /// ```
    ///
    /// Vectors hold a sample row-major: element `[c, d, h, w]` of `[channels, D, H, W]` is number `((c·D + d)·H + h)·W + w`.
    ///
    /// ```
    /// use convmat::{LinearOperator, Pad, PadMode};
    /// use ndarray::array;
    /// # fn main() -> convmat::Result<()> {
    /// let pad = Pad::new([2, 1, 1, 2], [(0, 0), (0, 0), (0, 1)], PadMode::Replicate)?; // two channels of two elements
    /// assert_eq!(pad.matvec(array![1., 2., 3., 4.].view())?, array![1., 2., 2., 3., 4., 4.]);
    /// assert_eq!(pad.rmatvec(array![1., 2., 2., 3., 4., 4.].view())?, array![1., 4., 3., 8.]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if x has another length.
    fn matvec(&self, x: ArrayView1<T>) -> Result<Array1<T>> {
        Ok(self.apply(sample(&x, self.domain())?.view())?.into_flat())
    }

    /// x = Aᵀ·y for one sample as a vector, SciPy's and PyLops' `rmatvec`: `x[j] = Σ_i A[i, j]·y[i]`, numbered as in
    /// [`matvec`](Self::matvec).
    ///
    /// # Errors
    /// [`Error::Shape`] if y has another length.
    fn rmatvec(&self, y: ArrayView1<T>) -> Result<Array1<T>> {
        Ok(self.apply_adjoint(sample(&y, self.range())?.view())?.into_flat())
    }

    /// The same operator, prepared for many products: what every product would do anew is done once. `None`, as it is unless
    /// implemented, where nothing can be done beforehand. Solvers ask for it before they begin.
    ///
    /// # Errors
    /// The operator's own, such as [`Error::Memory`] where there is none for what it would hold.
    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
        None
    }

    /// The matrix as [`csr_of`] asks for it. Its types cannot be named outside of this crate, so neither can the method be
    /// implemented there: operators from elsewhere are probed.
    #[doc(hidden)]
    fn structural_matrix(&self, _request: Request) -> Option<Result<Structure<T>>> {
        None
    }
}

/// An operator prepared for many products, or itself where there is nothing to prepare.
pub(crate) fn for_many_products<'a, T: Scalar>(
    operator: &'a (dyn LinearOperator<T> + 'a),
) -> Result<Box<dyn LinearOperator<T> + 'a>> {
    operator.prepared().unwrap_or_else(|| Ok(Box::new(operator)))
}

/// What does no more than to hold an operator is that operator.
macro_rules! forward {
    ($($(#[$doc:meta])* [$($generics:tt)*] $holder:ty, |$self:ident| $operator:expr);* $(;)?) => {$(
        $(#[$doc])*
        impl<T: Scalar, $($generics)*> LinearOperator<T> for $holder {
            fn domain(&$self) -> Shape {
                $operator.domain()
            }
            fn range(&$self) -> Shape {
                $operator.range()
            }
            fn apply_into(&$self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
                $operator.apply_into(x, y, workspace)
            }
            fn apply_adjoint_into(
                &$self,
                y: ArrayView5<T>,
                x: ArrayViewMut5<T>,
                workspace: &mut Workspace<T>,
            ) -> Result<()> {
                $operator.apply_adjoint_into(y, x, workspace)
            }
            fn workspace_len(&$self, batch: usize) -> usize {
                $operator.workspace_len(batch)
            }
            fn prepared(&$self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
                $operator.prepared()
            }
            fn structural_matrix(&$self, request: Request) -> Option<Result<Structure<T>>> {
                $operator.structural_matrix(request)
            }
        }
    )*};
}

/// Shapes, whatever the operator: an operator behind a pointer need not say more.
impl<T: Scalar> fmt::Debug for dyn LinearOperator<T> + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operator = f.debug_struct("LinearOperator");
        operator.field("domain", &self.domain()).field("range", &self.range()).finish_non_exhaustive()
    }
}

forward! {
    /// Boxed operators are operators, so that formulations chosen at run time compose like any other.
    [A: LinearOperator<T> + ?Sized] Box<A>, |self| **self;
    /// So are borrowed ones: what is composed of them need not own them.
    [A: LinearOperator<T> + ?Sized] &A, |self| **self;
    /// And shared ones.
    [A: LinearOperator<T> + ?Sized] Arc<A>, |self| **self;
    [A: LinearOperator<T>] Sum<T, A>, |self| self.0;
    [A: LinearOperator<T>] Stacked<T, A>, |self| self.0;
}

/// Weights in the one layout that everything below a convolution reads: contiguous, `[small channels, large channels /
/// groups, kD, kH, kW]` row-major.
pub(crate) type Weights<T> = ArcArray<T, Ix5>;

/// The weights in their order.
pub(crate) fn flat<T>(weights: &Weights<T>) -> &[T] {
    weights.as_slice().expect("a convolution keeps its weights contiguous")
}

/// A flat vector as a batch of one sample.
fn sample<'a, T: Scalar>(vector: &'a ArrayView1<T>, shape: Shape) -> Result<CowArray<'a, T, Ix5>> {
    let len = checked_len(&shape, "the number of elements of a sample")?;
    expect_shape("the vector", &[len], vector.shape())?;
    vector.to_shape(with_batch(1, shape)).map_err(|_| Error::Overflow { what: "the number of elements of a sample" })
}

/// The same weights in that layout: shared, or copied if they lie otherwise.
pub(crate) fn contiguous_weights<T: Scalar>(weights: Weights<T>) -> Result<Weights<T>> {
    if weights.is_standard_layout() {
        return Ok(weights);
    }
    Ok(contiguous(&weights.view(), "a copy of the weights")?.into_owned().into_shared())
}

/// `[batch, channels, D, H, W]`.
pub(crate) fn with_batch(batch: usize, shape: Shape) -> [usize; 5] {
    [batch, shape[0], shape[1], shape[2], shape[3]]
}

/// A zero batch of tensors, or an error if there is no memory for it.
pub(crate) fn new_batch<T: Scalar>(batch: usize, shape: Shape) -> Result<Array5<T>> {
    Ok(Array5::zeros(allocatable::<T, 5>(with_batch(batch, shape), "the batch")?))
}

/// Runs `body` on the batch as contiguous slices: checks both shapes, copies other layouts through the workspace, and
/// hands over scratch memory of `scratch_len` elements with arbitrary contents.
pub(crate) fn on_slices<T: Scalar>(
    shapes: (Shape, Shape),
    input: ArrayView5<T>,
    mut output: ArrayViewMut5<T>,
    scratch_len: usize,
    workspace: &mut Workspace<T>,
    body: impl FnOnce(&[T], &mut [T], &mut [T]) -> Result<()>,
) -> Result<()> {
    expect_batch(shapes, &input, &output)?;
    let mut copied_input = workspace.take(if input.is_standard_layout() { 0 } else { input.len() })?;
    let mut copied_output = workspace.take(if output.is_standard_layout() { 0 } else { output.len() })?;
    let mut scratch = workspace.take(scratch_len)?;
    let source = match input.to_slice() {
        Some(slice) => slice,
        None => {
            copied_input.iter_mut().zip(&input).for_each(|(to, &from)| *to = from);
            &copied_input
        }
    };
    let result = match output.as_slice_mut() {
        Some(slice) => body(source, slice, &mut scratch),
        None => {
            let result = body(source, &mut copied_output, &mut scratch);
            output.iter_mut().zip(copied_output.iter()).for_each(|(to, &from)| *to = from);
            result
        }
    };
    workspace.give(scratch);
    workspace.give(copied_output);
    workspace.give(copied_input);
    result
}

/// [`Error::Shape`] unless input and output are batches of one length of the given shapes.
pub(crate) fn expect_batch<T>(shapes: (Shape, Shape), input: &ArrayView5<T>, output: &ArrayViewMut5<T>) -> Result<()> {
    let batch = input.dim().0;
    expect_shape("the input", &with_batch(batch, shapes.0), input.shape())?;
    expect_shape("the output", &with_batch(batch, shapes.1), output.shape())
}

/// [`Error::Shape`] unless both shapes agree.
pub(crate) fn expect_shape(what: &'static str, expected: &[usize], actual: &[usize]) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::Shape { what, expected: expected.to_vec(), actual: actual.to_vec() })
}

#[cfg(test)]
mod tests;
