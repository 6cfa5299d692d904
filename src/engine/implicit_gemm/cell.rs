//! One cell: its panels are packed, its tiles summed, its outputs finished.
//!
//! It knows no threads and no other cell.

use super::{ImplicitGemm, Prepared};
use crate::engine::epilogue::{Activation, Finish};
use crate::engine::panel::{Part, pack};
use crate::engine::schedule::{AxisBlock, BlockPlan};
use crate::engine::writer::{Chunk, Writer};
use crate::kernel::grid::Cell;
use crate::kernel::micro::{self, Tile, lanes};
use crate::kernel::scatter::Places;
use crate::kernel::strided::Strided;
use crate::scalar::Scalar;

/// The arguments of a run that all cells share.
pub(in crate::engine) struct GemmCall<'a, 'x, 'f, T> {
    pub(in crate::engine) gemm: &'a ImplicitGemm,
    pub(in crate::engine) prepared: &'a Prepared,
    pub(in crate::engine) packed: &'a [T],
    pub(in crate::engine) source: &'a Strided<'x, T>,
    pub(in crate::engine) input_activation: Activation,
    pub(in crate::engine) finish: &'a Finish<'f, T>,
}

/// How sums reach the output after the last block of inputs.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Writing<'a> {
    /// Element by element, from a list of places for every tile.
    Scattered(&'a [Places]),
    /// In rows. The rows of a large output, which is no longer in the cache, are prefetched before they are summed.
    Rows { is_prefetched: bool },
    /// In rows, after all sums of a chunk have been sorted into samples on a stage.
    Staged,
}

/// What is the same for all blocks of inputs of one cell.
pub(in crate::engine) struct CellWork<'a, T> {
    pub(in crate::engine) plan: &'a BlockPlan,
    pub(in crate::engine) blocks: [&'a AxisBlock; 3],
    /// First sample.
    pub(in crate::engine) sample: usize,
    /// The channel group, and the first chunk within it.
    pub(in crate::engine) group: usize,
    pub(in crate::engine) first_chunk: usize,
    pub(in crate::engine) channels: usize,
    pub(in crate::engine) chunks: usize,
    pub(in crate::engine) writing: Writing<'a>,
    pub(in crate::engine) panel: &'a mut [T],
    pub(in crate::engine) sums: &'a mut [T],
    pub(in crate::engine) stage: &'a mut [T],
    pub(in crate::engine) row: &'a mut [T],
}

impl<'f, T: Scalar> GemmCall<'_, '_, 'f, T> {
    /// Computes a cell: all blocks of inputs, tiles and chunks.
    pub(super) fn run(&self, mut cell: Cell<T>, scratch: &mut [T]) {
        let blocks = self.gemm.weights.blocks();
        let mut work = self.work(&cell, scratch);
        for number in 0..blocks {
            self.pack(&mut work, number);
            match work.writing {
                _ if number + 1 < blocks => {
                    for tile in 0..work.plan.tiles.len() {
                        for chunk in 0..work.chunks {
                            self.sum(&mut work, number, tile, chunk);
                        }
                    }
                }
                Writing::Staged => self.finish_chunks(&mut work, number, &mut cell),
                _ => self.finish_tiles(&mut work, number, &mut cell),
            }
        }
    }

    /// Finds what a cell consists of, and deals out the scratch memory.
    pub(in crate::engine) fn work<'w>(&'w self, cell: &Cell<T>, scratch: &'w mut [T]) -> CellWork<'w, T> {
        let (gemm, Prepared { schedule, places, scratch: layout, .. }) = (self.gemm, self.prepared);
        let [piece_batch, _, d, h, w] = cell.index;
        let (plan, number_of_plan) = schedule.plan([d, h, w]);
        let (outputs, chunk) = (gemm.phases.outputs, gemm.weights.chunk);
        let (panel, rest) = scratch.split_at_mut(layout.panel);
        let (sums, rest) = rest.split_at_mut(layout.sums);
        let (stage, rest) = rest.split_at_mut(layout.stage);
        // Lists of places are made for contiguous planes and know no residual: other outputs are written in rows.
        let places = &places[number_of_plan][..];
        let is_scattered = self.finish.residual().is_none() && places.first().is_some_and(|places| cell.suits(places));
        let writing = if is_scattered {
            Writing::Scattered(places)
        } else if schedule.cut.samples.interleaved > 1 {
            Writing::Staged
        } else {
            let bytes = self.source.shape()[0] * gemm.phases.bytes_per_sample::<T>();
            Writing::Rows { is_prefetched: bytes > self.prepared.large_output }
        };
        CellWork {
            plan,
            blocks: [&schedule.blocks[0][d], &schedule.blocks[1][h], &schedule.blocks[2][w]],
            sample: piece_batch * schedule.cut.samples.count(),
            group: cell.first[1] / outputs,
            first_chunk: cell.first[1] % outputs / chunk,
            channels: cell.shape[1],
            chunks: cell.shape[1].div_ceil(chunk),
            writing,
            panel,
            sums,
            stage,
            row: &mut rest[..layout.row],
        }
    }

