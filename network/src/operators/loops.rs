//! Loops that operators share: over elements, over tensors broadcast to one shape, over elements in another order.
//!
//! Every output element is computed by one thread from its own inputs, so bits do not depend on the number of threads. It knows no
//! operator.

#[cfg(test)]
mod tests;

use std::ops::Range;

use ndarray::{ArrayViewD, ArrayViewMutD};

use super::common::Few;
use super::slices::{Broadcast, fill, for_chunks, in_halves, in_order, in_pieces, lies_in_rows};
use crate::operator::Row;

/// Elements that one thread computes at a time.
const PART: usize = 1 << 14;

/// What elements have to be capable of.
pub(crate) trait Element: Copy + Default + Send + Sync {}
impl<T: Copy + Default + Send + Sync> Element for T {}

/// The same expression for an input and an output of the same type of elements, whichever it is.
macro_rules! of_same {
    ($input:expr, $output:expr, ($from:ident, $to:ident) => $result:expr) => {
        match ($input, $output) {
            (Some(Some($crate::tensor::TensorView::Float($from))), Some($crate::tensor::TensorViewMut::Float($to))) => {
                $result
            }
            (
                Some(Some($crate::tensor::TensorView::Integer($from))),
                Some($crate::tensor::TensorViewMut::Integer($to)),
            ) => $result,
            (Some(Some($crate::tensor::TensorView::Bool($from))), Some($crate::tensor::TensorViewMut::Bool($to))) => {
                $result
            }
            _ => Err($crate::error::invalid!("input and output have elements of two types, or are missing")),
        }
    };
}
pub(crate) use of_same;

/// Works on parts of a slice, each with the number of its first element, on several threads where there are many elements.
pub(crate) fn in_parts<T: Send>(all: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    // One copy of what threads need for all functions of a type: a call per part costs nothing, hundreds of copies take long to build.
    fn shared<T: Send>(all: &mut [T], work: &(dyn Fn(usize, &mut [T]) + Sync)) {
        if all.len() <= 2 * PART || convmat::threads() == 1 {
            return work(0, all);
        }
        for_chunks(all, PART, all.len(), |number, part| work(number * PART, part));
    }
    shared(all, &work);
}

/// `to[i] = function(from[i])`.
pub(crate) fn map<A: Element, B: Element>(
    from: ArrayViewD<'_, A>,
    to: ArrayViewMutD<'_, B>,
    function: impl Fn(A) -> B + Copy + Sync,
) {
    let outer = to.ndim();
    in_pieces(from, to, outer, &|from: &[A], to: &mut [B]| {
        in_parts(to, |first, part| {
            // A copy of what the function holds is in registers: behind a reference it would have to be read again for every element.
            let (function, from) = (function, &from[first..][..part.len()]);
            part.iter_mut().zip(from).for_each(|(to, &value)| *to = function(value));
        });
    });
}

/// Copies elements of a tensor to one of the same shape, as parts of other tensors may lie.
pub(crate) fn copy_part<T: Element>(from: ArrayViewD<'_, T>, to: ArrayViewMutD<'_, T>) {
    let outer = to.ndim();
    in_pieces(from, to, outer, &|from: &[T], to: &mut [T]| {
        in_parts(to, |first, part| part.copy_from_slice(&from[first..][..part.len()]));
    });
}

/// The same for a row.
pub(crate) fn map_row(from: Row, to: &mut [f32], function: impl Fn(f32) -> f32) {
    match from {
        Row::One(value) => to.fill(function(value)),
        Row::Each(from) => to.iter_mut().zip(from).for_each(|(to, &value)| *to = function(value)),
    }
}

/// Copies elements in order, whatever the shapes.
pub(crate) fn copy<T: Element>(from: ArrayViewD<'_, T>, to: ArrayViewMutD<'_, T>) {
    let from = in_order(&from);
    fill(to, |to| in_parts(to, |first, part| part.copy_from_slice(&from[first..][..part.len()])));
}

/// An order in which elements of `N` slices are read for the elements of an output: element `(i₀, i₁, …)` is element
/// `first + Σ iₐ·strideₐ` of each slice.
///
/// Axes of length 1 are left out, and neighbours that are walked as one axis are one.
#[derive(Debug)]
pub(crate) struct Walk<const N: usize> {
    lengths: Few<usize>,
    strides: Few<[isize; N]>,
    first: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// The walk over axes of such lengths and strides.
    pub(crate) fn new(first: [usize; N], axes: impl IntoIterator<Item = (usize, [isize; N])>) -> Self {
        let mut walk = Self { lengths: Few::new(), strides: Few::new(), first };
        for (length, strides) in axes {
            if length == 1 {
                continue;
            }
            if let (Some(outer), Some(outer_strides)) = (walk.lengths.last_mut(), walk.strides.last_mut())
                && (0..N).all(|n| strides[n].checked_mul(length as isize) == Some(outer_strides[n]))
            {
                *outer *= length;
                *outer_strides = strides;
                continue;
            }
            walk.lengths.push(length);
            walk.strides.push(strides);
        }
        walk
    }

