//! Sums from an end of an axis on, and triangles of matrices.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{axis, elements, expect_element, integers, optional, required};
use crate::operators::loops::{Element, in_parts, of_same};
use crate::operators::slices::{fill, in_order};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `y[…, i, …] = x[…, 0, …] + … + x[…, i, …]` along the axis that the second input holds.
///
/// Sums of floats are in f64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CumSum {
    /// Whether the element itself is left out.
    pub exclusive: bool,
    /// Whether sums start at the end of the axis.
    pub reverse: bool,
}

impl CumSum {
    /// Sums along the middle one of three axes.
    fn sums<T: Element, S: Copy + Default + std::ops::Add<Output = S>>(
        self,
        [length, inner]: [usize; 2],
        from: &[T],
        to: &mut [T],
        (wide, narrow): (impl Fn(T) -> S, impl Fn(S) -> T),
    ) {
        for (from, to) in from.chunks(length * inner).zip(to.chunks_mut(length * inner)) {
            for column in 0..inner {
                let mut sum = S::default();
                for i in 0..length {
                    let at = (if self.reverse { length - 1 - i } else { i }) * inner + column;
                    let next = sum + wide(from[at]);
                    to[at] = narrow(if self.exclusive { sum } else { next });
                    sum = next;
                }
            }
        }
    }
}

impl Operator for CumSum {
    fn name(&self) -> &'static str {
        "CumSum"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (input, along) = (required(inputs, 0)?, required(inputs, 1)?);
        expect_element(along, ElementType::Integer, "the axis")?;
        if elements(along.shape())? != 1 {
            return Err(invalid!("an axis of shape {:?}, which is no scalar", along.shape()));
        }
        if input.element() == ElementType::Bool {
            return Err(invalid!("truth values have no sum"));
        }
        Ok(vec![input.signature.clone()])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let along = integers(inputs, 1)?.first().copied().ok_or_else(|| invalid!("the axis is missing"))?;
        let sides = |shape: &[usize]| {
            let axis = axis(along, shape.len())?;
            Ok::<_, crate::Error>([shape[axis].max(1), shape[axis + 1..].iter().product::<usize>().max(1)])
        };
        match (inputs.first(), outputs.first_mut()) {
            (Some(Some(TensorView::Float(x))), Some(TensorViewMut::Float(y))) => {
                let sides = sides(x.shape())?;
                let from = in_order(&x.view());
                fill(y.view_mut(), |to| self.sums(sides, &from, to, (f64::from, |sum| sum as f32)));
            }
            (Some(Some(TensorView::Integer(x))), Some(TensorViewMut::Integer(y))) => {
                let sides = sides(x.shape())?;
                let from = in_order(&x.view());
                let (wide, narrow) = (std::num::Wrapping::<i64>, |sum: std::num::Wrapping<i64>| sum.0);
                fill(y.view_mut(), |to| self.sums(sides, &from, to, (wide, narrow)));
            }
            _ => return Err(invalid!("elements of other types than were announced")),
        }
        Ok(())
    }
}

/// The upper or lower triangle of the matrices of the last two axes, zeros elsewhere. The second input, optional, is how far the
/// diagonal, which belongs to both triangles, is to the right of the main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trilu {
    /// Which triangle stays.
    pub upper: bool,
}

impl Operator for Trilu {
    fn name(&self) -> &'static str {
        "Trilu"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        if input.shape().len() < 2 {
            return Err(invalid!("a tensor of shape {:?}, which holds no matrices", input.shape()));
        }
        if let Some(diagonal) = optional(inputs, 1) {
            expect_element(diagonal, ElementType::Integer, "the diagonal")?;
            if elements(diagonal.shape())? != 1 {
                return Err(invalid!("a diagonal of shape {:?}, which is no scalar", diagonal.shape()));
            }
        }
        Ok(vec![input.signature.clone()])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let diagonal = match inputs.get(1) {
            Some(Some(TensorView::Integer(diagonal))) => diagonal.first().copied().unwrap_or(0),
            _ => 0,
        };
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let &[.., rows, columns] = from.shape() else { return Err(invalid!("an input that holds no matrices")) };
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| in_parts(to, |offset, part| {
                for (i, to) in part.iter_mut().enumerate() {
                    let number = offset + i;
                    let (row, column) = ((number / columns % rows) as i128, (number % columns) as i128);
                    let right = column - row - i128::from(diagonal);
                    let stays = if self.upper { right >= 0 } else { right <= 0 };
                    *to = if stays { from[number] } else { Default::default() };
                }
            }));
            Ok(())
        })
    }
}