    /// Packs the panel of a block of inputs.
    pub(in crate::engine) fn pack(&self, work: &mut CellWork<T>, number: usize) {
        let (gemm, inputs) = (self.gemm, self.gemm.weights.block(number));
        let first = work.group * gemm.phases.inputs;
        let part = Part {
            sample: work.sample,
            channels: first + inputs.start..first + inputs.end,
            start: work.blocks.map(|axis| axis.start),
            lens: work.blocks.map(|axis| axis.len),
        };
        let shape = &work.plan.panel;
        match self.prepared.listed.as_ref().filter(|_| self.source.has_planes()) {
            Some(listed) => listed.pack(gemm.level, shape, self.source, &part, work.panel),
            None => pack(gemm.level, &gemm.panels, shape, self.source, &part, work.panel),
        }
        self.input_activation.apply(gemm.level, &mut work.panel[..inputs.len() * shape.channel]);
    }

    /// Sums the tiles of the last block of inputs one after the other, and writes each.
    fn finish_tiles(&self, work: &mut CellWork<T>, number: usize, cell: &mut Cell<T>) {
        let writer = self.writer(work.plan);
        for tile in 0..work.plan.tiles.len() {
            let runs = &work.plan.runs[work.plan.tiles[tile].runs.clone()];
            for chunk in 0..work.chunks {
                let of_chunk = self.chunk(work, chunk);
                if let Writing::Rows { is_prefetched: true } = work.writing {
                    writer.announce(runs, of_chunk, cell);
                }
                let sums = self.sum(work, number, tile, chunk);
                match work.writing {
                    Writing::Scattered(places) => writer.scatter(&work.sums[sums], &places[tile], of_chunk, cell),
                    _ => writer.write(&work.sums[sums], runs, of_chunk, cell, work.row),
                }
            }
        }
    }

    /// Sums the last block of inputs chunk by chunk, and writes each chunk from the stage.
    fn finish_chunks(&self, work: &mut CellWork<T>, number: usize, cell: &mut Cell<T>) {
        let writer = self.writer(work.plan);
        let (lens, interleaved) = (work.blocks.map(|axis| axis.len), work.plan.panel.samples.interleaved);
        for chunk in 0..work.chunks {
            let of_chunk = self.chunk(work, chunk);
            if self.gemm.map.has_gaps() {
                work.stage.fill(T::zero());
            }
            for tile in 0..work.plan.tiles.len() {
                let sums = self.sum(work, number, tile, chunk);
                let runs = &work.plan.runs[work.plan.tiles[tile].runs.clone()];
                writer.stage(&work.sums[sums], runs, of_chunk, lens, interleaved, work.stage);
            }
            writer.unstage(work.stage, of_chunk, lens, cell, work.row);
        }
    }

    pub(in crate::engine) fn writer(&self, plan: &BlockPlan) -> Writer<'_, 'f, T> {
        let gemm = self.gemm;
        let (pitch, skip) = (gemm.pitch::<T>(), plan.skip);
        Writer { level: gemm.level, map: &gemm.map, finish: self.finish, pitch, skip }
    }

    pub(in crate::engine) fn chunk(&self, work: &CellWork<T>, number: usize) -> Chunk {
        let first = number * self.gemm.weights.chunk;
        Chunk { first, channels: self.gemm.weights.chunk.min(work.channels - first) }
    }

    /// Adds one block of inputs to the sums of a tile and a chunk, and returns where they lie.
    fn sum(&self, work: &mut CellWork<T>, number: usize, tile: usize, chunk: usize) -> std::ops::Range<usize> {
        let (gemm, plan, tile_number) = (self.gemm, work.plan, tile);
        let (lanes, pitch) = (lanes::<T>(gemm.level.isa()), gemm.pitch::<T>());
        let buffer_len = gemm.buffer_len::<T>();
        // Sums of a single block are finished before those of the next tile, and need one buffer.
        let buffer = if gemm.weights.blocks() > 1 { tile_number * work.chunks + chunk } else { 0 };
        let place = buffer * buffer_len..(buffer + 1) * buffer_len;
        let sums = &mut work.sums[place.clone()];
        let (tile, inputs) = (&plan.tiles[tile_number], gemm.weights.block(number).len());
        let bases = &plan.bases[tile.bases.clone()];
        let mut weights = &self.packed[gemm.weights.of_chunk(work.group, number, work.first_chunk + chunk)];
        for (group, rows) in gemm.weights.rows.iter().enumerate() {
            let taps = plan.taps(tile.region, group);
            let a_tap = rows.per_tile * inputs;
            for row_tile in 0..rows.tiles {
                let (a, rest) = weights.split_at(a_tap * gemm.phases.groups[group].taps);
                weights = rest;
                let first_row = (rows.first + row_tile * rows.per_tile) * pitch;
                let mut first = 0;
                for &vectors in gemm.tile.parts(group, bases.len()) {
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
                        gemm.level,
                        &Tile {
                            rows: rows.per_tile,
                            bases,
                            taps,
                            steps: inputs,
                            a,
                            a_tap,
                            b: work.panel,
                            b_step: plan.panel.channel,
                            pitch,
                            accumulate: number > 0,
                        },
                        &mut sums[first_row + first * lanes..],
                    );
                    first += vectors;
                }
            }
        }
        place
    }
}
