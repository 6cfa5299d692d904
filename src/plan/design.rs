//! From a geometry to a recipe: a small cost model over cache sizes. It touches no data and builds nothing that it keeps.
//!
//! Costs are cycles of one thread: those of the microkernel ([`tile_cost`]) for every register tile that the cut would run,
//! padding and garbage columns included; a constant per call of the microkernel; and what it takes to pack panels and to store
//! outputs. They need only be right enough to order the candidates.

use super::recipe::{ImplicitGemmRecipe, Recipe, Way};
use crate::engine::depthwise::Depthwise;
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::panel::{Listed, Samples};
use crate::engine::phases::{AxisPhases, Group, Phases};
use crate::engine::schedule::{BlockPlan, Cut, Run, Schedule, tile_cost};
use crate::engine::weights::row_tiles;
use crate::kernel::cache::Caches;
use crate::kernel::dispatch::Level;
use crate::kernel::merge::MOST_PHASES as MOST_MERGED;
use crate::kernel::micro::{lanes, max_rows, vector_counts};
use crate::kernel::scatter::{SHORTEST_LINE, samples_per_place};
use crate::kernel::vector::MAX_LANES;
use crate::scalar::Scalar;

/// Most bytes of one worker's scratch memory.
const MOST_SCRATCH: usize = 4 << 20;
/// Bytes of scratch memory that a cut may take without being asked whether a smaller one would do.
const PLENTY_OF_SCRATCH: usize = 1 << 20;
/// Samples that are prepared for where nothing is known about batches.
const MANY: usize = 64;
/// Most phases: each is a row of every tile's buffer.
const MOST_PHASES: usize = 4096;
/// Cells that keep two threads busy to the end.
const CELLS: usize = 16;
/// Fewest chunks that are worth packing a panel for.
const FEWEST_CHUNKS: usize = 4;

/// Cycles per call of the microkernel, and per element of its tile that a further block of inputs loads and stores.
const CALL: f64 = 60.0;
const PARTIAL_SUM: f64 = 2.0;
/// Cycles per packed plane of a channel and a stacked sample.
const PLANE: f64 = 25.0;
/// Cycles per packed element: rows copied, elements gathered, samples interleaved.
const COPIED: f64 = 0.2;
const GATHERED: f64 = 0.8;
/// Cycles per element that goes to a listed place of a panel, alone or beside those of other samples.
const LISTED: f64 = 0.7;
const LISTED_TOGETHER: f64 = 0.5;
/// Cycles per output stored in runs, per run, and per run of all channels of a chunk.
const STORED: f64 = 0.3;
const RUN: f64 = 9.0;
const RUN_OF_CHUNK: f64 = 26.0;
/// Cycles per output that is sorted on a stage, per column or sample of a run that is, whichever are fewer, and per run.
const SORTED: f64 = 1.2;
const COLUMN: f64 = 8.0;
const SORTED_RUN: f64 = 12.0;
/// Cycles per output that is stored by itself, and per line of neighbours.
const SCATTERED: f64 = 2.8;
const LINE: f64 = 18.0;
/// Cycles per square of outputs that are transposed to be stored, per vector of it, and per sample.
const SQUARE: f64 = 12.0;
const SQUARE_VECTOR: f64 = 5.0;
const SQUARE_SAMPLE: f64 = 5.0;
/// Cycles of a depthwise layer per row of a phase, per vector of it, per tap of depth and height of it, and per tap of a vector; per
/// output of phases that are dealt out, and per input of rows that are split.
const SUMMED_ROW: f64 = 12.0;
const SUMMED_VECTOR: f64 = 3.4;
const ROW_TAP: f64 = 5.2;
const VECTOR_TAP: f64 = 1.3;
const DEALT_OUT: f64 = 0.55;
const SPLIT: f64 = 0.7;
/// What an implicit GEMM takes over its estimate where groups have one input channel: they are small cells.
const LEFT_OUT: f64 = 1.1;
/// Cycles per cell.
const CELL: f64 = 500.0;
/// Cycles per chunk of a tile: what its rows share.
const CHUNK: f64 = 150.0;

