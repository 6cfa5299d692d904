//! Copies a block of a tensor of any strides to other strides.
//!
//! ```text
//! to[Σ i_a · apart_a] = tensor[first + Σ i_a · step_a along the axis of a]        for all i_a < len_a
//! ```
//!
//! Axes that run on in both memories become one. Then the innermost axis of either memory decides: if they are one,
//! rows are copied; if they are two, they are transposed in registers. The block is checked once per copy, not once
//! per row. It knows no convolution.

use super::dispatch::{Available, Job, Level};
use super::grid::RowsMut;
use super::interleave::{SIDE, deinterleave_vectors, interleave_lines, transpose};
use super::prefetch::{line, prefetch};
use super::strided::{Plane, Strided};
use super::vector::Vector;
use crate::scalar::Scalar;

/// Most axes of a block.
const MOST_AXES: usize = 6;

/// Most elements that are prefetched at a time: part of a first-level cache.
const MOST_AHEAD: usize = 1 << 11;

/// About how many elements a line is prefetched before it is transposed.
const LINES_AHEAD: usize = 1 << 8;

/// An axis of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyAxis {
    /// The tensor's axis that it runs along.
    pub(crate) along: usize,
    pub(crate) len: usize,
    /// Indices of the tensor from one element to the next.
    pub(crate) step: usize,
    /// Elements of the target from one element to the next.
    pub(crate) apart: usize,
}

/// An axis in elements of memory: of the tensor, and of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loop {
    len: usize,
    from: isize,
    to: usize,
}

/// An axis of one element.
const ONCE: Loop = Loop { len: 1, from: 1, to: 1 };

/// How the two innermost axes are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyKind {
    /// `inner` runs along neighbours in both memories.
    Rows,
    /// `lane` runs along neighbours in the tensor, if there are any, `inner` along neighbours in the target.
    Transposed,
    /// The same, and `lane` is rows of so many elements that follow each other in the tensor without a gap, but lie
    /// `apart` in the target.
    Lines { columns: usize, apart: usize },
}

/// Blocks of one shape, ready to be copied from a tensor.
#[derive(Debug)]
pub(crate) struct BlockCopy<'s, 'a, T> {
    tensor: &'s Strided<'a, T>,
    /// Indices of the tensor from the first to the last element, along each of its axes.
    hull: [usize; 5],
    /// Elements of the target from the first to the last.
    reach: usize,
    kind: CopyKind,
    /// Outermost first.
    outer: [Loop; MOST_AXES - 1],
    lane: Loop,
    inner: Loop,
    /// Elements of the tensor to what will be copied soon.
    ahead: isize,
}

impl<'s, 'a, T: Scalar> BlockCopy<'s, 'a, T> {
    /// Blocks with some axes, the outermost first. They are copied channel by channel, unless channels are an axis of theirs.
    #[inline]
    pub(crate) fn new(tensor: &'s Strided<'a, T>, axes: &[CopyAxis]) -> Self {
        assert!(axes.len() <= MOST_AXES, "{} axes", axes.len());
        let mut hull = [1; 5];
        let (mut loops, mut count) = ([ONCE; MOST_AXES], 0);
        let mut reach = 1usize;
        for &CopyAxis { along, len, step, apart } in axes {
            if len == 0 {
                // Nothing is copied, whatever the other axes.
                (hull, reach) = ([0; 5], 0);
                break;
            }
            hull[along] += (len - 1) * step;
            reach += (len - 1) * apart;
            let this = Loop { len, from: step as isize * tensor.strides()[along], to: apart };
            if len == 1 {
                continue;
            }
            let before = if count > 0 { loops[count - 1] } else { ONCE };
            let runs_on = this.from.checked_mul(len as isize) == Some(before.from) && this.to * len == before.to;
            if count > 0 && runs_on {
                loops[count - 1] = Loop { len: before.len * len, ..this };
            } else {
                loops[count] = this;
                count += 1;
            }
        }
        let mut new = Self {
            tensor,
            hull,
            reach,
            kind: CopyKind::Rows,
            outer: [ONCE; MOST_AXES - 1],
            lane: ONCE,
            inner: ONCE,
            ahead: 2 * tensor.strides()[1],
        };
        new.arrange(&loops[..count]);
        new
    }

