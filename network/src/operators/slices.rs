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
    let n = y.shape().first().copied().unwrap_or(0);
    let lie_in_rows = x.lie_in_rows() && lies_in_rows(y.shape(), y.strides());
    if outer == 0 || n == 0 || !lie_in_rows || x.ndim() != y.ndim() || x.shape()[0] != n {
        let x = in_order(&x);
        return fill(y, |y| each(&x, y));
    }
    let outer = if n == 1 { outer - 1 } else { outer };
    in_halves(x, y, &|x, y| in_pieces(x, y, outer, each));
}

/// Tensors that are read beside one that is written, and may have fewer axes or be of length 1 along them: they are broadcast.
pub(crate) trait Broadcast: Clone + Send {
    /// The most elements that one of them has.
    fn most(&self) -> usize;

    /// Whether elements along all their last axes lie one after the other.
    fn lie_in_rows(&self) -> bool;

    /// What they have for the only index of the first of so many axes.
    fn within_first(self, rank: usize) -> Self;

    /// What they have for each half of so many indices of the first of so many axes.
    fn halves(self, rank: usize, indices: usize) -> (Self, Self);
}

impl<T: Sync> Broadcast for ArrayViewD<'_, T> {
    fn most(&self) -> usize {
        self.len()
    }

    fn lie_in_rows(&self) -> bool {
        lies_in_rows(self.shape(), self.strides())
    }

    fn within_first(self, rank: usize) -> Self {
        if self.ndim() == rank { self.index_axis_move(Axis(0), 0) } else { self }
    }

    fn halves(self, rank: usize, indices: usize) -> (Self, Self) {
        match self.ndim() == rank && self.shape().first() == Some(&indices) {
            true => self.split_at(Axis(0), indices / 2),
            false => (self.clone(), self),
        }
    }
}

impl<A: Broadcast, B: Broadcast> Broadcast for (A, B) {
    fn most(&self) -> usize {
        self.0.most().max(self.1.most())
    }

    fn lie_in_rows(&self) -> bool {
        self.0.lie_in_rows() && self.1.lie_in_rows()
    }

    fn within_first(self, rank: usize) -> Self {
        (self.0.within_first(rank), self.1.within_first(rank))
    }

    fn halves(self, rank: usize, indices: usize) -> (Self, Self) {
        let ((a, a_rest), (b, b_rest)) = (self.0.halves(rank, indices), self.1.halves(rank, indices));
        ((a, b), (a_rest, b_rest))
    }
}

/// Has both halves of a tensor along its first axis computed, on two threads if that is worth it; of an axis of length 1 the tensor
/// without it.
pub(crate) fn in_halves<R: Broadcast, T: Send>(
    read: R,
    to: ArrayViewMutD<T>,
    each: &(impl Fn(R, ArrayViewMutD<T>) + Sync),
) {
    let (rank, n) = (to.ndim(), to.shape().first().copied().unwrap_or(0));
    if n == 1 {
        return each(read.within_first(rank), to.index_axis_move(Axis(0), 0));
    }
    let is_shared = is_worth_sharing(read.most().max(to.len()));
    let ((read, read_rest), (to, to_rest)) = (read.halves(rank, n), to.split_at(Axis(0), n / 2));
    let (first, second) = (|| each(read, to), || each(read_rest, to_rest));
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
