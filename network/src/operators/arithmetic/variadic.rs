//! Functions of several tensors: least, largest, sum, mean, and the choice between two.

use super::{maximum, minimum};
use crate::error::{Result, invalid};
use crate::operator::{Alignment, Fact, Operator, Scratch, Signature};
use crate::operators::common::{Few, broadcast, expect_element, reach_elements, required};
use crate::operators::loops::{Element, Walk, in_parts, update};
use crate::operators::slices::{fill, in_order};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// A function of one element of each of several tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The least, NaN if one is; also of whole numbers.
    Min,
    /// The largest, NaN if one is; also of whole numbers.
    Max,
    /// The sum.
    Sum,
    /// The sum divided by the number of tensors.
    Mean,
}

/// `y = reduction(x₁, x₂, …)` for every element of one or more inputs, each broadcast to the shape of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variadic {
    /// What is computed.
    pub reduction: Reduction,
}

impl Operator for Variadic {
    fn name(&self) -> &'static str {
        match self.reduction {
            Reduction::Min => "Min",
            Reduction::Max => "Max",
            Reduction::Sum => "Sum",
            Reduction::Mean => "Mean",
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let element = required(inputs, 0)?.element();
        let is_defined = match self.reduction {
            Reduction::Min | Reduction::Max => element != ElementType::Bool,
            Reduction::Sum | Reduction::Mean => element == ElementType::Float,
        };
        if !is_defined {
            return Err(invalid!("it is not defined for elements of type {element}"));
        }
        let shapes = (0..inputs.len()).map(|number| {
            let input = required(inputs, number)?;
            expect_element(input, element, "one of its inputs")?;
            Ok(input.shape())
        });
        Ok(vec![Signature::new(element, broadcast(&shapes.collect::<Result<Vec<_>>>()?)?)])
    }

    fn alignment(&self, _inputs: &[Option<&Fact>]) -> Option<Alignment> {
        Some(Alignment::Broadcast)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_elements(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        /// The first input, then one after the other.
        macro_rules! each {
            ($variant:ident, $to:ident, $x:ident, $y:ident => $value:expr) => {{
                let shape = Few::from_slice($to.shape());
                fill($to.view_mut(), |to| {
                    for (number, input) in inputs.iter().enumerate() {
                        let Some(TensorView::$variant(input)) = input else {
                            return Err(invalid!("input {number} is missing or of another type"));
                        };
                        let walk = Walk::broadcast(&shape, [input.shape()]);
                        let input = in_order(&input.view());
                        match number {
                            0 => update(&walk, &input, to, |_, first| first),
                            _ => update(&walk, &input, to, |$x, $y| $value),
                        }
                    }
                    Ok(())
                })
            }};
        }
        match outputs.first_mut() {
            Some(TensorViewMut::Float(to)) => match self.reduction {
                Reduction::Min => each!(Float, to, x, y => minimum(x, y)),
                Reduction::Max => each!(Float, to, x, y => maximum(x, y)),
                Reduction::Sum => each!(Float, to, x, y => x + y),
                Reduction::Mean => {
                    each!(Float, to, x, y => x + y)?;
                    let count = inputs.len() as f32;
                    to.mapv_inplace(|sum| sum / count);
                    Ok(())
                }
            },
            Some(TensorViewMut::Integer(to)) => match self.reduction {
                Reduction::Min => each!(Integer, to, x, y => x.min(y)),
                _ => each!(Integer, to, x, y => x.max(y)),
            },
            _ => Err(invalid!("an output of another type than was announced")),
        }
    }
}

/// `y = a` where the condition is true, `b` elsewhere, for the inputs condition, a and b, each broadcast to the shape of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Where;

impl Operator for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (condition, a, b) = (required(inputs, 0)?, required(inputs, 1)?, required(inputs, 2)?);
        expect_element(condition, ElementType::Bool, "the condition")?;
        expect_element(b, a.element(), "the second choice")?;
        Ok(vec![Signature::new(a.element(), broadcast(&[condition.shape(), a.shape(), b.shape()])?)])
    }

    fn alignment(&self, _inputs: &[Option<&Fact>]) -> Option<Alignment> {
        Some(Alignment::Broadcast)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_elements(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let ([Some(TensorView::Bool(condition)), Some(a), Some(b)], Some(to)) = (inputs, outputs.first_mut()) else {
            return Err(invalid!("an input is missing or of another type"));
        };
        let walk = Walk::broadcast(to.shape(), [condition.shape(), a.shape(), b.shape()]);
        let is_true = in_order(&condition.view());
        macro_rules! each {
            ($($variant:ident),*) => {
                match (a, b, to) {
                    $((TensorView::$variant(a), TensorView::$variant(b), TensorViewMut::$variant(to)) => {
                        let (a, b) = (in_order(&a.view()), in_order(&b.view()));
                        fill(to.view_mut(), |to| choose(&walk, &is_true, &a, &b, to));
                        Ok(())
                    })*
                    _ => Err(invalid!("elements of other types than were announced")),
                }
            };
        }
        each!(Float, Integer, Bool)
    }
}

/// `to[i] = is_true[i] ? a[i] : b[i]` for slices that a walk broadcasts.
fn choose<T: Element>(walk: &Walk<3>, is_true: &[bool], a: &[T], b: &[T], to: &mut [T]) {
    let [step, step_a, step_b] = walk.steps().map(|step| step as usize);
    in_parts(to, |offset, part| {
        let count = part.len();
        walk.rows(offset, count, |row, [first, first_a, first_b]| {
            let to = &mut part[row];
            let n = to.len();
            match (step, step_a, step_b) {
                (0, ..) => {
                    let (from, first, step) = if is_true[first] { (a, first_a, step_a) } else { (b, first_b, step_b) };
                    match step {
                        0 => to.fill(from[first]),
                        _ => to.copy_from_slice(&from[first..][..n]),
                    }
                }
                (_, 1, 1) => {
                    let pairs = a[first_a..][..n].iter().zip(&b[first_b..][..n]);
                    let choices = is_true[first..][..n].iter().zip(pairs);
                    to.iter_mut().zip(choices).for_each(|(to, (&is_true, (&a, &b)))| *to = if is_true { a } else { b });
                }
                _ => {
                    for (i, (to, &is_true)) in to.iter_mut().zip(&is_true[first..][..n]).enumerate() {
                        *to = if is_true { a[first_a + i * step_a] } else { b[first_b + i * step_b] };
                    }
                }
            }
        });
    });
}