    /// Finds the two innermost axes.
    fn arrange(&mut self, loops: &[Loop]) {
        let last = |is: &dyn Fn(&Loop) -> bool| loops.iter().rposition(is);
        let inner = last(&|axis| axis.to == 1);
        let of_inner = inner.map_or(ONCE, |inner| loops[inner]);
        let mut lane = None;
        if inner.is_none() || of_inner.from != 1 {
            // Few neighbours are transposed well only if all of them are read, line after line.
            let pays = |axis: &Loop| axis.len >= SIDE || of_inner.from == axis.len as isize;
            lane = last(&|axis| axis.from == 1 && axis.to != 1 && pays(axis)).or(last(&|axis| axis.to != 1));
            self.kind = CopyKind::Transposed;
        }
        self.inner = of_inner;
        self.lane = lane.map_or(ONCE, |lane| loops[lane]);
        let outer = (0..loops.len()).filter(|&axis| Some(axis) != inner && Some(axis) != lane);
        let first = self.outer.len() - outer.clone().count();
        self.outer[first..].iter_mut().zip(outer).for_each(|(place, axis)| *place = loops[axis]);
        // The last axis around may run on in the tensor alone.
        let last = self.outer[MOST_AXES - 2];
        let Loop { len, from, to } = self.lane;
        if self.kind == CopyKind::Transposed && from == 1 && len > 1 && last.len > 1 && last.from == len as isize {
            self.kind = CopyKind::Lines { columns: len, apart: last.to };
            self.lane = Loop { len: len * last.len, from, to };
            self.outer.copy_within(..MOST_AXES - 2, 1);
            self.outer[0] = ONCE;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reach == 0
    }

    /// Copies the block whose first element is that at `first`.
    ///
    /// A block that leaves the tensor or the target is a broken internal contract and stops the program before any
    /// memory outside is touched.
    #[inline]
    pub(crate) fn copy(&self, level: Level, first: [usize; 5], to: &mut [T]) {
        if self.is_empty() {
            return;
        }
        let from = self.tensor.address(first, self.hull);
        assert!(self.reach <= to.len(), "{} elements are copied to a slice of {}", self.reach, to.len());
        level.run(CopyBlock { block: self, from, to });
    }
}

/// One copy, after its checks.
struct CopyBlock<'b, 's, 'a, 't, T> {
    block: &'b BlockCopy<'s, 'a, T>,
    from: *const T,
    to: &'t mut [T],
}

impl<T: Scalar> Job<T> for CopyBlock<'_, '_, '_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        let Self { block, from, to } = self;
        let BlockCopy { kind, outer: [a, b, c, rest @ ..], lane, inner, ahead, .. } = block;
        // Where the inner axis is the outermost one of the tensor, as samples are, its elements may lie a multiple of a
        // page apart, so that a cache holds few of them at a time: all of SIDE are copied before those of the next
        // ones.
        let is_outermost = block.outer.iter().all(|axis| axis.len == 1 || axis.from.abs() <= inner.from.abs());
        let is_far = is_outermost && inner.from.unsigned_abs() >= line::<T>();
        let group = if *kind == CopyKind::Transposed && is_far && lane.len >= SIDE { SIDE } else { inner.len };
        for first in (0..inner.len).step_by(group) {
            let count = group.min(inner.len - first);
            for i in 0..a.len {
                for j in 0..b.len {
                    for k in 0..c.len {
                        let offset = [(i, a), (j, b), (k, c), (first, inner)];
                        let at: isize = offset.iter().map(|(i, axis)| *i as isize * axis.from).sum();
                        let place: usize = offset.iter().map(|(i, axis)| *i * axis.to).sum();
                        let (from, to) = (from.wrapping_offset(at), &mut to[place..]);
                        // SAFETY: `from` is the address of the block's first element, moved along the axes of three
                        // loops and the inner one. `BlockCopy::copy` asserted that the hull of all axes lies in the tensor
                        // and that the target has an element for each: what is left, the elements of two loops, of the
                        // lane and of `count` of the inner axis, does, too.
                        unsafe {
                            match *kind {
                                // An axis of one element is none: rows have two at least.
                                CopyKind::Rows => match count {
                                    2..4 => rows::<T, 2>(from, to, rest, count),
                                    4..8 => rows::<T, 4>(from, to, rest, count),
                                    8..16 => rows::<T, 8>(from, to, rest, count),
                                    16..32 => rows::<T, 16>(from, to, rest, count),
                                    _ => long_rows(from, to, rest, count, *ahead),
                                },
                                CopyKind::Transposed => {
                                    planes(vectors, from, to, rest, (lane, inner, count), None, *ahead);
                                }
                                CopyKind::Lines { columns, apart } => {
                                    planes(
                                        vectors,
                                        from,
                                        to,
                                        rest,
                                        (lane, inner, count),
                                        Some((columns, apart)),
                                        *ahead,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The elements that two loops go through: where they are read, and where they are written.
#[inline(always)]
fn each<T>(from: *const T, [a, b]: &[Loop; 2]) -> impl Iterator<Item = (*const T, usize)> {
    let [a, b] = [*a, *b];
    (0..a.len).flat_map(move |i| {
        (0..b.len).map(move |j| {
            let at = i as isize * a.from + j as isize * b.from;
            (from.wrapping_offset(at), i * a.to + j * b.to)
        })
    })
}

/// Copies rows of N to 2 N elements, each by two copies of N elements that may overlap. The compiler knows N, so that a
/// short row takes neither a call nor a loop.
///
/// # Safety
/// `len` is at least N and at most 2 N, and `len` elements may be read from where each row begins, and lie in `to`.
#[inline(always)]
unsafe fn rows<T: Copy, const N: usize>(from: *const T, to: &mut [T], loops: &[Loop; 2], len: usize) {
    let to = to.as_mut_ptr();
    for (from, place) in each(from, loops) {
        // SAFETY: the row's elements may be read and lie in `to`, as `# Safety` demands, and both copies lie in the
        // row. What is read is borrowed as shared, and `to` mutably, so that they do not overlap.
        unsafe {
            let to = to.add(place);
            to.copy_from_nonoverlapping(from, N);
            to.add(len - N).copy_from_nonoverlapping(from.add(len - N), N);
        }
    }
}

/// Copies rows of any length.
///
/// It is a function of its own, so that what the other copies of a block need takes no registers of this loop, which calls
/// a copy of memory for each row and uses no vectors itself. `for_each` makes nested loops of both axes.
///
/// # Safety
/// `len` elements may be read from where each row begins, and lie in `to`.
#[inline(never)]
unsafe fn long_rows<T: Copy>(from: *const T, to: &mut [T], loops: &[Loop; 2], len: usize, ahead: isize) {
    each(from, loops).for_each(|(from, place)| {
        // Blocks lie far apart, so that a copy would wait for the memory of each: the rows of the block after the next
        // one are prefetched.
        announce(from.wrapping_offset(ahead), len);
        // SAFETY: the row's elements may be read, as `# Safety` demands. They are borrowed as shared, and `to` mutably,
        // so that they do not overlap.
        unsafe { to[place..][..len].as_mut_ptr().copy_from_nonoverlapping(from, len) };
    });
}

/// Copies planes of a lane and `count` elements of the inner axis: transposed, or as lines of rows of so many columns,
/// so far apart.
///
/// # Safety
/// The elements of each plane may be read.
#[inline(always)]
unsafe fn planes<T: Scalar, V: Vector<T>>(
    vectors: Available<V>,
    from: *const T,
    to: &mut [T],
    loops: &[Loop; 2],
    (lane, inner, count): (&Loop, &Loop, usize),
    lines: Option<(usize, usize)>,
    ahead: isize,
) {
    let is_dense = inner.from.unsigned_abs() < line::<T>();
    // Where blocks follow each other along the lane, what comes next are the lines after these.
    let is_along = ahead.unsigned_abs() < lane.len;
    let lines_ahead = if is_along { (LINES_AHEAD / lane.len).clamp(SIDE, 4 * SIDE) } else { 0 };
    for (from, place) in each(from, loops) {
        // SAFETY: the plane's elements may be read, as `# Safety` demands.
        let plane = unsafe { Plane::new(from, [lane.from, inner.from], [lane.len, count]) };
        if is_dense {
            announce(from.wrapping_offset(ahead), count * inner.from.unsigned_abs());
        } else if !is_along && lane.from == 1 && lane.len * count <= MOST_AHEAD {
            // Each line may lie in a page of its own.
            (0..count).for_each(|i| announce(from.wrapping_offset(ahead + i as isize * inner.from), lane.len));
        }
        let to = &mut to[place..];
        match (lines, plane.joined()) {
            (Some((columns, apart)), _) => interleave_lines(plane, columns, to, [apart, lane.to]),
            (None, Some(from)) if lane.len <= 5 => deinterleave_vectors(vectors, from, to, lane.to, lane.len),
            (None, _) => transpose(plane, &mut RowsMut::of(to, lane.to, lane.len, count), lines_ahead),
        }
    }
}

/// Prefetches elements, if there are any.
#[inline(always)]
fn announce<T>(from: *const T, count: usize) {
    for i in (0..count).step_by(line::<T>()) {
        prefetch(from.wrapping_add(i));
    }
}

#[cfg(test)]
mod tests;
