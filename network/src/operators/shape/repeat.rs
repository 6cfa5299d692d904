//! Elements more than once: broadcast, and the whole tensor again and again.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{
    broadcast, elements, known_integers, lengths, optional, reach_elements, required, strides,
};
use crate::operators::loops::{Walk, gather, of_same};
use crate::operators::slices::{fill, in_order};
use crate::reach::{AxisReach, MAX_PERIOD, Reach, Relation, Taps};
use crate::tensor::{TensorView, TensorViewMut};

/// The first input broadcast to its shape and the one that the second input holds, each broadcast to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expand;

impl Operator for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let shape = lengths(&known_integers(required(inputs, 1)?, "the shape")?, "the shape")?;
        Ok(vec![Signature::new(input.element(), broadcast(&[input.shape(), &shape])?)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        match input {
            0 => reach_elements(inputs, outputs, output, input),
            _ => Reach::Nothing,
        }
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let walk = Walk::broadcast(to.shape(), [from.shape()]);
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| gather(&walk, &from, to));
            Ok(())
        })
    }
}

/// `y[i₀, i₁, …] = x[i₀ mod n₀, i₁ mod n₁, …]`: the first input as often along every axis as the second one says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tile;

impl Operator for Tile {
    fn name(&self) -> &'static str {
        "Tile"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let repeats =
            lengths(&known_integers(required(inputs, 1)?, "the number of repeats")?, "the number of repeats")?;
        if repeats.len() != input.shape().len() {
            return Err(invalid!("{} numbers of repeats for shape {:?}", repeats.len(), input.shape()));
        }
        let shape = input.shape().iter().zip(&repeats).map(|(&length, &repeats)| length.checked_mul(repeats));
        let shape = shape.collect::<Option<Vec<_>>>().ok_or_else(|| invalid!("an output that is too large"))?;
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        let (0, Some(fact), Some(output)) = (input, optional(inputs, 0), outputs.get(output)) else {
            return Reach::Everything;
        };
        let of = |(axis, (&length, &all)): (usize, (&usize, &usize))| match length {
            _ if length == all => AxisReach::same(axis, length),
            1..=MAX_PERIOD => {
                let own = |first| Taps { first, step: 1, count: 1 };
                AxisReach::Along(Relation::new(axis, length, 0, (0..length as i64).map(own).collect()))
            }
            _ => AxisReach::Whole,
        };
        Reach::Axes(fact.shape().iter().zip(&output.shape).enumerate().map(of).collect())
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let strides = strides(from.shape());
            // Two axes for each: the repeats, and what is repeated.
            let axes = from.shape().iter().zip(to.shape()).zip(strides).flat_map(|((&length, &all), stride)| {
                [(all / length.max(1), [0]), (length, [stride])]
            });
            let walk = Walk::new([0], axes);
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| gather(&walk, &from, to));
            Ok(())
        })
    }
}
