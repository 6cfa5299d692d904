//! Disjoint cells of an output, handed out to whichever thread asks next.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::ArrayViewMut5;

use super::interleave::transpose;
use super::prefetch::{line, prefetch};
use super::scatter::Places;
use super::strided::{Plane, strides};
use crate::scalar::Scalar;

/// Where one axis is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cuts<'a> {
    /// Into pieces of a length, the last one shorter.
    Every(usize),
    /// At ascending starts, the first of them 0.
    At(&'a [usize]),
}

impl Cuts<'_> {
    fn pieces(self, length: usize) -> usize {
        match self {
            Cuts::Every(size) => length.div_ceil(size),
            Cuts::At(starts) => starts.len(),
        }
    }

    fn start(self, piece: usize, length: usize) -> usize {
        match self {
            Cuts::Every(size) => (piece * size).min(length),
            Cuts::At(starts) => starts.get(piece).copied().unwrap_or(length),
        }
    }
}

/// A tensor `[batch, channels, D, H, W]` cut along every axis. Each cell is handed out once, so no two threads ever
/// hold the same element. Cells are handed out channel by channel (outermost), then by batch, depth, height and width
/// (innermost), unless [`channels_first`](Self::channels_first) says otherwise.
pub(crate) struct Grid<'a, T> {
    start: *mut T,
    shape: [usize; 5],
    strides: [isize; 5],
    cuts: [Cuts<'a>; 5],
    pieces: [usize; 5],
    /// Axes, the innermost first.
    order: [usize; 5],
    next: AtomicUsize,
    tensor: PhantomData<&'a mut [T]>,
}

// SAFETY: a shared grid gives access to elements by `take` alone. `take` counts up an atomic, so that it returns every
// cell once, and cells share no element, because `new` asserts that cuts ascend within their axis and a mutable view
// has no two indices of one element. So every element is in the hands of one thread at a time, which T: Send allows.
unsafe impl<T: Send> Sync for Grid<'_, T> {}

impl<'a, T> Grid<'a, T> {
    /// Cuts a view. Cuts that are not ascending from 0 within the axis are a broken internal contract and stop the program.
    pub(crate) fn new(mut view: ArrayViewMut5<'a, T>, cuts: [Cuts<'a>; 5]) -> Self {
        let shape: [usize; 5] = view.dim().into();
        for (cuts, &length) in cuts.iter().zip(&shape) {
            let is_sound = match cuts {
                Cuts::Every(size) => *size > 0,
                Cuts::At(starts) => {
                    starts.first().is_none_or(|&first| first == 0)
                        && starts.is_sorted_by(|a, b| a < b)
                        && starts.last().is_none_or(|&last| last < length)
                        && (length == 0 || !starts.is_empty())
                }
            };
            assert!(is_sound, "{cuts:?} do not cut an axis of {length}");
        }
        let pieces = std::array::from_fn(|i| cuts[i].pieces(shape[i]));
        let strides = strides(shape, std::array::from_fn(|i| view.strides()[i]));
        let (start, next) = (view.as_mut_ptr(), AtomicUsize::new(0));
        Self { start, shape, strides, cuts, pieces, order: [4, 3, 2, 0, 1], next, tensor: PhantomData }
    }

    /// Hands out all channels of a position before the next position: the order of memory where channels lie side by
    /// side.
    pub(crate) fn channels_first(self) -> Self {
        Self { order: [1, 4, 3, 2, 0], ..self }
    }

    /// Number of cells.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().product()
    }

    /// The next cell that nobody has, if one is left.
    pub(crate) fn take(&self) -> Option<Cell<'_, T>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.len() {
            return None;
        }
        let mut rest = number;
        let mut index = [0; 5];
        for axis in self.order {
            index[axis] = rest % self.pieces[axis];
            rest /= self.pieces[axis];
        }
        let first: [usize; 5] = std::array::from_fn(|i| self.cuts[i].start(index[i], self.shape[i]));
        let shape = std::array::from_fn(|i| self.cuts[i].start(index[i] + 1, self.shape[i]) - first[i]);
        let offset = first.iter().zip(self.strides).map(|(&first, stride)| first as isize * stride).sum();
        // SAFETY: `number < self.len()` makes every `index[i]` less than `pieces[i]`, and `new` asserted that cuts
        // ascend within the axis, so that `first[i] < shape[i]`: `offset` leads to an element of the view.
        let start = unsafe { self.start.offset(offset) };
        Some(Cell { index, first, shape, start, strides: self.strides, tensor: PhantomData })
    }
}

