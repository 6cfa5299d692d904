//! What a way to compute takes: counts its work, kind by kind, from numbers alone. It chooses nothing and knows no cost.

use super::costs::Work;
use crate::engine::filtered::{Filtered, Tiling};
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::panel::Samples;
use crate::engine::phases::{AxisPhases, Phases};
use crate::engine::schedule::{BlockTally, Tally, multiply_adds};
use crate::kernel::merge::MOST_PHASES as MOST_MERGED;
use crate::kernel::scatter::{SHORTEST_LINE, samples_per_place};
use crate::kernel::vector::MAX_LANES;

/// The work of a cut for one channel group and all samples of a panel.
pub(super) struct Estimate {
    /// For sums.
    pub(super) sums: Work,
    /// To store outputs in rows.
    pub(super) in_rows: Work,
    /// To store outputs by lists of places.
    pub(super) scattered: Work,
    /// To pack all panels once, by a list or by rows, with what a cell takes whatever its size.
    pub(super) packing: Work,
}

impl Estimate {
    pub(super) fn new(engine: &ImplicitGemm, tally: &Tally, lanes: usize, is_listed: bool) -> Self {
        let (phases, samples) = (&engine.phases, tally.cut.samples);
        let outputs: usize = phases.axes.iter().map(|axis| axis.output).product();
        let [mut sums, mut in_rows, mut scattered, mut packing] = [Work::default(); 4];
        in_rows.stored = outputs as f64 * (samples.count() * phases.outputs) as f64;
        for kind in &tally.kinds {
            add_sums(&mut sums, engine, kind);
            add_rows(&mut in_rows, engine, kind, samples.interleaved, lanes);
            add_scattered(&mut scattered, engine, kind, samples.interleaved, lanes);
            add_packing(&mut packing, phases, kind, samples, is_listed);
        }
        Self { sums, in_rows, scattered, packing }
    }
}

/// The work of minimal filtering.
pub(super) fn filtered(filtered: &Filtered, tally: &Tally, lanes: usize, is_listed: bool) -> Estimate {
    let engine = &filtered.tiled;
    let mut estimate = Estimate { sums: Work::default(), ..Estimate::new(engine, tally, lanes, is_listed) };
    for kind in &tally.kinds {
        add_products(&mut estimate, filtered, kind);
    }
    estimate
}

/// The points and products of blocks of a kind.
fn add_products(Estimate { sums: work, packing, .. }: &mut Estimate, filtered: &Filtered, kind: &BlockTally) {
    let Tiling { products, layout, .. } = &filtered.filter;
    let (chunks, blocks) = (layout.chunks() as f64, layout.blocks() as f64);
    let (terms, all) = (products.all_terms() as f64, products.terms.len() as f64);
    let [transformed, transformed_back] = filtered.transformed();
    for tile in &kind.tiles {
        let tiles = (kind.count * tile.count) as f64;
        for &vectors in filtered.tiled.tile.parts(0, tile.vectors) {
            let row_tiles = tiles * chunks * layout.tiles as f64;
            let steps = row_tiles * terms * layout.inputs as f64;
            work.multiply_add += steps * multiply_adds(layout.per_tile, vectors) as f64;
            work.step += steps;
            work.stream += steps * vectors as f64;
            work.call += row_tiles * all * blocks;
            work.partial_sum += row_tiles * all * blocks * (layout.per_tile * vectors) as f64;
        }
        let vectors = tiles * tile.vectors as f64;
        packing.transformed += vectors * (transformed * layout.inputs) as f64;
        work.transformed_back += vectors * (transformed_back * layout.outputs) as f64;
    }
}

/// The sums of blocks of a kind.
fn add_sums(work: &mut Work, engine: &ImplicitGemm, kind: &BlockTally) {
    let (phases, weights) = (&engine.phases, &engine.weights);
    let (chunks, blocks) = (kind.count as f64 * weights.chunks() as f64, weights.blocks() as f64);
    for tile in &kind.tiles {
        for (group, rows) in weights.rows.iter().enumerate() {
            let of_tile = (tile.taps(phases, group) * phases.inputs) as f64;
            for &vectors in engine.tile.parts(group, tile.vectors) {
                let tiles = chunks * (rows.tiles * tile.count) as f64;
                let (steps, calls) = (tiles * of_tile, tiles * blocks);
                work.multiply_add += steps * multiply_adds(rows.per_tile, vectors) as f64;
                work.step += steps;
                work.stream += steps * vectors as f64;
                work.call += calls;
                work.partial_sum += calls * (rows.per_tile * vectors) as f64;
            }
        }
    }
}

