//! What taps connect, computed when it is asked for: the links of an index are an arithmetic progression, and so are the
//! indices of a tap. Nothing here grows with the lengths of an axis or with its kernel.

use std::ops::Range;

use super::{Axis, Link, Side, gcd_and_inverse};

/// For every index of one side its [`Link`]s, ascending in `other`. It holds a few numbers, whatever the lengths.
///
/// ```
/// use convmat::geometry::{Axis, Side};
/// # fn main() -> convmat::Result<()> {
/// // x of length 5, kernel 3, stride 2, padding 1: x[1] is read by tap 2 of y[0] and by tap 0 of y[1].
/// let links = Axis::new(3, 5, 3, 2, 1, 1)?.links(Side::Large);
/// let of_one: Vec<_> = links.at(1).map(|link| (link.other, link.tap)).collect();
/// assert_eq!(of_one, [(0, 2), (1, 0)]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    axis: Axis,
    side: Side,
    classes: Classes,
}

/// The links of one index: taps and other indices at steps of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progression {
    next: Link,
    /// From one link to the next; taps descend from the large side.
    tap_step: isize,
    other_step: usize,
    left: usize,
}

impl Progression {
    const NONE: Self = Self { next: Link { tap: 0, other: 0 }, tap_step: 0, other_step: 0, left: 0 };
}

impl Iterator for Progression {
    type Item = Link;

    #[inline]
    fn next(&mut self) -> Option<Link> {
        self.left = self.left.checked_sub(1)?;
        let link = self.next;
        // The step behind the last link may leave the range; nobody reads what it leads to.
        self.next.tap = link.tap.wrapping_add_signed(self.tap_step);
        self.next.other = link.other.wrapping_add(self.other_step);
        Some(link)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Progression {}

impl Links {
    /// The links of one index; none for an index that no tap reaches or that is out of range. O(1).
    #[inline]
    pub fn at(&self, index: usize) -> Progression {
        let axis = &self.axis;
        if index >= axis.length(self.side) {
            return Progression::NONE;
        }
        match self.side {
            Side::Small => {
                let taps = axis.taps_of_small(index);
                if taps.is_empty() {
                    return Progression::NONE;
                }
                let other = axis.landing(index, taps.start) as usize;
                let next = Link { tap: taps.start, other };
                Progression { next, tap_step: 1, other_step: axis.dilation, left: taps.len() }
            }
            Side::Large => self.of_large(index).unwrap_or(Progression::NONE),
        }
    }

    /// The links of a large index in range. Its class has the taps `first + i·tap_step`, which come from the small indices
    /// `highest − i·small_step`; of these the ones in range are wanted.
    #[inline]
    fn of_large(&self, large: usize) -> Option<Progression> {
        let Axis { small, kernel, stride, dilation, begin, .. } = self.axis;
        let Classes { tap_step, small_step, .. } = self.classes;
        let shifted = large as isize + begin;
        let first = self.classes.first_tap(remainder(shifted, stride)).filter(|&first| first < kernel)?;
        // Exact, because the tap is of the index's class.
        let highest = quotient(shifted - (first * dilation) as isize, stride);
        let highest = usize::try_from(highest).ok()?;
        let start = if highest < small { 0 } else { ceil_quotient(highest - small + 1, small_step) };
        let end = ceil_quotient(kernel - first, tap_step).min(floor_quotient(highest, small_step) + 1);
        let last = end.checked_sub(1).filter(|&last| last >= start)?;
        Some(Progression {
            next: Link { tap: first + last * tap_step, other: highest - last * small_step },
            tap_step: -(tap_step as isize),
            other_step: small_step,
            left: end - start,
        })
    }

    /// Number of indices.
    pub const fn len(&self) -> usize {
        self.axis.length(self.side)
    }

    /// Whether the side has no index.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the residue classes of an axis have in common. With g = gcd(stride, dilation) the class r is reached by taps only if
/// g | r; they are an arithmetic progression of step stride/g, and from one of them to the next higher one the small index
/// that reaches the same large index falls by dilation/g.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    divisor: usize,
    /// Of dilation/g modulo stride/g.
    inverse: usize,
    pub(super) tap_step: usize,
    pub(super) small_step: usize,
}

impl Classes {
    /// O(log stride).
    pub(super) fn of(axis: &Axis) -> Self {
        let (divisor, inverse) = gcd_and_inverse(axis.dilation, axis.stride);
        Self { divisor, inverse, tap_step: axis.stride / divisor, small_step: axis.dilation / divisor }
    }

    /// The lowest tap of a class, which a kernel long enough has, if taps reach the class:
    /// dilation·tap ≡ residue (mod stride)  ⇔  tap ≡ (residue/g)·(dilation/g)⁻¹ (mod stride/g).
    #[inline]
    pub(super) fn first_tap(&self, residue: usize) -> Option<usize> {
        if self.tap_step == 1 {
            return residue.is_multiple_of(self.divisor).then_some(0);
        }
        let (factor, rest) =
            if self.divisor == 1 { (residue, 0) } else { (residue / self.divisor, residue % self.divisor) };
        let product = match factor.checked_mul(self.inverse) {
            Some(product) => product % self.tap_step,
            None => (factor as u128 * self.inverse as u128 % self.tap_step as u128) as usize,
        };
        (rest == 0).then_some(product)
    }
}

/// The small indices that one tap connects, and where the first of them lands; each next one lands `stride` further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapRange {
    /// Small indices for which the tap stays inside `large`.
    pub small: Range<usize>,
    /// The large index of `small.start`; 0 for an empty range.
    pub first_large: usize,
}

/// Taps whose ranges are kept.
const KEPT: usize = 16;

/// The [`Axis::tap_range`] of every tap. Those of the first taps are kept, because the rows of usual kernels ask for them
/// over and over; others are computed each time.
#[derive(Clone, Debug)]
pub(crate) struct TapRanges {
    axis: Axis,
    kept: [TapRange; KEPT],
}

impl TapRanges {
    #[inline]
    pub(crate) fn at(&self, tap: usize) -> TapRange {
        match self.kept.get(tap) {
            Some(kept) => kept.clone(),
            None => self.axis.tap_range(tap),
        }
    }
}

impl Axis {
    /// The links of every index of one side. O(log stride), in time, and nothing is listed.
    pub fn links(&self, side: Side) -> Links {
        Links { axis: *self, side, classes: Classes::of(self) }
    }

    /// [`smalls_of_tap`](Self::smalls_of_tap) with the landing of its first index; empty for a tap out of range. O(1).
    pub fn tap_range(&self, tap: usize) -> TapRange {
        let small = self.smalls_of_tap(tap);
        TapRange { first_large: self.large_at(small.start, tap).unwrap_or(0), small }
    }

    pub(crate) fn tap_ranges(&self) -> TapRanges {
        TapRanges { axis: *self, kept: std::array::from_fn(|tap| self.tap_range(tap)) }
    }
}

// Most strides and dilations are 1, and a division takes longer than a sum of a short row.

#[inline]
fn quotient(value: isize, by: usize) -> isize {
    if by == 1 { value } else { value.div_euclid(by as isize) }
}

#[inline]
fn remainder(value: isize, by: usize) -> usize {
    if by == 1 { 0 } else { value.rem_euclid(by as isize) as usize }
}

#[inline]
fn floor_quotient(value: usize, by: usize) -> usize {
    if by == 1 { value } else { value / by }
}

#[inline]
pub(super) fn ceil_quotient(value: usize, by: usize) -> usize {
    if by == 1 { value } else { value.div_ceil(by) }
}
