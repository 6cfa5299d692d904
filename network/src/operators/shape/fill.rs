//! Tensors of values that depend on no tensor, or on its shape or few numbers only.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{axis, elements, known, known_integers, lengths, required, resolved};
use crate::operators::loops::{Element, copy, in_parts, of_same};
use crate::operators::slices::{fill, in_order};
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut};

/// A tensor that a file holds. It has no input.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The tensor.
    pub value: Tensor,
}

impl Operator for Constant {
    fn name(&self) -> &'static str {
        "Constant"
    }

    fn infer(&self, _inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        Ok(vec![Signature::new(self.value.element(), self.value.shape())])
    }

    fn value(&self, _inputs: &[Option<&Fact>]) -> Option<Tensor> {
        Some(self.value.clone())
    }

    fn run(&self, _inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(Some(&Some(self.value.view())), outputs.first_mut(), (from, to) => {
            copy(from.view(), to.view_mut());
            Ok(())
        })
    }
}

/// One value everywhere, in the shape that the input holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantOfShape {
    /// A tensor of one element, the value.
    pub value: Tensor,
}

impl Operator for ConstantOfShape {
    fn name(&self) -> &'static str {
        "ConstantOfShape"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let shape = lengths(&known_integers(required(inputs, 0)?, "the shape")?, "the shape")?;
        elements(&shape)?;
        Ok(vec![Signature::new(self.value.element(), shape)])
    }

    fn run(&self, _inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(Some(&Some(self.value.view())), outputs.first_mut(), (from, to) => {
            let value = *from.first().ok_or_else(|| invalid!("a value without elements"))?;
            to.fill(value);
            Ok(())
        })
    }
}

/// `start, start + delta, start + 2·delta, …` up to a limit that is left out, for the inputs start, limit and delta, which are scalars.
///
/// Floats are computed in f64 and rounded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range;

/// How many numbers a range has.
fn count(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<usize> {
    let too_many = || invalid!("a range of too many numbers");
    match (start, limit, delta) {
        (Tensor::Float(start), Tensor::Float(limit), Tensor::Float(delta)) => {
            let [start, limit, delta] = [start, limit, delta].map(|x| x.first().copied().map_or(f64::NAN, f64::from));
            let count = ((limit - start) / delta).ceil();
            match delta == 0.0 || count.is_nan() {
                true => Err(invalid!("no range from {start} to {limit} in steps of {delta}")),
                false if count > 1e15 => Err(too_many()),
                false => Ok(count.max(0.0) as usize),
            }
        }
        (Tensor::Integer(start), Tensor::Integer(limit), Tensor::Integer(delta)) => {
            let [start, limit, delta] = [start, limit, delta].map(|x| i128::from(x.first().copied().unwrap_or(0)));
            if delta == 0 {
                return Err(invalid!("a range in steps of 0"));
            }
            let span = if delta > 0 { limit - start } else { start - limit };
            let count = (span + delta.abs() - 1) / delta.abs();
            usize::try_from(count.max(0)).map_err(|_| too_many())
        }
        _ => Err(invalid!("a range between numbers of several types, or of truth values")),
    }
}

impl Operator for Range {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let mut values = Vec::with_capacity(3);
        for (number, what) in ["the start", "the limit", "the step"].into_iter().enumerate() {
            let fact = required(inputs, number)?;
            if elements(fact.shape())? != 1 {
                return Err(invalid!("{what} has shape {:?}, which is no scalar", fact.shape()));
            }
            values.push(known(fact, what)?);
        }
        let shape = [count(values[0], values[1], values[2])?];
        elements(&shape)?;
        Ok(vec![Signature::new(values[0].element(), shape)])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        match (inputs, outputs) {
            ([Some(TensorView::Float(start)), _, Some(TensorView::Float(delta))], [TensorViewMut::Float(to)]) => {
                let [start, delta] = [start, delta].map(|x| x.first().copied().map_or(0.0, f64::from));
                to.iter_mut().enumerate().for_each(|(i, to)| *to = (start + i as f64 * delta) as f32);
            }
            ([Some(TensorView::Integer(start)), _, Some(TensorView::Integer(delta))], [TensorViewMut::Integer(to)]) => {
                let [mut next, delta] = [start, delta].map(|x| x.first().copied().unwrap_or(0));
                for to in to.iter_mut() {
                    *to = next;
                    // Only behind the last one it may leave the numbers.
                    next = next.wrapping_add(delta);
                }
            }
            _ => return Err(invalid!("inputs of other types than were announced")),
        }
        Ok(())
    }
}