/// The recipe for one direction of a geometry, for batches of about `batch` samples if that is known.
pub(crate) fn design<T: Scalar>(phases: &Phases, level: Level, caches: Caches, batch: Option<usize>) -> Recipe {
    let depthwise = Depthwise::new::<T>(phases, level).map(|_| Recipe::Depthwise { isa: level.isa() });
    if phases.phases() > MOST_PHASES {
        return depthwise.unwrap_or(Recipe::Lowered);
    }
    let chunk = channels_per_chunk(phases, level);
    let mut engine = ImplicitGemm::new::<T>(phases.clone(), level, chunk, phases.inputs);
    let inputs_per_block = inputs_per_block::<T>(&engine, caches);
    engine.weights.inputs_per_block = inputs_per_block;
    let ways = |batch| ways::<T>(&engine, caches, batch);
    let mut of_many = None;
    if let Some(depthwise) = depthwise {
        // Whatever the batch: the choice decides about bits.
        let many = of_many.insert(ways(MANY));
        let of_ways = many.iter().map(Way::cycles_per_sample).min_by(f64::total_cmp);
        let cycles = depthwise_cycles(phases, lanes::<T>(level.isa()));
        if of_ways.is_none_or(|of_ways| cycles <= LEFT_OUT * of_ways) {
            return depthwise;
        }
    }
    let batch = batch.unwrap_or(MANY);
    let ways = of_many.filter(|_| batch == MANY).unwrap_or_else(|| ways(batch));
    if ways.is_empty() {
        return Recipe::Lowered;
    }
    Recipe::ImplicitGemm(ImplicitGemmRecipe { isa: level.isa(), channels_per_chunk: chunk, inputs_per_block, ways })
}

/// The cheapest ways to cut a batch, by numbers of samples per panel.
fn ways<T: Scalar>(engine: &ImplicitGemm, caches: Caches, batch: usize) -> Vec<Way> {
    let lanes = lanes::<T>(engine.level.isa());
    let mut ways: Vec<Way> = Vec::new();
    for samples in samples_to_try(engine, lanes, batch) {
        let candidates = cuts(engine, lanes, samples).filter_map(|cut| way::<T>(engine, caches, batch, cut));
        let Some(best) = candidates.min_by(|a, b| a.cycles.total_cmp(&b.cycles)) else { continue };
        // More samples per panel have to pay: batches that they do not divide waste some.
        match ways.iter().position(|way| way.cut.samples.count() == samples.count()) {
            Some(known) if best.cycles_per_sample() < ways[known].cycles_per_sample() => ways[known] = best,
            Some(_) => {}
            None if ways.iter().all(|known| best.cycles_per_sample() < 0.97 * known.cycles_per_sample()) => {
                ways.push(best)
            }
            None => {}
        }
    }
    ways
}

/// Estimated cycles of one thread for one sample whose rows are summed in place.
fn depthwise_cycles(phases: &Phases, lanes: usize) -> f64 {
    let [depth, height, width] = &phases.axes;
    let gathers = |axis: &AxisPhases| axis.gathers.len() as f64;
    let taps = |axis: &AxisPhases| axis.gathers.iter().map(|gather| gather.taps as f64).sum::<f64>();
    let elements = |of_axis: fn(&AxisPhases) -> usize| {
        (phases.channel_groups * phases.outputs) as f64
            * phases.axes.iter().map(|axis| of_axis(axis) as f64).product::<f64>()
    };
    // Rows of a phase are summed one by one.
    let rows = elements(|axis| axis.positions) / width.positions.max(1) as f64;
    let row_taps = rows * taps(depth) * taps(height);
    let vectors = width.positions.div_ceil(lanes) as f64;
    let outputs = if width.gathers.len() > 2 { elements(|axis| axis.output) } else { 0.0 };
    let inputs = if width.input_step > 1 { elements(|axis| axis.input) } else { 0.0 };
    rows * gathers(depth) * gathers(height) * gathers(width) * (SUMMED_ROW + SUMMED_VECTOR * vectors)
        + row_taps * (gathers(width) * ROW_TAP + taps(width) * VECTOR_TAP * vectors)
        + outputs * DEALT_OUT
        + inputs * SPLIT
}

