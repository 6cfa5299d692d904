//! Regions of an axis: neighbouring positions at which the same taps read inputs that exist.
//!
//! They are found once for a geometry; every cut into blocks takes its regions from them.

use std::ops::Range;

use super::AxisGroup;
use crate::geometry::Gather;

/// Most positions at one end of an axis that are looked at.
const MOST: usize = 1 << 12;

/// The regions of an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Regions {
    /// Different sets of valid taps: a range per group of the axis. The first set is that of all taps.
    sets: Vec<Vec<Range<usize>>>,
    /// Where each region starts, and the number of its set; ascending.
    starts: Vec<(usize, usize)>,
}

impl Regions {
    /// The regions of `positions` positions over an input of length `input`. Where borders are longer than [`MOST`] positions, all of
    /// the axis is one region of all taps, which is right too: a panel has zeros where no input is.
    pub(super) fn new(groups: &[AxisGroup], gathers: &[Gather], positions: usize, input: usize) -> Self {
        let valid = |group: &AxisGroup, j| gathers[group.members[0]].valid_taps(j, input);
        let all: Vec<Range<usize>> = groups.iter().map(|group| 0..group.offsets.len()).collect();
        let is_whole = |j: &usize| groups.iter().all(|group| valid(group, *j) == (0..group.offsets.len()));
        let mut regions = Self { sets: vec![all], starts: Vec::new() };
        // Each tap is valid at an interval of positions, so that those at which all taps are valid are an interval, too.
        let first = (0..positions).take(MOST).find(is_whole);
        let last = first.and_then(|first| (first..positions).rev().take(MOST).find(is_whole));
        let (before, after) = match (first, last) {
            (Some(first), Some(last)) => (first, last + 1),
            (None, _) if positions <= MOST => (positions, positions),
            _ => (0, positions),
        };
        for j in (0..before).chain(after..positions) {
            if j == after {
                regions.push_whole(before, after);
            }
            let is_set =
                |known: &Vec<Range<usize>>| known.iter().zip(groups).all(|(taps, group)| *taps == valid(group, j));
            let set = regions.sets.iter().position(is_set).unwrap_or(regions.sets.len());
            if set == regions.sets.len() {
                regions.sets.push(groups.iter().map(|group| valid(group, j)).collect());
            }
            regions.push(j, set);
        }
        if after == positions {
            regions.push_whole(before, after);
        }
        regions
    }

    /// A single region, of all taps.
    pub(super) fn whole(groups: &[AxisGroup], positions: usize) -> Self {
        let all = groups.iter().map(|group| 0..group.offsets.len()).collect();
        let mut regions = Self { sets: vec![all], starts: Vec::new() };
        regions.push_whole(0, positions);
        regions
    }

    fn push_whole(&mut self, start: usize, end: usize) {
        if start < end {
            self.push(start, 0);
        }
    }

    fn push(&mut self, start: usize, set: usize) {
        if self.starts.last().is_none_or(|&(_, last)| last != set) {
            self.starts.push((start, set));
        }
    }

    /// Whether there are positions at which some tap reads no input.
    pub(crate) fn has_borders(&self) -> bool {
        self.sets.len() > 1
    }

    /// The valid taps of a group in a set.
    pub(crate) fn taps(&self, set: usize, group: usize) -> Range<usize> {
        self.sets[set][group].clone()
    }

    /// The regions within a range of positions: first position, relative to the range, length and set.
    pub(crate) fn within(&self, range: Range<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
        let ends = self.starts[1..].iter().map(|&(start, _)| start).chain([usize::MAX]);
        self.starts.iter().zip(ends).filter_map(move |(&(start, set), end)| {
            let (start, end) = (start.max(range.start), end.min(range.end));
            (start < end).then(|| (start - range.start, end - start, set))
        })
    }
}
