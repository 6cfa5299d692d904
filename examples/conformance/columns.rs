//! unfold and fold: im2col, col2im and their gradients (each other), and the same as a convolution.
//!
//! Unfolding is a depthwise convolution whose weights are the unit vectors of the taps, so it runs through every
//! formulation as well.

use convmat::matrix::{col2im, im2col};
use convmat::{Channels, ColumnsDim, Convolution, Geometry, LinearOperator, Options, Scalar, TensorDim};
use ndarray::{Array, Array5};

use crate::case::{Case, Obstacle, Tensor};
use crate::compare::{Report, layouts};
use crate::operators::{check_product, ways};

/// A case of unfold: image to columns, and the gradient back.
pub fn check_unfold<T: Scalar, const N: usize, I: TensorDim<N>>(
    case: &Case,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let image: Array<T, I> = case.tensor("input")?.array()?;
    let size = std::array::from_fn(|i| image.shape()[image.ndim() - N + i]);
    check_im2col(case, &image, case.tensor("output")?, report)?;
    if let Some(columns) = case.tensors.get("grad_output") {
        check_col2im::<T, N, I>(case, size, &columns.array()?, case.tensor("grad_input")?, report)?;
    }
    let forth = Some((case.tensor("input")?, case.tensor("output")?));
    check_formulations::<T, N>(case, size, forth, gradient(case)?, report)
}

/// A case of fold: columns to image, and the gradient back.
pub fn check_fold<T: Scalar, const N: usize, I: TensorDim<N>>(
    case: &Case,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let size = case.axes::<N>("output_size")?;
    let columns: Array<T, I::Columns> = case.tensor("input")?.array()?;
    check_col2im::<T, N, I>(case, size, &columns, case.tensor("output")?, report)?;
    if let Some(image) = case.tensors.get("grad_output") {
        check_im2col::<T, N, I>(case, &image.array()?, case.tensor("grad_input")?, report)?;
    }
    let back = Some((case.tensor("input")?, case.tensor("output")?));
    check_formulations::<T, N>(case, size, gradient(case)?, back, report)
}

/// The gradients of the output and of the input, of a case that has them.
fn gradient(case: &Case) -> Result<Option<(&Tensor, &Tensor)>, Obstacle> {
    case.tensors.get("grad_output").map(|grad| Ok((grad, case.tensor("grad_input")?))).transpose()
}

fn check_im2col<T: Scalar, const N: usize, I: TensorDim<N>>(
    case: &Case,
    image: &Array<T, I>,
    want: &Tensor,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let (kernel, options) = (case.axes::<N>("kernel")?, case.explicit()?);
    let Some(plain) = report.value("im2col", im2col(image, kernel, &options)) else { return Ok(()) };
    report.close("im2col", &plain, want, (1, case.single));
    for (layout, image) in layouts(image) {
        if let Some(got) = report.value("im2col", im2col(&image, kernel, &options)) {
            report.same(format!("im2col, {layout} image"), &got, &plain);
        }
    }
    Ok(())
}

fn check_col2im<T: Scalar, const N: usize, I: TensorDim<N>>(
    case: &Case,
    size: [usize; N],
    columns: &Array<T, I::Columns>,
    want: &Tensor,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let (kernel, options) = (case.axes::<N>("kernel")?, case.explicit()?);
    let Some(plain) = report.value("col2im", col2im(columns, size, kernel, &options)) else { return Ok(()) };
    report.close("col2im", &plain, want, (kernel.iter().product(), case.single));
    for (layout, columns) in layouts(columns) {
        if let Some(got) = report.value("col2im", col2im(&columns, size, kernel, &options)) {
            report.same(format!("col2im, {layout} columns"), &got, &plain);
        }
    }
    Ok(())
}

/// The image and its columns through C (`forth`) and Cᵀ (`back`), each a pair of input and expected output.
fn check_formulations<T: Scalar, const N: usize>(
    case: &Case,
    size: [usize; N],
    forth: Option<(&Tensor, &Tensor)>,
    back: Option<(&Tensor, &Tensor)>,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let kernel = case.axes::<N>("kernel")?;
    let taps: usize = kernel.iter().product();
    let Some((columns, _)) = back.or(forth.map(|(image, columns)| (columns, image))) else { return Ok(()) };
    let channels = columns.shape[columns.shape.len() - 2] / taps;
    let options: Options<N> = case.explicit::<N>()?.groups(channels);
    let sides = Channels { small: channels * taps, large: channels };
    let geometry = Geometry::convolution(size, kernel, sides, &options)?;
    let units = Array5::from_shape_fn(geometry.weight_shape(), |(row, _, d, h, w)| {
        let [_, _, _, height, width] = geometry.weight_shape();
        if row % taps == (d * height + h) * width + w { T::one() } else { T::zero() }
    });
    // The columns' pixels as the spatial axes of C's output.
    let spread = |columns: &Tensor| {
        let batch = if case.batched { columns.shape[0] } else { 1 };
        let [rows, d, h, w] = geometry.small_shape();
        Tensor { shape: vec![batch, rows, d, h, w], values: columns.values.clone() }
    };
    let c = Convolution::new(geometry, units)?;
    for (name, formulation, options) in ways() {
        let Some(operator) = report.value(&name, c.formulate_with(formulation, &options)) else { continue };
        let operator: &dyn LinearOperator<T> = &*operator;
        if let Some((image, columns)) = forth {
            let what = format!("unfold by {name}");
            let (image, want) = (image.lift::<N>()?.array()?, spread(columns));
            check_product((&what, operator, false), &image, None, &want, (taps, case.single), report);
        }
        if let Some((columns, image)) = back {
            let what = format!("fold by {name}");
            let (columns, want) = (spread(columns).array()?, image.lift::<N>()?);
            check_product((&what, operator, true), &columns, None, &want, (taps, case.single), report);
        }
    }
    Ok(())
}

/// The call of an error case of unfold or fold, with operands of ones. The outer error is why it cannot be written.
pub fn call<T: Scalar, const N: usize, I: TensorDim<N>>(case: &Case) -> Result<convmat::Result<()>, Obstacle>
where
    I::Columns: ColumnsDim<N>,
{
    let operand = Tensor::ones(case.shape("input")?);
    if case.op == "unfold" {
        let image: Array<T, I> = operand.array()?;
        let (kernel, options) = (case.axes::<N>("kernel")?, case.explicit()?);
        return Ok(im2col(&image, kernel, &options).map(drop));
    }
    let columns: Array<T, I::Columns> = operand.array()?;
    let (kernel, options) = (case.axes::<N>("kernel")?, case.explicit()?);
    let size = case.axes::<N>("output_size")?;
    Ok(col2im(&columns, size, kernel, &options).map(drop))
}
