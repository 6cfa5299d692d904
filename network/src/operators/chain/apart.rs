//! Chains of tensors whose first axes lie apart in memory, as parts of larger tensors do: what lies between is a tensor by itself.

use std::borrow::Cow;

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use smallvec::SmallVec;

use super::layout::Layout;
use super::{Chain, Elements, FEW, Part, has_channels};
use crate::error::{Result, invalid};
use crate::operators::slices::is_worth_sharing;
use crate::tensor::{TensorView, TensorViewMut, of_any};

/// Elements that have to lie in order: fewer are copied with all others.
const LEAST: usize = 256;

/// Operands with as many axes as the output.
type Views<'a> = SmallVec<[TensorView<'a>; FEW]>;

impl Chain {
    /// Runs what each index of the first axes has, if all tensors are in order there and if it is worth it.
    pub(super) fn run_apart(&self, inputs: &[Option<TensorView>], output: &mut TensorViewMut) -> Option<Result<()>> {
        let shape = &self.output.shape[..];
        let mut views = Views::new();
        for (input, operand) in inputs.iter().zip(&self.operands) {
            views.push(match input.as_ref()? {
                TensorView::Float(array) => {
                    TensorView::Float(aligned(array.view(), operand.is_per_channel, shape.len()))
                }
                TensorView::Bool(array) => TensorView::Bool(aligned(array.view(), operand.is_per_channel, shape.len())),
                TensorView::Integer(_) => return None,
            });
        }
        let of_operands = views.iter().map(|view| of_any!(TensorView, view, x => first_axes(x.shape(), x.strides())));
        let of_output = of_any!(TensorViewMut, &*output, y => first_axes(y.shape(), y.strides()));
        let outer = of_operands.fold(of_output, usize::max);
        if shape[outer..].iter().product::<usize>() < LEAST {
            return None;
        }
        let inner = |shape: &[usize]| -> Vec<usize> {
            (0..shape.len()).map(|i| if i < outer { 1 } else { shape[i] }).collect()
        };
        let shapes: Vec<Vec<usize>> = views.iter().map(|view| inner(view.shape())).collect();
        let layout = Layout::new(&inner(shape), &shapes, has_channels(&self.operands));
        let output = match output {
            TensorViewMut::Float(to) => TensorViewMut::Float(to.view_mut()),
            TensorViewMut::Bool(to) => TensorViewMut::Bool(to.view_mut()),
            TensorViewMut::Integer(_) => return None,
        };
        Some(self.run_indices(&layout, views, output, outer))
    }

    /// Runs all indices of so many first axes, halves of them on several threads where they are much work.
    fn run_indices(&self, layout: &Layout, views: Views, output: TensorViewMut, outer: usize) -> Result<()> {
        let n = output.shape().first().copied().unwrap_or(1);
        if outer == 0 {
            let operands = views.iter().map(elements).collect::<Result<SmallVec<[Elements; FEW]>>>()?;
            return self.run_all(layout, &operands, part(output)?);
        }
        if n == 1 {
            let views = views.into_iter().map(within_first).collect();
            let output = match output {
                TensorViewMut::Float(to) => TensorViewMut::Float(to.index_axis_move(Axis(0), 0)),
                TensorViewMut::Bool(to) => TensorViewMut::Bool(to.index_axis_move(Axis(0), 0)),
                TensorViewMut::Integer(to) => TensorViewMut::Integer(to.index_axis_move(Axis(0), 0)),
            };
            return self.run_indices(layout, views, output, outer - 1);
        }
        let is_shared = is_worth_sharing(of_any!(TensorViewMut, &output, y => y.len()) * self.stages.len());
        let (views, views_after): (Views, Views) = views.into_iter().map(|view| halves(view, n / 2)).unzip();
        let (output, output_after) = match output {
            TensorViewMut::Float(to) => split(to, n / 2, TensorViewMut::Float),
            TensorViewMut::Bool(to) => split(to, n / 2, TensorViewMut::Bool),
            TensorViewMut::Integer(to) => split(to, n / 2, TensorViewMut::Integer),
        };
        let before = || self.run_indices(layout, views, output, outer);
        let after = || self.run_indices(layout, views_after, output_after, outer);
        let (first, second) = if is_shared { rayon::join(before, after) } else { (before(), after()) };
        first.and(second)
    }
}

