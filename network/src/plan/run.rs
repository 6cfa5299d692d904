//! Runs steps one after the other, in memory that has been laid out before.
//!
//! Outputs of a step are stretches of an arena that none of its inputs touches; all that lies between them is read only.

use std::ops::Range;
use std::time::{Duration, Instant};

use ndarray::{ArrayView, ArrayView5, ArrayViewD, ArrayViewMut, ArrayViewMut5, ArrayViewMutD, IxDyn};
use smallvec::SmallVec;

use super::arena::Place;
use super::steps::{Action, Step};
use super::{Memory, Plan};
use crate::error::{Error, Result, invalid};
use crate::graph::ValueId;
use crate::operator::Scratch;
use crate::operators::with_five_axes;
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut, of_any};

/// As many inputs and outputs of a step are listed without memory of their own.
const FEW: usize = 8;

/// Outputs of a step by number, and where they lie.
type Ranges = SmallVec<[(usize, Range<usize>); FEW]>;

/// An arena that is cut at the outputs of a step.
struct Cut<'a, T> {
    /// What is read, with where it starts.
    rest: SmallVec<[(usize, &'a [T]); FEW]>,
    /// What is written, with the number of the output.
    made: SmallVec<[(usize, &'a mut [T]); FEW]>,
}

impl<'a, T> Cut<'a, T> {
    /// Cuts an arena at ranges that do not overlap.
    fn new(mut arena: &'a mut [T], mut ranges: Ranges) -> Result<Self> {
        ranges.sort_by_key(|(_, range)| (range.start, range.end));
        let (mut rest, mut made) = (SmallVec::new(), SmallVec::new());
        let mut start = 0;
        for (number, range) in ranges {
            let overlap = || invalid!("outputs overlap in memory");
            let before = range.start.checked_sub(start).ok_or_else(overlap)?;
            let (read, after) = arena.split_at_mut_checked(before).ok_or_else(overlap)?;
            let (written, after) = after.split_at_mut_checked(range.len()).ok_or_else(overlap)?;
            rest.push((start, &*read));
            made.push((number, written));
            (arena, start) = (after, range.end);
        }
        rest.push((start, &*arena));
        Ok(Self { rest, made })
    }

    /// What is read at a range.
    fn read(&self, range: &Range<usize>) -> Result<&'a [T]> {
        let holds = |&&(start, piece): &&(usize, &[T])| start <= range.start && range.end <= start + piece.len();
        let &(start, piece) =
            self.rest.iter().find(holds).ok_or_else(|| invalid!("an input and an output overlap in memory"))?;
        Ok(&piece[range.start - start..range.end - start])
    }

    /// What output `number` is written to.
    fn write(&mut self, number: usize) -> Result<&'a mut [T]> {
        let at = self
            .made
            .iter()
            .position(|(of, _)| *of == number)
            .ok_or_else(|| invalid!("output {number} has no memory"))?;
        Ok(self.made.swap_remove(at).1)
    }
}

/// All arenas, cut at the outputs of a step.
struct Cuts<'a> {
    floats: Cut<'a, f32>,
    integers: Cut<'a, i64>,
    bools: Cut<'a, bool>,
}

impl Plan {
    /// Runs all steps for inputs whose shapes have been checked and that are contiguous.
    pub(super) fn run_steps(
        &self,
        inputs: &[TensorView],
        memory: &mut Memory,
        mut observe: Option<&mut dyn FnMut(usize, Duration)>,
    ) -> Result<()> {
        let Memory { floats, integers, bools, scratch, .. } = memory;
        for (number, step) in self.steps.iter().enumerate() {
            let start = observe.is_some().then(Instant::now);
            self.run_step(step, inputs, (floats, integers, bools), scratch)
                .map_err(|error| error.at(&step.name, step.operators[0]))?;
            if let (Some(start), Some(observe)) = (start, &mut observe) {
                observe(number, start.elapsed());
            }
        }
        Ok(())
    }

    fn run_step(
        &self,
        step: &Step,
        inputs: &[TensorView],
        (floats, integers, bools): (&mut [f32], &mut [i64], &mut [bool]),
        scratch: &mut Scratch,
    ) -> Result<()> {
        if let Action::Reshape = step.action {
            return Ok(());
        }
        let mut ranges: [Ranges; 3] = Default::default();
        for (number, &value) in step.outputs.iter().enumerate() {
            if let Some(Place::Arena(range)) = self.arena.place_of(value) {
                ranges[self.facts.signature(value)?.element as usize].push((number, range.clone()));
            }
        }
        let [of_floats, of_integers, of_bools] = ranges;
        let mut cuts = Cuts {
            floats: Cut::new(floats, of_floats)?,
            integers: Cut::new(integers, of_integers)?,
            bools: Cut::new(bools, of_bools)?,
        };
        match &step.action {
            Action::Reshape => Ok(()),
            Action::Layer(packed) => {
                let plan = packed.layer.plan();
                let shape = |value: ValueId| Ok::<_, Error>(with_five_axes(&self.facts.signature(value)?.shape));
                let x = |number: usize| -> Result<Option<ArrayView5<f32>>> {
                    let Some(Some(value)) = step.inputs.get(number) else { return Ok(None) };
                    let read = self.read(*value, inputs, &cuts)?;
                    let TensorView::Float(array) = read else { return Err(invalid!("a layer reads floats")) };
                    Ok(Some(array.into_shape_with_order(shape(*value)?).map_err(|error| invalid!("{error}"))?))
                };
                let (x, residual) = (x(0)?.ok_or_else(|| invalid!("a layer without input"))?, x(1)?);
                let y = cuts.floats.write(0)?;
                let y = ArrayViewMut5::from_shape(shape(step.outputs[0])?, y).map_err(|error| invalid!("{error}"))?;
                match residual {
                    None => Ok(plan.run_into(x, y, &mut scratch.workspace)?),
                    Some(residual) => Ok(plan.run_with_residual_into(x, residual, y, &mut scratch.workspace)?),
                }
            }
            Action::Operator(operator) => {
                let read = |value: &Option<ValueId>| value.map(|value| self.read(value, inputs, &cuts)).transpose();
                let views: SmallVec<[Option<TensorView>; FEW]> = step.inputs.iter().map(read).collect::<Result<_>>()?;
                let mut made: SmallVec<[TensorViewMut; FEW]> = SmallVec::new();
                for (number, &value) in step.outputs.iter().enumerate() {
                    let signature = self.facts.signature(value)?;
                    let shape = &signature.shape[..];
                    made.push(match signature.element {
                        ElementType::Float => TensorViewMut::Float(shaped_mut(shape, cuts.floats.write(number)?)?),
                        ElementType::Integer => {
                            TensorViewMut::Integer(shaped_mut(shape, cuts.integers.write(number)?)?)
                        }
                        ElementType::Bool => TensorViewMut::Bool(shaped_mut(shape, cuts.bools.write(number)?)?),
                    });
                }
                operator.run(&views, &mut made, scratch)
            }
        }
    }

