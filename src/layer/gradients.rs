//! Gradients of layers: all three derivatives of the trilinear form that are not the forward pass.

use ndarray::{Array, Array1, Array5, ArrayRef, ArrayView5, Axis};

use super::{Direction, Layer, directed};
use crate::convolution::Convolution;
use crate::error::Result;
use crate::geometry::{Geometry, Options, Side};
use crate::operator::{LinearOperator, Pad, allocatable, expect_shape, with_batch};
use crate::scalar::Scalar;
use crate::tensor::{TensorDim, in_rank, spatial_size};
use crate::weight_gradient::weight_gradient;

/// Gradients of a scalar loss with respect to a layer's input, weights and bias.
///
/// ```
/// use convmat::{Conv2d, Options};
/// use ndarray::Array3;
/// # fn main() -> convmat::Result<()> {
/// let conv = Conv2d::<f32>::zeros(3, 8, [5, 5], Options::new())?.init_default(1);
/// let x = Array3::ones([3, 16, 16]);
/// let gradients = conv.backward(&x, &conv.forward(&x)?)?;
/// assert_eq!(gradients.input.dim(), (3, 16, 16));
/// assert_eq!(gradients.weights.dim(), (8, 3, 5, 5)); // four axes, with a batch or without
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gradients<T, I: TensorDim<N>, const N: usize> {
    /// With respect to the input, of its shape.
    pub input: Array<T, I>,
    /// With respect to the weights, of the shape of [`Layer::weights`].
    pub weights: Array<T, I::Batched>,
    /// With respect to the bias, if the layer has one.
    pub bias: Option<Array1<T>>,
}

impl<D: Direction, T: Scalar, const N: usize> Layer<D, T, N> {
    /// Gradients of a loss, given the input and the loss's gradient with respect to the output. The size of `grad_output`
    /// may be any that [`forward`](Self::forward) or [`forward_to`](Self::forward_to) gives for this input.
    ///
    /// The input gradient is the adjoint of the layer's operator; the weight gradient is [`weight_gradient`] whichever
    /// direction the layer has; the bias gradient is the sum over batch and pixels.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Shape`](crate::Error::Shape) if `grad_output` does not have the output's shape.
    pub fn backward<I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        grad_output: &ArrayRef<T, I>,
    ) -> Result<Gradients<T, I, N>> {
        let (x, grad) = (I::to5(x.view()), I::to5(grad_output.view()));
        let input = spatial_size(x.shape());
        let options = self.options_for_output(input, spatial_size(grad.shape()))?;
        let (pad, c) = self.read(input, &options)?;
        let (input, weights) = T::gradients(pad, c.lift(), D::INPUT, x, grad).map_err(in_rank::<N, I>)?;
        let bias = self.bias.as_ref().map(|_| T::bias_gradient(grad));
        Ok(Gradients { input: I::from5(input), weights: <I::Batched as TensorDim<N>>::from5(weights), bias })
    }

    /// The options under which the layer's output has the given size: its own, or for a transposed convolution those of
    /// [`forward_to`](Self::forward_to).
    fn options_for_output(&self, input: [usize; N], output: [usize; N]) -> Result<Options<N>> {
        let is_own = |geometry: Geometry<N>| geometry.axes().map(|axis| axis.length(D::OUTPUT)) == output;
        if D::INPUT == Side::Large || self.geometry(input).is_ok_and(is_own) {
            return Ok(self.options);
        }
        Ok(self.options.output_size(output))
    }
}

/// The gradients with respect to the input and the weights of C, read from the side `input` on, behind its padding.
pub(crate) fn of_convolution<T: Scalar>(
    pad: Option<Pad>,
    c: Convolution<T, 3>,
    input: Side,
    x: ArrayView5<T>,
    grad: ArrayView5<T>,
) -> Result<(Array5<T>, Array5<T>)> {
    let padded = pad.as_ref().map(|pad| pad.apply(x)).transpose()?;
    let geometry = *c.geometry();
    let operator = directed(pad, Box::new(c), input)?;
    let batch = x.dim().0;
    expect_shape("the input", &with_batch(batch, operator.domain()), x.shape())?;
    expect_shape("the output gradient", &with_batch(batch, operator.range()), grad.shape())?;
    let input_gradient = operator.apply_adjoint(grad)?;
    let source = padded.as_ref().map_or(x, |padded| padded.view());
    let mut weights = Array5::zeros(allocatable::<T, 5>(geometry.weight_shape(), "the weight gradient")?);
    let (large, small) = match input {
        Side::Large => (source, grad),
        Side::Small => (grad, source),
    };
    weight_gradient(&geometry, large, small, weights.view_mut())?;
    Ok((input_gradient, weights))
}

/// The bias gradient: the sum of the output gradient over batch and pixels, accumulated in f64.
pub(crate) fn of_bias<T: Scalar>(grad_output: ArrayView5<T>) -> Array1<T> {
    grad_output
        .axis_iter(Axis(1))
        .map(|channel| T::from_f64(channel.iter().fold(0.0, |sum, &value| sum + value.to_f64())))
        .collect()
}
