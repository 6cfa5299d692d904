//! conv and conv_transpose as layers: forward, forward to an output size, and backward, batched or not.

use convmat::geometry::Side;
use convmat::{Direction, Layer, Scalar, TensorDim, WeightDim};
use ndarray::{Array, Array1, Dimension};

use crate::case::{Case, Obstacle, Tensor};
use crate::compare::{Report, layouts};
use crate::operators::{geometry, ways};

/// The layer's output, and its gradients where the case has them; in all layouts, of the weights too.
pub fn check<D, T, const N: usize, I, W>(case: &Case, report: &mut Report) -> Result<(), Obstacle>
where
    D: Direction,
    T: Scalar,
    I: TensorDim<N>,
    W: WeightDim<N>,
{
    let options = case.explicit::<N>()?;
    let geometry = geometry::<D, N>(case, &options)?;
    let weights: Array<T, W> = case.tensor("weight")?.array()?;
    let bias: Option<Array1<T>> = case.tensors.get("bias").map(|bias| bias.array()).transpose()?;
    let x: Array<T, I> = case.tensor("input")?.array()?;
    let want = case.tensor("output")?;
    let size: [usize; N] = std::array::from_fn(|i| x.shape()[x.ndim() - N + i]);
    let terms = |side| (geometry.channels_per_group(side) * geometry.taps(), case.single);

    let layer = |options| Layer::<D, T, N>::new(weights.clone(), bias.clone(), options);
    let standard = layer(options)?;
    report.require(standard.geometry(size).as_ref() == Ok(&geometry), "the layer's geometry", "differs");
    let Some(plain) = report.value("forward", standard.forward(&x)) else { return Ok(()) };
    report.close("forward", &plain, want, terms(D::INPUT));
    for ((layout, x), (_, weights)) in layouts(&x).into_iter().zip(layouts(&weights)) {
        let what = format!("forward, {layout} input and weights");
        let layer = Layer::<D, T, N>::new(weights, bias.clone(), options)?;
        if let Some(got) = report.value(&what, layer.forward(&x)) {
            report.same(what, &got, &plain);
        }
    }
    if D::INPUT == Side::Small && (0..N).all(|i| options.output_padding[i] < options.stride[i]) {
        let layer = layer(options.output_padding([0; N]))?;
        if let Some(got) = report.value("forward_to", layer.forward_to(&x, geometry.large_size())) {
            report.same("forward_to", &got, &plain);
        }
    }
    for (what, options) in case.alternatives::<N>()? {
        if let Some(got) = report.value(&what, layer(options).and_then(|layer| layer.forward(&x))) {
            report.same(what, &got, &plain);
        }
    }
    let unbiased = standard.clone().without_bias();
    let without = unbiased.forward(&x)?;
    for (name, formulation, options) in ways() {
        // The formulations' numbers are checked elsewhere; here, that the layer hands them on in its direction.
        let operator = standard.operator_with(size, formulation, &options);
        let Some(operator) = report.value(&name, operator) else { continue };
        let image = operator.apply(I::to5(x.view())).map(I::from5);
        let Some(image) = report.value(&name, image) else { continue };
        let want = Tensor { shape: without.shape().to_vec(), values: without.iter().map(|v| v.to_f64()).collect() };
        report.close(format!("the layer's operator, {name}"), &image, &want, terms(D::INPUT));
    }
    check_backward(case, &standard, &x, terms(D::OUTPUT), report)
}

fn check_backward<D, T, const N: usize, I>(
    case: &Case,
    layer: &Layer<D, T, N>,
    x: &Array<T, I>,
    input_sums: (usize, bool),
    report: &mut Report,
) -> Result<(), Obstacle>
where
    D: Direction,
    T: Scalar,
    I: TensorDim<N> + Dimension,
{
    let Some(grad) = case.tensors.get("grad_output") else { return Ok(()) };
    let grad: Array<T, I> = grad.array()?;
    let Some(plain) = report.value("backward", layer.backward(x, &grad)) else { return Ok(()) };
    report.close("backward: input", &plain.input, case.tensor("grad_input")?, input_sums);
    let batch_of = |tensor: &Array<T, I>, channels: usize| tensor.len() / channels;
    let small = match D::INPUT {
        Side::Small => batch_of(x, layer.in_channels()),
        Side::Large => batch_of(&grad, layer.out_channels()),
    };
    report.close("backward: weights", &plain.weights, case.tensor("grad_weight")?, (small, case.single));
    match (&plain.bias, case.tensors.get("grad_bias")) {
        (Some(got), Some(want)) => {
            let sums = batch_of(&grad, layer.out_channels());
            report.close("backward: bias", got, want, (sums, case.single));
        }
        (got, want) => report.require(
            got.is_some() == want.is_some(),
            "backward: bias",
            "there where it should not be, or missing",
        ),
    }
    for ((layout, x), (_, grad)) in layouts(x).into_iter().zip(layouts(&grad)) {
        let what = format!("backward, {layout} operands");
        let Some(got) = report.value(&what, layer.backward(&x, &grad)) else { continue };
        report.same(format!("{what}: input"), &got.input, &plain.input);
        report.same(format!("{what}: weights"), &got.weights, &plain.weights);
        report.require(got.bias == plain.bias, format!("{what}: bias"), "another result than for the standard layout");
    }
    Ok(())
}