    /// A value that a step reads.
    fn read<'a>(&'a self, value: ValueId, inputs: &'a [TensorView], cuts: &Cuts<'a>) -> Result<TensorView<'a>> {
        let signature = self.facts.signature(value)?;
        let shape = &signature.shape[..];
        match self.arena.place_of(value) {
            Some(Place::Input(number)) => reshaped(&inputs[*number], shape),
            Some(Place::Known) => self.known(value),
            Some(Place::Arena(range)) => Ok(match signature.element {
                ElementType::Float => TensorView::Float(shaped(shape, cuts.floats.read(range)?)?),
                ElementType::Integer => TensorView::Integer(shaped(shape, cuts.integers.read(range)?)?),
                ElementType::Bool => TensorView::Bool(shaped(shape, cuts.bools.read(range)?)?),
            }),
            None => Err(invalid!("value {} has no place", value.0)),
        }
    }

    fn known(&self, value: ValueId) -> Result<TensorView<'_>> {
        let tensor = self.facts.value(value).ok_or_else(|| invalid!("value {} is not known", value.0))?;
        Ok(tensor.view())
    }

    /// The value of an output, after all steps.
    pub(super) fn made<'a>(
        &'a self,
        value: ValueId,
        inputs: &'a [TensorView],
        memory: &'a Memory,
    ) -> Result<TensorView<'a>> {
        let signature = self.facts.signature(value)?;
        let shape = &signature.shape[..];
        match self.arena.place_of(value) {
            Some(Place::Input(number)) => reshaped(&inputs[*number], shape),
            Some(Place::Arena(range)) => Ok(match signature.element {
                ElementType::Float => TensorView::Float(shaped(shape, &memory.floats[range.clone()])?),
                ElementType::Integer => TensorView::Integer(shaped(shape, &memory.integers[range.clone()])?),
                ElementType::Bool => TensorView::Bool(shaped(shape, &memory.bools[range.clone()])?),
            }),
            _ => self.known(value),
        }
    }
}

fn shaped<'a, T>(shape: &[usize], elements: &'a [T]) -> Result<ArrayViewD<'a, T>> {
    ArrayView::from_shape(IxDyn(shape), elements).map_err(|error| invalid!("{error}"))
}

fn shaped_mut<'a, T>(shape: &[usize], elements: &'a mut [T]) -> Result<ArrayViewMutD<'a, T>> {
    ArrayViewMut::from_shape(IxDyn(shape), elements).map_err(|error| invalid!("{error}"))
}

/// The same elements in another shape.
fn reshaped<'a>(tensor: &'a TensorView, shape: &[usize]) -> Result<TensorView<'a>> {
    let no_stretch = || invalid!("an input that is not contiguous");
    Ok(match tensor {
        TensorView::Float(array) => TensorView::Float(shaped(shape, array.as_slice().ok_or_else(no_stretch)?)?),
        TensorView::Integer(array) => TensorView::Integer(shaped(shape, array.as_slice().ok_or_else(no_stretch)?)?),
        TensorView::Bool(array) => TensorView::Bool(shaped(shape, array.as_slice().ok_or_else(no_stretch)?)?),
    })
}

/// Copies a tensor to one of the same shape.
pub(super) fn assign(from: &TensorView, to: &mut TensorViewMut) -> Result<()> {
    match (from, to) {
        (TensorView::Float(from), TensorViewMut::Float(to)) => to.assign(from),
        (TensorView::Integer(from), TensorViewMut::Integer(to)) => to.assign(from),
        (TensorView::Bool(from), TensorViewMut::Bool(to)) => to.assign(from),
        (from, to) => return Err(invalid!("a tensor of {} cannot hold {}", to.element(), from.element())),
    }
    Ok(())
}

/// Whether the elements lie one after the other, in order.
pub(super) fn is_contiguous(tensor: &TensorView) -> bool {
    of_any!(TensorView, tensor, array => array.is_standard_layout())
}

/// A copy whose elements lie one after the other.
pub(super) fn contiguous(tensor: &TensorView) -> Tensor {
    of_any!(TensorView, tensor, array => array.as_standard_layout().into_owned().into())
}
