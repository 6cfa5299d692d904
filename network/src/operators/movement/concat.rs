//! Tensors joined along an axis, and a tensor split along one.

use ndarray::Axis;

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{Few, axis, elements, expect_element, known_integers, lengths, optional, required};
use crate::operators::loops::{Walk, copy_part, gather, in_parts, of_same};
use crate::operators::slices::{fill, in_order};
use crate::reach::{AxisReach, Border, Reach, Relation};
use crate::tensor::{TensorView, TensorViewMut};

/// All inputs one after the other along an axis; other lengths are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis, from the end if negative.
    pub axis: i64,
}

/// The element of the same position along all axes but one.
fn at(shape: &[usize], axis: usize, relation: impl Fn(usize) -> Relation) -> Reach {
    let of = |(other, &length): (usize, &usize)| match other == axis {
        true => AxisReach::Along(relation(length)),
        false => AxisReach::same(other, length),
    };
    Reach::Axes(shape.iter().enumerate().map(of).collect())
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let first = required(inputs, 0)?;
        let axis = axis(self.axis, first.shape().len())?;
        let mut shape = first.shape().to_vec();
        for number in 1..inputs.len() {
            let input = required(inputs, number)?;
            expect_element(input, first.element(), "one of its inputs")?;
            let is_alike = input.shape().len() == shape.len()
                && (0..shape.len()).all(|other| other == axis || input.shape()[other] == shape[other]);
            if !is_alike {
                return Err(invalid!(
                    "shapes {:?} and {:?} differ in other axes than {axis}",
                    first.shape(),
                    input.shape()
                ));
            }
            let joined = shape[axis].checked_add(input.shape()[axis]);
            shape[axis] = joined.ok_or_else(|| invalid!("all of its inputs together are too large"))?;
        }
        elements(&shape)?;
        Ok(vec![Signature::new(first.element(), shape)])
    }

    fn concatenates(&self, rank: usize) -> Option<usize> {
        axis(self.axis, rank).ok()
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let Some(fact) = optional(inputs, input) else { return Reach::Everything };
        let Ok(axis) = axis(self.axis, fact.shape().len()) else { return Reach::Everything };
        let length = |fact: &Option<&Fact>| fact.and_then(|fact| fact.shape().get(axis).copied()).unwrap_or(0);
        let start: usize = inputs[..input].iter().map(length).sum();
        at(fact.shape(), axis, |length| Relation::shift(axis, length, -(start as i64)).border(Border::Elsewhere))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        macro_rules! each {
            ($variant:ident, $to:ident) => {{
                let axis = axis(self.axis, $to.ndim())?;
                let is_in_order = |input: &Option<TensorView>| match input {
                    Some(TensorView::$variant(array)) => array.is_standard_layout(),
                    _ => true,
                };
                if !$to.is_standard_layout() || !inputs.iter().all(is_in_order) {
                    let mut rest = $to.view_mut();
                    for input in inputs {
                        let Some(TensorView::$variant(array)) = input else {
                            return Err(invalid!("an input is missing or of another type than was announced"));
                        };
                        let (part, others) = rest.split_at(Axis(axis), array.shape()[axis]);
                        copy_part(array.view(), part);
                        rest = others;
                    }
                    return Ok(());
                }
                let arrays = inputs.iter().map(|input| match input {
                    // Elements of a row: along the axis and all after it.
                    Some(TensorView::$variant(array)) => {
                        Ok((array.shape()[axis..].iter().product::<usize>(), in_order(&array.view())))
                    }
                    _ => Err(invalid!("an input is missing or of another type than was announced")),
                });
                let arrays = arrays.collect::<Result<Few<_>>>()?;
                let row: usize = arrays.iter().map(|(length, _)| length).sum();
                fill($to.view_mut(), |to| {
                    in_parts(to, |offset, part| {
                        let mut done = 0;
                        while done < part.len() {
                            let (number, mut within) = ((offset + done) / row, (offset + done) % row);
                            for (length, from) in &arrays {
                                if within >= *length {
                                    within -= length;
                                    continue;
                                }
                                let count = (length - within).min(part.len() - done);
                                part[done..done + count].copy_from_slice(&from[number * length + within..][..count]);
                                (done, within) = (done + count, 0);
                                if done == part.len() {
                                    break;
                                }
                            }
                        }
                    });
                });
                Ok(())
            }};
        }
        match outputs.first_mut() {
            Some(TensorViewMut::Float(to)) => each!(Float, to),
            Some(TensorViewMut::Integer(to)) => each!(Integer, to),
            Some(TensorViewMut::Bool(to)) => each!(Bool, to),
            None => Err(invalid!("the output is missing")),
        }
    }
}