/// The channels whose rows fill register tiles best.
fn channels_per_chunk(phases: &Phases, level: Level) -> usize {
    /// Rows of a chunk's buffer that stay in the first-level cache with little else.
    const MOST_ROWS: usize = 256;
    let isa = level.isa();
    let most_vectors = vector_counts(isa, 1).last().copied().unwrap_or(1) as f64;
    let cost = |chunk: usize| {
        let of_group = |group: &Group| {
            let (tiles, per_tile) = row_tiles(chunk * group.phases, isa);
            let vectors = vector_counts(isa, per_tile).last().copied().unwrap_or(1);
            let steps = (group.taps * phases.inputs * tile_cost(per_tile, vectors)) as f64 / 8.0;
            tiles as f64 * (steps + CALL) / vectors as f64
        };
        let of_groups = phases.groups.iter().filter(|group| group.taps > 0).map(of_group).sum::<f64>();
        phases.outputs.div_ceil(chunk) as f64 * (of_groups + CHUNK / most_vectors)
    };
    let most = (MOST_ROWS / phases.phases().max(1)).clamp(1, phases.outputs.min(2 * max_rows(isa)));
    let mut best = (1, cost(1));
    for chunk in 2..=most {
        let cost = cost(chunk);
        if cost < 0.999 * best.1 {
            best = (chunk, cost);
        }
    }
    best.0
}

/// Input channels whose part of a panel, as far as one tile reads it, stays within reach of the first-level cache while the
/// chunks pass by; and enough of them that a call of the microkernel is worth its overhead.
fn inputs_per_block<T: Scalar>(engine: &ImplicitGemm, caches: Caches) -> usize {
    const STEPS: usize = 256;
    let lanes = lanes::<T>(engine.level.isa());
    let [d, h, w] = &engine.panels;
    let rows = d.residues() * (d.reach + 1) * h.residues() * (h.reach + 1) * w.residues();
    let bytes = rows * (engine.tile.vectors * lanes + w.reach + lanes) * size_of::<T>();
    let taps = engine.phases.groups.iter().map(|group| group.taps).max().unwrap_or(1).max(1);
    let most = (caches.first / 2 / bytes).max(STEPS / taps).max(1);
    let inputs = engine.phases.inputs;
    inputs.div_ceil(inputs.div_ceil(most + most / 2))
}

/// Numbers of samples per panel that may serve a batch.
fn samples_to_try(engine: &ImplicitGemm, lanes: usize, batch: usize) -> impl Iterator<Item = Samples> {
    let positions: usize = engine.phases.axes.iter().map(|axis| axis.positions).product();
    // Beyond this many positions a sample's last tile weighs little.
    let most = (64 * engine.tile.vectors * lanes).div_ceil(positions.max(1)).min(batch);
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48].into_iter().filter(move |&count| count == 1 || count <= most).flat_map(
        |count| {
            let stacked = Samples { stacked: count, interleaved: 1 };
            let interleaved = Samples { stacked: 1, interleaved: count };
            [stacked, interleaved].into_iter().take(if count == 1 { 1 } else { 2 })
        },
    )
}

/// Blocks to try for a number of samples per panel.
fn cuts(engine: &ImplicitGemm, lanes: usize, samples: Samples) -> impl Iterator<Item = Cut> {
    let [d, h, w] = engine.phases.axes.each_ref().map(|axis| axis.positions.max(1));
    let tile = engine.tile.vectors * lanes;
    let by_valid_taps = valid_taps_to_try(&engine.phases);
    [8, 16, 24].into_iter().flat_map(move |tiles| {
        // Along the width first: whole rows need no halo at their ends.
        let mut left = (tiles * tile).div_ceil(samples.count());
        let mut take = |length: usize| {
            let taken = left.clamp(1, length);
            left /= taken;
            taken
        };
        let (block_w, block_h) = (take(w), take(h));
        let block = [take(d), block_h, block_w];
        by_valid_taps.clone().into_iter().map(move |by_valid_taps| Cut { samples, block, by_valid_taps })
    })
}

