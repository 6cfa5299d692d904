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

pub(in crate::engine) mod cell;

use ndarray::{ArrayView5, ArrayViewMut5};

use self::cell::GemmCall;
use super::epilogue::{Activation, Finish};
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
    /// Sums, or what is made of them.
    pub(in crate::engine) sums: usize,
    stage: usize,
    row: usize,
}

impl Scratch {
    pub(crate) fn len(&self) -> usize {
        self.panel + self.sums + self.stage + self.row
    }
}

/// What is done besides a cut; chosen by whoever plans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handling {
    /// Most chunks of a cell.
    pub(crate) chunks_per_cell: usize,
    /// Whether outputs are stored by lists of places; in rows otherwise, and where offsets of places do not fit in 32 bits.
    pub(crate) is_scattered: bool,
    /// Whether panels are packed by a list, for inputs that are contiguous.
    pub(crate) is_listed: bool,
    /// Bytes from which an output is large, so that its rows are prefetched before the sums that are written there.
    pub(crate) large_output: usize,
}

/// All of a run that does not depend on the batch: a schedule, where its cells are cut, and what a worker needs for a
/// cell.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) schedule: Schedule,
    /// Per plan and tile, where the outputs go; empty where they are written in rows.
    places: Vec<Vec<Places>>,
    pub(in crate::engine) position_starts: [Vec<usize>; 3],
    /// Where the elements of the input go in a panel, if it is packed by a list.
    listed: Option<Listed>,
    large_output: usize,
    pub(in crate::engine) scratch: Scratch,
}

impl Prepared {
    /// Samples of one panel.
    pub(crate) fn samples(&self) -> usize {
        self.schedule.cut.samples.count()
    }

