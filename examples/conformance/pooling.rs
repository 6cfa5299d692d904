//! Max pooling with indices, and max unpooling with its gradient.

use convmat::{IndexBase, MaxPool, Scalar, TensorDim};
use ndarray::Array;

use crate::case::{Case, EXACT, Obstacle, Tensor};
use crate::compare::Report;

/// A case of max_pool_with_indices.
pub fn check_pool<T: Scalar, const N: usize, I: TensorDim<N>>(
    case: &Case,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let pool = pool::<N>(case)?.dilation(case.axes("dilation")?);
    let x: Array<T, I> = case.tensor("input")?.array()?;
    let Some((y, indices)) = report.value("max pooling", pool.forward(&x)) else { return Ok(()) };
    report.close("max pooling", &y, case.tensor("output")?, (1, case.single));
    let found: Vec<f64> = indices.iter().map(|&index| index as f64).collect();
    report.require(found == case.tensor("indices")?.values, "max pooling", "other indices");
    Ok(())
}

/// A case of max_unpool: values put back, and the gradient read there.
pub fn check_unpool<T: Scalar, const N: usize, I: TensorDim<N>>(
    case: &Case,
    report: &mut Report,
) -> Result<(), Obstacle> {
    let (pool, size) = (pool::<N>(case)?, case.sizes_or_none::<N>("output_size")?);
    let x: Array<T, I> = case.tensor("input")?.array()?;
    let indices = indices::<N, I>(case.tensor("indices")?)?;
    // What indices count in need not be said.
    let said = case.sizes_or_none::<N>("index_size")?.map(|size| pool.index_size(size));
    for pool in [Some(pool), said].into_iter().flatten() {
        if let Some(y) = report.value("max unpooling", pool.unpool(&x, &indices, size)) {
            report.close("max unpooling", &y, case.tensor("output")?, (1, case.single));
        }
        if let Some(grad) = case.tensors.get("grad_output") {
            let grad: Array<T, I> = grad.array()?;
            if let Some(got) = report.value("max unpooling backward", pool.unpool_backward(&indices, &grad)) {
                report.close("max unpooling backward", &got, case.tensor("grad_input")?, (1, case.single));
            }
        }
    }
    Ok(())
}

/// The call of an error case of max_unpool, with an index of the case's choice. The outer error is why it cannot be written.
pub fn call<T: Scalar, const N: usize, I: TensorDim<N>>(case: &Case) -> Result<convmat::Result<()>, Obstacle> {
    let x: Array<T, I> = Tensor::ones(case.shape("input")?).array()?;
    let shape = case.shape("indices")?;
    let value = case.number("index_value").unwrap_or(0.0);
    let constant = Tensor { shape: shape.to_vec(), values: vec![value; shape.iter().product()] };
    let indices = indices::<N, I>(&constant)?;
    Ok(pool::<N>(case)?.unpool(&x, &indices, case.sizes_or_none::<N>("output_size")?).map(drop))
}

fn pool<const N: usize>(case: &Case) -> Result<MaxPool<N>, Obstacle> {
    let (begin, end) = (case.axes::<N>("pad_begin")?, case.axes::<N>("pad_end")?);
    let base = match (case.word("index_base"), case.word("index_order")) {
        (Some("tensor"), Some("col_major")) => IndexBase::TensorColumnMajor,
        (Some("tensor"), _) => IndexBase::Tensor,
        _ => IndexBase::Plane,
    };
    let pads = std::array::from_fn(|i| (begin[i], end[i]));
    Ok(MaxPool::new(case.axes("kernel")?).stride(case.axes("stride")?).padding(pads).index_base(base))
}

/// Indices as they are called with. One that a `usize` cannot hold cannot be called with.
fn indices<const N: usize, I: TensorDim<N>>(tensor: &Tensor) -> Result<Array<usize, I>, Obstacle> {
    let is_index = |index: &f64| *index >= 0.0 && *index <= EXACT && index.fract() == 0.0;
    if let Some(index) = tensor.values.iter().find(|index| !is_index(index)) {
        return Err(Obstacle::Unheld(format!("an index of {index}, which usize cannot hold")));
    }
    Ok(tensor.array::<f64, I>()?.mapv(|index| index as usize))
}
