//! Depthwise layers: groups with one input channel, where there are too few multiplications per value for panels to pay.
//!
//! ```text
//! for every cell (channels × rows of one sample)                    threads take cells as they come
//!   for every channel
//!     split the input rows it reads                                 only where they cannot be read in place
//!     the row kernel: sums in registers over all taps, scale, bias, store
//!     activation and residual
//! ```
//!
//! Where channels lie side by side, a cell has several of them, which are transposed on their way in and out.
//!
//! Input rows are read in place, so that a layer runs little slower than memory is copied. Taps outside of the input
//! are left out along depth and height, and masked along the width.

mod channels_last;
mod lines;

use std::ops::Range;

use lines::{LineCut, columns, cut, split_lens};
use ndarray::{ArrayView5, ArrayViewMut5};

use super::epilogue::Finish;
use super::phases::{AxisPhases, Phases};
use crate::kernel::block::CopyAxis;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::grid::{Cell, Cuts, Grid};
use crate::kernel::interleave::interleave;
use crate::kernel::rows::{Placement, RowBlock, RowSource, Sweep, SweepLines, run};
use crate::kernel::strided::{Plane, Strided};
use crate::kernel::vector::Vector;
use crate::kernel::{self, for_each_piece};
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
/// The same for channels that lie side by side, which are rarely met.
const MOST_BESIDE: usize = 8 * CELL;

/// One direction of a depthwise convolution, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    level: Level,
    sweep: Sweep,
    cells: Cells,
    /// For tensors whose channels lie side by side; `None` if they would take too much scratch memory.
    beside: Option<Cells>,
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
    /// Weights of one channel.
    taps: usize,
}

/// How an output is cut into cells.
#[derive(Clone, Debug)]
struct Cells {
    depth: LineCut,
    height: LineCut,
    /// Channels of a cell.
    channels: usize,
    /// Most elements of the rows that one channel of a cell reads, margins included.
    split_len: usize,
    /// Most outputs of one channel of a cell, as they are summed, and dealt out.
    sums_len: usize,
    output_len: usize,
}

/// The lines of planes and of rows, and how cells share either.
struct Lists {
    planes: (SweepLines, LineCut),
    lines: (SweepLines, LineCut),
}

impl Lists {
    /// Lists for cells of about `cell` elements of a channel: whole volumes if they are small, else whole planes of one
    /// volume, else some rows of one plane.
    fn new(phases: &Phases, cell: usize, in_pairs: bool) -> Self {
        let [depth, height, width] = &phases.axes;
        let [_, kernel_h, kernel_w] = phases.kernel;
        let lines = cut(height, in_pairs, cell / elements(width), kernel_w);
        let plane = elements(width).saturating_mul(elements(height));
        let planes_per_cell = if lines.1.blocks.len() > 1 { 1 } else { cell / plane };
        Self { planes: cut(depth, false, planes_per_cell, kernel_h * kernel_w), lines }
    }
}

/// Elements of an axis of the output, or of the input if that has more.
fn elements(axis: &AxisPhases) -> usize {
    axis.output.max(axis.input).max(1)
}

impl Cells {
    fn new(sweep: &Sweep, depth: LineCut, height: LineCut, channels: usize, [summed, width]: [usize; 2]) -> Self {
        let blocks = depth.blocks.iter().flat_map(|planes| height.blocks.iter().map(move |lines| (planes, lines)));
        let margins: usize = sweep.margins.iter().sum();
        let split_len = blocks.map(|(planes, lines)| {
            let [planes, lines] = sweep.reads(planes.clone(), lines.clone());
            sweep.source_len(planes.len(), lines.len()).saturating_add(margins)
        });
        let split_len = split_len.max().unwrap_or(0);
        let rows = depth.longest * height.longest;
        let [sums_len, output_len] = [summed, width].map(|row| rows.saturating_mul(row));
        Self { depth, height, channels, split_len, sums_len, output_len }
    }
}

