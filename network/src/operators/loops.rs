//! Loops that operators share: over elements, over tensors broadcast to one shape, over elements in another order.
//!
//! Every output element is computed by one thread from its own inputs, so bits do not depend on the number of threads. It knows no
//! operator.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayViewD, ArrayViewMutD};
use rayon::prelude::*;

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

/// The elements in order: in place, or a copy where strides are others.
pub(crate) fn contiguous<T: Copy>(view: ArrayViewD<'_, T>) -> Cow<'_, [T]> {
    match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().copied().collect()),
    }
}

/// Has the elements of an output written in order: in place, or to a copy where strides are others.
pub(crate) fn written<T: Element, R>(mut to: ArrayViewMutD<'_, T>, write: impl FnOnce(&mut [T]) -> R) -> R {
    if let Some(slice) = to.as_slice_mut() {
        return write(slice);
    }
    let mut copy = vec![T::default(); to.len()];
    let result = write(&mut copy);
    to.iter_mut().zip(copy).for_each(|(to, value)| *to = value);
    result
}

/// Works on parts of a slice, each with the number of its first element, on several threads where there are many elements.
pub(crate) fn in_parts<T: Send>(all: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    if all.len() <= 2 * PART {
        work(0, all);
    } else {
        all.par_chunks_mut(PART).enumerate().for_each(|(number, part)| work(number * PART, part));
    }
}

/// `to[i] = function(from[i])`.
pub(crate) fn map<A: Element, B: Element>(
    from: ArrayViewD<'_, A>,
    to: ArrayViewMutD<'_, B>,
    function: impl Fn(A) -> B + Sync,
) {
    let from = contiguous(from);
    written(to, |to| {
        in_parts(to, |first, part| {
            let from = &from[first..][..part.len()];
            part.iter_mut().zip(from).for_each(|(to, &value)| *to = function(value));
        });
    });
}

/// Copies elements in order, whatever the shapes.
pub(crate) fn copy<T: Element>(from: ArrayViewD<'_, T>, to: ArrayViewMutD<'_, T>) {
    let from = contiguous(from);
    written(to, |to| in_parts(to, |first, part| part.copy_from_slice(&from[first..][..part.len()])));
}

