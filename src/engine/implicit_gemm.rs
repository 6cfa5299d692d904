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
//!         after the last block of inputs: bias, activation, store
//! ```
//!
//! Where samples lie side by side and outputs are written in rows, the loops over tiles and over chunks change places
//! in the last block of inputs, so that all of a chunk's outputs are sorted into samples on a stage before they are
//! stored.
//!
//! Every sum runs over blocks of inputs, taps and inputs in that order, whatever the cell, the tile or the thread: its
//! bits depend on none of them, nor on the other samples.

use ndarray::{ArrayView5, ArrayViewMut5};

use super::panel::{Listed, PanelAxis, Part, Source, pack};
use super::phases::Phases;
use super::schedule::{BlockPlan, BlockTally, Counter, Cut, Schedule, Tally, TilePlan, TileShape};
use super::weights::WeightLayout;
use super::writer::{Chunk, Finish, RowMap, Writer};
use crate::kernel::dispatch::Level;
use crate::kernel::for_each_piece;
use crate::kernel::grid::{Cell, Cuts, Grid};
use crate::kernel::micro::{self, Tile, lanes};
use crate::kernel::scatter::Places;
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
    position_starts: [Vec<usize>; 3],
    /// Where the elements of the input go in a panel, if it is packed by a list.
    listed: Option<Listed>,
    large_output: usize,
    scratch: Scratch,
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
        let buffers = if self.weights.blocks() > 1 { largest(&BlockTally::tile_count) * chunks } else { 1 };
        Scratch {
            panel: largest(&|kind| kind.panel.len(inputs, lanes::<T>(self.level.isa()) + self.pitch::<T>())),
            sums: buffers * self.buffer_len::<T>(),
            stage: if interleaved > 1 { self.map.stage_len(lens, self.weights.chunk, interleaved) } else { 0 },
            row: lens[2] * self.map.width_phases(),
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
            position_starts: std::array::from_fn(|i| schedule.output_starts(i, self.phases.axes[i].output_step)),
            scratch: self.scratch::<T>(self.counter::<T>().count::<T>(cut)?, chunks_per_cell),
            listed: only.and_then(|plan| Listed::new(&self.panels, &plan.panel, plan.lens)),
            large_output,
            schedule,
        })
    }

    /// Runs a batch in cells whose output channels begin at `channels`, as [`channel_starts`] says. `scratch` holds a piece of
    /// [`Prepared::scratch_len`] elements per worker.
    #[expect(clippy::too_many_arguments, reason = "operands, and how they are cut")]
    pub(crate) fn run<T: Scalar>(
        &self,
        prepared: &Prepared,
        channels: &[usize],
        packed: &[T],
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        scratch: &mut [T],
    ) {
        let layout = prepared.scratch;
        let [d, h, w] = &prepared.position_starts;
        let cuts = [Cuts::Every(prepared.samples()), Cuts::At(channels), Cuts::At(d), Cuts::At(h), Cuts::At(w)];
        let grid = Grid::new(y, cuts);
        let source = Source::new(x);
        for_each_piece(scratch, layout.len(), |scratch| {
            while let Some(cell) = grid.take() {
                self.cell(prepared, packed, &source, finish, cell, scratch);
            }
        });
    }

    /// Computes one cell: all blocks of inputs, tiles and chunks of the loops above.
    fn cell<T: Scalar>(
        &self,
        Prepared { schedule, places, listed, scratch: layout, large_output, .. }: &Prepared,
        packed: &[T],
        source: &Source<T>,
        finish: &Finish<T>,
        mut cell: Cell<T>,
        scratch: &mut [T],
    ) {
        let [piece_batch, _, d, h, w] = cell.index;
        let block = [&schedule.blocks[0][d], &schedule.blocks[1][h], &schedule.blocks[2][w]];
        let (plan, number_of_plan) = schedule.plan([d, h, w]);
        // Lists of places are made for contiguous outputs and know no residual: other outputs are written in rows.
        let places = &places[number_of_plan];
        let listed = listed.as_ref().filter(|listed| listed.suits(source));
        let is_scattered = finish.residual.is_none() && places.first().is_some_and(|places| cell.suits(places));
        let (group, first_output) = (cell.first[1] / self.phases.outputs, cell.first[1] % self.phases.outputs);
        let first_chunk = first_output / self.weights.chunk;
        let channels = cell.shape[1];
        let chunks = channels.div_ceil(self.weights.chunk);
        let chunk = |number: usize| Chunk {
            first: number * self.weights.chunk,
            channels: self.weights.chunk.min(channels - number * self.weights.chunk),
        };
        let lens = block.map(|axis| axis.len);
        let interleaved = schedule.cut.samples.interleaved;
        let (panel, rest) = scratch.split_at_mut(layout.panel);
        let (sums, rest) = rest.split_at_mut(layout.sums);
        let (stage, rest) = rest.split_at_mut(layout.stage);
        let row = &mut rest[..layout.row];
        let writer = Writer { level: self.level, map: &self.map, finish, pitch: self.pitch::<T>() };
        let buffer_len = self.buffer_len::<T>();
        let blocks = self.weights.blocks();
        let place = |tile: usize, chunk: usize| if blocks > 1 { (tile * chunks + chunk) * buffer_len } else { 0 };
        // A large output is no longer in the cache: its rows are prefetched before the sums that are written there.
        let is_large = source.samples() * self.phases.bytes_per_sample::<T>() > *large_output;
        for number in 0..blocks {
            let inputs = self.weights.block(number);
            let part = Part {
                sample: piece_batch * schedule.cut.samples.count(),
                channels: group * self.phases.inputs + inputs.start..group * self.phases.inputs + inputs.end,
                start: block.map(|axis| axis.start),
                lens,
            };
            match listed {
                Some(listed) => listed.pack(self.level, &plan.panel, source, &part, panel),
                None => pack(self.level, &self.panels, &plan.panel, source, &part, panel),
            }
            let is_last = number + 1 == blocks;
            let sum = |tile: usize, chunk: usize, sums: &mut [T]| {
                let weights = &packed[self.weights.of_chunk(group, number, first_chunk + chunk)];
                self.sum(plan, &plan.tiles[tile], panel, weights, inputs.len(), number > 0, sums);
            };
            if is_last && interleaved > 1 && !is_scattered {
                let has_gaps = self.map.has_gaps();
                for c in 0..chunks {
                    if has_gaps {
                        stage.fill(T::zero());
                    }
                    for (t, tile) in plan.tiles.iter().enumerate() {
                        let sums = &mut sums[place(t, c)..][..buffer_len];
                        sum(t, c, sums);
                        writer.stage(sums, &plan.runs[tile.runs.clone()], chunk(c), lens, interleaved, stage);
                    }
                    writer.unstage(stage, chunk(c), lens, &mut cell, row);
                }
                continue;
            }
            for (t, tile) in plan.tiles.iter().enumerate() {
                for c in 0..chunks {
                    let sums = &mut sums[place(t, c)..][..buffer_len];
                    let runs = &plan.runs[tile.runs.clone()];
                    if is_last && is_large && !is_scattered {
                        writer.announce(runs, chunk(c), &cell);
                    }
                    sum(t, c, sums);
                    if is_last && is_scattered {
                        writer.scatter(sums, &places[t], chunk(c), &mut cell);
                    } else if is_last {
                        writer.write(sums, runs, chunk(c), &mut cell, row);
                    }
                }
            }
        }
    }

    /// The sums of one tile and chunk over one block of inputs.
    #[expect(clippy::too_many_arguments, reason = "operands, and where they lie")]
    fn sum<T: Scalar>(
        &self,
        plan: &BlockPlan,
        tile: &TilePlan,
        panel: &[T],
        weights: &[T],
        inputs: usize,
        accumulate: bool,
        sums: &mut [T],
    ) {
        let (lanes, pitch) = (lanes::<T>(self.level.isa()), self.pitch::<T>());
        let bases = &plan.bases[tile.bases.clone()];
        let mut weights = weights;
        for (group, rows) in self.weights.rows.iter().enumerate() {
            let taps = plan.taps(tile.region, group);
            let a_tap = rows.per_tile * inputs;
            for number in 0..rows.tiles {
                let (a, rest) = weights.split_at(a_tap * self.phases.groups[group].taps);
                weights = rest;
                let first_row = (rows.first + number * rows.per_tile) * pitch;
                let mut first = 0;
                for &vectors in self.tile.parts(group, bases.len()) {
                    // A register tile wider than what is left computes its last vector several times.
                    let mut padded = [0; micro::MAX_VECTORS];
                    let bases = match bases.get(first..first + vectors) {
                        Some(bases) => bases,
                        None => {
                            let padded = &mut padded[..vectors];
                            padded.fill(bases[bases.len() - 1]);
                            padded[..bases.len() - first].copy_from_slice(&bases[first..]);
                            padded
                        }
                    };
                    micro::run(
                        self.level,
                        &Tile {
                            rows: rows.per_tile,
                            bases,
                            taps,
                            steps: inputs,
                            a,
                            a_tap,
                            b: panel,
                            b_step: plan.panel.channel,
                            pitch,
                            accumulate,
                        },
                        &mut sums[first_row + first * lanes..],
                    );
                    first += vectors;
                }
            }
        }
    }
}
