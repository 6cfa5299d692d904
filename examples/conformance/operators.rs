//! conv and conv_transpose as operators: C and Cᵀ in every formulation with every GEMM, and the weight gradient.

use convmat::{
    Channels, Convolution, Direction, Formulation, FormulationOptions, GemmBackend, Geometry, LinearOperator, Options,
    Scalar, Workspace, geometry::Side, weight_gradient,
};
use ndarray::{Array5, ArrayView5, Axis};

use crate::case::{Case, Obstacle, Tensor};
use crate::compare::{Report, layouts, unset};

/// The geometry that the case's operands have under some options.
pub fn geometry<D: Direction, const N: usize>(case: &Case, options: &Options<N>) -> Result<Geometry<N>, Obstacle> {
    let (input, weight) = (case.tensor("input")?, case.tensor("weight")?);
    geometry_of::<D, N>(&input.shape, &weight.shape, options)
}

/// The geometry of shapes, with the channels that the weight says.
pub fn geometry_of<D: Direction, const N: usize>(
    input: &[usize],
    weight: &[usize],
    options: &Options<N>,
) -> Result<Geometry<N>, Obstacle> {
    let spatial = |shape: &[usize]| <[usize; N]>::try_from(&shape[shape.len().saturating_sub(N)..]);
    let (Ok(input), Ok(kernel)) = (spatial(input), spatial(weight)) else {
        return Err(format!("shapes {input:?} and {weight:?} have not {N} spatial axes").into());
    };
    let channels = Channels { small: weight[0], large: weight[1].saturating_mul(options.groups) };
    Ok(match D::INPUT {
        Side::Large => Geometry::convolution(input, kernel, channels, options)?,
        Side::Small => Geometry::transposed(input, kernel, channels, options)?,
    })
}

/// Every way to run C: the formulations, Auto among them, and both backends where there is a GEMM.
pub fn ways() -> Vec<(String, Formulation, FormulationOptions)> {
    let mut found = Vec::new();
    for formulation in [Formulation::Auto].into_iter().chain(Formulation::ALL.iter().copied()) {
        let multiplies = [Formulation::Dense, Formulation::Im2col, Formulation::ZeroInsertion].contains(&formulation);
        for &gemm in &GemmBackend::ALL[..if multiplies { 2 } else { 1 }] {
            let options = FormulationOptions::new().gemm(gemm);
            let name = if multiplies { format!("{formulation} with {gemm:?}") } else { formulation.to_string() };
            found.push((name, formulation, options));
        }
    }
    found
}

/// Other words for the same geometry must give the same geometry.
pub fn check_geometry<D: Direction, const N: usize>(case: &Case, report: &mut Report) -> Result<(), Obstacle> {
    let options = case.explicit::<N>()?;
    let expected = geometry::<D, N>(case, &options)?;
    let mut words = case.alternatives::<N>()?;
    let bare = options.output_padding([0; N]);
    let restore = match D::INPUT {
        // PyTorch's output_size reaches less than its output_padding, which may exceed the stride below the dilation.
        Side::Small if (0..N).all(|i| options.output_padding[i] < options.stride[i]) => {
            words.push(("output_size".into(), bare.output_size(expected.large_size())));
            None
        }
        Side::Small => None,
        Side::Large => Some(bare.output_padding_to_restore(expected.large_size(), expected.kernel())),
    };
    for (what, options) in words {
        if let Some(got) = report.value(&what, geometry::<D, N>(case, &options)) {
            report.require(got == expected, what, format!("{got:?}, expected {expected:?}"));
        }
    }
    // The mirror image: the transposed convolution that comes back to the convolution's input has its geometry.
    let what = "output_padding_to_restore";
    if let Some(extra) = restore.and_then(|extra| report.value(what, extra)) {
        let options = bare.output_padding(extra);
        let back = Geometry::transposed(expected.small_size(), expected.kernel(), expected.channels(), &options);
        if let Some(back) = report.value(what, back) {
            report.require(back == expected, what, format!("{back:?}, expected {expected:?}"));
        }
    }
    Ok(())
}