/// A tensor cut along an axis into parts of the second input's lengths, of an attribute's, or of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The axis, from the end if negative.
    pub axis: i64,
    /// Lengths of the parts, if they are not the second input.
    pub lengths: Option<Vec<i64>>,
    /// Into how many parts of one length, of which the last may be shorter: as many as outputs, and none shorter, if absent.
    pub number: Option<i64>,
}

impl Split {
    /// The lengths of so many parts of a whole.
    fn parts(&self, inputs: &[Option<&Fact>], whole: usize, count: usize) -> Result<Vec<usize>> {
        let given = match (&self.lengths, optional(inputs, 1)) {
            (Some(given), _) => Some(lengths(given, "a part")?),
            (None, Some(given)) => Some(lengths(&known_integers(given, "the lengths of its outputs")?, "a part")?),
            (None, None) => None,
        };
        if let Some(given) = given {
            let sum = given.iter().try_fold(0usize, |sum, &length| sum.checked_add(length));
            return match given.len() == count && sum == Some(whole) {
                true => Ok(given),
                false => Err(invalid!("parts of lengths {given:?} are not {count} of {whole}")),
            };
        }
        if count == 0 || self.number.is_some_and(|number| usize::try_from(number) != Ok(count)) {
            return Err(invalid!("{count} outputs for attribute num_outputs {:?}", self.number));
        }
        let length = whole.div_ceil(count);
        let last = length.checked_mul(count - 1).and_then(|others| whole.checked_sub(others));
        match last {
            Some(last) if last == length || self.number.is_some() => {
                let mut parts = vec![length; count];
                parts[count - 1] = last;
                Ok(parts)
            }
            _ => Err(invalid!("a length of {whole} cannot be split into {count} parts")),
        }
    }
}

impl Operator for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let axis = axis(self.axis, input.shape().len())?;
        let parts = self.parts(inputs, input.shape()[axis], outputs)?;
        let signature = |length| {
            let mut signature = input.signature.clone();
            signature.shape[axis] = length;
            signature
        };
        Ok(parts.into_iter().map(signature).collect())
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        let (0, Some(fact)) = (input, optional(inputs, 0)) else { return Reach::Everything };
        let Ok(axis) = axis(self.axis, fact.shape().len()) else { return Reach::Everything };
        let start: usize = outputs[..output].iter().filter_map(|part| part.shape.get(axis)).sum();
        at(fact.shape(), axis, |length| Relation::shift(axis, length, start as i64))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let mut start = 0;
        for output in outputs {
            of_same!(inputs.first(), Some(output), (from, to) => {
                let axis = axis(self.axis, from.ndim())?;
                let inner: usize = from.shape()[axis + 1..].iter().product();
                let outer: usize = from.shape()[..axis].iter().product();
                let (row, length) = (from.shape()[axis] * inner, to.shape()[axis] * inner);
                let walk = Walk::new([start], [(outer, [row as isize]), (length, [1])]);
                start += length;
                let from = in_order(&from.view());
                fill(to.view_mut(), |to| gather(&walk, &from, to));
                Ok(())
            })?;
        }
        Ok(())
    }
}
