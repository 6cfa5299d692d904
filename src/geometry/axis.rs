//! One spatial axis: the index relation, and everything that follows from it.
//!
//! ```text
//! small·stride + tap·dilation − begin = large
//! ```
//!
//! `small` indexes y in y = C·x, `large` indexes x, `tap` the kernel. A triple contributes exactly if the relation
//! holds and each index lies in its range. This is the only file that does this algebra: sizes, valid ranges,
//! windows and residue classes are asked for here and derived nowhere else. It knows no channels, arrays or weights.

mod derived;
mod links;

use std::iter::StepBy;
use std::ops::Range;

pub(crate) use links::TapRanges;
use links::{Classes, ceil_quotient};
pub use links::{Links, Progression, TapRange};

use crate::error::{Error, Result};

/// Bound on every quantity of an axis, so that the relation can be evaluated in `isize` without overflow.
const LIMIT: usize = isize::MAX as usize / 4;

/// Which end of the relation an index belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The output of a convolution, the input of a transposed convolution.
    Small,
    /// The input of a convolution, the output of a transposed convolution.
    Large,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Side::Small => Side::Large,
            Side::Large => Side::Small,
        }
    }
}

/// One axis of a convolution: `small·stride + tap·dilation − begin = large`.
///
/// An axis holds *both* lengths. How they came about (padding at the end, output padding, "same") is forgotten once it
/// is built: several lengths share one partner as soon as the stride exceeds 1, so neither may be derived from the other.
///
/// `begin` is the padding before the first element. It is signed: users give pads ≥ 0, windows make it negative.
///
/// ```
/// use convmat::geometry::Axis;
/// # fn main() -> convmat::Result<()> {
/// // x of length 5, kernel 3, stride 2, padding 1: y has length 3.
/// let axis = Axis::new(3, 5, 3, 2, 1, 1)?;
/// assert_eq!(axis.large_at(0, 0), None); // falls into the padding
/// assert_eq!(axis.large_at(1, 0), Some(1));
/// assert_eq!(axis.small_at(1, 0), Some(1));
/// assert_eq!(axis.taps_of_small(0), 1..3);
/// assert_eq!(axis.entries(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    small: usize,
    large: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    begin: isize,
}

/// A tap that connects an index of one side with an index of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The tap, `0 ≤ tap < kernel`.
    pub tap: usize,
    /// The index on the other side.
    pub other: usize,
}

impl Axis {
    /// An axis from both lengths. The lengths may be 0 (an empty window), the other three may not.
    ///
    /// # Errors
    /// [`Error::Zero`] for a kernel, stride or dilation of 0; [`Error::Overflow`] if an index could leave the range of
    /// `isize / 4`. The axis is named 0.
    pub fn new(
        small: usize,
        large: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        begin: isize,
    ) -> Result<Self> {
        for (what, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if value == 0 {
                return Err(Error::Zero { what, axis: 0 });
            }
        }
        let fits = |value: Option<usize>| value.is_some_and(|v| v <= LIMIT);
        if !fits(small.checked_mul(stride))
            || !fits(Some(stride))
            || !fits(kernel.checked_mul(dilation))
            || !fits(Some(large))
            || !fits(Some(begin.unsigned_abs()))
        {
            return Err(Error::Overflow { what: "an index of the convolution" });
        }
        Ok(Self { small, large, kernel, stride, dilation, begin })
    }

    /// The neutral axis: length 1 on both sides, kernel, stride and dilation 1. It stands for an absent axis.
    pub const fn neutral() -> Self {
        Self { small: 1, large: 1, kernel: 1, stride: 1, dilation: 1, begin: 0 }
    }

    /// Length of the small side.
    pub const fn small(&self) -> usize {
        self.small
    }

    /// Length of the large side.
    pub const fn large(&self) -> usize {
        self.large
    }

    /// Number of taps.
    pub const fn kernel(&self) -> usize {
        self.kernel
    }

    /// Step of `large` per step of `small`.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Step of `large` per tap.
    pub const fn dilation(&self) -> usize {
        self.dilation
    }

    /// Padding before the first element; negative for windows.
    pub const fn begin(&self) -> isize {
        self.begin
    }