/// A box of the output. It shares no element with any other cell, so that its holder alone writes it.
pub(crate) struct Cell<'a, T> {
    /// Number of the piece along every axis.
    pub(crate) index: [usize; 5],
    /// First element along every axis.
    pub(crate) first: [usize; 5],
    pub(crate) shape: [usize; 5],
    start: *mut T,
    strides: [isize; 5],
    tensor: PhantomData<&'a mut [T]>,
}

impl<T: Copy> Cell<'_, T> {
    /// Distance in memory from the cell's first element to that at `[s, c, d, h, w]`. Asserts that `count` elements
    /// along the width from there on lie inside of the cell.
    #[inline(always)]
    fn offset(&self, [s, c, d, h, w]: [usize; 5], count: usize) -> isize {
        let [samples, channels, depth, height, width] = self.shape;
        let is_inside = s < samples && c < channels && d < depth && h < height && w < width && count <= width - w;
        assert!(is_inside, "{count} elements from {:?} leave a cell of {:?}", [s, c, d, h, w], self.shape);
        let [of_s, of_c, of_d, of_h, of_w] = self.strides;
        s as isize * of_s + c as isize * of_c + d as isize * of_d + h as isize * of_h + w as isize * of_w
    }

    /// Whether elements along the width lie side by side.
    #[inline(always)]
    pub(crate) fn is_contiguous(&self) -> bool {
        self.strides[4] == 1
    }

    /// `count` elements along the width from `at`, if they lie side by side.
    #[inline(always)]
    pub(crate) fn row(&mut self, at: [usize; 5], count: usize) -> Option<&mut [T]> {
        if !self.is_contiguous() {
            return None;
        }
        let offset = self.offset(at, count);
        // SAFETY: `offset` asserted that `count` elements along the width lie inside of the cell, and they are
        // contiguous, because the stride is 1. No other cell holds them, and the slice borrows this one mutably, so it
        // is the only way to them.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.offset(offset), count) })
    }

    /// The rows of `channels` channels from `at`, `count` elements along the width each, if they lie side by side.
    #[inline(always)]
    pub(crate) fn rows_of_channels(&mut self, at: [usize; 5], channels: usize, count: usize) -> Option<RowsMut<'_, T>> {
        if !self.is_contiguous() || channels == 0 {
            return None;
        }
        let offset = self.offset_of_channels(at, channels, count);
        let start = self.start.wrapping_offset(offset);
        Some(RowsMut { start, step: self.strides[1], rows: channels, len: count, cell: PhantomData })
    }

    /// As [`offset`](Self::offset), and asserts that the same elements of `channels` channels from there on lie inside
    /// of the cell.
    #[inline(always)]
    fn offset_of_channels(&self, at: [usize; 5], channels: usize, count: usize) -> isize {
        let offset = self.offset(at, count);
        assert!(channels <= self.shape[1] - at[1], "{channels} channels from {at:?} leave a cell of {:?}", self.shape);
        offset
    }

    /// Whether the elements of a channel of a sample lie side by side, in order.
    #[inline(always)]
    pub(crate) fn has_planes(&self) -> bool {
        let [_, _, depth, height, width] = self.shape;
        let [_, _, of_d, of_h, of_w] = self.strides;
        of_w == 1 && (height == 1 || of_h == width as isize) && (depth == 1 || of_d == (height * width) as isize)
    }

    /// All elements of a channel of a sample, if they lie side by side.
    #[inline(always)]
    pub(crate) fn plane(&mut self, s: usize, c: usize) -> Option<&mut [T]> {
        if !self.has_planes() {
            return None;
        }
        let [_, _, depth, height, width] = self.shape;
        let offset = self.offset([s, c, 0, 0, 0], width);
        // SAFETY: `offset` asserted that `s` and `c` are a sample and a channel of the cell. `has_planes` says that each
        // of its rows begins where the row before ends, and each plane where the plane before ends, so that its depth ·
        // height · width elements are contiguous. No other cell holds them, and the slice borrows this one mutably.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.offset(offset), depth * height * width) })
    }

    /// Prefetches `count` elements along the width of `channels` channels from `at`, which will be written soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: [usize; 5], channels: usize, count: usize) {
        let start = self.start.wrapping_offset(self.offset_of_channels(at, channels, count));
        for channel in 0..channels {
            let start = start.wrapping_offset(channel as isize * self.strides[1]);
            for i in (0..count).step_by(line::<T>()) {
                prefetch(start.wrapping_offset(i as isize * self.strides[4]));
            }
        }
    }

    /// Whether `places` were made for planes of these strides and for cells of this shape; the cell may have fewer
    /// samples.
    pub(crate) fn suits(&self, places: &Places) -> bool {
        let ([samples, _, shape @ ..], [_, _, strides @ ..]) = (self.shape, self.strides);
        samples <= places.shape[0] && (&places.shape[1..], places.strides) == (&shape[..], strides)
    }

    /// The first element of a channel of a sample of the cell, and the distance to that of the next sample.
    pub(super) fn plane_start(&mut self, s: usize, c: usize) -> (*mut T, isize) {
        let [of_s, of_c, ..] = self.strides;
        (self.start.wrapping_offset(s as isize * of_s + c as isize * of_c), of_s)
    }

    /// Writes lines along the width to channels from `at`, however far apart elements lie there: element (i, j) goes to
    /// column i of channel j.
    pub(crate) fn write(&mut self, at: [usize; 5], lines: Plane<T>)
    where
        T: Scalar,
    {
        let [count, channels] = lines.lens();
        let start = self.start.wrapping_offset(self.offset_of_channels(at, channels, count));
        let [_, of_channel, .., of_width] = self.strides;
        if of_channel == 1 && of_width != 1 {
            // All channels of a position are neighbours.
            let mut rows = RowsMut { start, step: of_width, rows: count, len: channels, cell: PhantomData };
            return transpose(lines, &mut rows, 0);
        }
        for channel in 0..channels {
            for i in 0..count {
                let offset = channel as isize * of_channel + i as isize * of_width;
                // SAFETY: `offset_of_channels` asserted that as many elements along the width lie inside of the cell in
                // as many channels, and this one is `i` strides along in one of them. No other cell holds it, and this
                // one is borrowed mutably.
                unsafe { *start.offset(offset) = lines.get(i, channel) }
            }
        }
    }
}

