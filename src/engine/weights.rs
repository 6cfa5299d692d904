//! Packed weights: in the order in which the loops meet them.
//!
//! ```text
//! packed[channel group][block of inputs][chunk of outputs][group of phases][tile of rows][tap][input][row]
//! ```
//!
//! Output channels are cut into *chunks*; with all its phases a chunk is what one visit of a tile computes before anything is
//! written. The rows of a chunk in one group of phases are (channel, phase), cut into register tiles of equal height.

use std::ops::Range;

use super::phases::Phases;
use crate::geometry::Side;
use crate::kernel::Isa;
use crate::kernel::micro::max_rows;
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

/// Packs weights `[small channels, large channels / groups, taps]` into `to`.
pub(crate) fn pack<T: Scalar>(phases: &Phases, layout: &WeightLayout, weights: &[T], to: &mut [T]) {
    let [_, kernel_h, kernel_w] = phases.kernel;
    let kernel: usize = phases.kernel.iter().product();
    // For every (group, phase, tap) the index of the tap in the kernel.
    let taps: Vec<Vec<usize>> = (0..phases.groups.len())
        .map(|number| {
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
        })
        .collect();
    // Strides of a weight's output and input channel.
    let (of_output, of_input) = match phases.output_side {
        Side::Small => (phases.inputs * kernel, kernel),
        Side::Large => (kernel, phases.outputs * kernel),
    };
    let mut to = to.iter_mut();
    // In both directions weights begin with the small channel, so that those of a channel group lie side by side.
    for weights in weights.chunks_exact(phases.outputs * phases.inputs * kernel) {
        for block in 0..layout.blocks() {
            for chunk in 0..layout.chunks() {
                for (rows, taps) in layout.rows.iter().zip(&taps) {
                    for tile in 0..rows.tiles {
                        let of_row: Vec<Option<(usize, &[usize])>> = (0..rows.per_tile)
                            .map(|row| {
                                let row = tile * rows.per_tile + row;
                                let (output, phase) = (chunk * layout.chunk + row / rows.phases, row % rows.phases);
                                let is_real = row < layout.chunk * rows.phases && output < layout.outputs;
                                is_real.then(|| (output * of_output, &taps[phase * rows.taps..][..rows.taps]))
                            })
                            .collect();
                        for tap in 0..rows.taps {
                            for input in layout.block(block) {
                                for row in &of_row {
                                    let Some(to) = to.next() else { return };
                                    *to = row.map_or(T::zero(), |(start, taps)| {
                                        weights[start + input * of_input + taps[tap]]
                                    });
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
