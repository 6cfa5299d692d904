//! Depthwise layers: groups with one input channel, where there are too few multiplications per value for panels to pay.
//!
//! ```text
//! for every cell (channels × rows of one sample)                    threads take cells as they come
//!   for every channel
//!     split the input rows it reads                                 only where they cannot be read in place
//!     the row kernel: sums in registers over all taps, bias, store
//!     activation and residual
//! ```
//!
//! Input rows are read in place, so that a layer runs little slower than memory is copied. Taps outside of the input
//! are left out along depth and height, and masked along the width.

mod lines;

use std::ops::Range;

use lines::{Cut, columns, cut, split_lens};
use ndarray::{ArrayView3, ArrayView5, ArrayViewMut5, Axis, s};

use super::phases::{AxisPhases, Phases};
use super::writer::Finish;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::for_each_piece;
use crate::kernel::grid::{Cell, Cuts, Grid};
use crate::kernel::interleave::{deinterleave, interleave};
use crate::kernel::rows::{Block, Placement, Source, Sweep, run};
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// About how many elements a cell has of the output, or of the input if that has more: some microseconds of work.
pub(crate) const CELL: usize = 1 << 14;
/// Most phases along the width: to deal more phases out to their columns would take longer than to sum them.
const MOST_PHASES: usize = 4;
/// Most taps of a kernel: preparing looks at each.
const MOST_TAPS: usize = 1 << 20;
/// Most pairs of an output row and a tap along one axis: preparing looks at each.
const MOST_READS: usize = 1 << 24;
/// Most elements of one worker's scratch memory.
const MOST_SCRATCH: usize = 1 << 20;

/// One direction of a depthwise convolution, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    level: Level,
    sweep: Sweep,
    depth: Cut,
    height: Cut,
    /// Step of the input along the width.
    input_step: usize,
    /// Elements of an input row that is split by residue, and from one residue to the next.
    split: (usize, usize),
    /// Phases of a row that are summed apart and dealt out to their columns afterwards.
    phases_apart: usize,
    /// Elements of a row as it is summed.
    summed: usize,
    /// Depth, height and width of the input.
    input: [usize; 3],
    /// Depth, height and width of the output.
    output: [usize; 3],
    channels: usize,
    /// Output channels of a group.
    outputs: usize,
    channels_per_cell: usize,
    /// Weights of one channel.
    taps: usize,
    /// Most elements of the rows of a cell that are copied, margins included.
    split_len: usize,
    /// Most elements of the outputs of a cell that cannot be summed in place.
    output_len: usize,
}

/// The arguments of a run that all cells share.
struct Call<'a, 'f, T> {
    weights: &'a [T],
    x: ArrayView5<'a, T>,
    /// All of x, if rows may be read in place.
    all: Option<&'a [T]>,
    finish: &'a Finish<'f, T>,
}

impl Depthwise {
    /// Whether groups of so many input channels and so many phases along the width are what this is for.
    pub(crate) const fn is_for(inputs: usize, phases_of_width: usize) -> bool {
        inputs == 1 && phases_of_width <= MOST_PHASES
    }

