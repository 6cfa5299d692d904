//! One cell of tiles: points, products, outputs.
//!
//! ```text
//! for every block of input channels
//!   pack the panel                                                 L2
//!   for every register tile of tiles
//!     for every pass: the views of depth and height
//!       transform the windows of all channels into points          L2
//!       for every chunk of output channels                         weights stream by in the order of the loops
//!         for every product, every tile of rows                    a point of all channels: L1
//!           the microkernel, over terms and input channels
//!     after the last block: transform sums into outputs, finish and store them
//! ```
//!
//! It knows no threads and no other cell.

use super::exact::Exact;
use super::{Filtered, FilteredScratch, FilteredWeights};
use crate::engine::implicit_gemm::cell::{CellWork, GemmCall, Writing};
use crate::kernel::filtering::{OutputTransform, TransformInputs, TransformSums, exceeds};
use crate::kernel::grid::Cell;
use crate::kernel::micro::{self, TapLists, Tile, lanes};
use crate::kernel::prefetch::prefetch_all;
use crate::scalar::Scalar;

/// The arguments of a run that all cells share.
pub(super) struct FilteredCall<'a, 'x, 'f, T> {
    pub(super) filtered: &'a Filtered,
    pub(super) layout: FilteredScratch,
    /// Per product, the points that it reads.
    pub(super) terms: &'a TapLists,
    pub(super) packed: &'a FilteredWeights<T>,
    pub(super) gemm: GemmCall<'a, 'x, 'f, T>,
}

/// Scratch memory of a cell.
struct Memory<'a, T> {
    points: &'a mut [T],
    sums: &'a mut [T],
    temporary: &'a mut [T],
    /// Per tile and lane, whether it holds an input that is too large.
    flags: &'a mut [T],
}

/// Where in a cell products are.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    tile: usize,
    pass: usize,
    chunk: usize,
}