    /// Cells of a batch whose output channels are cut into so many pieces.
    pub(crate) fn cells(&self, channel_pieces: usize, batch: usize) -> usize {
        let positions: usize = self.position_starts.iter().map(Vec::len).product();
        batch.div_ceil(self.samples()).saturating_mul(channel_pieces * positions)
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
    pub(in crate::engine) fn pitch<T: Scalar>(&self) -> usize {
        self.tile.columns * lanes::<T>(self.level.isa())
    }

    /// Elements of the sums of one tile and chunk, and a vector more: sums are read by whole vectors, which may start
    /// at the last.
    pub(in crate::engine) fn buffer_len<T: Scalar>(&self) -> usize {
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

    /// Prepares a cut. `None` if [`Schedule::new`] refuses it.
    pub(crate) fn prepare<T: Scalar>(&self, cut: Cut, handling: Handling) -> Option<Prepared> {
        let Handling { chunks_per_cell, is_scattered, is_listed, large_output } = handling;
        let lanes = lanes::<T>(self.level.isa());
        let schedule = Schedule::new::<T>(&self.phases, &self.panels, &self.tile, lanes, cut)?;
        let of_plan = |plan: &BlockPlan| {
            let places = |tile| self.map.places(plan, tile, &self.phases, [self.pitch::<T>(), lanes]);
            let all = if is_scattered { plan.tiles.iter().map(places).collect() } else { None };
            all.unwrap_or_default()
        };
        let only = schedule.only_plan().filter(|_| is_listed);
        Some(Prepared {
            places: schedule.plans().iter().map(of_plan).collect(),
            position_starts: std::array::from_fn(|i| schedule.output_starts(i, &self.phases.axes[i])),
            scratch: self.scratch::<T>(self.counter::<T>().count::<T>(cut)?, chunks_per_cell),
            listed: only.and_then(|plan| Listed::new(&self.panels, &plan.panel, plan.lens)),
            large_output,
            schedule,
        })
    }

    /// Runs a batch in cells whose output channels begin at `channels`, as [`channel_starts`] says. `input_activation` is applied to
    /// inputs and to the zeros around them, which it has to keep. `scratch` holds a piece of [`Prepared::scratch_len`] elements per worker.
    #[expect(clippy::too_many_arguments, reason = "operands, and how they are cut")]
    pub(crate) fn run<T: Scalar>(
        &self,
        prepared: &Prepared,
        channels: &[usize],
        packed: &[T],
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        input_activation: Activation,
        finish: &Finish<T>,
        scratch: &mut [T],
    ) {
        let layout = prepared.scratch;
        let [d, h, w] = &prepared.position_starts;
        let cuts = [Cuts::Every(prepared.samples()), Cuts::At(channels), Cuts::At(d), Cuts::At(h), Cuts::At(w)];
        let grid = Grid::new(y, cuts);
        let source = Strided::new(x);
        let call = GemmCall { gemm: self, prepared, packed, source: &source, input_activation, finish };
        for_each_piece(scratch, layout.len(), |scratch| {
            while let Some(cell) = grid.take() {
                call.run(cell, scratch);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::panel::Samples;
    use crate::geometry::{Channels, Geometry, Options, Side};
    use crate::kernel::Isa;

    /// A worker holds the panel of one block of inputs, however many blocks there are. Sums of several blocks wait for the last one,
    /// tile by tile and chunk by chunk; those of a single one do not.
    #[test]
    fn scratch_memory_is_for_one_block_of_inputs() {
        let of_samples = |interleaved: usize, inputs: usize, per_block: usize, chunks: usize| {
            let channels = Channels { small: 6, large: inputs };
            let geometry = Geometry::convolution([1, 9, 40], [1, 3, 3], channels, &Options::new()).unwrap();
            let phases = Phases::new(&geometry, Side::Small);
            let gemm = ImplicitGemm::new::<f32>(phases, Level::new(Isa::Portable).unwrap(), 2, per_block);
            let samples = Samples { stacked: 1, interleaved };
            let cut = Cut { samples, block: [1, 7, 38], by_valid_taps: [false; 3] };
            let mut counter = gemm.counter::<f32>();
            let tally = counter.count::<f32>(cut).unwrap();
            let block = tally.only().unwrap();
            (gemm.scratch::<f32>(tally, chunks), block.tile_count(), block.panel.channel)
        };
        let of = |inputs: usize, per_block: usize, chunks: usize| of_samples(1, inputs, per_block, chunks);
        let (alone, tiles, channel) = of(4, 4, 3);
        assert!(tiles > 1);
        // A tile has 16 positions for 2 rows. Vectors of 4 begin at any of them, and those of a panel may reach a tile beyond it.
        assert_eq!(alone, Scratch { panel: 4 * channel + 16 + 4, sums: 2 * 16 + 4, stage: 0, row: 2 * 16 });
        let (blocks, ..) = of(10, 4, 3);
        assert_eq!(blocks, Scratch { sums: 3 * tiles * alone.sums, ..alone });
        assert_eq!(of(10, 4, 1).0, Scratch { sums: tiles * alone.sums, ..alone });
        // A block of more inputs than there are is one of all of them.
        assert_eq!(of(4, 10, 3).0, alone);
        // Of two samples side by side whole rows are sorted, of 38 outputs in each of two channels.
        let (sorted, ..) = of_samples(2, 4, 4, 3);
        assert_eq!(sorted.row, 2 * 38);
        assert!(sorted.stage >= 2 * 2 * 7 * 38);
    }

    /// Lists of places and of moves are made where they are asked for: whoever runs falls back to rows without them.
    #[test]
    fn lists_are_made_where_they_are_asked_for() {
        let channels = Channels { small: 3, large: 2 };
        let options = Options::new().stride([1, 2, 2]);
        let geometry = Geometry::convolution([1, 9, 9], [1, 3, 3], channels, &options).unwrap();
        let phases = Phases::new(&geometry, Side::Small);
        let gemm = ImplicitGemm::new::<f32>(phases, Level::new(Isa::Portable).unwrap(), 3, 2);
        let samples = Samples { stacked: 1, interleaved: 4 };
        let cut = Cut { samples, block: [1, 4, 4], by_valid_taps: [false; 3] };
        for (is_scattered, is_listed) in [(false, false), (true, false), (false, true)] {
            let handling = Handling { chunks_per_cell: 1, is_scattered, is_listed, large_output: usize::MAX };
            let prepared = gemm.prepare::<f32>(cut, handling).unwrap();
            let tiles = prepared.schedule.only_plan().unwrap().tiles.len();
            assert_eq!(prepared.places.iter().map(Vec::len).sum::<usize>(), if is_scattered { tiles } else { 0 });
            assert_eq!(prepared.listed.is_some(), is_listed);
        }
    }
}
