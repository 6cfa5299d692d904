//! What operators share: asking for inputs, axes, broadcasting.

use ndarray::{ArrayViewD, ArrayViewMutD};
use smallvec::SmallVec;

use crate::error::{Result, invalid};
use crate::operator::{Fact, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut};

/// A list with an entry per axis or input: without memory of its own unless there are many.
pub(crate) type Few<T> = SmallVec<[T; 8]>;

/// Input `number`, which has to be there.
pub(crate) fn required<'a>(inputs: &[Option<&'a Fact>], number: usize) -> Result<&'a Fact> {
    optional(inputs, number).ok_or_else(|| invalid!("input {number} is missing"))
}

/// Input `number`, if it is there.
pub(crate) fn optional<'a>(inputs: &[Option<&'a Fact>], number: usize) -> Option<&'a Fact> {
    inputs.get(number).copied().flatten()
}

/// The value of an input, which shapes depend on.
pub(crate) fn known<'a>(fact: &'a Fact, what: &str) -> Result<&'a Tensor> {
    fact.value.as_ref().ok_or_else(|| invalid!("{what} depends on values that are not known before the network runs"))
}

/// The whole numbers of an input that shapes depend on.
pub(crate) fn known_integers(fact: &Fact, what: &str) -> Result<Vec<i64>> {
    known(fact, what)?.to_integers().ok_or_else(|| invalid!("{what} is of type {}, not integer", fact.element()))
}

/// Lengths of axes, none of them negative.
pub(crate) fn lengths(values: &[i64], what: &str) -> Result<Vec<usize>> {
    let length = |&n: &i64| usize::try_from(n).map_err(|_| invalid!("{what} has a negative length, {n}"));
    values.iter().map(length).collect()
}

/// Distances between neighbours along the axes of a contiguous tensor.
pub(crate) fn strides(shape: &[usize]) -> Few<isize> {
    let mut strides = Few::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// Refuses another type of elements.
pub(crate) fn expect_element(fact: &Fact, element: ElementType, what: &str) -> Result<()> {
    match fact.element() == element {
        true => Ok(()),
        false => Err(invalid!("{what} is of type {}, not {element}", fact.element())),
    }
}

/// A number below `length` that may be counted from the end.
fn counted(number: i64, length: usize) -> Option<usize> {
    let number = if number < 0 { number.checked_add(length as i64)? } else { number };
    usize::try_from(number).ok().filter(|&number| number < length)
}

/// An axis that may be counted from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    counted(axis, rank).ok_or_else(|| invalid!("axis {axis} of a tensor of {rank} axes"))
}

/// Axes that may be counted from the end, ascending, none twice.
pub(crate) fn axes(axes: &[i64], rank: usize) -> Result<Few<usize>> {
    let mut all = axes.iter().map(|&number| axis(number, rank)).collect::<Result<Few<_>>>()?;
    all.sort_unstable();
    match all.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid!("axis {} is given twice", pair[0])),
        None => Ok(all),
    }
}

/// The number of an element of an axis, for an index that may count from the end.
pub(crate) fn resolved(index: i64, length: usize) -> Result<usize> {
    counted(index, length).ok_or_else(|| invalid!("index {index} of an axis of length {length}"))
}

/// The number of elements of a shape.
///
/// An axis of length 0 makes no other one harmless: distances between neighbours are products of the others.
pub(crate) fn elements(shape: &[usize]) -> Result<usize> {
    let product = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n.max(1)));
    match product.filter(|&n| n <= isize::MAX as usize / 8) {
        None => Err(invalid!("a tensor of shape {shape:?} is too large")),
        Some(_) if shape.contains(&0) => Ok(0),
        Some(n) => Ok(n),
    }
}

