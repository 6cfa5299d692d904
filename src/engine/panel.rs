//! Panels: the part of the input that a block of outputs reads, packed so that every tap is a shift.
//!
//! ```text
//! panel[channel][stacked sample][ρ_d][ρ_h][ρ_w][row d][row h][column][interleaved sample]
//! ```
//!
//! Along each axis position j and tap offset o read input `α·j + o = α·(j + u) + ρ` with u = ⌊o/α⌋: the panel splits the input by
//! residue ρ, so that u is a shift by whole rows or columns for every j at once. Zeros stand for what lies outside.
//! A panel may hold several samples: *stacked*, one plane after the other, so that vectors run on from one to the next, or
//! *interleaved*, innermost, so that planes of a few pixels become rows long enough for vectors.
//!
//! Rows touch: the zeros after one row are those before the next, so a vector may run across the end of a row and meet few
//! columns that no output needs. It knows no weights.

use std::ops::Range;

use ndarray::ArrayView5;

use super::phases::AxisPhases;
use crate::kernel::prefetch::{line, prefetch};
use crate::scalar::Scalar;

/// How one axis of the input is split and how far taps reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PanelAxis {
    /// α.
    step: usize,
    /// The residues that some tap reads, ascending.
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
        let first = shifts().min().unwrap_or(0);
        let reach = (shifts().max().unwrap_or(0) - first) as usize;
        Self { step, residues, first, reach, input: axis.input }
    }

    pub(crate) fn residues(&self) -> usize {
        self.residues.len().max(1)
    }

    /// Number of the residue and rows (or columns) of shift of a tap offset.
    fn place(&self, offset: isize) -> (usize, usize) {
        let step = self.step as isize;
        let residue = offset.rem_euclid(step) as usize;
        let number = self.residues.binary_search(&residue).unwrap_or(0);
        (number, (offset.div_euclid(step) - self.first) as usize)
    }

    /// Input index of residue number `number` in place `x` of a block that starts at position `start`.
    fn input_at(&self, number: usize, start: usize, x: usize) -> isize {
        let residue = self.residues.get(number).copied().unwrap_or(0);
        (start as isize + self.first + x as isize) * self.step as isize + residue as isize
    }

    /// The places of a block of `len` positions from `start` at which the input exists, of one residue.
    fn inside(&self, number: usize, start: usize, len: usize) -> Range<usize> {
        let residue = self.residues.get(number).copied().unwrap_or(0);
        let origin = start as isize + self.first;
        let places = (len + self.reach) as isize;
        let end = (self.input.saturating_sub(residue).div_ceil(self.step) as isize - origin).clamp(0, places);
        let begin = (-origin).clamp(0, end);
        begin as usize..end as usize
    }

    /// Places from one row to the next for a block along the innermost axis: as few as keep all zeros in their places.
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

/// Samples of one panel.
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
        // The last row borrows the zeros of the row after it.
        let tail = axes[2].reach.checked_mul(samples.interleaved)?;
        let split = rows[0].checked_mul(rows[1])?.checked_mul(pitch)?.checked_add(tail)?;
        let sample = axes.iter().try_fold(split, |elements, axis| elements.checked_mul(axis.residues()))?;
        let line = line::<T>();
        let mut channel = samples.stacked.checked_mul(sample)?.checked_next_multiple_of(line)?;
        // Channels a multiple of a page apart would meet in few sets of the first-level cache.
        if channel.is_multiple_of(8 * line) {
            channel = channel.checked_add(line)?;
        }
        let fits = u32::try_from(channel).is_ok();
        fits.then_some(Self { rows, pitch, split, sample, channel, samples })
    }

    /// Elements for some channels, and what vectors may read beyond them.
    pub(crate) fn len(&self, channels: usize, lanes: usize) -> usize {
        channels.saturating_mul(self.channel).saturating_add(lanes)
    }

    /// Distance in the panel of a tap's offsets from a position.
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

/// An input batch whose rows can be read quickly.
pub(crate) struct Source<'a, T> {
    view: ArrayView5<'a, T>,
    /// All elements in the order of memory, and their strides, where there are no gaps.
    flat: Option<(&'a [T], [usize; 5])>,
}

impl<'a, T: Scalar> Source<'a, T> {
    pub(crate) fn new(view: ArrayView5<'a, T>) -> Self {
        let strides: [isize; 5] = std::array::from_fn(|i| view.strides()[i]);
        let elements = view.to_slice_memory_order().filter(|_| strides.iter().all(|&stride| stride >= 0));
        let flat = elements.map(|elements| (elements, strides.map(|stride| stride as usize)));
        Self { view, flat }
    }

    pub(crate) fn samples(&self) -> usize {
        self.view.dim().0
    }