/// Ones on a diagonal of a matrix of the input's shape, zeros elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EyeLike {
    /// The type of the elements, the input's if absent.
    pub element: Option<ElementType>,
    /// How far the diagonal is to the right of the main one.
    pub diagonal: i64,
}

impl Operator for EyeLike {
    fn name(&self) -> &'static str {
        "EyeLike"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        match input.shape().len() {
            2 => Ok(vec![Signature::new(self.element.unwrap_or(input.element()), input.shape())]),
            rank => Err(invalid!("a tensor of {rank} axes is no matrix")),
        }
    }

    fn run(&self, _inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let is_one = |index: &ndarray::IxDyn| index[1] as i128 - index[0] as i128 == i128::from(self.diagonal);
        match outputs.first_mut() {
            Some(TensorViewMut::Float(to)) => to.indexed_iter_mut().for_each(|(i, to)| *to = f32::from(is_one(&i))),
            Some(TensorViewMut::Integer(to)) => to.indexed_iter_mut().for_each(|(i, to)| *to = i64::from(is_one(&i))),
            Some(TensorViewMut::Bool(to)) => to.indexed_iter_mut().for_each(|(i, to)| *to = is_one(&i)),
            None => return Err(invalid!("the output is missing")),
        }
        Ok(())
    }
}

/// `y[i…, k, j…] = on` where k is the index of (i…, j…), `off` elsewhere, for the inputs indices, depth and [off, on]; k is at an axis of
/// length depth.
///
/// Indices count from the end where they are negative; those outside of the axis are nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    /// The new axis among those of the output.
    pub axis: i64,
}

/// The first number of a tensor, without a fraction.
fn whole(tensor: &Tensor) -> Option<i64> {
    match tensor {
        Tensor::Integer(array) => array.first().copied(),
        Tensor::Float(array) => array.first().map(|&x| x as i64),
        Tensor::Bool(_) => None,
    }
}

/// Writes ones and zeros, or what stands for them.
fn one_hot<T: Element>(indices: &[i64], depth: usize, inner: usize, [off, on]: [T; 2], to: &mut [T]) {
    in_parts(to, |offset, part| {
        for (i, to) in part.iter_mut().enumerate() {
            let number = offset + i;
            let (outer, k, inside) = (number / (depth * inner), number / inner % depth, number % inner);
            let index = resolved(indices[outer * inner + inside], depth);
            *to = if index == Ok(k) { on } else { off };
        }
    });
}

impl Operator for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (indices, depth, values) = (required(inputs, 0)?, required(inputs, 1)?, required(inputs, 2)?);
        if indices.element() == ElementType::Bool {
            return Err(invalid!("truth values are no indices"));
        }
        if elements(depth.shape())? != 1 || elements(values.shape())? != 2 {
            return Err(invalid!("a depth of shape {:?} and values of shape {:?}", depth.shape(), values.shape()));
        }
        let depth = whole(known(depth, "the depth")?).and_then(|depth| usize::try_from(depth).ok());
        let depth = depth.filter(|&depth| depth > 0).ok_or_else(|| invalid!("a depth that is not positive"))?;
        let mut shape = indices.shape().to_vec();
        shape.insert(axis(self.axis, shape.len() + 1)?, depth);
        elements(&shape)?;
        Ok(vec![Signature::new(values.element(), shape)])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let indices = match inputs.first() {
            Some(Some(TensorView::Integer(indices))) => in_order(&indices.view()),
            Some(Some(TensorView::Float(indices))) => indices.iter().map(|&x| x as i64).collect(),
            _ => return Err(invalid!("indices of another type than was announced")),
        };
        of_same!(inputs.get(2), outputs.first_mut(), (values, to) => {
            let axis = axis(self.axis, to.ndim())?;
            let (depth, inner) = (to.shape()[axis], to.shape()[axis + 1..].iter().product());
            let values = in_order(&values.view());
            let &[off, on] = &values[..] else { return Err(invalid!("other values than two")) };
            fill(to.view_mut(), |to| one_hot(&indices, depth, inner, [off, on], to));
            Ok(())
        })
    }
}