impl<T: Scalar> FilteredCall<'_, '_, '_, T> {
    /// Computes a cell.
    pub(super) fn run(&self, mut cell: Cell<T>, scratch: &mut [T]) {
        let FilteredScratch { points, sums, kept, temporary, flags, .. } = self.layout;
        let (own_points, rest) = scratch.split_at_mut(points);
        let (own_sums, rest) = rest.split_at_mut(kept * sums);
        let (temporary, rest) = rest.split_at_mut(temporary);
        let (flags, rest) = rest.split_at_mut(flags);
        let mut memory = Memory { points: own_points, sums: own_sums, temporary, flags };
        let mut work = self.gemm.work(&cell, rest);
        let (blocks, passes) = (self.filtered.filter.layout.blocks(), self.filtered.filter.products.passes.len());
        let is_staged = matches!(work.writing, Writing::Staged);
        let mut is_anew = false;
        for block in 0..blocks {
            self.gemm.pack(&mut work, block);
            is_anew |= self.flag(&work, block, is_anew, &mut memory);
            for tile in 0..work.plan.tiles.len() {
                for pass in 0..passes {
                    self.transform(&work, [block, tile, pass], &mut memory);
                    for chunk in 0..work.chunks {
                        self.multiply(&work, Place { block, tile, pass, chunk }, &mut memory);
                        if block + 1 == blocks && pass + 1 == passes && !is_staged {
                            self.finish(&mut work, [tile, chunk], &mut memory, &mut cell);
                        }
                    }
                }
            }
        }
        if is_staged {
            self.finish_staged(&mut work, &mut memory, &mut cell);
        }
        if is_anew {
            let exact = Exact { filtered: self.filtered, packed: &self.packed.exact, gemm: &self.gemm };
            let pitch = self.filtered.tiled.pitch::<T>();
            exact.run(&work, pitch, memory.flags, memory.points, &mut cell);
        }
    }

    /// Flags the lanes of tiles that hold an input too large, and tells whether there are any. `is_flagged` says whether flags are
    /// written already.
    fn flag(&self, work: &CellWork<T>, block: usize, is_flagged: bool, memory: &mut Memory<T>) -> bool {
        let (gemm, shape) = (&self.filtered.tiled, &work.plan.panel);
        let channels = self.filtered.filter.layout.block(block).len();
        let most = T::from_f64(self.packed.most);
        let panel = &work.panel[..channels * shape.channel];
        if !exceeds(gemm.level, panel, most) {
            return false;
        }
        if !is_flagged {
            memory.flags.fill(T::zero());
        }
        let (lanes, pitch) = (lanes::<T>(gemm.level.isa()), gemm.pitch::<T>());
        let is_too_large = |value: T| !(value <= most && -value <= most);
        for (number, tile) in work.plan.tiles.iter().enumerate() {
            let flags = memory.flags[number * pitch..][..pitch].chunks_exact_mut(lanes);
            for (&base, flags) in work.plan.bases[tile.bases.clone()].iter().zip(flags) {
                for tap in work.plan.taps(tile.region, 0).all() {
                    for channel in 0..channels {
                        let values =
                            &work.panel[base as usize + tap.shift as usize + channel * shape.channel..][..lanes];
                        for (flag, &value) in flags.iter_mut().zip(values) {
                            if is_too_large(value) {
                                *flag = T::one();
                            }
                        }
                    }
                }
            }
        }
        true
    }

    /// Transforms what the views of a pass read of a tile.
    fn transform(&self, work: &CellWork<T>, [block, tile, pass]: [usize; 3], memory: &mut Memory<T>) {
        let (gemm, filter, plan) = (&self.filtered.tiled, &self.filtered.filter, work.plan);
        let tile = &plan.tiles[tile];
        TransformInputs {
            axes: filter.products.views(&filter.axes, pass),
            panel: work.panel,
            bases: &plan.bases[tile.bases.clone()],
            window: plan.taps(tile.region, 0),
            channels: filter.layout.block(block).len(),
            channel_step: plan.panel.channel,
            pitch: gemm.pitch::<T>(),
            point_step: self.layout.point_step,
            scratch: memory.temporary,
            to: memory.points,
        }
        .run(gemm.level);
    }

    /// Where the sums of a tile and a chunk lie.
    fn sums(&self, work: &CellWork<T>, [tile, chunk]: [usize; 2]) -> std::ops::Range<usize> {
        let FilteredScratch { sums, kept, .. } = self.layout;
        let number = tile * work.chunks + chunk;
        let start = if kept == 1 { 0 } else { number % kept * sums };
        start..start + sums
    }

    /// Adds the products of a block, a pass and a chunk to the sums of a tile.
    fn multiply(&self, work: &CellWork<T>, place: Place, memory: &mut Memory<T>) {
        let (gemm, filter) = (&self.filtered.tiled, &self.filtered.filter);
        let Place { block, tile, pass, chunk } = place;
        let (layout, products) = (&filter.layout, &filter.products);
        let (lanes, pitch, inputs) = (lanes::<T>(gemm.level.isa()), gemm.pitch::<T>(), layout.block(block).len());
        let place = self.sums(work, [tile, chunk]);
        let (sums, points) = (&mut memory.sums[place], &memory.points[..]);
        let mut weights = &self.packed.filter[layout.of_chunk(work.group, block, pass, work.first_chunk + chunk)];
        let vectors = work.plan.tiles[tile].bases.len();
        let parts = gemm.tile.parts(0, vectors);
        let a_tap = layout.per_tile * inputs;
        for product in products.passes[pass].products.clone() {
            let terms = self.terms.list(product);
            for row_tile in 0..layout.tiles {
                let (a, rest) = weights.split_at(a_tap * terms.len());
                weights = rest;
                let first_row = (product * layout.rows() + row_tile * layout.per_tile) * pitch;
                // What the next call reads comes from the third-level cache or from memory.
                let of_call = layout.per_tile * pitch;
                prefetch_all(&weights[..weights.len().min(a.len())]);
                if block > 0 {
                    prefetch_all(
                        &sums[(first_row + of_call).min(sums.len())..(first_row + 2 * of_call).min(sums.len())],
                    );
                }
                let mut first = 0;
                for &vectors in parts {
                    let bases: [u32; micro::MAX_VECTORS] = std::array::from_fn(|i| ((first + i) * lanes) as u32);
                    let tile = Tile {
                        rows: layout.per_tile,
                        bases: &bases[..vectors],
                        taps: terms,
                        steps: inputs,
                        a,
                        a_tap,
                        b: points,
                        b_step: pitch,
                        pitch,
                        accumulate: block > 0,
                    };
                    micro::run(gemm.level, &tile, &mut sums[first_row + first * lanes..]);
                    first += vectors;
                }
            }
        }
    }

    /// Transforms the sums of a tile and a chunk into the rows that the writer reads.
    fn transform_back(&self, work: &mut CellWork<T>, [tile, chunk]: [usize; 2], memory: &mut Memory<T>) {
        let (gemm, filter) = (&self.filtered.tiled, &self.filtered.filter);
        let pitch = gemm.pitch::<T>();
        let channels = self.gemm.chunk(work, chunk).channels;
        let counts = filter.axes.each_ref().map(|axis| axis.steps[0]);
        let phases = filter.axes.each_ref().map(|axis| axis.phases.len());
        let all = counts.iter().product::<usize>();
        let (vectors, place) = (work.plan.tiles[tile].bases.len(), self.sums(work, [tile, chunk]));
        let (sums, rows) = (&memory.sums[place], filter.layout.rows());
        // From one output of a phase to the next along each axis, in rows.
        let steps = [phases[0] * counts[1] * counts[2], phases[1] * counts[2], phases[2]];
        let numbers = ndarray::indices(phases).into_iter().zip(&filter.products.of_phase);
        for ((d, h, w), first) in numbers {
            let axes: [OutputTransform; 3] = std::array::from_fn(|i| filter.axes[i].phases[[d, h, w][i]].transform);
            let first_row = (d * counts[1] + h) * counts[2] + w;
            for channel in 0..channels {
                let to = &mut work.sums[(channel * all + first_row) * pitch..];
                let Some(first) = first else {
                    // No tap reaches these outputs.
                    for (i, j, k) in ndarray::indices(axes.map(|axis| axis.outputs)) {
                        let start = (i * steps[0] + j * steps[1] + k * steps[2]) * pitch;
                        to[start..start + pitch].fill(T::zero());
                    }
                    continue;
                };
                TransformSums {
                    axes,
                    vectors,
                    sums: &sums[(first * rows + channel) * pitch..],
                    point_step: rows * pitch,
                    steps: steps.map(|step| step * pitch),
                    scratch: memory.temporary,
                    to,
                }
                .run(gemm.level);
            }
        }
    }

    /// Finishes the sums of a tile and a chunk, and writes them.
    fn finish(&self, work: &mut CellWork<T>, at: [usize; 2], memory: &mut Memory<T>, cell: &mut Cell<T>) {
        let [tile, chunk] = at;
        self.transform_back(work, at, memory);
        let (writer, of_chunk) = (self.gemm.writer(work.plan), self.gemm.chunk(work, chunk));
        let runs = &work.plan.runs[work.plan.tiles[tile].runs.clone()];
        match work.writing {
            Writing::Scattered(places) => writer.scatter(work.sums, &places[tile], of_chunk, cell),
            _ => writer.write(work.sums, runs, of_chunk, cell, work.row),
        }
    }

    /// Finishes all sums of samples that lie side by side, chunk by chunk.
    fn finish_staged(&self, work: &mut CellWork<T>, memory: &mut Memory<T>, cell: &mut Cell<T>) {
        let (writer, plan) = (self.gemm.writer(work.plan), work.plan);
        let (lens, interleaved) = (work.blocks.map(|axis| axis.len), plan.panel.samples.interleaved);
        for chunk in 0..work.chunks {
            let of_chunk = self.gemm.chunk(work, chunk);
            for tile in 0..plan.tiles.len() {
                self.transform_back(work, [tile, chunk], memory);
                let runs = &plan.runs[plan.tiles[tile].runs.clone()];
                writer.stage(work.sums, runs, of_chunk, lens, interleaved, work.stage);
            }
            writer.unstage(work.stage, of_chunk, lens, cell, work.row);
        }
    }
}