    /// The walk over contiguous tensors that are broadcast to a shape.
    pub(crate) fn broadcast(shape: &[usize], shapes: [&[usize]; N]) -> Self {
        let mut strides = Few::from_elem([0; N], shape.len());
        for (n, from) in shapes.iter().enumerate() {
            let mut stride = 1;
            for (axis, &length) in from.iter().rev().enumerate().take(shape.len()) {
                if length != 1 {
                    strides[shape.len() - 1 - axis][n] = stride;
                }
                stride *= length as isize;
            }
        }
        Self::new([0; N], shape.iter().copied().zip(strides))
    }

    /// Strides of the innermost axis.
    pub(crate) fn steps(&self) -> [isize; N] {
        self.strides.last().copied().unwrap_or([0; N])
    }

    /// Visits elements `offset..offset + count`, a row of the innermost axis at a time: which of them a row is, counted from `offset`,
    /// and the numbers of the elements that are read for its first one.
    pub(crate) fn rows(&self, offset: usize, count: usize, mut visit: impl FnMut(Range<usize>, [usize; N])) {
        if count == 0 {
            return;
        }
        let inner = self.lengths.last().copied().unwrap_or(1);
        let outer = &self.lengths[..self.lengths.len().saturating_sub(1)];
        let steps = self.steps();
        let mut index = Few::from_elem(0usize, outer.len());
        let mut starts = self.first.map(|first| first as isize);
        let mut number = offset / inner;
        for (axis, &length) in outer.iter().enumerate().rev() {
            index[axis] = number % length;
            number /= length;
            (0..N).for_each(|n| starts[n] += index[axis] as isize * self.strides[axis][n]);
        }
        let (mut within, mut done) = (offset % inner, 0);
        while done < count {
            let length = (inner - within).min(count - done);
            let mut firsts = [0; N];
            (0..N).for_each(|n| firsts[n] = (starts[n] + within as isize * steps[n]) as usize);
            visit(done..done + length, firsts);
            done += length;
            within = 0;
            for (axis, &length) in outer.iter().enumerate().rev() {
                index[axis] += 1;
                (0..N).for_each(|n| starts[n] += self.strides[axis][n]);
                if index[axis] < length {
                    break;
                }
                index[axis] = 0;
                (0..N).for_each(|n| starts[n] -= length as isize * self.strides[axis][n]);
            }
        }
    }
}