/// How many first axes a tensor has whose indices lie apart: within each of them elements lie one after the other.
fn first_axes(shape: &[usize], strides: &[isize]) -> usize {
    let mut next = 1;
    for (axis, (&length, &stride)) in shape.iter().zip(strides).enumerate().rev() {
        if length != 1 {
            if stride != next {
                return axis + 1;
            }
            next *= length as isize;
        }
    }
    0
}

/// A tensor with as many axes as the output.
fn aligned<T>(mut array: ArrayViewD<T>, is_per_channel: bool, rank: usize) -> ArrayViewD<T> {
    // Only scalars have more axes.
    while array.ndim() > rank {
        array = array.index_axis_move(Axis(0), 0);
    }
    while is_per_channel && array.ndim() + 1 < rank {
        let last = Axis(array.ndim());
        array = array.insert_axis(last);
    }
    while array.ndim() < rank {
        array = array.insert_axis(Axis(0));
    }
    array
}

/// What a tensor has for the only index of the first axis.
fn within_first(view: TensorView) -> TensorView {
    match view {
        TensorView::Float(array) => TensorView::Float(array.index_axis_move(Axis(0), 0)),
        TensorView::Integer(array) => TensorView::Integer(array.index_axis_move(Axis(0), 0)),
        TensorView::Bool(array) => TensorView::Bool(array.index_axis_move(Axis(0), 0)),
    }
}

/// What a tensor that may be broadcast along the first axis has before and after an index of it.
fn halves(view: TensorView, at: usize) -> (TensorView, TensorView) {
    fn of<'a, T>(
        array: ArrayViewD<'a, T>,
        at: usize,
        made: fn(ArrayViewD<'a, T>) -> TensorView<'a>,
    ) -> (TensorView<'a>, TensorView<'a>) {
        match array.shape()[0] {
            1 => (made(array.clone()), made(array)),
            _ => {
                let (before, after) = array.split_at(Axis(0), at);
                (made(before), made(after))
            }
        }
    }
    match view {
        TensorView::Float(array) => of(array, at, TensorView::Float),
        TensorView::Integer(array) => of(array, at, TensorView::Integer),
        TensorView::Bool(array) => of(array, at, TensorView::Bool),
    }
}

/// What is written before and after an index of the first axis.
fn split<'a, T>(
    array: ArrayViewMutD<'a, T>,
    at: usize,
    made: fn(ArrayViewMutD<'a, T>) -> TensorViewMut<'a>,
) -> (TensorViewMut<'a>, TensorViewMut<'a>) {
    let (before, after) = array.split_at(Axis(0), at);
    (made(before), made(after))
}

/// The elements of a tensor that lies in order.
fn elements<'a>(view: &TensorView<'a>) -> Result<Elements<'a>> {
    let no_stretch = || invalid!("an input that lies in no order");
    match view {
        TensorView::Float(array) => Ok(Elements::Floats(Cow::Borrowed(array.to_slice().ok_or_else(no_stretch)?))),
        TensorView::Bool(array) => Ok(Elements::Bools(Cow::Borrowed(array.to_slice().ok_or_else(no_stretch)?))),
        TensorView::Integer(_) => Err(invalid!("an input of whole numbers")),
    }
}

/// The elements of an output that lies in order.
fn part(view: TensorViewMut) -> Result<Part> {
    let no_stretch = || invalid!("an output that lies in no order");
    match view {
        TensorViewMut::Float(array) => array.into_slice().map(Part::Floats).ok_or_else(no_stretch),
        TensorViewMut::Bool(array) => array.into_slice().map(Part::Bools).ok_or_else(no_stretch),
        TensorViewMut::Integer(_) => Err(invalid!("an output of whole numbers")),
    }
}
