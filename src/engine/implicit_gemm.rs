//! The loops: blocks of outputs, panels, tiles, chunks.
//!
//! ```text
//! for every cell (channels × samples × block of positions)         threads take cells as they come
//!   for every block of input channels
//!     pack the panel of the block                                   L2
//!     for every tile of positions                                   its part of the panel: L1
//!       for every chunk of output channels                          weights stream by in the order of the loops
//!         for every group of phases, every tile of rows             registers
//!           the microkernel, over taps and input channels
//!         after the last block of inputs: scale, bias, residual, activation, store
//! ```
//!
//! Cells are cut here; what is done in one is in `cell`.
//!
//! Every sum runs over blocks of inputs, taps and inputs in that order, whatever the cell, the tile or the thread: its
//! bits depend on none of them, nor on the other samples.

mod cell;

use ndarray::{ArrayView5, ArrayViewMut5};

use self::cell::Call;
use super::epilogue::Finish;
use super::panel::{Listed, PanelAxis};
use super::phases::Phases;
use super::schedule::{BlockPlan, BlockTally, Counter, Cut, Schedule, Tally, TileShape};
use super::weights::WeightLayout;
use super::writer::RowMap;
use crate::kernel::dispatch::Level;
use crate::kernel::for_each_piece;
use crate::kernel::grid::{Cuts, Grid};
use crate::kernel::micro::lanes;
use crate::kernel::scatter::Places;
use crate::kernel::strided::Strided;
use crate::scalar::Scalar;

/// One direction of a convolution, ready to run but for its packed weights.
#[derive(Clone, Debug)]
pub(crate) struct ImplicitGemm {
    pub(crate) level: Level,
    pub(crate) phases: Phases,
    pub(crate) panels: [PanelAxis; 3],
    pub(crate) weights: WeightLayout,
    pub(crate) tile: TileShape,
    pub(crate) map: RowMap,
}

/// Where the output channels of cells start. A cell has whole chunks of one channel group.
pub(crate) fn channel_starts(phases: &Phases, weights: &WeightLayout, chunks_per_cell: usize) -> Vec<usize> {
    let step = chunks_per_cell * weights.chunk;
    (0..phases.channel_groups)
        .flat_map(|group| (0..phases.outputs).step_by(step).map(move |start| group * phases.outputs + start))
        .collect()
}

/// Scratch memory of one worker, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scratch {
    panel: usize,
    sums: usize,
    stage: usize,
    row: usize,
}

impl Scratch {
    pub(crate) fn len(&self) -> usize {
        self.panel + self.sums + self.stage + self.row
    }
}

/// One way to cut output channels into cells, and where the channels of each cell start.
#[derive(Clone, Debug)]
struct ChannelCut {
    starts: Vec<usize>,
    /// Mean time of a cell, packing included, in units of the time of one chunk.
    cost: f64,
}

/// Part of a cell's time that a thread waits at the end until the last cell is done, on average.
const WAITING: f64 = 0.25;

/// All of a run that does not depend on the batch: a schedule, where its cells are cut, and what a worker needs for a
/// cell.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) schedule: Schedule,
    /// Per plan and tile, where the outputs go; empty where they are written in rows.
    places: Vec<Vec<Places>>,
    /// Where output channels are cut, for cells of fewer and fewer chunks.
    channel_cuts: Vec<ChannelCut>,
    position_starts: [Vec<usize>; 3],
    /// Where the elements of the input go in a panel, if to pack by a list pays.
    listed: Option<Listed>,
    scratch: Scratch,
}

impl Prepared {
    /// Samples of one panel.
    pub(crate) fn samples(&self) -> usize {
        self.schedule.cut.samples.count()
    }

    /// Cells of a batch that so many workers share.
    pub(crate) fn cells(&self, batch: usize, workers: usize) -> usize {
        self.cells_of(self.channel_cut(batch, workers), batch)
    }

    fn cells_of(&self, cut: &ChannelCut, batch: usize) -> usize {
        let positions: usize = self.position_starts.iter().map(Vec::len).product();
        batch.div_ceil(self.samples()).saturating_mul(cut.starts.len() * positions)
    }

    /// The cut with which so many workers finish a batch soonest. In large cells a packed panel serves many chunks;
    /// with small cells, of which there are more, no worker is idle for long.
    fn channel_cut(&self, batch: usize, workers: usize) -> &ChannelCut {
        let waiting = if workers > 1 { WAITING } else { 0.0 };
        let cost = |cut: &ChannelCut| (self.cells_of(cut, batch).div_ceil(workers.max(1)) as f64 + waiting) * cut.cost;
        let (mut best, smaller) = (&self.channel_cuts[0], &self.channel_cuts[1..]);
        for cut in smaller {
            if cost(cut) < cost(best) {
                best = cut;
            }
        }
        best
    }

    /// Elements of scratch memory of one worker.
    pub(crate) fn scratch_len(&self) -> usize {
        self.scratch.len()
    }
}

impl ImplicitGemm {
    pub(crate) fn new<T: Scalar>(phases: Phases, level: Level, chunk: usize, inputs_per_block: usize) -> Self {
        let weights = WeightLayout::new(&phases, level.isa(), chunk, inputs_per_block);
        let panels = std::array::from_fn(|i| PanelAxis::new(&phases.axes[i]));
        let tile = TileShape::new(level.isa(), &weights);
        let map = RowMap::new(&phases, &weights, lanes::<T>(level.isa()));
        Self { level, phases, panels, weights, tile, map }
    }

