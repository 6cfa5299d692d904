//! Panels: the part of the input that a block of outputs reads, packed so that every tap is a shift.
//!
//! ```text
//! panel[channel][stacked sample][ρ_d][ρ_h][ρ_w][row d][row h][column][interleaved sample]
//! ```
//!
//! Along each axis position j and tap offset o read input `α·j + o = α·(j + u) + ρ` with u = ⌊o/α⌋: the panel splits
//! the input by residue ρ, so that u is a shift by whole rows or columns for every j at once. Zeros stand for inputs
//! that do not exist. A panel may hold several samples: *stacked*, one plane after the other, so that vectors run on
//! from one to the next, or *interleaved*, innermost, so that planes of a few pixels become rows long enough for
//! vectors.
//!
//! Rows share their zeros: those after one row are those before the next, so that a vector that runs across the end of
//! a row meets few columns that no output needs. It knows no weights.

mod listed;
mod pack;

use std::ops::Range;

pub(crate) use listed::{ListLimits, Listed};
pub(crate) use pack::{Part, pack};

use super::phases::AxisPhases;
use crate::kernel::prefetch::line;

/// How one axis of the input is split and how far taps reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PanelAxis {
    /// α: the step of the input from one position to the next.
    step: usize,
    /// The residues that some tap reads, ascending; one even if there are no taps.
    residues: Vec<usize>,
    /// The least u.
    first: isize,
    /// The largest u minus the least.
    pub(crate) reach: usize,
    /// Length of the input.
    input: usize,
}

impl PanelAxis {
    pub(crate) fn new(axis: &AxisPhases) -> Self {
        let step = axis.input_step;
        let offsets = || axis.groups.iter().flat_map(|group| group.offsets.iter().copied());
        let shifts = || offsets().map(|offset| offset.div_euclid(step as isize));
        let mut residues: Vec<usize> = offsets().map(|offset| offset.rem_euclid(step as isize) as usize).collect();
        residues.sort_unstable();
        residues.dedup();
        if residues.is_empty() {
            residues.push(0);
        }
        let first = shifts().min().unwrap_or(0);
        let reach = (shifts().max().unwrap_or(0) - first) as usize;
        Self { step, residues, first, reach, input: axis.input }
    }

    pub(crate) fn residues(&self) -> usize {
        self.residues.len()
    }

    /// For a tap offset: the index of its residue, and its u less the least, in rows or columns.
    fn place(&self, offset: isize) -> (usize, usize) {
        let step = self.step as isize;
        let residue = offset.rem_euclid(step) as usize;
        let number = self.residues.binary_search(&residue).unwrap_or(0);
        (number, (offset.div_euclid(step) - self.first) as usize)
    }

    /// Input index of residue number `number` in place `x` of a block that starts at position `start`.
    fn input_at(&self, number: usize, start: usize, x: usize) -> isize {
        let residue = self.residues[number];
        (start as isize + self.first + x as isize) * self.step as isize + residue as isize
    }

    /// The places of a block of `len` positions from `start` at which the input exists, of one residue.
    fn inside(&self, number: usize, start: usize, len: usize) -> Range<usize> {
        let residue = self.residues[number];
        let origin = start as isize + self.first;
        let places = (len + self.reach) as isize;
        let end = (self.input.saturating_sub(residue).div_ceil(self.step) as isize - origin).clamp(0, places);
        let begin = (-origin).clamp(0, end);
        begin as usize..end as usize
    }

    /// Places from one row to the next, for a block along the innermost axis: as few as leave every tap a zero where
    /// the input does not exist, although neighbouring rows share their zeros.
    pub(crate) fn pitch(&self, start: usize, len: usize) -> usize {
        let places = len + self.reach;
        let needed = |number| {
            let inside = self.inside(number, start, len);
            inside.len() + inside.start.max(places - inside.end)
        };
        (0..self.residues()).map(needed).fold(len, usize::max)
    }
}

/// Lengths of a panel for blocks of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PanelShape {
    /// Rows along depth and height.
    pub(crate) rows: [usize; 2],
    /// Elements from one row to the next.
    pub(crate) pitch: usize,
    /// Elements of one residue combination.
    split: usize,
    /// Elements from one stacked sample to the next.
    pub(crate) sample: usize,
    /// Elements from one channel to the next.
    pub(crate) channel: usize,
    /// Samples one after the other, and side by side.
    pub(crate) samples: Samples,
}

/// Samples of one panel: one of both numbers is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Samples {
    /// One plane after the other.
    pub(crate) stacked: usize,
    /// Side by side.
    pub(crate) interleaved: usize,
}

impl Samples {
    pub(crate) fn count(self) -> usize {
        self.stacked * self.interleaved
    }
}

impl PanelShape {
    /// The panel of a block of `lens` positions whose rows have `pitch` places; `None` if offsets in it do not fit in 32 bits.
    pub(crate) fn new<T>(axes: &[PanelAxis; 3], lens: [usize; 3], pitch: usize, samples: Samples) -> Option<Self> {
        let rows = [lens[0].checked_add(axes[0].reach)?, lens[1].checked_add(axes[1].reach)?];
        let pitch = pitch.checked_mul(samples.interleaved)?;
        // No row follows the last one whose zeros it could share.
        let tail = axes[2].reach.checked_mul(samples.interleaved)?;
        let split = rows[0].checked_mul(rows[1])?.checked_mul(pitch)?.checked_add(tail)?;
        let sample = axes.iter().try_fold(split, |elements, axis| elements.checked_mul(axis.residues()))?;
        let line = line::<T>();
        let mut channel = samples.stacked.checked_mul(sample)?.checked_next_multiple_of(line)?;
        // Channels a high power of two apart would share few sets of the first-level cache: a multiple of 8 lines is
        // avoided.
        if channel.is_multiple_of(8 * line) {
            channel = channel.checked_add(line)?;
        }
        let fits = u32::try_from(channel).is_ok();
        fits.then_some(Self { rows, pitch, split, sample, channel, samples })
    }

    /// Elements of a panel of some channels, and those that vectors may read beyond them.
    pub(crate) fn len(&self, channels: usize, lanes: usize) -> usize {
        channels.saturating_mul(self.channel).saturating_add(lanes)
    }

    /// Elements of the panel from a position to what a tap of these offsets reads there.
    pub(crate) fn shift(&self, axes: &[PanelAxis; 3], offsets: [isize; 3]) -> usize {
        let places: [(usize, usize); 3] = std::array::from_fn(|i| axes[i].place(offsets[i]));
        let split = (places[0].0 * axes[1].residues() + places[1].0) * axes[2].residues() + places[2].0;
        split * self.split + self.position([places[0].1, places[1].1, places[2].1])
    }

    /// Distance of a place from the start of the panel.
    pub(crate) fn position(&self, [d, h, w]: [usize; 3]) -> usize {
        (d * self.rows[1] + h) * self.pitch + w * self.samples.interleaved
    }
}

#[cfg(test)]
mod tests;
