//! Sums of operators.

use super::LinearOperator;
use super::assembly::{Assembly, Join};
use crate::error::Result;
use crate::scalar::Scalar;

/// The sum A₁ + A₂ + … of operators with one domain and one range: `y = Σ Aᵢ·x`. Its adjoint is the sum of the adjoints.
///
/// Operators of one type, owned or borrowed, or boxed ones of any types. Products are added in the order of the operators, each
/// rounded by itself, so that bits depend on no number of threads. Where they cancel, errors are small beside the terms and not beside
/// the sum; [`dot_test`](crate::dot_test) counts that as a failure.
///
/// **Cost.** That of all Aᵢ, and one addition per output and further operator. Scratch memory for one batch of the
/// output, `batch · ∏ range` or `batch · ∏ domain`, however many operators there are, on top of what one of them needs; none
/// for a single operator. [`csr_of`](crate::csr_of) adds the matrices: an entry of any is one of the sum, even where it cancels. Its limit
/// is on the entries of all matrices together.
///
/// ```
/// use convmat::{LinearOperator, Pad, PadMode, Scaled, Sum};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // What replicated borders have more than zeros.
/// let pad = |mode| Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 2)], mode);
/// let border = Sum::new([Scaled::new(1.0f64, pad(PadMode::Replicate)?)?, Scaled::new(-1.0, pad(PadMode::Zeros)?)?])?;
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 3], vec![3.0, 4.0, 5.0]).unwrap();
/// assert_eq!(border.apply(x.view())?.into_raw_vec_and_offset().0, [3., 0., 0., 0., 5., 5.]);
///
/// // Of different types: in boxes.
/// let operators: [Box<dyn LinearOperator<f32>>; 2] =
///     [Box::new(pad(PadMode::Reflect)?), Box::new(Scaled::new(0.5, pad(PadMode::Circular)?)?)];
/// assert_eq!(Sum::new(operators)?.range(), [1, 1, 1, 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Sum<T, A>(pub(super) Assembly<T, A>);

impl<T: Scalar, A: LinearOperator<T>> Sum<T, A> {
    /// The sum of one operator or more.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if domains or ranges differ, [`Error::Unsupported`](crate::Error::Unsupported) without operators.
    pub fn new(operators: impl IntoIterator<Item = A>) -> Result<Self> {
        Assembly::new(operators.into_iter().collect(), Join::Shared, Join::Shared, "a sum").map(Self)
    }
}
