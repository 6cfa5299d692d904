//! `ArgMax` and `ArgMin`: where along an axis the greatest or least element is.

use std::sync::Arc;

use ndarray::{ArrayViewD, ArrayViewMutD};

use super::super::{Description, Made, common, slices};
use super::layout::{reach, reduced, three};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `y = argmax x` or `argmin x` along an axis: the index of the greatest or least element, of equal ones the first or last. A NaN is
/// taken for it.
///
/// **Shapes.** The axis has the length 1 in the output, or is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Whether the least element is looked for.
    pub least: bool,
    /// The axis.
    pub axis: i64,
    /// Whether the axis stays, with length 1.
    pub keep: bool,
    /// Whether the last one of equal elements counts.
    pub last: bool,
}

pub(super) fn make(d: &Description) -> Made {
    Ok(Some(Arc::new(Argument {
        least: d.name == "ArgMin",
        axis: d.attributes.integer_or("axis", 0)?,
        keep: d.attributes.switch_or("keepdims", true)?,
        last: d.attributes.switch_or("select_last_index", false)?,
    })))
}

const BLOCK: usize = 256;

impl Argument {
    fn of<T: Copy + Sync + PartialOrd + Default>(&self, x: &ArrayViewD<T>, axis: usize, y: ArrayViewMutD<i64>) {
        let ([_, n, inner], x) = three(x, &[axis]);
        let is_no_number = |x: T| x.partial_cmp(&x).is_none();
        let exceeds = |new: T, old: T| {
            let is_beyond = if self.least { new < old } else { new > old };
            is_beyond || (is_no_number(new) && (self.last || !is_no_number(old))) || (self.last && new == old)
        };
        slices::fill(y, |y| {
            if inner == 1 {
                const ROWS: usize = 16;
                return slices::for_chunks(y, ROWS, x.len(), |number, y| {
                    for (y, row) in y.iter_mut().zip(x[number * ROWS * n..].chunks_exact(n)) {
                        let better =
                            |best: (usize, T), new: (usize, T)| if exceeds(new.1, best.1) { new } else { best };
                        *y = row.iter().copied().enumerate().reduce(better).map_or(0, |best| best.0 as i64);
                    }
                });
            }
            slices::for_chunks(y, inner, x.len(), |number, y| {
                let x = &x[number * n * inner..(number + 1) * n * inner];
                for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                    let mut best = [T::default(); BLOCK];
                    for (index, x) in x.chunks_exact(inner).enumerate() {
                        let x = &x[block * BLOCK..][..y.len()];
                        for ((y, &x), best) in y.iter_mut().zip(x).zip(&mut best) {
                            if index == 0 || exceeds(x, *best) {
                                (*y, *best) = (index as i64, x);
                            }
                        }
                    }
                }
            });
        });
    }
}

impl Operator for Argument {
    fn name(&self) -> &'static str {
        if self.least { "ArgMin" } else { "ArgMax" }
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::elements(x.shape())?;
        let axis = common::axis(self.axis, x.shape().len())?;
        if x.element() == ElementType::Bool {
            return Err(invalid!("truth values have no order"));
        }
        let shape = reduced(x.shape(), &[axis], self.keep);
        if x.shape()[axis] == 0 && !shape.contains(&0) {
            return Err(invalid!("no element along axis {axis} of shape {:?}", x.shape()));
        }
        common::only_output(outputs, ElementType::Integer, shape)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let Some(x) = common::optional(inputs, input) else { return Reach::Everything };
        match common::axis(self.axis, x.shape().len()) {
            Ok(axis) => reach(x.shape(), &[axis], self.keep),
            Err(_) => Reach::Everything,
        }
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let y = common::integers_mut(outputs, 0)?;
        match inputs.first() {
            Some(Some(TensorView::Float(x))) => self.of(x, common::axis(self.axis, x.ndim())?, y),
            Some(Some(TensorView::Integer(x))) => self.of(x, common::axis(self.axis, x.ndim())?, y),
            _ => return Err(invalid!("input 0 is neither of floats nor of whole numbers")),
        }
        Ok(())
    }

    fn operations(&self, inputs: &[Option<&Fact>], _: &[Signature]) -> u128 {
        inputs.iter().flatten().next().map_or(0, |x| x.shape().iter().fold(1, |product, &n| product * n as u128))
    }
}
