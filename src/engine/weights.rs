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
use crate::kernel::micro::max_rows;
use crate::kernel::{Isa, workers};
use crate::scalar::Scalar;

/// Rows of one group of phases within a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupRows {
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
    pub(crate) rows: Vec<GroupRows>,
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
            let rows = GroupRows { per_tile, tiles, first, phases: group.phases, taps: group.taps };
            first += tiles * per_tile;
            rows
        });
        let rows: Vec<GroupRows> = rows.collect();
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
    let source = WeightSource::new(phases, weights);
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
struct WeightSource<'a, T> {
    weights: &'a [T],
    /// Per group of phases, the index in the kernel of every phase's taps, one phase after the other.
    taps: Vec<Vec<usize>>,
    /// Elements of one channel group, and from one output and input channel to the next.
    of_group: usize,
    of_output: usize,
    of_input: usize,
}

impl<'a, T: Scalar> WeightSource<'a, T> {
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
        Self { weights, taps, of_group: of_channels, of_output, of_input }
    }

    /// Packs one chunk of a block of inputs.
    fn pack(&self, layout: &WeightLayout, [group, block, chunk]: [usize; 3], mut to: &mut [T]) {
        let weights = &self.weights[group * self.of_group..][..self.of_group];
        let inputs = layout.block(block);
        let mut places = Vec::new();
        for (rows, taps) in layout.rows.iter().zip(&self.taps) {
            for tile in 0..rows.tiles {
                // The rows of a tile that stand for something come first.
                let first = tile * rows.per_tile;
                let channels = layout.chunk.min(layout.outputs - chunk * layout.chunk);
                let real = (channels * rows.phases).saturating_sub(first).min(rows.per_tile);
                places.clear();
                places.resize(rows.taps * real, 0);
                for row in 0..real {
                    let (channel, phase) = ((first + row) / rows.phases, (first + row) % rows.phases);
                    let output = (chunk * layout.chunk + channel) * self.of_output;
                    for (tap, at) in taps[phase * rows.taps..][..rows.taps].iter().enumerate() {
                        places[tap * real + row] = output + at;
                    }
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
}

#[cfg(test)]
mod tests;