/// Axes along which regions may be sets of valid taps: on small planes none, those of rows, that of columns, and all, as far
/// as some taps are outside of the input there.
fn valid_taps_to_try(phases: &Phases) -> Vec<[bool; 3]> {
    /// Positions of a plane whose borders weigh little.
    const LARGE: usize = 4096;
    let mut all = vec![[false; 3]];
    if phases.axes.iter().map(|axis| axis.positions).product::<usize>() > LARGE {
        return all;
    }
    let has_borders = phases.axes.each_ref().map(|axis| {
        let is_whole = |group: usize, j| axis.valid_taps(group, j) == (0..axis.groups[group].offsets.len());
        (0..axis.positions).any(|j| (0..axis.groups.len()).any(|group| !is_whole(group, j)))
    });
    for asked in [[true, true, false], [false, false, true], [true; 3]] {
        let axes = std::array::from_fn(|i| asked[i] && has_borders[i]);
        if !all.contains(&axes) {
            all.push(axes);
        }
    }
    all
}

/// What a cut takes, if it is within bounds.
fn way<T: Scalar>(engine: &ImplicitGemm, caches: Caches, batch: usize, cut: Cut) -> Option<Way> {
    let lanes = lanes::<T>(engine.level.isa());
    let schedule = Schedule::new::<T>(&engine.phases, &engine.panels, &engine.tile, lanes, cut)?;
    let chunks = engine.weights.chunks();
    let scratch = |chunks: usize| engine.scratch::<T>(&schedule, chunks).len() * size_of::<T>();
    // The weights of a cell stay in the second-level cache while its tiles pass by.
    let chunk_bytes = engine.weights.of_chunk(0, 0, 0).len() * size_of::<T>();
    let mut per_cell = (caches.second / 3 / chunk_bytes.max(1)).clamp(1, chunks);
    while per_cell > 1 && scratch(per_cell) > PLENTY_OF_SCRATCH {
        per_cell = per_cell.div_ceil(2);
    }
    let blocks: usize = schedule.blocks.iter().map(Vec::len).product();
    let cells = |per_cell: usize| {
        let panels = batch.div_ceil(cut.samples.count());
        panels.saturating_mul(blocks * engine.phases.channel_groups * chunks.div_ceil(per_cell))
    };
    while per_cell > FEWEST_CHUNKS && cells(per_cell) < CELLS {
        per_cell = per_cell.div_ceil(2);
    }
    // Even cells.
    let per_cell = chunks.div_ceil(chunks.div_ceil(per_cell));
    if scratch(per_cell) > MOST_SCRATCH {
        return None;
    }
    let Estimate { computing, packing, is_scattered } = estimate(engine, &schedule, lanes);
    let of_group = computing + chunks.div_ceil(per_cell) as f64 * packing;
    Some(Way {
        cut,
        chunks_per_cell: per_cell,
        is_scattered,
        cycles: engine.phases.channel_groups as f64 * of_group,
        packing: packing * chunks as f64 / computing.max(1.0),
    })
}

/// Estimated cycles of one thread for one channel group and all samples of a panel.
struct Estimate {
    /// For sums and what is done with them.
    computing: f64,
    /// For packing all panels once, and for what else every cell takes.
    packing: f64,
    /// Whether outputs are stored by lists of places.
    is_scattered: bool,
}