/// A·x or Aᵀ·x, both ways of asking for it.
fn run<T: Scalar>(
    operator: &dyn LinearOperator<T>,
    adjoint: bool,
    x: ArrayView5<T>,
    into: Option<Array5<T>>,
) -> convmat::Result<Array5<T>> {
    match (adjoint, into) {
        (false, None) => operator.apply(x),
        (true, None) => operator.apply_adjoint(x),
        (false, Some(mut y)) => operator.apply_into(x, y.view_mut(), &mut Workspace::new()).map(|()| y),
        (true, Some(mut y)) => operator.apply_adjoint_into(x, y.view_mut(), &mut Workspace::new()).map(|()| y),
    }
}

/// One product, compared with its reference value and with itself in other layouts. The bias, if any, is added here:
/// operators have none.
pub fn check_product<T: Scalar>(
    (what, operator, adjoint): (&str, &dyn LinearOperator<T>, bool),
    x: &Array5<T>,
    bias: Option<&Tensor>,
    want: &Tensor,
    sums: (usize, bool),
    report: &mut Report,
) {
    let Some(plain) = report.value(what, run(operator, adjoint, x.view(), None)) else { return };
    let mut got = plain.clone();
    if let Some(bias) = bias {
        for (mut channel, &bias) in got.axis_iter_mut(Axis(1)).zip(&bias.values) {
            channel += T::from_f64(bias);
        }
    }
    report.close(what, &got, want, sums);
    for (layout, x) in layouts(x) {
        let what = format!("{what}, {layout} input, column-major output");
        if let Some(got) = report.value(&what, run(operator, adjoint, x.view(), Some(unset(&plain)))) {
            report.same(what, &got, &plain);
        }
    }
}

/// All formulations of a case, and the weight gradient.
pub fn check<D: Direction, T: Scalar, const N: usize>(case: &Case, report: &mut Report) -> Result<(), Obstacle> {
    let geometry = geometry::<D, N>(case, &case.explicit()?)?;
    let weights: Array5<T> = case.tensor("weight")?.lift::<N>()?.array()?;
    let x: Array5<T> = case.tensor("input")?.lift::<N>()?.array()?;
    let output = case.tensor("output")?.lift::<N>()?;
    let bias = case.tensors.get("bias");
    let transposed = D::INPUT == Side::Small;
    // What one output element sums: the channels of the other side within a group, times the taps.
    let terms = |side| (geometry.channels_per_group(side) * geometry.taps(), case.single);
    let gradients = match case.tensors.get("grad_output") {
        Some(grad) => Some((grad.lift::<N>()?.array()?, case.tensor("grad_input")?.lift::<N>()?)),
        None => None,
    };
    let c = Convolution::new(geometry, weights)?;
    let mut operators = vec![("the convolution itself".to_string(), Box::new(c.clone()) as Box<dyn LinearOperator<T>>)];
    for (name, formulation, options) in ways() {
        operators.extend(report.value(&name, c.formulate_with(formulation, &options)).map(|operator| (name, operator)));
    }
    for (name, operator) in &operators {
        let what = format!("output by {name}");
        check_product((&what, &**operator, transposed), &x, bias, &output, terms(D::INPUT), report);
        if let Some((grad, want)) = &gradients {
            let what = format!("grad_input by {name}");
            check_product((&what, &**operator, !transposed), grad, None, want, terms(D::OUTPUT), report);
        }
    }
    let Some((grad, _)) = &gradients else { return Ok(()) };
    let (large, small) = if transposed { (grad, &x) } else { (&x, grad) };
    let want = case.tensor("grad_weight")?.lift::<N>()?;
    let run = |large: &Array5<T>, small: &Array5<T>, mut into: Array5<T>| {
        weight_gradient(&geometry, large.view(), small.view(), into.view_mut()).map(|()| into)
    };
    let standard = Array5::from_elem(geometry.weight_shape(), T::from_f64(f64::NAN));
    let Some(plain) = report.value("grad_weight", run(large, small, standard)) else { return Ok(()) };
    let sums = small.len() / geometry.channels().small;
    report.close("grad_weight", &plain, &want, (sums, case.single));
    for ((layout, large), (_, small)) in layouts(large).into_iter().zip(layouts(small)) {
        let what = format!("grad_weight, {layout} operands");
        if let Some(got) = report.value(&what, run(&large, &small, unset(&plain))) {
            report.same(what, &got, &plain);
        }
    }
    Ok(())
}
