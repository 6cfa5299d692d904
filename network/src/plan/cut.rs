//! An arena cut at what a step writes: every output once, to write, and all that lies between, to read.
//!
//! It knows places, no steps. Cuts are those of slices and of tensors along an axis, so that nothing can overlap unseen.

use std::ops::Range;

use ndarray::{ArrayView, ArrayViewMut, Axis, Dimension, ShapeBuilder, ShapeError, Slice};
use smallvec::SmallVec;

use super::arena::{Columns, Place};
use crate::error::{Error, Result, invalid};

/// As many inputs and outputs of a step are listed without memory of their own.
pub(super) const FEW: usize = 8;

/// An output of a step: its number, where it lies, and its shape.
pub(super) struct Output<'a> {
    pub(super) number: usize,
    pub(super) place: &'a Place,
    pub(super) shape: &'a [usize],
}

/// How a step sees shapes: as they are, or with five axes.
pub(super) trait Seen: Dimension {
    /// A shape as the step sees it.
    fn seen(shape: &[usize]) -> Self;
}

impl Seen for ndarray::IxDyn {
    fn seen(shape: &[usize]) -> Self {
        ndarray::IxDyn(shape)
    }
}

impl Seen for ndarray::Ix5 {
    fn seen(shape: &[usize]) -> Self {
        ndarray::Dim(crate::operators::with_five_axes(shape))
    }
}

/// What a step reads of an arena.
pub(super) struct Rest<'a, T, D> {
    /// Stretches between outputs, with where they start.
    stretches: SmallVec<[(usize, &'a [T]); FEW]>,
    /// Columns beside outputs that are columns of the same matrix.
    columns: SmallVec<[(Columns, ArrayViewMut<'a, T, D>); 2]>,
}

/// What a step writes of an arena, with the number of the output.
pub(super) struct Made<'a, T, D>(SmallVec<[(usize, ArrayViewMut<'a, T, D>); FEW]>);

/// Cuts an arena at outputs that do not overlap.
pub(super) fn cut<'a, T, D: Seen>(
    mut arena: &'a mut [T],
    mut outputs: SmallVec<[Output; FEW]>,
) -> Result<(Rest<'a, T, D>, Made<'a, T, D>)> {
    let overlap = || invalid!("outputs overlap in memory");
    let mut rest = Rest { stretches: SmallVec::new(), columns: SmallVec::new() };
    let mut made = Made(SmallVec::new());
    outputs
        .sort_by_key(|output| stretch(output.place).map(|range| (range.start, range.end, first_column(output.place))));
    let mut outputs = outputs.iter().peekable();
    let mut start = 0;
    while let Some(output) = outputs.next() {
        let range = stretch(output.place).ok_or_else(|| invalid!("output {} has no memory", output.number))?;
        let before = range.start.checked_sub(start).ok_or_else(overlap)?;
        let (read, after) = arena.split_at_mut_checked(before).ok_or_else(overlap)?;
        let (written, after) = after.split_at_mut_checked(range.len()).ok_or_else(overlap)?;
        rest.stretches.push((start, &*read));
        (arena, start) = (after, range.end);
        let Place::Columns(of) = output.place else {
            made.0.push((output.number, ArrayViewMut::from_shape(D::seen(output.shape), written).map_err(wrong)?));
            continue;
        };
        // The matrix in the shape of the output, as long as all columns along their axis.
        let (axis, unit) = seen_axis::<D>(of.axis, output.shape)?;
        let mut shape = D::seen(output.shape);
        shape[axis.index()] = of.row() / unit;
        let mut matrix = ArrayViewMut::from_shape(shape, written).map_err(wrong)?;
        let (mut column, mut next) = (0, Some(output));
        while let Some((output, Place::Columns(of))) = next.map(|output| (output, output.place)) {
            let begin = of.columns.start.checked_sub(column).ok_or_else(overlap)?;
            let [begin, length] = [begin, of.columns.len()].map(|columns| columns / unit);
            if begin + length > matrix.len_of(axis) {
                return Err(overlap());
            }
            let (beside, others) = matrix.split_at(axis, begin);
            let (written, others) = others.split_at(axis, length);
            rest.columns.push((Columns { columns: column..of.columns.start, ..of.clone() }, beside));
            made.0.push((output.number, written));
            (matrix, column) = (others, of.columns.end);
            let is_beside = |other: &&Output| matches!(other.place, Place::Columns(c) if c.matrix == of.matrix);
            next = outputs.next_if(is_beside);
        }
        rest.columns.push((Columns { columns: column..of.row(), ..of.clone() }, matrix));
    }
    rest.stretches.push((start, &*arena));
    Ok((rest, made))
}