fn estimate(engine: &ImplicitGemm, schedule: &Schedule, lanes: usize) -> Estimate {
    let (phases, weights) = (&engine.phases, &engine.weights);
    let (chunks, blocks) = (weights.chunks() as f64, weights.blocks() as f64);
    let interleaved = schedule.cut.samples.interleaved;
    let is_interleaved = interleaved > 1;
    let is_listed = schedule.only_plan().is_some_and(|plan| Listed::pays(&engine.panels, plan.lens, interleaved));
    let per_element = match (is_listed, is_interleaved) {
        (true, true) => LISTED_TOGETHER,
        (true, false) => LISTED,
        (false, _) if is_interleaved || phases.axes[2].input_step > 1 => GATHERED,
        (false, _) => COPIED,
    };
    let rows_of_channel = (phases.axes[0].gathers.len() * phases.axes[1].gathers.len()) as f64;
    let rows_per_run = rows_of_channel * phases.outputs as f64;
    let of_plan = |plan: &BlockPlan| {
        let mut cycles = 0.0;
        for tile in &plan.tiles {
            for (group, rows) in weights.rows.iter().enumerate() {
                let steps = (plan.taps(tile.region, group).len() * phases.inputs) as f64;
                for &vectors in engine.tile.parts(group, tile.bases.len()) {
                    let step = tile_cost(rows.per_tile, vectors) as f64 / 8.0;
                    let sums = PARTIAL_SUM * (rows.per_tile * vectors) as f64;
                    cycles += chunks * rows.tiles as f64 * (steps * step + blocks * (CALL + sums));
                }
            }
        }
        let packed = (phases.inputs * plan.panel.channel) as f64;
        let in_rows: f64 = match schedule.cut.samples.interleaved {
            1 => {
                let of_run = |run: &Run| rows_per_run * (RUN + merged(phases.axes[2].gathers.len(), run.len, lanes));
                let of_chunks = rows_of_channel * chunks * RUN_OF_CHUNK;
                plan.runs.iter().map(|run| of_run(run) + of_chunks).sum()
            }
            samples => {
                let of_run = |run: &Run| {
                    let columns = run.len.div_ceil(samples);
                    SORTED_RUN + COLUMN * columns.min(samples) as f64 + SORTED * run.len as f64
                };
                let sorted = rows_per_run * phases.axes[2].gathers.len() as f64;
                let [depth, height, width] = plan.outputs;
                // Planes that come off the stage as they are stored are one run.
                let is_whole = plan.outputs == engine.map.outputs(plan.lens) && width == phases.axes[2].output;
                let runs = if is_whole { 1 } else { depth * height };
                sorted * plan.runs.iter().map(of_run).sum::<f64>() + (phases.outputs * samples * runs) as f64 * RUN
            }
        };
        let planes = (phases.inputs * schedule.cut.samples.stacked) as f64;
        let scattered =
            plan.runs.iter().map(|run| phases.outputs as f64 * scattered_run(engine, plan, run, lanes)).sum();
        [cycles, planes * PLANE + packed * per_element + CELL, in_rows, scattered]
    };
    let outputs: usize = phases.axes.iter().map(|axis| axis.output).product();
    let stored = (outputs * schedule.cut.samples.count() * phases.outputs) as f64;
    let of_plans: Vec<[f64; 4]> = schedule.plans().iter().map(of_plan).collect();
    let [sums, packing, in_rows, scattered] = schedule
        .plan_numbers()
        .fold([0.0, 0.0, stored * STORED, 0.0], |sums, plan| std::array::from_fn(|i| sums[i] + of_plans[plan][i]));
    Estimate { computing: sums + in_rows.min(scattered), packing, is_scattered: scattered < in_rows }
}

/// Estimated cycles to merge many phases into the row of a run, which is done by squares.
fn merged(phases: usize, len: usize, lanes: usize) -> f64 {
    let squares = if phases > MOST_MERGED { phases.div_ceil(lanes) * len.div_ceil(lanes) } else { 0 };
    (squares * lanes) as f64 * SQUARE_VECTOR
}

/// Estimated cycles to store the outputs of a run by lists of places, per output channel.
fn scattered_run(engine: &ImplicitGemm, plan: &BlockPlan, run: &Run, lanes: usize) -> f64 {
    let interleaved = plan.panel.samples.interleaved;
    let [phases_d, phases_h, phases_w] = engine.phases.axes.each_ref().map(|axis| axis.gathers.len());
    let outputs = run.len * phases_d * phases_h * phases_w;
    let side = samples_per_place(interleaved, lanes);
    if side == 1 {
        let is_line = interleaved == 1 && phases_w == 1 && run.len >= SHORTEST_LINE;
        let lines = (outputs / run.len) as f64;
        return if is_line { lines * LINE + outputs as f64 * STORED } else { outputs as f64 * SCATTERED };
    }
    // Neighbours in a row; in all of a tile, where rows are whole.
    let row = run.len.div_ceil(interleaved) * phases_w;
    let is_whole = row >= engine.phases.axes[2].output;
    let of_tile = (engine.tile.vectors * lanes / interleaved).max(1) * phases_h * phases_w;
    let row = if is_whole { of_tile.max(row * phases_h) } else { row };
    let longest = row.min(MAX_LANES);
    let squares = (outputs / side) as f64 * row.div_ceil(longest) as f64 / row as f64;
    squares * (SQUARE + SQUARE_VECTOR * longest as f64 + SQUARE_SAMPLE * side as f64)
}

#[cfg(test)]
mod tests;