/// Reads the elements of a walk into an output.
pub(crate) fn gather<T: Element>(walk: &Walk<1>, from: &[T], to: &mut [T]) {
    let [step] = walk.steps();
    if let (&[.., rows, columns], &[.., [1], [0 | 2..=isize::MAX]]) = (&walk.lengths[..], &walk.strides[..])
        && rows >= TILE
        && (columns < TILE || step > 0)
    {
        return transpose(walk, rows, columns, from, to);
    }
    in_parts(to, |offset, part| {
        let count = part.len();
        walk.rows(offset, count, |row, [first]| {
            let to = &mut part[row];
            match step {
                0 => to.fill(from[first]),
                1 => to.copy_from_slice(&from[first..][..to.len()]),
                2.. => {
                    to.iter_mut().zip(from[first..].iter().step_by(step as usize)).for_each(|(to, from)| *to = *from)
                }
                _ => {
                    let from = from[..=first].iter().rev().step_by(step.unsigned_abs());
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        });
    });
}

/// Rows and columns of a tile of a transposition: as many as a line of the cache has elements.
const TILE: usize = 16;

/// Reads the elements of a walk whose last two axes are rows that are neighbours in memory and columns that are not.
fn transpose<T: Element>(walk: &Walk<1>, rows: usize, columns: usize, from: &[T], to: &mut [T]) {
    let step = walk.steps()[0] as usize;
    let rows_of_part = (PART / columns).max(TILE);
    let planes = Walk {
        lengths: walk.lengths[..walk.lengths.len() - 2].into(),
        strides: walk.strides[..walk.strides.len() - 2].into(),
        first: walk.first,
    };
    for_chunks(to, rows_of_part * columns, to.len(), |number, part| {
        let (mut row, mut part) = (number * rows_of_part, part);
        while !part.is_empty() {
            // What of the part lies in one plane.
            let (plane, within) = (row / rows, row % rows);
            let count = (rows - within).min(part.len() / columns);
            let (now, later) = part.split_at_mut(count * columns);
            planes.rows(plane, 1, |_, [first]| {
                let from = &from[first + within..];
                match columns {
                    2 => interleave::<T, 2>(from, step, now),
                    3 => interleave::<T, 3>(from, step, now),
                    4 => interleave::<T, 4>(from, step, now),
                    ..TILE => {
                        for column in 0..columns {
                            let from = &from[column * step..][..count];
                            let to = now[column..].iter_mut().step_by(columns);
                            to.zip(from).for_each(|(to, from)| *to = *from);
                        }
                    }
                    _ => tiles(from, step, now, columns),
                }
            });
            (row, part) = (row + count, later);
        }
    });
}

/// Element `i` of `N` rows of the input after the other: what pixel shuffles and interleaved channels are.
fn interleave<T: Element, const N: usize>(from: &[T], step: usize, to: &mut [T]) {
    let count = to.len() / N;
    let sources: [&[T]; N] = std::array::from_fn(|column| &from[column * step..][..count]);
    for (i, to) in to.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        to.iter_mut().zip(&sources).for_each(|(to, source)| *to = source[i]);
    }
}

/// A transposed matrix, tile by tile, so that what a line of the cache brings is all used.
fn tiles<T: Element>(from: &[T], step: usize, to: &mut [T], columns: usize) {
    let rows = to.len() / columns;
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            let right = (left + TILE).min(columns);
            for i in top..(top + TILE).min(rows) {
                let to = &mut to[i * columns..][left..right];
                let from = from[i + left * step..].iter().step_by(step);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// `to[i] = function(a[i], b[i])` for slices that a walk broadcasts.
pub(crate) fn zip_slices<A: Element, B: Element, C: Element>(
    walk: &Walk<2>,
    a: &[A],
    b: &[B],
    to: &mut [C],
    function: impl Fn(A, B) -> C + Sync,
) {
    let steps = walk.steps();
    in_parts(to, |offset, part| {
        let count = part.len();
        walk.rows(offset, count, |row, [first_a, first_b]| {
            let to = &mut part[row];
            let n = to.len();
            // Contiguous tensors are walked in steps of 1, or of 0 where they are broadcast.
            match steps {
                [0, 0] => to.fill(function(a[first_a], b[first_b])),
                [0, _] => {
                    let a = a[first_a];
                    to.iter_mut().zip(&b[first_b..][..n]).for_each(|(to, &b)| *to = function(a, b));
                }
                [_, 0] => {
                    let b = b[first_b];
                    to.iter_mut().zip(&a[first_a..][..n]).for_each(|(to, &a)| *to = function(a, b));
                }
                _ => {
                    let pairs = a[first_a..][..n].iter().zip(&b[first_b..][..n]);
                    to.iter_mut().zip(pairs).for_each(|(to, (&a, &b))| *to = function(a, b));
                }
            }
        });
    });
}

/// `to[i] = function(to[i], a[i])` for a slice that a walk broadcasts.
pub(crate) fn update<A: Element, C: Element>(
    walk: &Walk<1>,
    a: &[A],
    to: &mut [C],
    function: impl Fn(C, A) -> C + Sync,
) {
    let steps = walk.steps();
    in_parts(to, |offset, part| {
        let count = part.len();
        walk.rows(offset, count, |row, [first]| {
            let to = &mut part[row];
            if steps == [0] {
                let a = a[first];
                to.iter_mut().for_each(|to| *to = function(*to, a));
            } else {
                let a = &a[first..][..to.len()];
                to.iter_mut().zip(a).for_each(|(to, &a)| *to = function(*to, a));
            }
        });
    });
}

/// `to[i] = function(a[i], b[i])` for tensors broadcast to the output's shape.
pub(crate) fn zip<A: Element, B: Element, C: Element>(
    a: ArrayViewD<'_, A>,
    b: ArrayViewD<'_, B>,
    to: ArrayViewMutD<'_, C>,
    function: impl Fn(A, B) -> C + Sync,
) {
    zip_pieces((a, b), to, &function);
}

/// The same, an index of the first axis after the other where tensors do not lie in order as a whole.
fn zip_pieces<A: Element, B: Element, C: Element>(
    (a, b): (ArrayViewD<'_, A>, ArrayViewD<'_, B>),
    to: ArrayViewMutD<'_, C>,
    function: &(impl Fn(A, B) -> C + Sync),
) {
    let read = (a, b);
    let lie_in_rows = read.lie_in_rows() && lies_in_rows(to.shape(), to.strides());
    let is_in_order = read.0.is_standard_layout() && read.1.is_standard_layout() && to.is_standard_layout();
    if is_in_order || !lie_in_rows || to.shape().first().is_none_or(|&n| n == 0) {
        let walk = Walk::broadcast(to.shape(), [read.0.shape(), read.1.shape()]);
        let (a, b) = (in_order(&read.0), in_order(&read.1));
        return fill(to, |to| zip_slices(&walk, &a, &b, to, function));
    }
    in_halves(read, to, &|read, to| zip_pieces(read, to, function));
}

/// The same for a row.
pub(crate) fn zip_row(a: Row, b: Row, to: &mut [f32], function: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (Row::One(a), Row::One(b)) => to.fill(function(a, b)),
        (Row::One(a), Row::Each(b)) => to.iter_mut().zip(b).for_each(|(to, &b)| *to = function(a, b)),
        (Row::Each(a), Row::One(b)) => to.iter_mut().zip(a).for_each(|(to, &a)| *to = function(a, b)),
        (Row::Each(a), Row::Each(b)) => {
            to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (&a, &b))| *to = function(a, b));
        }
    }
}