    /// Length of one side.
    pub const fn length(&self, side: Side) -> usize {
        match side {
            Side::Small => self.small,
            Side::Large => self.large,
        }
    }

    /// Extent of the kernel on the large side, `(kernel − 1)·dilation + 1`.
    pub const fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// `small·stride + tap·dilation − begin`, whether or not it is in range.
    const fn landing(&self, small: usize, tap: usize) -> isize {
        (small * self.stride + tap * self.dilation) as isize - self.begin
    }

    /// The large index of a (small, tap) pair, if all three are in range. O(1).
    pub fn large_at(&self, small: usize, tap: usize) -> Option<usize> {
        if small >= self.small || tap >= self.kernel {
            return None;
        }
        usize::try_from(self.landing(small, tap)).ok().filter(|&large| large < self.large)
    }

    /// The small index of a (large, tap) pair, if the tap connects them. O(1).
    pub fn small_at(&self, large: usize, tap: usize) -> Option<usize> {
        if large >= self.large || tap >= self.kernel {
            return None;
        }
        let scaled = usize::try_from(large as isize + self.begin - (tap * self.dilation) as isize).ok()?;
        (scaled.is_multiple_of(self.stride) && scaled / self.stride < self.small).then_some(scaled / self.stride)
    }

    /// The taps that stay inside `large` at one small index: always a contiguous range. O(1).
    pub fn taps_of_small(&self, small: usize) -> Range<usize> {
        if small >= self.small {
            return 0..0;
        }
        let first = -self.landing(small, 0);
        range_of_multiples(first, first + self.large as isize, self.dilation, self.kernel)
    }

    /// The large indices that one small index is connected with, ascending. O(1) to start.
    pub(crate) fn larges_of_small(&self, small: usize) -> StepBy<Range<usize>> {
        let taps = self.taps_of_small(small);
        // In range by construction of `taps`.
        let landing = |tap: usize| self.landing(small, tap) as usize;
        let range = if taps.is_empty() { 0..0 } else { landing(taps.start)..landing(taps.end - 1) + 1 };
        range.step_by(self.dilation)
    }

    /// Whether some tap connects a small index with a large one. O(1).
    pub(crate) fn connects(&self, small: usize, large: usize) -> bool {
        if small >= self.small || large >= self.large {
            return false;
        }
        // tap·dilation
        let offset = usize::try_from(large as isize - self.landing(small, 0));
        offset.is_ok_and(|offset| offset.is_multiple_of(self.dilation) && offset / self.dilation < self.kernel)
    }

    /// Whether some small index is connected with nothing: its window lies beside the large side, or steps over it.
    /// O(min(small, large)) where the dilation is longer than the large side, O(1) otherwise.
    pub(crate) fn has_small_without_taps(&self) -> bool {
        // Within one period of (small·stride) mod dilation every remainder occurs once, and at most `large` of them come to
        // lie inside: a period without an empty window is no longer than that. Beyond it only the ends can be empty.
        let period = if self.dilation > self.large { self.large + 1 } else { 1 };
        let last = self.small.checked_sub(1);
        (0..self.small.min(period)).chain(last).any(|small| self.taps_of_small(small).is_empty())
    }

    /// The small indices at which one tap stays inside `large`: always a contiguous range. O(1).
    pub fn smalls_of_tap(&self, tap: usize) -> Range<usize> {
        self.smalls_landing_in(tap, 0..self.large)
    }

    /// The small indices that one tap brings into a range of large indices. O(1).
    fn smalls_landing_in(&self, tap: usize, large: Range<usize>) -> Range<usize> {
        if tap >= self.kernel {
            return 0..0;
        }
        let shift = -self.landing(0, tap);
        range_of_multiples(large.start as isize + shift, large.end as isize + shift, self.stride, self.small)
    }

    /// The taps that reach one large index, descending, so that the small indices they come from ascend; [`links`](Self::links)
    /// answers the same for many indices sooner. O(log stride).
    pub fn taps_of_large(&self, large: usize) -> Progression {
        self.links(Side::Large).at(large)
    }

