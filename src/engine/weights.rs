//! Packed weights: in the order in which the loops meet them.
//!
//! ```text
//! packed[channel group][block of inputs][chunk of outputs][group of phases][tile of rows][tap][input][row]
//! ```
//!
//! Output channels are cut into *chunks*; with all its phases a chunk is what one visit of a tile computes before anything is
//! written. The rows of a chunk in one group of phases are (channel, phase), cut into register tiles of equal height.

use std::ops::Range;

use rayon::prelude::*;

use super::phases::Phases;
use crate::geometry::Side;
use crate::kernel::interleave::{SIDE, transpose_block};
use crate::kernel::micro::max_rows;
use crate::kernel::{Isa, workers};
use crate::scalar::Scalar;

/// Rows of one group of phases within a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows of every register tile.
    pub(crate) per_tile: usize,
    pub(crate) tiles: usize,
    /// Number of the first row in the chunk's buffer.
    pub(crate) first: usize,
    phases: usize,
    taps: usize,
}

/// The order of packed weights, and where each piece lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightLayout {
    /// Input channels of a block.
    pub(crate) inputs_per_block: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Output channels of a chunk.
    pub(crate) chunk: usize,
    /// Per group of phases.
    pub(crate) rows: Vec<Rows>,
    /// Packed elements of a chunk per input channel.
    per_input: usize,
}

/// Register tiles of equal height for so many rows: their number, and the rows of each.
pub(crate) fn row_tiles(rows: usize, isa: Isa) -> (usize, usize) {
    let tiles = rows.div_ceil(max_rows(isa));
    (tiles, rows.div_ceil(tiles))
}

impl WeightLayout {
    pub(crate) fn new(phases: &Phases, isa: Isa, chunk: usize, inputs_per_block: usize) -> Self {
        let mut first = 0;
        let rows = phases.groups.iter().map(|group| {
            let (tiles, per_tile) = match group.taps {
                // Sums without terms need no rows.
                0 => (0, 1),
                _ => row_tiles(chunk * group.phases, isa),
            };
            let rows = Rows { per_tile, tiles, first, phases: group.phases, taps: group.taps };
            first += tiles * per_tile;
            rows
        });
        let rows: Vec<Rows> = rows.collect();
        let per_input = rows.iter().map(|rows| rows.tiles * rows.per_tile * rows.taps).sum();
        Self { inputs_per_block, inputs: phases.inputs, outputs: phases.outputs, chunk, rows, per_input }
    }

    /// Rows of a chunk's buffer.
    pub(crate) fn buffer_rows(&self) -> usize {
        self.rows.iter().map(|rows| rows.tiles * rows.per_tile).sum()
    }

    pub(crate) fn blocks(&self) -> usize {
        self.inputs.div_ceil(self.inputs_per_block)
    }

    /// Input channels of a block.
    pub(crate) fn block(&self, block: usize) -> Range<usize> {
        let start = block * self.inputs_per_block;
        start..(start + self.inputs_per_block).min(self.inputs)
    }

    pub(crate) fn chunks(&self) -> usize {
        self.outputs.div_ceil(self.chunk)
    }

    /// Packed elements of all channel groups.
    pub(crate) fn len(&self, channel_groups: usize) -> usize {
        channel_groups * self.group_len()
    }

    fn group_len(&self) -> usize {
        self.chunks() * self.per_input * self.inputs
    }

    /// Where a chunk starts within a block of inputs.
    fn chunk_start(&self, channel_group: usize, block: usize, chunk: usize) -> usize {
        let inputs = self.block(block);
        channel_group * self.group_len() + self.per_input * (inputs.start * self.chunks() + inputs.len() * chunk)
    }

    /// The packed weights of a chunk within a block of inputs.
    pub(crate) fn of_chunk(&self, channel_group: usize, block: usize, chunk: usize) -> Range<usize> {
        let start = self.chunk_start(channel_group, block, chunk);
        start..start + self.per_input * self.block(block).len()
    }
}