    /// `None` for groups of several input channels, for many phases along the width, and where lists of taps are out of proportion.
    pub(crate) fn new<T: Scalar>(phases: &Phases, level: Level) -> Option<Self> {
        let [depth, height, width] = &phases.axes;
        let elements = |axis: &AxisPhases| axis.output.max(axis.input).max(1);
        let taps = phases.kernel.iter().fold(1usize, |taps, &kernel| taps.saturating_mul(kernel));
        let is_in_proportion = taps <= MOST_TAPS
            && [depth, height].iter().zip(phases.kernel).all(|(axis, kernel)| axis.output <= MOST_READS / kernel);
        if !Self::is_for(phases.inputs, width.gathers.len()) || !is_in_proportion {
            return None;
        }
        let is_interleaved = width.gathers.len() == 2;
        let (columns, phases_apart, summed) = if is_interleaved {
            let pair = [&width.gathers[0], &width.gathers[1]];
            (vec![columns(width, pair, Placement::Interleaved)], 1, width.output)
        } else {
            let gathers = width.gathers.iter().enumerate();
            let placement = |number: usize| Placement::Apart { first: number * width.positions };
            let columns = gathers.map(|(number, gather)| columns(width, [gather; 2], placement(number)));
            (columns.collect(), width.gathers.len(), width.gathers.len() * width.positions)
        };
        let [_, kernel_h, kernel_w] = phases.kernel;
        // A cell holds whole volumes if they are small, else whole planes of one volume, else some rows of one plane.
        let (lines, height_cut) = cut(height, !is_interleaved, CELL / elements(width), kernel_w);
        let plane = elements(width).saturating_mul(elements(height));
        let planes_per_cell = if height_cut.blocks.len() > 1 { 1 } else { CELL / plane };
        let (planes, depth_cut) = cut(depth, false, planes_per_cell, kernel_h * kernel_w);
        let volume = plane.saturating_mul(elements(depth));
        let split = split_lens(width);
        let sweep = Sweep::new::<T>(level.isa(), [height.input, split.0, summed], planes, lines, columns)?;
        let cells =
            depth_cut.blocks.iter().flat_map(|planes| height_cut.blocks.iter().map(move |lines| (planes, lines)));
        let margins: usize = sweep.margins.iter().sum();
        let split_len = cells.map(|(planes, lines)| {
            let [planes, lines] = sweep.reads(planes.clone(), lines.clone());
            sweep.source_len(planes.len(), lines.len()).saturating_add(margins)
        });
        let split_len = split_len.max()?;
        let sums = (depth_cut.longest * height_cut.longest).saturating_mul(summed);
        let output_len = sums.saturating_add(width.output);
        let fits = split_len.saturating_add(output_len) <= MOST_SCRATCH;
        fits.then(|| Self {
            level,
            sweep,
            depth: depth_cut,
            height: height_cut,
            input_step: width.input_step,
            split,
            phases_apart,
            summed,
            input: phases.axes.each_ref().map(|axis| axis.input),
            output: phases.axes.each_ref().map(|axis| axis.output),
            channels: phases.channel_groups * phases.outputs,
            outputs: phases.outputs,
            channels_per_cell: (CELL / volume).max(1),
            taps,
            split_len,
            output_len,
        })
    }

    /// Cells of a batch.
    pub(crate) fn cells(&self, batch: usize) -> usize {
        let blocks = self.depth.blocks.len() * self.height.blocks.len();
        batch.saturating_mul(self.channels.div_ceil(self.channels_per_cell)).saturating_mul(blocks)
    }

    /// Elements that one worker needs for tensors of any strides.
    pub(crate) fn scratch_len(&self) -> usize {
        self.split_len + self.output_len
    }

    /// Runs a batch. `weights` are those of the layer as they are; `scratch` holds [`scratch_len`](Self::scratch_len)
    /// elements per worker.
    pub(crate) fn run<T: Scalar>(
        &self,
        weights: &[T],
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        scratch: &mut [T],
    ) {
        let cuts = [
            Cuts::Every(self.channels_per_cell),
            Cuts::Every(1),
            Cuts::At(&self.depth.starts),
            Cuts::At(&self.height.starts),
            Cuts::Every(self.output[2].max(1)),
        ];
        // A grid's axis 1 is its slowest: with samples there, cells are handed out in the order of memory.
        let grid = Grid::new(y.permuted_axes([1, 0, 2, 3, 4]), cuts);
        let all = if self.input_step == 1 { x.to_slice() } else { None };
        let call = Call { weights, x, all, finish };
        for_each_piece(scratch, self.scratch_len(), |scratch| {
            let (rows, outputs) = scratch.split_at_mut(self.split_len);
            while let Some(mut cell) = grid.take() {
                for channel in 0..cell.shape[0] {
                    self.channel(&call, &mut cell, channel, rows, outputs);
                }
            }
        });
    }

