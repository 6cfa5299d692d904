//! Lists of taps, which know how far they reach.
//!
//! A list is made once and used by every tile of a region: to look for its ends in every call took a twentieth of the time of layers
//! with hundreds of taps. It knows no operands.

use std::ops::Range;

/// One tap of a tile: which slice of A it multiplies, and how far from its base it reads B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TapShift {
    /// Number of the tap in A.
    pub(crate) tap: u32,
    /// Distance in B.
    pub(crate) shift: u32,
}

/// Lists of taps, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TapLists {
    taps: Vec<TapShift>,
    lists: Vec<List>,
}

/// Where a list lies, and its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    range: Range<usize>,
    last_tap: u32,
    last_shift: u32,
}

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taps<'a> {
    taps: &'a [TapShift],
    last_tap: u32,
    last_shift: u32,
}

impl TapLists {
    /// Adds a list behind the others.
    pub(crate) fn push(&mut self, taps: impl Iterator<Item = TapShift>) {
        let start = self.taps.len();
        self.taps.extend(taps);
        let Taps { last_tap, last_shift, .. } = Taps::new(&self.taps[start..]);
        self.lists.push(List { range: start..self.taps.len(), last_tap, last_shift });
    }

    /// The list of a number, counted from the first.
    pub(crate) fn list(&self, number: usize) -> Taps<'_> {
        let List { range, last_tap, last_shift } = &self.lists[number];
        Taps { taps: &self.taps[range.clone()], last_tap: *last_tap, last_shift: *last_shift }
    }
}

impl<'a> Taps<'a> {
    pub(super) fn new(taps: &'a [TapShift]) -> Self {
        let last_tap = taps.iter().map(|tap| tap.tap).max().unwrap_or(0);
        let last_shift = taps.iter().map(|tap| tap.shift).max().unwrap_or(0);
        Self { taps, last_tap, last_shift }
    }

    pub(crate) const fn len(self) -> usize {
        self.taps.len()
    }

    /// The taps. None has a greater number or distance than the two that follow say: [`new`](Self::new) looked at each.
    pub(crate) const fn all(self) -> &'a [TapShift] {
        self.taps
    }

    /// The greatest number in A, 0 without taps.
    pub(super) const fn last_tap(self) -> usize {
        self.last_tap as usize
    }

    /// The greatest distance in B, 0 without taps.
    pub(in crate::kernel) const fn last_shift(self) -> usize {
        self.last_shift as usize
    }
}