/// Packs weights `[small channels, large channels / groups, taps]` into `to`, chunk by chunk, on the threads of the current pool.
pub(crate) fn pack<T: Scalar>(phases: &Phases, layout: &WeightLayout, weights: &[T], to: &mut [T]) {
    let source = Source::new(phases, weights);
    let mut chunks = Vec::with_capacity(phases.channel_groups * layout.blocks() * layout.chunks());
    let mut rest = to;
    for group in 0..phases.channel_groups {
        for block in 0..layout.blocks() {
            for chunk in 0..layout.chunks() {
                let Some((to, after)) = rest.split_at_mut_checked(layout.of_chunk(group, block, chunk).len()) else {
                    return;
                };
                chunks.push(([group, block, chunk], to));
                rest = after;
            }
        }
    }
    let elements = layout.len(phases.channel_groups) as u128;
    let together = chunks.len().div_ceil(workers(chunks.len(), elements * CYCLES)).max(1);
    let pack = |(at, to): &mut ([usize; 3], &mut [T])| source.pack(layout, *at, to);
    match together >= chunks.len() {
        true => chunks.iter_mut().for_each(pack),
        false => chunks.par_chunks_mut(together).for_each(|chunks| chunks.iter_mut().for_each(pack)),
    }
}

/// What packing an element takes, as [`workers`] counts work: about as long as so many operations.
const CYCLES: u128 = 16;
/// Inputs that are packed for one tap after the other: as many lines of the weights stay in the first-level cache.
const INPUTS: usize = 16;

/// The weights, and where those of every tap of every phase lie.
struct Source<'a, T> {
    weights: &'a [T],
    /// Per group of phases, the index in the kernel of every phase's taps, one phase after the other.
    taps: Vec<Vec<usize>>,
    /// Taps of the kernel.
    kernel: usize,
    /// Elements of one channel group, and from one output and input channel to the next.
    of_group: usize,
    of_output: usize,
    of_input: usize,
}

impl<'a, T: Scalar> Source<'a, T> {
    fn new(phases: &Phases, weights: &'a [T]) -> Self {
        let [_, kernel_h, kernel_w] = phases.kernel;
        let kernel: usize = phases.kernel.iter().product();
        let of_group = |number: usize| {
            let axes = phases.axis_groups(number);
            let lists: [Vec<Vec<usize>>; 3] = std::array::from_fn(|i| {
                let gathers = axes[i].members.iter().map(|&member| &phases.axes[i].gathers[member]);
                gathers.map(|gather| (0..gather.taps).map(|tau| gather.tap(tau)).collect()).collect()
            });
            let mut flat = Vec::new();
            for d in &lists[0] {
                for h in &lists[1] {
                    for w in &lists[2] {
                        for &d in d {
                            for &h in h {
                                flat.extend(w.iter().map(|&w| (d * kernel_h + h) * kernel_w + w));
                            }
                        }
                    }
                }
            }
            flat
        };
        let (of_output, of_input) = match phases.output_side {
            Side::Small => (phases.inputs * kernel, kernel),
            Side::Large => (kernel, phases.outputs * kernel),
        };
        // In both directions weights begin with the small channel, so that those of a channel group lie side by side.
        let of_channels = phases.outputs * phases.inputs * kernel;
        let taps = (0..phases.groups.len()).map(of_group).collect();
        Self { weights, taps, kernel, of_group: of_channels, of_output, of_input }
    }

