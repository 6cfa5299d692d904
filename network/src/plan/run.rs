//! Runs steps one after the other, in memory that has been laid out before.
//!
//! Arenas are cut at the outputs of a step; all that lies between them is read only.

use std::time::{Duration, Instant};

use ndarray::{ArrayBase, ArrayView, ArrayView5, ArrayViewD, Axis, Data, Ix5, IxDyn};
use smallvec::SmallVec;

use super::arena::Place;
use super::cut::{FEW, Output, Rest, Seen, columns, cut};
use super::steps::{Action, Step};
use super::{Memory, Plan};
use crate::error::{Result, invalid};
use crate::graph::ValueId;
use crate::operator::Scratch;
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut, of_any};

/// All arenas, cut at the outputs of a step: what it reads of them.
struct Rests<'a> {
    floats: Rest<'a, f32, IxDyn>,
    integers: Rest<'a, i64, IxDyn>,
    bools: Rest<'a, bool, IxDyn>,
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
        let mut outputs: [SmallVec<[Output; FEW]>; 3] = Default::default();
        for (number, &value) in step.outputs.iter().enumerate() {
            if let Some(place @ (Place::Arena(_) | Place::Columns(_))) = self.arena.place_of(value) {
                let signature = self.facts.signature(value)?;
                outputs[signature.element as usize].push(Output { number, place, shape: &signature.shape });
            }
        }
        let [of_floats, of_integers, of_bools] = outputs;
        if let Action::Layer(packed) = &step.action {
            let (rest, mut made) = cut::<f32, Ix5>(floats, of_floats)?;
            let x = |number: usize| -> Result<Option<ArrayView5<f32>>> {
                let Some(Some(value)) = step.inputs.get(number) else { return Ok(None) };
                self.read_layer(*value, inputs, &rest).map(Some)
            };
            let (x, residual) = (x(0)?.ok_or_else(|| invalid!("a layer without input"))?, x(1)?);
            let (plan, y) = (packed.layer.plan(), made.take(0)?);
            return match residual {
                None => Ok(plan.run_into(x, y, &mut scratch.workspace)?),
                Some(residual) => Ok(plan.run_with_residual_into(x, residual, y, &mut scratch.workspace)?),
            };
        }
        let (floats, mut made_floats) = cut(floats, of_floats)?;
        let (integers, mut made_integers) = cut(integers, of_integers)?;
        let (bools, mut made_bools) = cut(bools, of_bools)?;
        let rests = Rests { floats, integers, bools };
        match &step.action {
            Action::Reshape | Action::Layer(_) => Ok(()),
            Action::Operator(operator) => {
                let read = |value: &Option<ValueId>| value.map(|value| self.read(value, inputs, &rests)).transpose();
                let views: SmallVec<[Option<TensorView>; FEW]> = step.inputs.iter().map(read).collect::<Result<_>>()?;
                let mut made: SmallVec<[TensorViewMut; FEW]> = SmallVec::new();
                for (number, &value) in step.outputs.iter().enumerate() {
                    made.push(match self.facts.signature(value)?.element {
                        ElementType::Float => TensorViewMut::Float(made_floats.take(number)?),
                        ElementType::Integer => TensorViewMut::Integer(made_integers.take(number)?),
                        ElementType::Bool => TensorViewMut::Bool(made_bools.take(number)?),
                    });
                }
                operator.run(&views, &mut made, scratch)
            }
        }
    }

    /// A value that a layer reads.
    fn read_layer<'a>(
        &'a self,
        value: ValueId,
        inputs: &'a [TensorView],
        rest: &'a Rest<f32, Ix5>,
    ) -> Result<ArrayView5<'a, f32>> {
        let shape = &self.facts.signature(value)?.shape;
        match self.arena.place_of(value) {
            Some(Place::Input(number)) => match &inputs[*number] {
                TensorView::Float(array) => five_axes(array, shape),
                _ => Err(invalid!("a layer reads floats")),
            },
            Some(Place::Known) => match self.facts.value(value) {
                Some(Tensor::Float(array)) => five_axes(array, shape),
                _ => Err(invalid!("a layer reads floats that are known")),
            },
            Some(place) => rest.read(place, shape),
            None => Err(invalid!("value {} has no place", value.0)),
        }
    }

    /// A value that an operator reads.
    fn read<'a>(&'a self, value: ValueId, inputs: &'a [TensorView], rests: &'a Rests) -> Result<TensorView<'a>> {
        let signature = self.facts.signature(value)?;
        let shape = &signature.shape[..];
        match self.arena.place_of(value) {
            Some(Place::Input(number)) => reshaped(&inputs[*number], shape),
            Some(Place::Known) => self.known(value),
            Some(place) => Ok(match signature.element {
                ElementType::Float => TensorView::Float(rests.floats.read(place, shape)?),
                ElementType::Integer => TensorView::Integer(rests.integers.read(place, shape)?),
                ElementType::Bool => TensorView::Bool(rests.bools.read(place, shape)?),
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
            Some(Place::Columns(of)) => Ok(match signature.element {
                ElementType::Float => TensorView::Float(columns(of, shape, &memory.floats[of.matrix.clone()])?),
                ElementType::Integer => TensorView::Integer(columns(of, shape, &memory.integers[of.matrix.clone()])?),
                ElementType::Bool => TensorView::Bool(columns(of, shape, &memory.bools[of.matrix.clone()])?),
            }),
            _ => self.known(value),
        }
    }
}

fn shaped<'a, T>(shape: &[usize], elements: &'a [T]) -> Result<ArrayViewD<'a, T>> {
    ArrayView::from_shape(IxDyn(shape), elements).map_err(|error| invalid!("{error}"))
}

/// A tensor as layers see it.
fn five_axes<'a>(array: &'a ArrayBase<impl Data<Elem = f32>, IxDyn>, shape: &[usize]) -> Result<ArrayView5<'a, f32>> {
    if let Some(slice) = array.as_slice() {
        return ArrayView::from_shape(Ix5::seen(shape), slice).map_err(|error| invalid!("{error}"));
    }
    let mut array = array.view();
    while array.ndim() < 5 {
        array.insert_axis_inplace(Axis(2));
    }
    array.into_dimensionality().map_err(|error| invalid!("{error}"))
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
