//! Depthwise layers whose tensors have their channels side by side.
//!
//! ```text
//! for every cell (16 channels × some rows of one sample)            threads take cells as they come
//!   copy the input rows it reads, transposed                        channels apart
//!   for every channel: the row kernel, activation and residual      into scratch memory
//!   write the outputs, transposed
//! ```
//!
//! One channel at a time would read a cache line for every element. It knows no other layout: what lies otherwise is
//! copied just the same.

use ndarray::ArrayViewMut5;

use super::{Cells, Deal, Depthwise, DepthwiseCall};
use crate::kernel::for_each_piece;
use crate::kernel::grid::{Cell, Cuts, Grid};
use crate::kernel::rows::{RowBlock, run};
use crate::kernel::strided::Plane;
use crate::scalar::Scalar;

/// Channels of a cell: a cache line of single precision.
pub(super) const CHANNELS: usize = 16;

/// Elements of scratch memory of one worker.
pub(super) fn scratch_len(cells: &Cells) -> usize {
    let of_channel = cells.split_len.saturating_add(cells.output_len);
    cells.channels.saturating_mul(of_channel).saturating_add(cells.sums_len)
}

impl Depthwise {
    /// Runs a batch in cells of several channels.
    pub(super) fn run_channels_last<T: Scalar>(
        &self,
        cells: &Cells,
        call: &DepthwiseCall<T>,
        y: ArrayViewMut5<T>,
        scratch: &mut [T],
    ) {
        let cuts = [
            Cuts::Every(1),
            Cuts::Every(cells.channels),
            Cuts::At(&cells.depth.starts),
            Cuts::At(&cells.height.starts),
            Cuts::Every(self.output[2].max(1)),
        ];
        let grid = Grid::new(y, cuts).channels_first();
        for_each_piece(scratch, self.scratch_len(), |scratch| {
            while let Some(cell) = grid.take() {
                self.some_channels(cells, call, cell, scratch);
            }
        });
    }

    /// One cell.
    fn some_channels<T: Scalar>(&self, cells: &Cells, call: &DepthwiseCall<T>, mut cell: Cell<T>, scratch: &mut [T]) {
        let DepthwiseCall { x, finish, .. } = call;
        let Cells { depth, height, split_len, sums_len, output_len, .. } = cells;
        let [s, first_channel, first_d, first_h, first_w] = cell.first;
        let [_, channels, outputs_d, outputs_h, width] = cell.shape;
        let (planes, lines) = (&depth.blocks[cell.index[2]], &height.blocks[cell.index[3]]);
        let (rows, rest) = scratch.split_at_mut(cells.channels * split_len);
        let (sums, outputs) = rest.split_at_mut(*sums_len);
        let [before, _] = self.sweep.margins;
        let reads = self.sweep.reads(planes.clone(), lines.clone());
        let (from, last) = (first_channel / self.outputs, (first_channel + channels - 1) / self.outputs);
        self.split_rows(x, [s, from], (last + 1 - from, *split_len), &reads, &mut rows[before..]);
        let rows_per_channel = outputs_d * outputs_h;
        for channel in 0..channels {
            let number = first_channel + channel;
            let of_input = &rows[(number / self.outputs - from) * split_len..][..*split_len];
            let source = self.source(call, number, (of_input, before), &reads);
            let outputs = &mut outputs[channel * output_len..][..rows_per_channel * width];
            let sum = |out: &mut [T]| {
                let (planes, lines) = (planes.clone(), lines.clone());
                let block = RowBlock { planes, lines, first: [first_d, first_h], height: outputs_h, out };
                run(self.level, &self.sweep, &source, block);
            };
            if self.phases_apart == 1 {
                sum(outputs);
            } else {
                let sums = &mut sums[..rows_per_channel * self.summed];
                sum(sums);
                for (sums, out) in sums.chunks_exact(self.summed).zip(outputs.chunks_exact_mut(width)) {
                    self.level.run(Deal { sums, phases: self.phases_apart, out });
                }
            }
            if !finish.is_plain() {
                finish.after_rows(self.level, [s, number, first_d, first_h, first_w], [outputs_h, width], outputs);
            }
        }
        for row in 0..rows_per_channel {
            let at = [0, 0, row / outputs_h, row % outputs_h, 0];
            cell.write(at, Plane::of(&outputs[row * width..], [1, *output_len], [width, channels]));
        }
    }
}