    /// Packs one chunk of a block of inputs.
    fn pack(&self, layout: &WeightLayout, [group, block, chunk]: [usize; 3], mut to: &mut [T]) {
        let weights = &self.weights[group * self.of_group..][..self.of_group];
        let inputs = layout.block(block);
        if self.kernel >= SIDE && layout.rows.iter().all(|rows| rows.phases == 1) {
            return self.transpose(layout, weights, inputs, chunk, to);
        }
        let mut places = Vec::new();
        for (rows, taps) in layout.rows.iter().zip(&self.taps) {
            for tile in 0..rows.tiles {
                // The rows of a tile that stand for something come first.
                let first = tile * rows.per_tile;
                let channels = layout.chunk.min(layout.outputs - chunk * layout.chunk);
                let real = (channels * rows.phases).saturating_sub(first).min(rows.per_tile);
                places.clear();
                for tap in 0..rows.taps {
                    places.extend((first..first + real).map(|row| {
                        let (output, phase) = (chunk * layout.chunk + row / rows.phases, row % rows.phases);
                        output * self.of_output + taps[phase * rows.taps + tap]
                    }));
                }
                let (tile, rest) = to.split_at_mut(rows.taps * inputs.len() * rows.per_tile);
                to = rest;
                if real < rows.per_tile {
                    tile.fill(T::zero());
                }
                if real == 0 {
                    continue;
                }
                for start in inputs.clone().step_by(INPUTS) {
                    let some = start..(start + INPUTS).min(inputs.end);
                    let of_taps = tile.chunks_exact_mut(inputs.len() * rows.per_tile);
                    for (to, places) in of_taps.zip(places.chunks_exact(real)) {
                        let to = &mut to[(start - inputs.start) * rows.per_tile..][..some.len() * rows.per_tile];
                        for (input, to) in some.clone().zip(to.chunks_exact_mut(rows.per_tile)) {
                            let weights = &weights[input * self.of_input..];
                            for (to, &place) in to.iter_mut().zip(places) {
                                *to = weights[place];
                            }
                        }
                    }
                }
            }
        }
    }

    /// Packs one chunk of a block of inputs where every group has one phase, so that its rows are output channels: the taps of a channel
    /// lie side by side in the weights, the channels of a tap in the chunk, and squares of both are transposed in registers.
    fn transpose(&self, layout: &WeightLayout, weights: &[T], inputs: Range<usize>, chunk: usize, to: &mut [T]) {
        let Some(Rows { per_tile, tiles, .. }) = layout.rows.iter().copied().find(|rows| rows.tiles > 0) else {
            return;
        };
        let of_tap = inputs.len() * per_tile;
        // Where each tap of the kernel begins in the first tile, and how far apart tiles are; none for taps that no phase has.
        let mut places: Vec<Option<[usize; 2]>> = vec![None; self.kernel];
        let mut start = 0;
        for taps in &self.taps {
            for (number, &tap) in taps.iter().enumerate() {
                places[tap] = Some([start + number * of_tap, taps.len() * of_tap]);
            }
            start += tiles * taps.len() * of_tap;
        }
        let channels = layout.chunk.min(layout.outputs - chunk * layout.chunk);
        if channels < tiles * per_tile {
            to.fill(T::zero());
        }
        for first in (0..channels).step_by(per_tile) {
            let (tile, end) = (first / per_tile, (first + per_tile).min(channels));
            for start in inputs.clone().step_by(INPUTS) {
                for row in (first..end).step_by(SIDE) {
                    for input in start..(start + INPUTS).min(inputs.end) {
                        let from = input * self.of_input + (chunk * layout.chunk + row) * self.of_output;
                        let at = (input - inputs.start) * per_tile + row - first;
                        if row + SIDE > end {
                            for row in 0..end - row {
                                let weights = &weights[from + row * self.of_output..][..self.kernel];
                                for (&weight, place) in weights.iter().zip(&places) {
                                    if let Some([start, of_tile]) = place {
                                        to[start + tile * of_tile + at + row] = weight;
                                    }
                                }
                            }
                            continue;
                        }
                        let rows: [&[T]; SIDE] =
                            std::array::from_fn(|row| &weights[from + row * self.of_output..][..self.kernel]);
                        for tap in (0..self.kernel).step_by(SIDE) {
                            // The last square overlaps the one before it.
                            let tap = tap.min(self.kernel - SIDE);
                            let mut square = [[T::zero(); SIDE]; SIDE];
                            for (square, row) in square.iter_mut().zip(rows) {
                                square.copy_from_slice(&row[tap..tap + SIDE]);
                            }
                            for (of_channels, place) in transpose_block(square).iter().zip(&places[tap..]) {
                                if let Some([start, of_tile]) = place {
                                    to[start + tile * of_tile + at..][..SIDE].copy_from_slice(of_channels);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