    /// One channel of a cell.
    fn channel<T: Scalar>(
        &self,
        call: &Call<T>,
        cell: &mut Cell<T>,
        channel: usize,
        rows: &mut [T],
        outputs: &mut [T],
    ) {
        let Call { weights, x, all, finish } = call;
        let [first_channel, s, ..] = cell.first;
        let number = first_channel + channel;
        let (planes, lines) = (self.depth.blocks[cell.index[2]].clone(), self.height.blocks[cell.index[3]].clone());
        let [depth, height, width] = self.input;
        let len = depth * height * width;
        let start = (s * x.dim().1 + number / self.outputs) * len;
        let [before, after] = self.sweep.margins;
        // Vectors reach beyond the rows by the sweep's margins. Before its first planes and after its last ones a
        // tensor may have too few elements for that: these planes are copied to scratch memory, which has margins.
        let in_place = all.filter(|all| before <= start && start + len + after <= all.len());
        let (elements, start, reads) = match in_place {
            Some(all) => (all, start, [0..depth, 0..height]),
            None => {
                let reads = self.sweep.reads(planes.clone(), lines.clone());
                let sample = x.index_axis(Axis(0), s);
                self.split_rows(sample.index_axis(Axis(0), number / self.outputs), &reads, &mut rows[before..]);
                (&*rows, before, reads)
            }
        };
        let source = Source {
            elements,
            start,
            origin: reads.each_ref().map(|reads| reads.start),
            lens: reads.each_ref().map(Range::len),
            weights: &weights[number * self.taps..][..self.taps],
            bias: finish.bias(number),
        };
        let [_, _, depth, height, width] = cell.shape;
        let first = cell.first;
        let sum = |out: &mut [T]| {
            let block = Block { planes, lines, first: [first[2], first[3]], height, out };
            run(self.level, &self.sweep, &source, block);
        };
        let complete = |row: usize, out: &mut [T]| {
            finish.after(self.level, [s, number, first[2] + row / height, first[3] + row % height, first[4]], out);
        };
        if self.phases_apart == 1
            && let Some(out) = cell.plane(channel, 0)
        {
            sum(out);
            if !finish.is_plain() {
                out.chunks_exact_mut(width).enumerate().for_each(|(row, out)| complete(row, out));
            }
            return;
        }
        let (sums, own) = outputs.split_at_mut(outputs.len() - width);
        sum(&mut sums[..depth * height * self.summed]);
        for (row, sums) in sums.chunks_exact(self.summed).take(depth * height).enumerate() {
            let at = [channel, 0, row / height, row % height, 0];
            let deal = |out: &mut [T]| {
                self.level.run(Deal { sums, phases: self.phases_apart, out: &mut *out });
                complete(row, out);
            };
            match cell.row(at, width) {
                Some(out) => deal(out),
                None => {
                    deal(own);
                    cell.write(at, own);
                }
            }
        }
    }

    /// Copies rows of an input plane, each split by residue, so that neighbouring outputs read neighbouring elements.
    fn split_rows<T: Scalar>(&self, plane: ArrayView3<T>, reads: &[Range<usize>; 2], to: &mut [T]) {
        let [depth, height] = reads;
        let (_, lines, width) = plane.dim();
        let all = plane.to_slice();
        for (d, to) in depth.clone().zip(to.chunks_mut(self.sweep.plane_len().max(1))) {
            if let Some(all) = all {
                let from = &all[(d * lines + height.start) * width..][..height.len() * width];
                self.level.run(Split { from, width, split: self.split, step: self.input_step, to });
                continue;
            }
            for (h, to) in height.clone().zip(to.chunks_exact_mut(self.split.0.max(1))) {
                let row = plane.slice(s![d, h, ..]);
                for (residue, to) in to.chunks_exact_mut(self.split.1).enumerate() {
                    let row = row.iter().skip(residue).step_by(self.input_step);
                    to.iter_mut().zip(row).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }
}

/// Splits rows that lie side by side.
struct Split<'a, T> {
    from: &'a [T],
    width: usize,
    split: (usize, usize),
    step: usize,
    to: &'a mut [T],
}

impl<T: Scalar> Job<T> for Split<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let (len, stride) = self.split;
        for (from, to) in self.from.chunks_exact(self.width.max(1)).zip(self.to.chunks_exact_mut(len.max(1))) {
            match self.step {
                1 => to.copy_from_slice(from),
                step => deinterleave(from, to, stride, step),
            }
        }
    }
}

/// Writes the phases of a row, which were summed one after the other, to their columns.
struct Deal<'a, T> {
    sums: &'a [T],
    phases: usize,
    out: &'a mut [T],
}

impl<T: Scalar> Job<T> for Deal<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let (sums, positions) = (self.sums, self.sums.len() / self.phases);
        let (groups, rest) = self.out.split_at_mut(self.out.len() / self.phases * self.phases);
        if self.phases == 1 {
            return groups.copy_from_slice(sums);
        }
        interleave(sums, positions, self.phases, groups);
        let last = sums.iter().skip(groups.len() / self.phases).step_by(positions);
        rest.iter_mut().zip(last).for_each(|(out, &sum)| *out = sum);
    }
}

#[cfg(test)]
mod tests;
