//! Shapes as values. They are known before anything runs.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{elements, required};
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut};

/// The lengths of the input's axes `start..end`, as whole numbers. Both count from the end where they are negative, and are moved into
/// the range of axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The first axis.
    pub start: i64,
    /// The axis behind the last one; all of them if absent.
    pub end: Option<i64>,
}

impl Shape {
    /// What of a shape is asked for.
    fn of(self, shape: &[usize]) -> impl ExactSizeIterator<Item = i64> {
        let rank = shape.len() as i64;
        let moved = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
        let start = moved(self.start);
        let end = self.end.map_or(shape.len(), moved).max(start);
        shape[start..end].iter().map(|&length| length as i64)
    }
}

impl Operator for Shape {
    fn name(&self) -> &'static str {
        "Shape"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let count = self.of(required(inputs, 0)?.shape()).len();
        Ok(vec![Signature::new(ElementType::Integer, [count])])
    }

    fn value(&self, inputs: &[Option<&Fact>]) -> Option<Tensor> {
        required(inputs, 0).ok().map(|input| Tensor::integers(self.of(input.shape())))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let (Some(Some(input)), Some(TensorViewMut::Integer(to))) = (inputs.first(), outputs.first_mut()) else {
            return Err(invalid!("the input or the output is missing"));
        };
        to.iter_mut().zip(self.of(input.shape())).for_each(|(to, length)| *to = length);
        Ok(())
    }
}

/// The number of the input's elements, a scalar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size;

impl Operator for Size {
    fn name(&self) -> &'static str {
        "Size"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        elements(required(inputs, 0)?.shape())?;
        Ok(vec![Signature::new(ElementType::Integer, [])])
    }

    fn value(&self, inputs: &[Option<&Fact>]) -> Option<Tensor> {
        let count = elements(required(inputs, 0).ok()?.shape()).ok()?;
        Some(ndarray::ArrayD::from_elem(&[][..], count as i64).into())
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let (Some(Some(input)), Some(TensorViewMut::Integer(to))) = (inputs.first(), outputs.first_mut()) else {
            return Err(invalid!("the input or the output is missing"));
        };
        to.fill(elements(input.shape())? as i64);
        Ok(())
    }
}
