//! Error cases: the call is written from attributes and shapes, and must be an `Err`. What cannot be written, because the
//! type system rules it out, is a reason to skip.

use convmat::{Convolution, Direction, Layer, LinearOperator, Scalar, TensorDim, WeightDim, geometry::Side};
use ndarray::{Array, Array1, Array5, Ix1};

use crate::case::{Case, Obstacle, Tensor};
use crate::compare::Report;
use crate::operators::{geometry_of, ways};

/// Calls layer and operators of conv or conv_transpose. An obstacle is why the call cannot be written.
pub fn check<D, T, const N: usize, I, W>(case: &Case, report: &mut Report) -> Result<(), Obstacle>
where
    D: Direction,
    T: Scalar,
    I: TensorDim<N>,
    W: WeightDim<N>,
{
    let (input, weight) = (Tensor::ones(case.shape("input")?), Tensor::ones(case.shape("weight")?));
    let x: Array<T, I> = input.array()?;
    let weights: Array<T, W> = weight.array()?;
    let bias: Option<Array1<T>> = match case.shapes.get("bias") {
        Some(shape) => Some(Tensor::ones(shape).array::<T, Ix1>()?),
        None => None,
    };
    let options = case.rejected_options::<N>()?;

    let accepted = Layer::<D, T, N>::new(weights.clone(), bias, options).and_then(|layer| layer.forward(&x));
    report.require(accepted.is_err(), "the layer", "accepted what must be rejected");

    // Operators have no bias, so only a case whose mistake lies elsewhere says something about them.
    let bias_is_right = case.shapes.get("bias").is_none_or(|shape| {
        let channels = match D::OUTPUT {
            Side::Small => weight.shape[0],
            Side::Large => weight.shape[1] * options.groups,
        };
        shape == &[channels]
    });
    if !bias_is_right {
        return Ok(());
    }
    let Ok(geometry) = geometry_of::<D, N>(&input.shape, &weight.shape, &options) else { return Ok(()) };
    let weights: Array5<T> = weight.lift::<N>()?.array()?;
    let Ok(c) = Convolution::new(geometry, weights) else { return Ok(()) };
    let x: Array5<T> = input.lift::<N>()?.array()?;
    for (name, formulation, options) in ways() {
        let Ok(operator) = c.formulate_with(formulation, &options) else { continue };
        let accepted = match D::INPUT {
            Side::Large => operator.apply(x.view()),
            Side::Small => operator.apply_adjoint(x.view()),
        };
        report.require(accepted.is_err(), name, "accepted what must be rejected");
    }
    Ok(())
}
