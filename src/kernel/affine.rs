//! What every element becomes on its way from a buffer of sums to the output. It knows no convolution.

use super::vector::Vector;
use crate::scalar::Scalar;

/// `scale · element + bias`, with the same numbers for all elements of a channel.
///
/// Kernels compute it by [`Vector::mul_add`], and single elements by [`Vector::mul_add_one`], so that an element has the
/// same bits whichever way it goes. With a scale of 1 it is the rounded sum of element and bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine<T> {
    /// A finite number.
    pub(crate) scale: T,
    /// Never −0, so that an element of ±0 becomes the bias itself.
    pub(crate) bias: T,
}

impl<T: Scalar> Affine<T> {
    /// What becomes of one element.
    #[inline(always)]
    pub(crate) fn of<V: Vector<T>>(self, element: T) -> T {
        V::mul_add_one(self.scale, element, self.bias)
    }
}
