//! resize: interpolation by rule, and its gradient, which is the adjoint.

use convmat::{
    Coordinates, LinearOperator, Resize, ResizeMode, ResizeOptions, ResizeTo, Rounding, Scalar, Workspace, csr_of,
    dot_test,
};
use ndarray::Array5;

use crate::case::{Case, Obstacle, Tensor};
use crate::compare::{Report, layouts, unset};

/// A case of resize: output, gradient, and the sparse matrix of the same.
pub fn check<T: Scalar, const N: usize>(case: &Case, report: &mut Report) -> Result<(), Obstacle> {
    let (input, want) = (case.tensor("input")?.lift::<N>()?, case.tensor("output")?.lift::<N>()?);
    let Some(operator) = report.value("resize", operator::<N>(case, &input)?) else { return Ok(()) };
    let operator: &dyn LinearOperator<T> = &operator;
    // Four taps per axis, of weights computed in f64 and rounded once.
    let terms = (4usize.pow(N as u32), case.single);
    let x: Array5<T> = input.array()?;
    run(operator, false, "resize", &x, &want, terms, report);
    if let Some(grad) = case.tensors.get("grad_output") {
        let (grad, want): (Array5<T>, _) = (grad.lift::<N>()?.array()?, case.tensor("grad_input")?.lift::<N>()?);
        run(operator, true, "resize backward", &grad, &want, terms, report);
    }
    let tested = dot_test(operator, x.dim().0, 1);
    report.require(tested.is_ok_and(|test| test.passed()), "resize", "fails the dot test");
    if let Some(matrix) = report.value("resize's matrix", csr_of(operator, 1 << 30)) {
        let columns = matrix.cols();
        let images = x.outer_iter().flat_map(|sample| {
            let flat: Vec<T> = sample.iter().copied().collect();
            let product = matrix.outer_iterator().map(|row| row.iter().map(|(i, &w)| w * flat[i]).sum::<T>());
            assert_eq!(flat.len(), columns);
            product.collect::<Vec<T>>()
        });
        if let Ok(product) =
            Array5::from_shape_vec(<[usize; 5]>::try_from(&*want.shape).unwrap_or_default(), images.collect())
        {
            report.close("resize's matrix", &product, &want, terms);
        }
    }
    Ok(())
}

fn run<T: Scalar>(
    operator: &dyn LinearOperator<T>,
    adjoint: bool,
    what: &str,
    x: &Array5<T>,
    want: &Tensor,
    terms: (usize, bool),
    report: &mut Report,
) {
    let result = if adjoint { operator.apply_adjoint(x.view()) } else { operator.apply(x.view()) };
    let Some(plain) = report.value(what, result) else { return };
    report.close(what, &plain, want, terms);
    let mut workspace = Workspace::new();
    for (layout, x) in layouts(x) {
        let mut y = unset(&plain);
        let done = match adjoint {
            true => operator.apply_adjoint_into(x.view(), y.view_mut(), &mut workspace),
            false => operator.apply_into(x.view(), y.view_mut(), &mut workspace),
        };
        if report.value(format!("{what}, {layout}"), done).is_some() {
            report.same(format!("{what}, {layout}"), &y, &plain);
        }
        workspace.fill(T::from_f64(f64::NAN));
    }
}

/// The call of an error case. The outer error is why it cannot be written.
pub fn call<const N: usize>(case: &Case) -> Result<convmat::Result<()>, Obstacle> {
    let input = Tensor { shape: case.shape("input")?.to_vec(), values: Vec::new() };
    let lifted =
        input.lift::<N>().map_err(|_| Obstacle::RuledOut("the rank of a tensor, fixed at compile time".into()))?;
    Ok(operator::<N>(case, &lifted)?.map(drop))
}

fn operator<const N: usize>(case: &Case, input: &Tensor) -> Result<convmat::Result<Resize>, Obstacle> {
    let size = std::array::from_fn(|i| input.shape[5 - N + i]);
    let to = match (case.numbers::<N>("scale")?, case.sizes_or_none::<N>("output_size")?) {
        (Some(_), Some(_)) if case.rejects => {
            return Err(Obstacle::RuledOut("a size and a scale at once, two variants of one enum".into()));
        }
        (Some(scale), _) => ResizeTo::Scale(scale),
        (None, Some(size)) => ResizeTo::Size(size),
        (None, None) => return Err(Obstacle::Broken("neither size nor scale".into())),
    };
    let rounding = match case.word("nearest_mode") {
        Some("ceil") => Rounding::Ceil,
        Some("round_prefer_floor") => Rounding::PreferFloor,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        _ => Rounding::Floor,
    };
    let mode = match case.word("mode") {
        Some("linear") => ResizeMode::Linear,
        Some("cubic") => ResizeMode::Cubic { a: case.number("cubic_coeff_a").unwrap_or(-0.75) },
        Some("nearest") => ResizeMode::Nearest(rounding),
        other => return Err(Obstacle::Broken(format!("unknown mode {other:?}"))),
    };
    let coordinates = match case.word("coordinate") {
        Some("half_pixel") | None => Coordinates::HalfPixel,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("align_corners") => Coordinates::AlignCorners,
        Some(other) => return Err(Obstacle::Broken(format!("unknown coordinates \"{other}\""))),
    };
    let flag = |name| case.flag(name);
    let options =
        ResizeOptions::new(mode, coordinates).antialias(flag("antialias")).exclude_outside(flag("exclude_outside"));
    Ok(Resize::new(input.shape[1], size, to, options))
}
