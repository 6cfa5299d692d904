//! The convolution as a linear map of its weights.
//!
//! The trilinear form is linear in each of its arguments. With x fixed, w ↦ C(w)·x is a linear operator, and so is
//! w ↦ C(w)ᵀ·y with y fixed; the adjoint of both is the weight gradient. Learning weights by least squares is solving with
//! this operator.

use std::fmt;

use ndarray::{Array, Array5, ArrayView5, ArrayViewMut5, Dimension};

use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Shape, Side, checked_len};
use crate::operator::{LinearOperator, Workspace, allocatable, copied, expect_shape, with_batch};
use crate::scalar::Scalar;
use crate::tensor::{TensorDim, in_rank};
use crate::weight_gradient::weight_gradient;

/// The operator `w ↦ C(w)·x` (input on the large side) or `w ↦ C(w)ᵀ·y` (input on the small side).
///
/// **Shapes.** Its domain is `[small channels · large channels / groups, kD, kH, kW]`, the weights with their two channel axes as
/// one; its range is `[batch · channels, D, H, W]`, the layer's output with batch and channels as one axis. The batch axis that
/// every [`LinearOperator`] has counts sets of weights.
///
/// ```
/// use convmat::{Channels, Geometry, InWeights, LinearOperator, Options, csr_of, geometry::Side};
/// use ndarray::array;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([3], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let a = InWeights::new(g, Side::Large, array![[1., 2., 3.]])?; // [channels, length]
/// // Its matrix has the patches of x as rows: the transpose of im2col(x).
/// assert_eq!(csr_of(&a, 1 << 20)?.to_dense(), array![[1., 2.], [2., 3.]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct InWeights<T> {
    geometry: Geometry<3>,
    side: Side,
    input: Array5<T>,
    /// C of zero weights, asked for its needs.
    template: Convolution<T, 3>,
}

impl<T> fmt::Debug for InWeights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operator = f.debug_struct("InWeights");
        operator.field("geometry", &self.geometry).field("side", &self.side).field("input", &self.input.shape());
        operator.finish()
    }
}

impl<T: Scalar> InWeights<T> {
    /// The operator for an input `[batch, channels, spatial…]` or `[channels, spatial…]` on one side of a geometry.
    ///
    /// # Errors
    /// [`Error::Shape`] if the input does not lie on that side of the geometry; [`Error::Memory`] if there is none for its
    /// weights, [`Error::Overflow`] for an output that cannot be addressed.
    pub fn new<const N: usize, I: TensorDim<N>>(geometry: Geometry<N>, side: Side, input: Array<T, I>) -> Result<Self> {
        let (geometry, input) = (geometry.lift(), I::to5(input));
        expect_shape("the input", &with_batch(input.dim().0, geometry.shape(side)), input.shape())
            .map_err(in_rank::<N, I>)?;
        let template = Convolution::new(geometry, T::zero_weights(geometry.weight_shape())?)?;
        let this = Self { geometry, side, input, template };
        checked_len(&this.output_shape(), "the number of elements of the output")?;
        Ok(this)
    }

    fn output(&self) -> Side {
        self.side.other()
    }

    /// Shape of the layer's output, `[batch, channels, D, H, W]`.
    fn output_shape(&self) -> [usize; 5] {
        with_batch(self.input.dim().0, self.geometry.shape(self.output()))
    }
}

impl<T: Scalar> InWeights<T> {
    pub(crate) fn outputs(
        &self,
        weights: ArrayView5<T>,
        mut y: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let sets = weights.dim().0;
        expect_shape("the weights", &with_batch(sets, self.domain()), weights.shape())?;
        expect_shape("the output", &with_batch(sets, self.range()), y.shape())?;
        for (weights, mut y) in weights.outer_iter().zip(y.outer_iter_mut()) {
            let weights = reshaped(copied(&weights, "the weights")?, self.geometry.weight_shape())?;
            let c = Convolution::new(self.geometry, weights)?;
            let mut output = Array5::zeros(allocatable::<T, 5>(self.output_shape(), "the output")?);
            match self.side {
                Side::Large => c.apply_into(&self.input, &mut output, workspace)?,
                Side::Small => c.apply_adjoint_into(&self.input, &mut output, workspace)?,
            }
            y.iter_mut().zip(output.iter()).for_each(|(to, &from)| *to = from);
        }
        Ok(())
    }