/// The arguments of a run that all cells share.
struct DepthwiseCall<'a, 'f, T> {
    weights: &'a [T],
    x: Strided<'a, T>,
    /// All of x, if it has no gaps.
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
        let in_pairs = !is_interleaved;
        let Lists { planes: (planes, depth_cut), lines: (lines, height_cut) } = Lists::new(phases, CELL, in_pairs);
        let split = split_lens(width);
        let sweep = Sweep::new::<T>(level.isa(), [height.input, split.0, summed], planes, lines, columns)?;
        let volume = elements(width).saturating_mul(elements(height)).saturating_mul(elements(depth));
        let row = [summed, width.output];
        let cells = Cells::new(&sweep, depth_cut, height_cut, (CELL / volume).max(1), row);
        let beside = Lists::new(phases, CELL / channels_last::CHANNELS, in_pairs);
        let beside = Cells::new(&sweep, beside.planes.1, beside.lines.1, channels_last::CHANNELS, row);
        let beside = (channels_last::scratch_len(&beside) <= MOST_BESIDE).then_some(beside);
        let this = Self {
            level,
            sweep,
            cells,
            beside,
            input_step: width.input_step,
            split,
            phases_apart,
            summed,
            input: phases.axes.each_ref().map(|axis| axis.input),
            output: phases.axes.each_ref().map(|axis| axis.output),
            channels: phases.channel_groups * phases.outputs,
            outputs: phases.outputs,
            taps,
        };
        (this.scratch_len() <= MOST_SCRATCH).then_some(this)
    }

    /// Cells of a batch.
    pub(crate) fn cells(&self, batch: usize) -> usize {
        let Cells { depth, height, channels, .. } = &self.cells;
        let blocks = depth.blocks.len() * height.blocks.len();
        batch.saturating_mul(self.channels.div_ceil(*channels)).saturating_mul(blocks)
    }

    /// Elements that one worker needs for tensors of any strides.
    pub(crate) fn scratch_len(&self) -> usize {
        let Cells { split_len, sums_len, .. } = self.cells;
        let len = split_len.saturating_add(sums_len).saturating_add(self.output[2]);
        len.max(self.beside.as_ref().map_or(0, channels_last::scratch_len))
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
        let call = DepthwiseCall { weights, all: x.to_slice(), x: Strided::new(x), finish };
        let is_beside = call.x.has_channels_beside() || Strided::new(y.view()).has_channels_beside();
        if let Some(cells) = self.beside.as_ref().filter(|_| is_beside) {
            return self.run_channels_last(cells, &call, y, scratch);
        }
        let Cells { depth, height, channels, split_len, .. } = &self.cells;
        let cuts = [
            Cuts::Every(*channels),
            Cuts::Every(1),
            Cuts::At(&depth.starts),
            Cuts::At(&height.starts),
            Cuts::Every(self.output[2].max(1)),
        ];
        // A grid's axis 1 is its slowest: with samples there, cells are handed out in the order of memory.
        let grid = Grid::new(y.permuted_axes([1, 0, 2, 3, 4]), cuts);
        for_each_piece(scratch, self.scratch_len(), |scratch| {
            let (rows, outputs) = scratch.split_at_mut(*split_len);
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
        call: &DepthwiseCall<T>,
        cell: &mut Cell<T>,
        channel: usize,
        rows: &mut [T],
        outputs: &mut [T],
    ) {
        let DepthwiseCall { x, all, finish, .. } = call;
        let [first_channel, s, ..] = cell.first;
        let number = first_channel + channel;
        let Cells { depth, height, .. } = &self.cells;
        let (planes, lines) = (depth.blocks[cell.index[2]].clone(), height.blocks[cell.index[3]].clone());
        let [depth, height, width] = self.input;
        let (len, from) = (depth * height * width, number / self.outputs);
        let [before, after] = self.sweep.margins;
        // Vectors reach beyond the rows by the sweep's margins. Before its first planes and after its last ones a
        // tensor may have too few elements for that, and in gaps it has none: these planes are copied to scratch
        // memory, which has margins.
        let (held, start) = match all {
            Some(all) => (Some(*all), (s * x.shape()[1] + from) * len),
            None => (x.sample(s), from * len),
        };
        let is_held = |held: &&[T]| self.input_step == 1 && before <= start && start + len + after <= held.len();
        let (elements, start, reads) = match held.filter(is_held) {
            Some(held) => (held, start, [0..depth, 0..height]),
            None => {
                let reads = self.sweep.reads(planes.clone(), lines.clone());
                self.split_rows(x, [s, from], (1, 0), &reads, &mut rows[before..]);
                (&*rows, before, reads)
            }
        };
        let source = self.source(call, number, (elements, start), &reads);
        let [_, _, depth, height, width] = cell.shape;
        let first = cell.first;
        let sum = |out: &mut [T]| {
            let block = RowBlock { planes, lines, first: [first[2], first[3]], height, out };
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
                let first = [s, number, first[2], first[3], first[4]];
                finish.after_rows(self.level, first, [height, width], out);
            }
            return;
        }
        let (sums, own) = outputs.split_at_mut(self.cells.sums_len);
        let own = &mut own[..width];
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
                    cell.write(at, Plane::of(own, [1, width], [width, 1]));
                }
            }
        }
    }

    /// What the sums of an output channel read: rows that begin at `start`, its weights, its scale and bias.
    fn source<'a, T: Scalar>(
        &self,
        call: &DepthwiseCall<'a, '_, T>,
        number: usize,
        (elements, start): (&'a [T], usize),
        reads: &[Range<usize>; 2],
    ) -> RowSource<'a, T> {
        RowSource {
            elements,
            start,
            origin: reads.each_ref().map(|reads| reads.start),
            lens: reads.each_ref().map(Range::len),
            weights: &call.weights[number * self.taps..][..self.taps],
            affine: call.finish.affine(number),
        }
    }

    /// Copies rows of input channels from `c` on, which go `apart` elements from each other. Each row is split by
    /// residue, so that neighbouring outputs read neighbouring elements.
    fn split_rows<T: Scalar>(
        &self,
        x: &Strided<T>,
        [s, c]: [usize; 2],
        (channels, apart): (usize, usize),
        reads: &[Range<usize>; 2],
        to: &mut [T],
    ) {
        let (step, width, (row, residue)) = (self.input_step, self.input[2], self.split);
        let columns = width / step;
        // The columns that all residues have, and one more of the first ones.
        for (residues, columns, first) in [(step, columns, 0), (width % step, 1, columns)] {
            let axes = [
                CopyAxis { along: 1, len: channels, step: 1, apart },
                CopyAxis { along: 2, len: reads[0].len(), step: 1, apart: self.sweep.plane_len() },
                CopyAxis { along: 3, len: reads[1].len(), step: 1, apart: row },
                CopyAxis { along: 4, len: residues, step: 1, apart: residue },
                CopyAxis { along: 4, len: columns, step, apart: 1 },
            ];
            let block = kernel::block::BlockCopy::new(x, &axes);
            if !block.is_empty() {
                block.copy(self.level, [s, c, reads[0].start, reads[1].start, first * step], &mut to[first..]);
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
