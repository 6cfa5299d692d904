//! Tensors as slices in order, and work shared among threads.
//!
//! Values lie one after the other almost always; a view of other strides is copied, so that kernels know slices alone. What is
//! computed never depends on the number of threads: they share whole chunks, and a chunk's values are made by one of them.

use std::borrow::Cow;

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use rayon::prelude::*;

/// Work, in elements read or operations, below which threads cost more than they save.
const WORTH_SHARING: usize = 1 << 15;

/// Whether work is worth being shared among the threads that there are.
pub(crate) fn is_worth_sharing(work: usize) -> bool {
    work >= WORTH_SHARING && convmat::threads() > 1
}

/// The elements in order; a copy where they do not lie so.
pub(crate) fn in_order<'a, T: Copy>(view: &ArrayViewD<'a, T>) -> Cow<'a, [T]> {
    match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().copied().collect()),
    }
}

/// Has all elements computed in order; through a copy where they do not lie so.
pub(crate) fn fill<T: Copy, R>(mut view: ArrayViewMutD<T>, compute: impl FnOnce(&mut [T]) -> R) -> R {
    if let Some(slice) = view.as_slice_mut() {
        return compute(slice);
    }
    let mut copy: Vec<T> = view.iter().copied().collect();
    let result = compute(&mut copy);
    view.iter_mut().zip(copy).for_each(|(to, value)| *to = value);
    result
}

/// Whether elements along the last axis lie one after the other.
pub(crate) fn lies_in_rows(shape: &[usize], strides: &[isize]) -> bool {
    matches!((shape.last(), strides.last()), (None | Some(1), _) | (_, Some(1)))
}

/// Has pieces computed that lie in order in both tensors, as large as they are: whole tensors, or those of an index of each of the first
/// axes, `outer` at most, which are the same in both. Through copies where pieces do not lie so.
pub(crate) fn in_pieces<A: Copy + Sync, B: Copy + Send>(
    x: ArrayViewD<A>,
    mut y: ArrayViewMutD<B>,
    outer: usize,
    each: &(impl Fn(&[A], &mut [B]) + Sync),
) {
    if let (Some(x), Some(y)) = (x.as_slice(), y.as_slice_mut()) {
        return each(x, y);
    }
    let (axis, n) = (Axis(0), y.shape().first().copied().unwrap_or(0));
    let lie_in_rows = lies_in_rows(x.shape(), x.strides()) && lies_in_rows(y.shape(), y.strides());
    if outer == 0 || n == 0 || !lie_in_rows || x.shape().first() != Some(&n) {
        let x = in_order(&x);
        return fill(y, |y| each(&x, y));
    }
    if n == 1 {
        return in_pieces(x.index_axis_move(axis, 0), y.index_axis_move(axis, 0), outer - 1, each);
    }
    let is_shared = is_worth_sharing(x.len().max(y.len()));
    let ((x, x_rest), (y, y_rest)) = (x.split_at(axis, n / 2), y.split_at(axis, n / 2));
    let (first, second) = (|| in_pieces(x, y, outer, each), || in_pieces(x_rest, y_rest, outer, each));
    if is_shared {
        rayon::join(first, second);
    } else {
        first();
        second();
    }
}

/// Has every chunk of `len` elements computed, on several threads if the work in all is worth it.
pub(crate) fn for_chunks<T: Send>(slice: &mut [T], len: usize, work: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    if len == 0 {
        return;
    }
    if slice.len() <= len || !is_worth_sharing(work) {
        slice.chunks_mut(len).enumerate().for_each(|(number, chunk)| each(number, chunk));
    } else {
        slice.par_chunks_mut(len).enumerate().for_each(|(number, chunk)| each(number, chunk));
    }
}

/// The same for chunks of two slices, which belong together.
pub(crate) fn for_pairs<T: Send, U: Send>(
    (first, first_len): (&mut [T], usize),
    (second, second_len): (&mut [U], usize),
    work: usize,
    each: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    if first_len == 0 || second_len == 0 {
        return;
    }
    if !is_worth_sharing(work) {
        let pairs = first.chunks_mut(first_len).zip(second.chunks_mut(second_len));
        pairs.enumerate().for_each(|(number, (first, second))| each(number, first, second));
    } else {
        let pairs = first.par_chunks_mut(first_len).zip(second.par_chunks_mut(second_len));
        pairs.enumerate().for_each(|(number, (first, second))| each(number, first, second));
    }
}

/// `Σ f(xᵢ)` in f64, in eight sums that the compiler keeps in vectors.
pub(crate) fn sum(values: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0f64; 8];
    let blocks = values.chunks_exact(8);
    let mut rest = 0.0;
    for &value in blocks.remainder() {
        rest += f(f64::from(value));
    }
    for block in blocks {
        for (sum, &value) in sums.iter_mut().zip(block) {
            *sum += f(f64::from(value));
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    #[test]
    fn views_of_any_strides_are_seen_in_order() {
        let array = ArrayD::from_shape_fn(IxDyn(&[2, 3]), |at| 3 * at[0] + at[1]);
        assert!(matches!(in_order(&array.view()), Cow::Borrowed(&[0, 1, 2, 3, 4, 5])));
        assert_eq!(*in_order(&array.t()), [0, 3, 1, 4, 2, 5]);
        let mut to = ArrayD::from_elem(IxDyn(&[3, 2]), 9);
        fill(to.view_mut().reversed_axes(), |slice| slice.iter_mut().enumerate().for_each(|(i, to)| *to = i));
        assert_eq!(to, array.t());
    }

    #[test]
    fn chunks_are_numbered_whether_shared_or_not() {
        for work in [0, WORTH_SHARING] {
            let mut slice = [0; 10];
            for_chunks(&mut slice, 4, work, |number, chunk| chunk.fill(number));
            assert_eq!(slice, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
            for_chunks(&mut slice, 0, work, |_, _| unreachable!());
            let mut other = [0; 5];
            for_pairs((&mut slice, 4), (&mut other, 2), work, |number, first, second| {
                first.fill(10 + number);
                second.fill(20 + number);
            });
            assert_eq!((slice[9], other), (12, [20, 20, 21, 21, 22]));
        }
    }

    #[test]
    fn sums_are_exact_where_f64_is() {
        for n in 0..40 {
            let values: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            assert_eq!(sum(&values, |x| x * x), f64::from(n * (n + 1) * (2 * n + 1) / 6));
        }
    }
}