    pub(crate) fn gradients(&self, y: ArrayView5<T>, mut w: ArrayViewMut5<T>) -> Result<()> {
        let sets = y.dim().0;
        expect_shape("the output", &with_batch(sets, self.range()), y.shape())?;
        expect_shape("the weights", &with_batch(sets, self.domain()), w.shape())?;
        for (y, mut w) in y.outer_iter().zip(w.outer_iter_mut()) {
            let output = reshaped(copied(&y, "the output")?, self.output_shape())?;
            let (large, small) = match self.side {
                Side::Large => (self.input.view(), output.view()),
                Side::Small => (output.view(), self.input.view()),
            };
            let mut gradient = Array5::zeros(allocatable::<T, 5>(self.geometry.weight_shape(), "the weight gradient")?);
            weight_gradient(&self.geometry, large, small, gradient.view_mut())?;
            w.iter_mut().zip(gradient.iter()).for_each(|(to, &from)| *to = from);
        }
        Ok(())
    }
}

impl<T: Scalar> LinearOperator<T> for InWeights<T> {
    fn domain(&self) -> Shape {
        let [small, large, d, h, w] = self.geometry.weight_shape();
        [small * large, d, h, w]
    }

    fn range(&self) -> Shape {
        let [batch, channels, d, h, w] = self.output_shape();
        [batch * channels, d, h, w]
    }

    fn apply_into(&self, weights: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::in_weights(self, weights, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, w: ArrayViewMut5<T>, _: &mut Workspace<T>) -> Result<()> {
        T::in_weights_adjoint(self, y, w)
    }

    fn workspace_len(&self, _batch: usize) -> usize {
        self.template.workspace_len(self.input.dim().0)
    }
}

/// The same elements in the same order under another shape of as many.
fn reshaped<T: Scalar, D: Dimension>(array: Array<T, D>, shape: [usize; 5]) -> Result<Array5<T>> {
    array.into_shape_with_order(shape).map_err(|_| Error::Overflow { what: "the number of weights" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Channels, Options};
    use crate::operator::dot_test;

    #[test]
    fn it_is_the_convolution_and_its_adjoint_the_weight_gradient() {
        let o = Options::new().stride([2, 1]).dilation([1, 2]).padding([1, 2]).groups(2);
        let g = Geometry::convolution([5, 6], [3, 2], Channels { small: 4, large: 6 }, &o).unwrap();
        for side in [Side::Small, Side::Large] {
            let input = Array5::from_shape_fn(with_batch(3, g.shape(side)), |(b, c, _, h, w)| {
                ((b * 5 + c * 3 + h * 7 + w * 11) % 13) as f64 - 6.0
            });
            let operator = InWeights::new(g.lift(), side, input.clone()).unwrap();
            assert!(dot_test(&operator, 2, 3).unwrap().passed());
            let weights = Array5::from_shape_fn(g.weight_shape(), |i| ((i.0 + i.1 * 3 + i.3 * 5 + i.4 * 7) % 9) as f64);
            let flat = weights.clone().into_shape_with_order(with_batch(1, operator.domain())).unwrap();
            let y = operator.apply(flat.view()).unwrap();
            let c = Convolution::new(g, weights).unwrap();
            let want = match side {
                Side::Large => LinearOperator::apply(&c, input.view()).unwrap(),
                Side::Small => LinearOperator::apply_adjoint(&c, input.view()).unwrap(),
            };
            assert!(y.iter().eq(want.iter()));
            assert_eq!(y.dim().1, want.dim().0 * want.dim().1);
            let wrong = InWeights::new(g, side, ndarray::Array4::<f64>::zeros([3, 1, 2, 2]));
            assert!(matches!(wrong, Err(Error::Shape { actual, .. }) if actual == [3, 1, 2, 2]));
        }
    }
}