/// The outputs of blocks of a kind, in rows, but for what every output takes.
fn add_rows(work: &mut Work, engine: &ImplicitGemm, kind: &BlockTally, interleaved: usize, lanes: usize) {
    let phases = &engine.phases;
    let rows_of_channel = (phases.axes[0].gathers.len() * phases.axes[1].gathers.len()) as f64;
    let width_phases = phases.axes[2].gathers.len();
    for &(len, count) in &kind.runs {
        let runs = kind.count as f64 * count as f64 * rows_of_channel;
        let rows = runs * phases.outputs as f64;
        if interleaved == 1 {
            work.run += rows;
            work.run_of_chunk += runs * engine.weights.chunks() as f64;
            work.square_vector += rows * merged(width_phases, len, lanes) as f64;
        } else {
            let (rows, columns) = (rows * width_phases as f64, len.div_ceil(interleaved).min(interleaved));
            work.sorted_run += rows;
            work.column += rows * columns as f64;
            work.sorted += rows * len as f64;
        }
    }
    if interleaved > 1 {
        let [depth, height, width] = kind.outputs;
        // Where planes lie alike on the stage and in the output, each is stored as one run.
        let is_whole = kind.outputs == engine.map.outputs(kind.lens) && width == phases.axes[2].output;
        let runs = if is_whole { 1 } else { depth * height };
        work.run += kind.count as f64 * (phases.outputs * interleaved * runs) as f64;
    }
}

/// Vectors that are transposed to merge many phases into the row of a run, which is done by squares.
fn merged(phases: usize, len: usize, lanes: usize) -> usize {
    let squares = if phases > MOST_MERGED { phases.div_ceil(lanes) * len.div_ceil(lanes) } else { 0 };
    squares * lanes
}

/// The outputs of blocks of a kind, by lists of places.
fn add_scattered(work: &mut Work, engine: &ImplicitGemm, kind: &BlockTally, interleaved: usize, lanes: usize) {
    let phases = &engine.phases;
    let [phases_d, phases_h, phases_w] = phases.axes.each_ref().map(|axis| axis.gathers.len());
    let side = samples_per_place(interleaved, lanes);
    for &(len, count) in &kind.runs {
        let outputs = len * phases_d * phases_h * phases_w;
        let runs = kind.count as f64 * (count * phases.outputs) as f64;
        if side > 1 {
            // Outputs that are neighbours in memory: those of a run or, where rows are whole, those of all rows of a
            // tile.
            let row = len.div_ceil(interleaved) * phases_w;
            let is_whole = row >= phases.axes[2].output;
            let of_tile = (engine.tile.vectors * lanes / interleaved).max(1) * phases_h * phases_w;
            let row = if is_whole { of_tile.max(row * phases_h) } else { row };
            let longest = row.min(MAX_LANES);
            let squares = runs * (outputs / side) as f64 * row.div_ceil(longest) as f64 / row as f64;
            work.square += squares;
            work.square_vector += squares * longest as f64;
            work.square_sample += squares * side as f64;
        } else if interleaved == 1 && phases_w == 1 && len >= SHORTEST_LINE {
            work.line += runs * (outputs / len) as f64;
            work.stored += runs * outputs as f64;
        } else {
            work.scattered += runs * outputs as f64;
        }
    }
}

/// The panels of blocks of a kind, each packed once.
fn add_packing(work: &mut Work, phases: &Phases, kind: &BlockTally, samples: Samples, is_listed: bool) {
    let elements = kind.count as f64 * (phases.inputs * kind.panel.channel) as f64;
    let is_interleaved = samples.interleaved > 1;
    *match (is_listed, is_interleaved) {
        (true, true) => &mut work.listed_together,
        (true, false) => &mut work.listed,
        (false, true) if phases.axes[2].input_step > 1 => &mut work.gathered_together,
        (false, _) if is_interleaved || phases.axes[2].input_step > 1 => &mut work.gathered,
        (false, _) => &mut work.copied,
    } += elements;
    work.plane += kind.count as f64 * (phases.inputs * samples.stacked) as f64;
    work.cell += kind.count as f64;
}

/// The work for one sample whose rows are summed in place.
pub(super) fn depthwise(phases: &Phases, lanes: usize) -> Work {
    let [depth, height, width] = &phases.axes;
    let gathers = |axis: &AxisPhases| axis.gathers.len() as f64;
    let taps = |axis: &AxisPhases| axis.gathers.iter().map(|gather| gather.taps as f64).sum::<f64>();
    let elements = |of_axis: fn(&AxisPhases) -> usize| {
        (phases.channel_groups * phases.outputs) as f64
            * phases.axes.iter().map(|axis| of_axis(axis) as f64).product::<f64>()
    };
    // Rows of one phase along the width, in all channels: each is summed by itself.
    let rows = elements(|axis| axis.positions) / width.positions.max(1) as f64;
    let row_taps = rows * taps(depth) * taps(height);
    let vectors = width.positions.div_ceil(lanes) as f64;
    let summed_row = rows * gathers(depth) * gathers(height) * gathers(width);
    Work {
        summed_row,
        summed_vector: summed_row * vectors,
        row_tap: row_taps * gathers(width),
        vector_tap: row_taps * taps(width) * vectors,
        dealt_out: if width.gathers.len() > 2 { elements(|axis| axis.output) } else { 0.0 },
        split: if width.input_step > 1 { elements(|axis| axis.input) } else { 0.0 },
        ..Work::default()
    }
}

#[cfg(test)]
mod tests;
