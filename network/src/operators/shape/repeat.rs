//! Elements more than once: broadcast, and the whole tensor again and again.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{Few, broadcast, elements, known_integers, lengths, optional, reach_elements, required};
use crate::operators::loops::{Element, Walk, gather, of_same};
use crate::operators::slices::{fill, for_chunks, in_order};
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
            let axes = from.shape().iter().zip(to.shape()).map(|(&length, &all)| (length, all / length.max(1)));
            let axes: Few<(usize, usize)> = axes.collect();
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| if !to.is_empty() { tile(&axes, &from, to) });
            Ok(())
        })
    }
}

/// Elements of one repetition from which on each repetition is copied by itself; smaller ones are copied several at a time.
const LONG: usize = 1 << 12;

/// Repeats a tensor whose axes have such lengths, as often as is said beside them: inner axes first, then all that there is of an outer
/// one in runs.
fn tile<T: Element>(axes: &[(usize, usize)], from: &[T], to: &mut [T]) {
    let Some((&(length, repeats), inner)) = axes.split_first().filter(|_| from.len() < to.len()) else {
        return to.copy_from_slice(from);
    };
    let one = to.len() / repeats;
    let (first, others) = to.split_at_mut(one);
    if inner.is_empty() {
        first.copy_from_slice(from);
    } else {
        let parts = first.chunks_exact_mut(one / length).zip(from.chunks_exact(from.len() / length));
        parts.for_each(|(to, from)| tile(inner, from, to));
    }
    if one >= LONG {
        let work = others.len();
        return for_chunks(others, one, work, |_, to| to.copy_from_slice(first));
    }
    let mut done = one;
    while done < to.len() {
        let count = done.min(to.len() - done);
        to.copy_within(..count, done);
        done += count;
    }
}