    /// The rows of a panel's channel, if they lie in memory as they do in the panel: nothing outside, nothing split.
    fn whole(
        &self,
        axes: &[PanelAxis; 3],
        shape: &PanelShape,
        part: &Part,
        (sample, channel): (usize, usize),
    ) -> Option<&'a [T]> {
        let (elements, [of_batch, of_channel, of_depth, of_height, 1]) = self.flat? else { return None };
        let [rows_d, rows_h] = shape.rows;
        let lens = [rows_d, rows_h, shape.pitch];
        // What is quickly seen comes first: this is asked for every channel.
        let is_alike = shape.samples.interleaved == 1
            && (rows_h == 1 || of_height == shape.pitch)
            && (rows_d == 1 || of_depth == rows_h * shape.pitch)
            && axes.iter().all(|axis| axis.step == 1)
            && (0..3).all(|i| axes[i].inside(0, part.start[i], part.lens[i]) == (0..lens[i]));
        if !is_alike {
            return None;
        }
        let first: [usize; 3] = std::array::from_fn(|i| axes[i].input_at(0, part.start[i], 0) as usize);
        let start = sample * of_batch + channel * of_channel + first[0] * of_depth + first[1] * of_height + first[2];
        let elements = &elements[start..][..rows_d * rows_h * shape.pitch];
        for i in (0..elements.len()).step_by(line::<T>()) {
            prefetch(elements.as_ptr().wrapping_add(2 * of_channel + i));
        }
        Some(elements)
    }

    /// Writes the elements `first, first + step, …` of a row, `count` of them, `apart` from each other.
    fn copy(&self, [s, c, d, h]: [usize; 4], (first, step, count): (usize, usize, usize), to: &mut [T], apart: usize) {
        let Some((elements, [batch, channel, depth, height, width])) = self.flat else {
            let from = (0..count).map(|i| self.view[[s, c, d, h, first + i * step]]);
            return to.iter_mut().step_by(apart).zip(from).for_each(|(to, from)| *to = from);
        };
        let elements = &elements[s * batch + c * channel + d * depth + h * height + first * width..];
        if step * width != 1 {
            // The stride of an axis of one element may be 0.
            let from = elements.iter().step_by((step * width).max(1)).take(count);
            return to.iter_mut().step_by(apart).zip(from).for_each(|(to, &from)| *to = from);
        }
        // Channels lie far apart: a copy of short rows would wait for the memory of each.
        for i in (0..count).step_by(line::<T>()) {
            prefetch(elements.as_ptr().wrapping_add(2 * channel + i));
        }
        let elements = &elements[..count];
        if apart == 1 {
            return to[..count].copy_from_slice(elements);
        }
        to.iter_mut().step_by(apart).zip(elements).for_each(|(to, &from)| *to = from);
    }
}

/// What of the input goes into a panel.
pub(crate) struct Part {
    /// First sample; samples beyond the batch are left as they are.
    pub(crate) sample: usize,
    pub(crate) channels: Range<usize>,
    /// First position of the block.
    pub(crate) start: [usize; 3],
    pub(crate) lens: [usize; 3],
}

/// Fills a panel.
pub(crate) fn pack<T: Scalar>(
    axes: &[PanelAxis; 3],
    shape: &PanelShape,
    source: &Source<T>,
    part: &Part,
    to: &mut [T],
) {
    let interleaved = shape.samples.interleaved;
    let present = shape.samples.count().min(source.samples() - part.sample);
    for (channel, plane) in part.channels.clone().zip(to.chunks_mut(shape.channel)) {
        for (stacked, plane) in plane.chunks_mut(shape.sample).take(present.div_ceil(interleaved)).enumerate() {
            let sample = part.sample + stacked * interleaved;
            let samples = sample..(sample + interleaved).min(part.sample + present);
            pack_plane(axes, shape, source, part, (samples, channel), plane);
        }
    }
}

/// Fills one channel of one stacked sample.
fn pack_plane<T: Scalar>(
    axes: &[PanelAxis; 3],
    shape: &PanelShape,
    source: &Source<T>,
    part: &Part,
    (samples, channel): (Range<usize>, usize),
    plane: &mut [T],
) {
    let [axis_d, axis_h, axis_w] = axes;
    let interleaved = shape.samples.interleaved;
    let inside = |axis: usize, residue| axes[axis].inside(residue, part.start[axis], part.lens[axis]);
    let mut splits = plane.chunks_mut(shape.split);
    for residue_d in 0..axis_d.residues() {
        let inside_d = inside(0, residue_d);
        for residue_h in 0..axis_h.residues() {
            let inside_h = inside(1, residue_h);
            for residue_w in 0..axis_w.residues() {
                let inside_w = inside(2, residue_w);
                let Some(split) = splits.next() else { return };
                let (rows, tail) = split.split_at_mut(shape.rows[0] * shape.rows[1] * shape.pitch);
                tail.fill(T::zero());
                if let Some(whole) = source.whole(axes, shape, part, (samples.start, channel)) {
                    rows.copy_from_slice(whole);
                    continue;
                }
                for (row, to) in rows.chunks_exact_mut(shape.pitch).enumerate() {
                    let (d, h) = (row / shape.rows[1], row % shape.rows[1]);
                    if !inside_d.contains(&d) || !inside_h.contains(&h) || inside_w.is_empty() {
                        to.fill(T::zero());
                        continue;
                    }
                    let (begin, end) = (inside_w.start * interleaved, inside_w.end * interleaved);
                    to[..begin].fill(T::zero());
                    to[end..].fill(T::zero());
                    let d = axis_d.input_at(residue_d, part.start[0], d) as usize;
                    let h = axis_h.input_at(residue_h, part.start[1], h) as usize;
                    let first = axis_w.input_at(residue_w, part.start[2], inside_w.start) as usize;
                    let to = &mut to[begin..end];
                    for (i, sample) in samples.clone().enumerate() {
                        let at = [sample, channel, d, h];
                        source.copy(at, (first, axis_w.step, inside_w.len()), &mut to[i..], interleaved);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