/// The stretch of an arena that a place is in.
fn stretch(place: &Place) -> Option<&Range<usize>> {
    match place {
        Place::Arena(range) => Some(range),
        Place::Columns(of) => Some(&of.matrix),
        Place::Input(_) | Place::Known => None,
    }
}

fn first_column(place: &Place) -> usize {
    if let Place::Columns(of) = place { of.columns.start } else { 0 }
}

/// An axis as a step sees it, and how many elements an index of it has.
fn seen_axis<D: Seen>(axis: usize, shape: &[usize]) -> Result<(Axis, usize)> {
    let unit = shape.get(axis + 1..).map(|inner| inner.iter().product()).filter(|&unit: &usize| unit > 0);
    let unit = unit.ok_or_else(|| invalid!("columns from axis {axis} on of shape {shape:?}"))?;
    // Absent axes stand before the spatial ones.
    let absent = D::seen(shape).ndim() - shape.len();
    Ok((Axis(if axis < 2 { axis } else { axis + absent }), unit))
}

fn wrong(error: ShapeError) -> Error {
    invalid!("{error}")
}

impl<T, D: Seen> Rest<'_, T, D> {
    /// A value of the arena.
    pub(super) fn read(&self, place: &Place, shape: &[usize]) -> Result<ArrayView<'_, T, D>> {
        let lost = || invalid!("an input and an output overlap in memory");
        match place {
            Place::Arena(range) => {
                let slice = self.stretch(range).ok_or_else(lost)?;
                ArrayView::from_shape(D::seen(shape), slice).map_err(wrong)
            }
            Place::Columns(of) => {
                if let Some(slice) = self.stretch(&of.matrix) {
                    return columns(of, shape, slice);
                }
                let holds = |(beside, _): &&(Columns, ArrayViewMut<T, D>)| {
                    let range = &beside.columns;
                    beside.matrix == of.matrix && range.start <= of.columns.start && of.columns.end <= range.end
                };
                let (beside, view) = self.columns.iter().find(holds).ok_or_else(lost)?;
                let (axis, unit) = seen_axis::<D>(of.axis, shape)?;
                let begin = (of.columns.start - beside.columns.start) / unit;
                let range = begin..begin + of.columns.len() / unit;
                let mut view = view.view();
                view.slice_axis_inplace(axis, Slice::from(range));
                if view.raw_dim() == D::seen(shape) { Ok(view) } else { Err(invalid!("columns of other shapes")) }
            }
            Place::Input(_) | Place::Known => Err(lost()),
        }
    }

    fn stretch(&self, range: &Range<usize>) -> Option<&[T]> {
        let holds = |(start, piece): &&(usize, &[T])| *start <= range.start && range.end <= start + piece.len();
        let (start, piece) = self.stretches.iter().find(holds)?;
        Some(&piece[range.start - start..range.end - start])
    }
}

impl<'a, T, D> Made<'a, T, D> {
    /// What output `number` is written to.
    pub(super) fn take(&mut self, number: usize) -> Result<ArrayViewMut<'a, T, D>> {
        let at = self.0.iter().position(|(of, _)| *of == number);
        Ok(self.0.swap_remove(at.ok_or_else(|| invalid!("output {number} has no memory"))?).1)
    }
}

/// Columns of a matrix, as a tensor of some shape.
pub(super) fn columns<'a, T, D: Seen>(of: &Columns, shape: &[usize], matrix: &'a [T]) -> Result<ArrayView<'a, T, D>> {
    let (axis, _) = seen_axis::<D>(of.axis, shape)?;
    let shape = D::seen(shape);
    let mut strides = shape.default_strides();
    // Rows lie further apart than they would if the columns were all of the matrix.
    let mut distance = of.row();
    for outer in (0..axis.index()).rev() {
        strides[outer] = distance;
        distance = distance.checked_mul(shape[outer]).ok_or_else(|| invalid!("a matrix that is too large"))?;
    }
    let slice = matrix.get(of.columns.start..).ok_or_else(|| invalid!("columns that are in no matrix"))?;
    ArrayView::from_shape(shape.strides(strides), slice).map_err(wrong)
}
