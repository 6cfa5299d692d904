//! Stacks of operators.

use super::LinearOperator;
use super::assembly::{Assembly, Join};
use crate::error::Result;
use crate::scalar::Scalar;

/// Operators that are joined by their channels: `[A; B]`, `[A, B]` and the block-diagonal one.
///
/// ```text
///                    matrix        product               domain                range
/// vertical           [ A ]         y_A = A·x             that of A and of B    channels of A's, then of B's
///                    [ B ]         y_B = B·x
/// horizontal         [ A  B ]      y = A·x_A + B·x_B     channels of A's, …    that of A and of B
/// block_diagonal     [ A  0 ]      y_A = A·x_A           channels of A's, …    channels of A's, …
///                    [ 0  B ]      y_B = B·x_B
/// ```
///
/// Joined tensors have the channels (axis 1 of a batch) of every operator in turn, so that x_A and y_A are slices of them, which
/// operators read and write in place. Depth, height and width have to agree: pad or crop first what differs in them
/// ([`Compose`](crate::Compose) with [`Pad`](crate::Pad)). The adjoint of a vertical stack is the horizontal one of the adjoints, bit by
/// bit, and the other way round.
///
/// Any number of operators of one type, owned or borrowed, or boxed ones of any types.
///
/// **Cost.** That of all operators; a shared output, y of a horizontal stack and x of the adjoint of a vertical one, is a sum as in
/// [`Sum`](crate::Sum), with its scratch memory and its order. Slices of several samples are not contiguous: operators that read strides,
/// as convolutions and their plans do, copy nothing; for those that do not, `workspace_len` counts copies of the largest
/// slices. [`csr_of`](crate::csr_of) puts the matrices together as above, structural entries and all.
///
/// ```
/// use convmat::{Adjoint, LinearOperator, Pad, PadMode, Stacked, csr_of};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let left = Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 0)], PadMode::Replicate)?;
/// let right = Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (0, 1)], PadMode::Zeros)?;
/// let both = Stacked::<f64, _>::vertical([&left, &right])?;
/// assert_eq!((both.domain(), both.range()), ([1, 1, 1, 2], [2, 1, 1, 3]));
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 2], vec![5.0, 7.0]).unwrap();
/// assert_eq!(both.apply(x.view())?.into_raw_vec_and_offset().0, [5., 5., 7., 5., 7., 0.]);
///
/// let beside = Stacked::<f64, _>::horizontal([Adjoint(&left), Adjoint(&right)])?;
/// assert_eq!(csr_of(&beside, 1 << 20)?.to_dense(), csr_of(&both, 1 << 20)?.to_dense().t());
/// let diagonal = Stacked::<f64, _>::block_diagonal([&left, &right])?;
/// assert_eq!((diagonal.domain(), diagonal.range()), ([2, 1, 1, 2], [2, 1, 1, 3]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Stacked<T, A>(pub(super) Assembly<T, A>);

impl<T: Scalar, A: LinearOperator<T>> Stacked<T, A> {
    /// `[A; B; …]`: all operators of one x, their outputs one after the other.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if domains differ, or ranges in more than their channels;
    /// [`Error::Unsupported`](crate::Error::Unsupported) without operators; [`Error::Overflow`](crate::Error::Overflow) if the joined tensor
    /// cannot be addressed.
    pub fn vertical(operators: impl IntoIterator<Item = A>) -> Result<Self> {
        Self::new(operators, Join::Shared, Join::Channels, "a vertical stack")
    }

    /// `[A, B, …]`: every operator of its channels of x, and the sum of their outputs.
    ///
    /// # Errors
    /// As [`vertical`](Self::vertical), with domains and ranges exchanged.
    pub fn horizontal(operators: impl IntoIterator<Item = A>) -> Result<Self> {
        Self::new(operators, Join::Channels, Join::Shared, "a horizontal stack")
    }

    /// Every operator of its channels of x into its channels of y.
    ///
    /// # Errors
    /// As [`vertical`](Self::vertical); neither domains nor ranges may differ in more than their channels.
    pub fn block_diagonal(operators: impl IntoIterator<Item = A>) -> Result<Self> {
        Self::new(operators, Join::Channels, Join::Channels, "a block-diagonal stack")
    }

    fn new(operators: impl IntoIterator<Item = A>, domain: Join, range: Join, name: &'static str) -> Result<Self> {
        Assembly::new(operators.into_iter().collect(), domain, range, name).map(Self)
    }
}