/// An order in which elements of `N` slices are read for the elements of an output: element `(i₀, i₁, …)` is element
/// `first + Σ iₐ·strideₐ` of each slice.
///
/// Axes of length 1 are left out, and neighbours that are walked as one axis are one.
#[derive(Debug)]
pub(crate) struct Walk<const N: usize> {
    lengths: Vec<usize>,
    strides: Vec<[isize; N]>,
    first: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// The walk over axes of such lengths and strides.
    pub(crate) fn new(first: [usize; N], axes: impl IntoIterator<Item = (usize, [isize; N])>) -> Self {
        let mut walk = Self { lengths: Vec::new(), strides: Vec::new(), first };
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
        let mut strides = vec![[0; N]; shape.len()];
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
        let mut index = vec![0; outer.len()];
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
    if let (&[.., rows, columns], &[.., [1], [2..=isize::MAX]]) = (&walk.lengths[..], &walk.strides[..])
        && rows >= TILE
        && columns >= TILE
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

/// Reads the elements of a walk whose last two axes are rows that are neighbours in memory and columns that are not, tile by tile, so
/// that what a line of the cache brings is all used.
fn transpose<T: Element>(walk: &Walk<1>, rows: usize, columns: usize, from: &[T], to: &mut [T]) {
    let [step] = walk.steps();
    let rows_of_part = (PART / columns).max(TILE);
    let planes = Walk {
        lengths: walk.lengths[..walk.lengths.len() - 2].to_vec(),
        strides: walk.strides[..walk.strides.len() - 2].to_vec(),
        first: walk.first,
    };
    to.par_chunks_mut(rows_of_part * columns).enumerate().for_each(|(number, part)| {
        let (mut row, mut part) = (number * rows_of_part, part);
        while !part.is_empty() {
            // What of the part lies in one plane.
            let (plane, within) = (row / rows, row % rows);
            let count = (rows - within).min(part.len() / columns);
            let (now, later) = part.split_at_mut(count * columns);
            planes.rows(plane, 1, |_, [first]| {
                let from = &from[first + within..];
                for top in (0..count).step_by(TILE) {
                    for left in (0..columns).step_by(TILE) {
                        let right = (left + TILE).min(columns);
                        for i in top..(top + TILE).min(count) {
                            let to = &mut now[i * columns..][left..right];
                            let from = from[i + left * step as usize..].iter().step_by(step as usize);
                            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                        }
                    }
                }
            });
            (row, part) = (row + count, later);
        }
    });
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
    let walk = Walk::broadcast(to.shape(), [a.shape(), b.shape()]);
    let (a, b) = (contiguous(a), contiguous(b));
    written(to, |to| zip_slices(&walk, &a, &b, to, function));
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, Axis};

    use super::*;
    use crate::operators::testing::Noise;

    /// A tensor of one to four axes of such lengths, some of them 1.
    fn shapes(noise: &mut Noise) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        let rank = 1 + noise.below(4);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + noise.below(5)).collect();
        let mut less = || {
            let kept: Vec<usize> = shape.iter().map(|&n| if noise.below(3) == 0 { 1 } else { n }).collect();
            let ones = kept.iter().take_while(|&&n| n == 1).count();
            kept[noise.below(ones + 1)..].to_vec()
        };
        let (a, b) = (less(), less());
        (shape, a, b)
    }

    #[test]
    fn zips_what_is_broadcast() {
        let mut noise = Noise(1);
        for _ in 0..500 {
            let (shape, a, b) = shapes(&mut noise);
            let mut count = 0;
            let mut number = || {
                count += 1;
                count
            };
            let a = ArrayD::from_shape_simple_fn(a, &mut number);
            let b = ArrayD::from_shape_simple_fn(b, &mut number);
            let mut to = ArrayD::from_elem(&shape[..], -1);
            zip(a.view(), b.view(), to.view_mut(), |a, b| 1000 * a + b);
            let (wide_a, wide_b) = (a.broadcast(&shape[..]).unwrap(), b.broadcast(&shape[..]).unwrap());
            for (index, &value) in to.indexed_iter() {
                assert_eq!(value, 1000 * wide_a[&index] + wide_b[&index], "{a:?} {b:?} {index:?}");
            }
        }
    }

    #[test]
    fn large_tensors_are_those_of_one_part() {
        let shape = [3, 7, 5000];
        let a = ArrayD::from_shape_fn(&shape[..], |i| (i[0] * 1_000_000 + i[1] * 10_000 + i[2]) as i64);
        for channel in [vec![7, 1], vec![3, 1, 1], vec![5000], vec![1, 7, 5000], vec![1]] {
            let b = ArrayD::from_shape_fn(&channel[..], |i| 3 * i[0] as i64 + 1);
            let mut to = ArrayD::zeros(&shape[..]);
            zip(a.view(), b.view(), to.view_mut(), |a, b| a + b);
            assert_eq!(to, &a + &b, "{channel:?}");
        }
        let mut to = ArrayD::zeros(&shape[..]);
        map(a.view(), to.view_mut(), |a| -a);
        assert_eq!(to, -&a);
    }

    #[test]
    fn other_strides_are_read_and_written() {
        let a = ArrayD::from_shape_fn(&[4, 6][..], |i| (10 * i[0] + i[1]) as i64);
        let mut to = ArrayD::zeros(&[6, 4][..]);
        map(a.t(), to.view_mut(), |a| 2 * a);
        assert_eq!(to, 2 * &a.t());
        let mut to = ArrayD::zeros(&[6, 4][..]);
        map(a.view(), to.view_mut().reversed_axes(), |a| 2 * a);
        assert_eq!(to, 2 * &a.t());
    }

    #[test]
    fn planes_are_transposed() {
        for (planes, rows, columns) in [(1, 16, 16), (3, 17, 40), (2, 300, 129), (5, 16, 2000)] {
            let from = ArrayD::from_shape_fn(&[planes, columns, rows][..], |i| (i[0] * columns + i[1]) * rows + i[2]);
            let walk = Walk::new([0], [(planes, [(rows * columns) as isize]), (rows, [1]), (columns, [rows as isize])]);
            let mut to = vec![0; from.len()];
            gather(&walk, from.as_slice().unwrap(), &mut to);
            let turned = from.permuted_axes(&[0, 2, 1][..]);
            assert!(turned.iter().eq(&to), "{planes} {rows} {columns}");
        }
    }

    #[test]
    fn walks_gather_in_any_direction() {
        let from: Vec<usize> = (0..24).collect();
        let mut turned = ArrayD::from_shape_vec(&[4, 6][..], from.clone()).unwrap();
        turned.invert_axis(Axis(1));
        let walk = Walk::new([5], [(4, [6]), (6, [-1])]);
        let mut to = vec![0; 24];
        gather(&walk, &from, &mut to);
        assert_eq!(to, turned.iter().copied().collect::<Vec<_>>());
        let walk = Walk::new([0], [(6, [1]), (2, [0]), (4, [6])]);
        let mut to = vec![0; 48];
        gather(&walk, &from, &mut to);
        for (i, &value) in to.iter().enumerate() {
            assert_eq!(value, i / 8 + 6 * (i % 4));
        }
    }
}