/// Rows of neighbours, equally long and equally far apart: of a cell, or of a slice.
pub(crate) struct RowsMut<'a, T> {
    start: *mut T,
    step: isize,
    rows: usize,
    len: usize,
    cell: PhantomData<&'a mut [T]>,
}

impl<'a, T> RowsMut<'a, T> {
    /// A slice as a row.
    #[inline(always)]
    pub(crate) fn one(row: &'a mut [T]) -> Self {
        Self { start: row.as_mut_ptr(), step: 0, rows: 1, len: row.len(), cell: PhantomData }
    }

    /// `rows` rows of `len` elements that begin `step` apart in a slice.
    #[inline(always)]
    pub(crate) fn of(slice: &'a mut [T], step: usize, rows: usize, len: usize) -> Self {
        let last = rows.saturating_sub(1).checked_mul(step).and_then(|last| last.checked_add(len));
        let is_inside = rows == 0 || last.is_some_and(|end| end <= slice.len());
        assert!(is_inside, "{rows} rows of {len}, {step} apart, leave a slice of {}", slice.len());
        Self { start: slice.as_mut_ptr(), step: step as isize, rows, len, cell: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn row(&mut self, number: usize) -> &mut [T] {
        assert!(number < self.rows, "row {number} of {}", self.rows);
        // SAFETY: `Cell` asserts that `len` contiguous elements of `rows` rows, `step` apart, lie inside of the cell
        // before it makes these, `of` that they lie in its slice, and `one` has a single row, its slice. `number` is
        // one of them. `self` holds the mutable borrow of the cell or slice for 'a, and the row borrows `self` mutably,
        // so that it is the only way to these elements.
        unsafe { std::slice::from_raw_parts_mut(self.start.offset(number as isize * self.step), self.len) }
    }
}

#[cfg(test)]
mod tests;
