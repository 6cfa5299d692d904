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

/// What a step writes of an arena, by the number of the output.
pub(super) struct Made<'a, T, D>(SmallVec<[Numbered<'a, T, D>; FEW]>);

/// The number of an output, and where it is written until that is taken.
type Numbered<'a, T, D> = (usize, Option<ArrayViewMut<'a, T, D>>);

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
            let view = ArrayViewMut::from_shape(D::seen(output.shape), written).map_err(wrong)?;
            made.0.push((output.number, Some(view)));
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
            let are_whole = begin.is_multiple_of(unit) && of.columns.len().is_multiple_of(unit);
            let [begin, length] = [begin, of.columns.len()].map(|columns| columns / unit);
            if !are_whole || begin + length > matrix.len_of(axis) {
                return Err(overlap());
            }
            let (beside, others) = matrix.split_at(axis, begin);
            let (written, others) = others.split_at(axis, length);
            rest.columns.push((Columns { columns: column..of.columns.start, ..of.clone() }, beside));
            made.0.push((output.number, Some(written)));
            (matrix, column) = (others, of.columns.end);
            let is_beside = |other: &&Output| matches!(other.place, Place::Columns(c) if c.matrix == of.matrix);
            next = outputs.next_if(is_beside);
        }
        rest.columns.push((Columns { columns: column..of.row(), ..of.clone() }, matrix));
    }
    rest.stretches.push((start, &*arena));
    made.0.sort_unstable_by_key(|(number, _)| *number);
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
                if range.end > view.len_of(axis) {
                    return Err(invalid!("columns of other shapes"));
                }
                view.slice_axis_inplace(axis, Slice::from(range));
                if view.raw_dim() == D::seen(shape) { Ok(view) } else { Err(invalid!("columns of other shapes")) }
            }
            Place::Input(_) | Place::Known => Err(lost()),
        }
    }

    fn stretch(&self, range: &Range<usize>) -> Option<&[T]> {
        // Stretches lie one behind the other; of those that start at the same element the last one has some.
        let after = self.stretches.partition_point(|(start, _)| *start <= range.start);
        let (start, piece) = self.stretches.get(after.checked_sub(1)?)?;
        piece.get(range.start - start..range.end.checked_sub(*start)?)
    }
}

impl<'a, T, D> Made<'a, T, D> {
    /// What output `number` is written to.
    pub(super) fn take(&mut self, number: usize) -> Result<ArrayViewMut<'a, T, D>> {
        let at = self.0.binary_search_by_key(&number, |(of, _)| *of).ok();
        at.and_then(|at| self.0[at].1.take()).ok_or_else(|| invalid!("output {number} has no memory"))
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

#[cfg(test)]
mod tests {
    use ndarray::{Ix5, IxDyn};

    use super::*;

    /// Columns of a matrix of two rows of ten elements, behind four others.
    fn place(columns: Range<usize>) -> Place {
        Place::Columns(Columns { matrix: 4..24, rows: 2, axis: 1, columns })
    }

    fn outputs<'a>(places: &'a [Place], shapes: &'a [&'a [usize]]) -> SmallVec<[Output<'a>; FEW]> {
        let pairs = places.iter().zip(shapes).enumerate();
        pairs.map(|(number, (place, shape))| Output { number, place, shape }).collect()
    }

    #[test]
    fn columns_are_written_between_columns_that_are_read() {
        let mut arena: Vec<usize> = (0..30).collect();
        let places = [place(6..10), Place::Arena(26..28), place(2..4)];
        let of = outputs(&places, &[&[2, 2, 2], &[2], &[2, 1, 2]]);
        let (rest, mut made) = cut::<_, IxDyn>(&mut arena, of).unwrap();
        let read = |place: &Place, shape: &[usize]| rest.read(place, shape).map(|view| view.iter().copied().collect());
        assert_eq!(read(&Place::Arena(1..3), &[2]), Ok(vec![1, 2]));
        assert_eq!(read(&Place::Arena(24..26), &[1, 2]), Ok(vec![24, 25]));
        assert_eq!(read(&place(0..2), &[2, 1, 2]), Ok(vec![4, 5, 14, 15]));
        assert_eq!(read(&place(4..6), &[2, 1, 2]), Ok(vec![8, 9, 18, 19]));
        // What is written, what is cut by it, and columns of another shape.
        for (place, shape) in [(place(6..8), [2, 1, 2]), (place(0..4), [2, 2, 2]), (place(0..2), [2, 2, 1])] {
            assert!(rest.read(&place, &shape).is_err(), "{place:?}");
        }
        assert!(rest.read(&Place::Arena(20..25), &[5]).is_err() && rest.read(&Place::Known, &[]).is_err());
        for number in 0..3 {
            made.take(number).unwrap().fill(100 + number);
            assert!(made.take(number).is_err(), "taken twice");
        }
        drop((rest, made));
        let mut expected: Vec<usize> = (0..30).collect();
        for (value, elements) in
            [(100, &[10, 11, 12, 13, 20, 21, 22, 23][..]), (101, &[26, 27]), (102, &[6, 7, 16, 17])]
        {
            elements.iter().for_each(|&at: &usize| expected[at] = value);
        }
        assert_eq!(arena, expected);
    }

    #[test]
    fn a_step_may_see_five_axes() {
        let mut arena: Vec<usize> = (0..24).collect();
        let places = [place(0..4)];
        let (rest, mut made) = cut::<_, Ix5>(&mut arena, outputs(&places, &[&[2, 2, 2]])).unwrap();
        let beside = rest.read(&place(4..10), &[2, 3, 2]).unwrap();
        assert_eq!(beside.shape(), [2, 3, 1, 1, 2]);
        assert_eq!((beside[[0, 0, 0, 0, 0]], beside[[1, 2, 0, 0, 1]]), (8, 23));
        assert_eq!(made.take(0).unwrap().strides(), [10, 2, 2, 2, 1]);
        drop((rest, made));
        let (rest, _) = cut::<usize, Ix5>(&mut arena, SmallVec::new()).unwrap();
        assert_eq!(rest.read(&place(4..10), &[2, 3, 2]).unwrap()[[1, 2, 0, 0, 1]], 23);
    }

    #[test]
    fn outputs_that_overlap_are_refused() {
        let pair = |a: Place, b: Place| {
            let mut arena = [0; 30];
            cut::<_, IxDyn>(&mut arena, outputs(&[a, b], &[&[2, 1, 2], &[2, 1, 2]])).is_err()
        };
        assert!(!pair(place(0..2), place(2..4)));
        assert!(pair(place(0..2), place(1..3)));
        assert!(pair(place(0..2), Place::Arena(20..24)));
        assert!(pair(place(0..2), place(9..11)));
        assert!(pair(place(0..2), place(8..12)));
        assert!(pair(Place::Arena(0..4), Place::Arena(3..7)));
        assert!(pair(Place::Arena(0..4), Place::Arena(27..31)));
        assert!(pair(Place::Known, Place::Arena(0..4)));
    }
}