    /// Whether weights that are packed for `self` serve `other`.
    pub(crate) fn packs_like(&self, other: &Self) -> bool {
        self.level == other.level && self.weights == other.weights && self.phases.read_like(&other.phases)
    }

    /// Elements of one row of a chunk's buffer.
    fn pitch<T: Scalar>(&self) -> usize {
        self.tile.columns * lanes::<T>(self.level.isa())
    }

    /// Elements of the sums of one tile and chunk, and a vector more: sums are read by whole vectors, which may start
    /// at the last.
    fn buffer_len<T: Scalar>(&self) -> usize {
        self.weights.buffer_rows() * self.pitch::<T>() + lanes::<T>(self.level.isa())
    }

    /// What counts cuts.
    pub(crate) fn counter<T: Scalar>(&self) -> Counter<'_> {
        Counter::new(&self.phases, &self.panels, &self.tile, lanes::<T>(self.level.isa()))
    }

    /// What one worker needs for cells of `chunks` chunks.
    pub(crate) fn scratch<T: Scalar>(&self, tally: &Tally, chunks: usize) -> Scratch {
        let inputs = self.weights.inputs_per_block.min(self.weights.inputs);
        let largest = |of: &dyn Fn(&BlockTally) -> usize| tally.kinds.iter().map(of).max().unwrap_or(0);
        let interleaved = tally.cut.samples.interleaved;
        let lens: [usize; 3] = std::array::from_fn(|i| largest(&|kind| kind.lens[i]));
        // A run lies in one tile; a row of the stage has all positions.
        let width = if interleaved > 1 { lens[2] } else { lens[2].min(self.pitch::<T>()) };
        let buffers = if self.weights.blocks() > 1 { largest(&BlockTally::tile_count) * chunks } else { 1 };
        Scratch {
            panel: largest(&|kind| kind.panel.len(inputs, lanes::<T>(self.level.isa()) + self.pitch::<T>())),
            sums: buffers * self.buffer_len::<T>(),
            stage: if interleaved > 1 { self.map.stage_len(lens, self.weights.chunk, interleaved) } else { 0 },
            row: self.weights.chunk * width * self.map.width_phases(),
        }
    }

    /// Prepares a cut for cells of at most `most` chunks, whose panels are packed in the time of `packing` chunks.
    /// Outputs are stored by lists of places if `is_scattered` and offsets of places fit in 32 bits, in rows otherwise. `None` if
    /// [`Schedule::new`] refuses the cut.
    pub(crate) fn prepare<T: Scalar>(
        &self,
        cut: Cut,
        (most, packing): (usize, f64),
        is_scattered: bool,
    ) -> Option<Prepared> {
        let lanes = lanes::<T>(self.level.isa());
        let schedule = Schedule::new::<T>(&self.phases, &self.panels, &self.tile, lanes, cut)?;
        let of_plan = |plan: &BlockPlan| {
            let places = |tile| self.map.places(plan, tile, &self.phases, [self.pitch::<T>(), lanes]);
            let all = if is_scattered { plan.tiles.iter().map(places).collect() } else { None };
            all.unwrap_or_default()
        };
        let all = self.weights.chunks();
        let even = |parts| all.div_ceil(all.div_ceil(most.div_ceil(parts)));
        let mut numbers: Vec<usize> = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].map(even).into();
        numbers.dedup();
        let channel_cuts = numbers.into_iter().map(|chunks| ChannelCut {
            starts: channel_starts(&self.phases, &self.weights, chunks),
            cost: all as f64 / all.div_ceil(chunks) as f64 + packing,
        });
        Some(Prepared {
            places: schedule.plans().iter().map(of_plan).collect(),
            channel_cuts: channel_cuts.collect(),
            position_starts: std::array::from_fn(|i| schedule.output_starts(i, self.phases.axes[i].output_step)),
            scratch: self.scratch::<T>(&self.counter::<T>().count::<T>(cut)?, most),
            listed: schedule.only_plan().and_then(|plan| Listed::new(&self.panels, &plan.panel, plan.lens)),
            schedule,
        })
    }

    /// Runs a batch. `scratch` holds a piece of [`Prepared::scratch_len`] elements per worker.
    pub(crate) fn run<T: Scalar>(
        &self,
        prepared: &Prepared,
        packed: &[T],
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        scratch: &mut [T],
    ) {
        let layout = prepared.scratch;
        let workers = scratch.len().checked_div(layout.len()).unwrap_or(1);
        let channels = &prepared.channel_cut(y.dim().0, workers).starts;
        let [d, h, w] = &prepared.position_starts;
        let cuts = [Cuts::Every(prepared.samples()), Cuts::At(channels), Cuts::At(d), Cuts::At(h), Cuts::At(w)];
        let grid = Grid::new(y, cuts);
        let source = Strided::new(x);
        let call = Call { gemm: self, prepared, packed, source: &source, finish };
        for_each_piece(scratch, layout.len(), |scratch| {
            while let Some(cell) = grid.take() {
                call.run(cell, scratch);
            }
        });
    }
}

#[cfg(test)]
mod tests;