/// The shape that tensors are broadcast to, as NumPy does it.
pub(crate) fn broadcast(shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut all = vec![1; rank];
    for shape in shapes {
        for (to, &n) in all[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*to, n) {
                (known, n) if known == n || n == 1 => {}
                (1, n) => *to = n,
                _ => return Err(invalid!("shapes {shapes:?} cannot be broadcast to one")),
            }
        }
    }
    elements(&all)?;
    Ok(all)
}

/// The floats of an input that `infer` found to be floats.
pub(crate) fn floats<'a>(inputs: &'a [Option<TensorView<'_>>], number: usize) -> Result<ArrayViewD<'a, f32>> {
    match inputs.get(number) {
        Some(Some(TensorView::Float(array))) => Ok(array.view()),
        _ => Err(invalid!("input {number} is not a tensor of floats")),
    }
}

/// The whole numbers of an input that `infer` found to be whole numbers.
pub(crate) fn integers<'a>(inputs: &'a [Option<TensorView<'_>>], number: usize) -> Result<ArrayViewD<'a, i64>> {
    match inputs.get(number) {
        Some(Some(TensorView::Integer(array))) => Ok(array.view()),
        _ => Err(invalid!("input {number} is not a tensor of integers")),
    }
}

/// The whole numbers of an input that is there.
pub(crate) fn few_integers(inputs: &[Option<TensorView<'_>>], number: usize) -> Option<Few<i64>> {
    match inputs.get(number) {
        Some(Some(TensorView::Integer(array))) => Some(array.iter().copied().collect()),
        _ => None,
    }
}

/// The floats of an output that `infer` promised to be floats.
pub(crate) fn floats_mut<'a>(outputs: &'a mut [TensorViewMut<'_>], number: usize) -> Result<ArrayViewMutD<'a, f32>> {
    match outputs.get_mut(number) {
        Some(TensorViewMut::Float(array)) => Ok(array.view_mut()),
        _ => Err(invalid!("output {number} is not a tensor of floats")),
    }
}

/// The numbers of a known input, one per channel of a tensor of some rank or one for all, if broadcasting gives all elements of a
/// channel the same.
pub(crate) fn per_channel(fact: &Fact, rank: usize) -> Option<Vec<f64>> {
    let Tensor::Float(array) = fact.value.as_ref()? else { return None };
    let is_channel = |axis: usize| axis + rank == array.ndim() + 1;
    let is_right = array.ndim() <= rank && (0..array.ndim()).all(|axis| array.shape()[axis] == 1 || is_channel(axis));
    is_right.then(|| array.iter().map(|&value| value.into()).collect())
}

/// The signature of the only output.
pub(crate) fn only_output(
    outputs: usize,
    element: ElementType,
    shape: impl Into<Vec<usize>>,
) -> Result<Vec<Signature>> {
    match outputs {
        1 => Ok(vec![Signature::new(element, shape)]),
        _ => Err(invalid!("{outputs} outputs where there is one")),
    }
}

/// The whole numbers of an output that `infer` promised to be whole numbers.
pub(crate) fn integers_mut<'a>(outputs: &'a mut [TensorViewMut<'_>], number: usize) -> Result<ArrayViewMutD<'a, i64>> {
    match outputs.get_mut(number) {
        Some(TensorViewMut::Integer(array)) => Ok(array.view_mut()),
        _ => Err(invalid!("output {number} is not a tensor of integers")),
    }
}

/// What operators of single elements depend on: of each input the element that is broadcast to the output's position.
pub(crate) fn reach_elements(inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
    match (optional(inputs, input), outputs.get(output)) {
        (Some(fact), Some(output)) => Reach::broadcast(fact.shape(), &output.shape),
        _ => Reach::Everything,
    }
}

/// What operators depend on whose first input has the output's axes, some of which they look at as a whole.
pub(crate) fn reach_all_but(inputs: &[Option<&Fact>], input: usize, is_whole: impl Fn(usize) -> bool) -> Reach {
    match (input, optional(inputs, 0)) {
        (0, Some(fact)) => Reach::all_but(fact.shape(), is_whole),
        _ => Reach::Everything,
    }
}