    /// The first tap of the residue class of a large index and the step between its taps, if taps reach the class.
    pub(super) fn residue_class(&self, large: usize) -> Option<(usize, usize)> {
        let classes = Classes::of(self);
        let first = classes.first_tap(self.class_of_large(large)).filter(|&first| first < self.kernel)?;
        Some((first, classes.tap_step))
    }

    /// The residue class that a tap reaches, `tap·dilation mod stride`: large indices of [`class_of_large`](Self::class_of_large).
    pub const fn class_of_tap(&self, tap: usize) -> usize {
        // Both factors below the stride: their product fits 128 bits.
        ((tap % self.stride) as u128 * (self.dilation % self.stride) as u128 % self.stride as u128) as usize
    }

    /// The residue class of a large index, `(large + begin) mod stride`. Only taps of the same class reach it.
    pub const fn class_of_large(&self, large: usize) -> usize {
        // Any index is allowed, so it is reduced before the sum; a stride is at most a quarter of what fits.
        let begin = self.begin.rem_euclid(self.stride as isize) as usize;
        (large % self.stride + begin) % self.stride
    }

    /// Step between the taps of one residue class, `stride / gcd(stride, dilation)`. From one of them to the next higher one the
    /// small index that reaches the same large index falls by [`small_step`](Self::small_step).
    pub fn tap_step(&self) -> usize {
        Classes::of(self).tap_step
    }

    /// Step between the small indices from which consecutive taps of one residue class reach the same large index,
    /// `dilation / gcd(stride, dilation)`.
    pub fn small_step(&self) -> usize {
        Classes::of(self).small_step
    }

    /// Number of (small, tap, large) triples. O(kernel).
    pub fn entries(&self) -> u128 {
        (0..self.kernel).map(|tap| self.smalls_of_tap(tap).len() as u128).sum()
    }

    /// The smallest range of small indices outside of which nothing touches the given large indices. O(kernel).
    ///
    /// Both ends of a non-empty result are needed; an empty result is `0..0`. The request is clipped to the axis.
    pub fn small_needed(&self, large: Range<usize>) -> Range<usize> {
        let large = clip(large, self.large);
        hull((0..self.kernel).map(|tap| self.smalls_landing_in(tap, large.clone())))
    }

    /// The smallest range of large indices outside of which nothing touches the given small indices. O(kernel).
    ///
    /// Both ends of a non-empty result are needed; an empty result is `0..0`. The request is clipped to the axis.
    pub fn large_needed(&self, small: Range<usize>) -> Range<usize> {
        let small = clip(small, self.small);
        hull((0..self.kernel).map(|tap| {
            let valid = self.smalls_of_tap(tap);
            let (first, end) = (small.start.max(valid.start), small.end.min(valid.end));
            if first >= end {
                return 0..0;
            }
            // In range by construction of `valid`.
            self.landing(first, tap) as usize..self.landing(end - 1, tap) as usize + 1
        }))
    }
}

/// The i in 0..count with `low ≤ i·step < high`.
fn range_of_multiples(low: isize, high: isize, step: usize, count: usize) -> Range<usize> {
    let ceil_div = |value: isize| ceil_quotient(value.max(0) as usize, step);
    let (start, end) = (ceil_div(low), ceil_div(high).min(count));
    if start < end { start..end } else { 0..0 }
}

/// The smallest range that holds all the given ones; `0..0` if all are empty.
fn hull(ranges: impl Iterator<Item = Range<usize>>) -> Range<usize> {
    ranges.filter(|range| !range.is_empty()).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
}

fn clip(range: Range<usize>, length: usize) -> Range<usize> {
    range.start.min(length)..range.end.min(length)
}

/// g = gcd(a, modulus) and the inverse of a/g modulo modulus/g, by the extended Euclidean algorithm. Needs modulus ≥ 1.
fn gcd_and_inverse(a: usize, modulus: usize) -> (usize, usize) {
    // Invariant: r ≡ t·a (mod modulus) for both (r, t) pairs.
    let (mut r, mut next_r) = (modulus as i128, a as i128);
    let (mut t, mut next_t) = (0i128, 1i128);
    while next_r != 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    (r as usize, t.rem_euclid(modulus as i128 / r) as usize)
}

#[cfg(test)]
mod tests;
