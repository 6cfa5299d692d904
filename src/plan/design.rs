//! Chooses the recipe for a geometry by a small cost model over cache sizes. It touches no data, and keeps nothing that
//! it builds.
//!
//! Costs are cycles of one thread: those of the microkernel ([`tile_cost`]) for every register tile that the cut would
//! run, padding and columns that no output needs included; a constant per call of the microkernel; and what it takes to
//! pack panels and to store outputs. They need only be right enough to order the candidates.
//!
//! The constants of the cost model are in cycles unless they say otherwise. They were fitted to measured times of
//! layers in November 2026, on two AMD processors with AVX-512, *Zen 4* and *Zen 5*; on layers unlike these they are
//! guesses. Each constant names its processor and its layers:
//!
//! * *table*: the layers of real networks that the README's table shows;
//! * *depthwise*: 150 layers of one input channel per group, with several output channels, short rows or many phases;
//! * *stores*: 1200 times of rows, lines and squares of outputs, on which the estimates' medians are within 6 % of the
//!   times.

use super::recipe::{ImplicitGemmRecipe, Like, Recipe, Way};
use crate::engine::depthwise::Depthwise;
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::panel::{Listed, Samples};
use crate::engine::phases::{AxisPhases, Group, Phases};
use crate::engine::schedule::{BlockTally, Cut, Tally, tile_cost};
use crate::engine::weights::row_tiles;
use crate::kernel::Caches;
use crate::kernel::dispatch::Level;
use crate::kernel::merge::MOST_PHASES as MOST_MERGED;
use crate::kernel::micro::{lanes, max_rows, vector_counts};
use crate::kernel::scatter::{SHORTEST_LINE, samples_per_place};
use crate::kernel::vector::MAX_LANES;
use crate::scalar::Scalar;

/// Most bytes of one worker's scratch memory.
const MOST_SCRATCH: usize = 4 << 20;
/// Bytes of scratch memory from which the cells of a cut are made smaller.
const PLENTY_OF_SCRATCH: usize = 1 << 20;
/// Samples of a batch whose size is not known.
const MANY: usize = 64;
/// Most phases of an implicit GEMM: each has a row of its own in every tile's buffer.
pub(super) const MOST_PHASES: usize = 4096;
/// Fewest cells of a batch: with as many, two threads are busy nearly to the end.
const CELLS: usize = 16;
/// Fewest chunks of a cell: packing a panel does not pay for fewer.
const FEWEST_CHUNKS: usize = 4;

/// Cycles per call of the microkernel, without its steps. Table, Zen 4.
const CALL: f64 = 60.0;
/// Cycles per vector of sums of a register tile, which every block of inputs loads and stores. Table, Zen 4.
const PARTIAL_SUM: f64 = 2.0;
/// Cycles per packed plane of a channel and a stacked sample, whatever its size. Table, Zen 5.
const PLANE: f64 = 25.0;
/// Cycles per packed element, where rows are copied. Table, Zen 4.
const COPIED: f64 = 0.2;
/// Cycles per packed element, where rows are split by residue or samples are interleaved. Table, Zen 4.
const GATHERED: f64 = 0.8;
/// Cycles per packed element, where a list says its place and samples are stacked. Table, Zen 5.
const LISTED: f64 = 0.7;
/// Cycles per packed element, where a list says its place and samples are interleaved. Table, Zen 5.
const LISTED_TOGETHER: f64 = 0.5;
/// Cycles per output, where outputs are stored in runs. Table, Zen 4.
const STORED: f64 = 0.3;
/// Cycles per run of outputs of one channel, whatever its length. Stores, Zen 5.
const RUN: f64 = 9.0;
/// Cycles per run of outputs for all channels of a chunk together. Stores, Zen 5.
const RUN_OF_CHUNK: f64 = 26.0;
/// Cycles per output that is sorted on a stage. Table, Zen 4.
const SORTED: f64 = 1.2;
/// Cycles per column, or per sample if these are fewer, of a run that is sorted on a stage. Table, Zen 4.
const COLUMN: f64 = 8.0;
/// Cycles per run that is sorted on a stage, whatever its length. Table, Zen 4.
const SORTED_RUN: f64 = 12.0;
/// Cycles per output that is stored by itself at a listed place. Stores, Zen 5.
const SCATTERED: f64 = 2.8;
/// Cycles per line of neighbours at listed places, besides [`STORED`] per output. Stores, Zen 5.
const LINE: f64 = 18.0;
/// Cycles per square of outputs that is transposed to be stored. Stores, Zen 5.
const SQUARE: f64 = 12.0;
/// Cycles per vector of such a square. Stores, Zen 5.
const SQUARE_VECTOR: f64 = 5.0;
/// Cycles per sample of such a square. Stores, Zen 5.
const SQUARE_SAMPLE: f64 = 5.0;
/// Cycles of depthwise sums per row of a phase. Depthwise, Zen 5.
const SUMMED_ROW: f64 = 12.0;
/// Cycles of depthwise sums per vector of such a row. Depthwise, Zen 5.
const SUMMED_VECTOR: f64 = 3.4;
/// Cycles of depthwise sums per row of a phase and tap along depth and height. Depthwise, Zen 5.
const ROW_TAP: f64 = 5.2;
/// Cycles of depthwise sums per vector of a row and tap of the kernel. Depthwise, Zen 5.
const VECTOR_TAP: f64 = 1.3;
/// Cycles per output, where phases of a row are summed apart and dealt out to their columns. Depthwise, Zen 5.
const DEALT_OUT: f64 = 0.55;
/// Cycles per input, where rows are split by residue for depthwise sums. Depthwise, Zen 5.
const SPLIT: f64 = 0.7;
/// Factor, without unit, on the estimate of an implicit GEMM that is compared with depthwise sums. Groups of one input
/// channel make small cells, whose time the estimate states too low. Depthwise, Zen 5.
const LEFT_OUT: f64 = 1.1;
/// Cycles per cell, whatever its size. Depthwise, Zen 5.
const CELL: f64 = 500.0;
/// Cycles per chunk and tile, whatever the number of rows. Table, Zen 4.
const CHUNK: f64 = 150.0;

/// The recipe for one direction of a geometry, for batches of about `batch` samples if that is known; `None` for a recipe to be like
/// that does not suit the geometry.
pub(crate) fn design<T: Scalar>(
    phases: &Phases,
    level: Level,
    caches: Caches,
    batch: Option<usize>,
    like: Like,
) -> Option<Recipe> {
    match like {
        Like::Anything => Some(fastest::<T>(phases, level, caches, batch)),
        Like::Family(family) => of_family::<T>(phases, level, caches, batch, family),
        Like::Exactly(recipe) => exactly::<T>(phases, level, recipe),
    }
}

/// The recipe that is estimated to take least.
fn fastest<T: Scalar>(phases: &Phases, level: Level, caches: Caches, batch: Option<usize>) -> Recipe {
    let depthwise = Depthwise::pays::<T>(phases, level) && Depthwise::new::<T>(phases, level).is_some();
    let depthwise = depthwise.then(|| Recipe::Depthwise { isa: level.isa() });
    if phases.phases() > MOST_PHASES {
        return depthwise.unwrap_or(Recipe::Lowered);
    }
    let chunk = channels_per_chunk(phases, level);
    let mut engine = ImplicitGemm::new::<T>(phases.clone(), level, chunk, phases.inputs);
    engine.weights.inputs_per_block = inputs_per_block::<T>(&engine, caches);
    let mut of_many = None;
    if let Some(depthwise) = depthwise {
        // The two ways to sum differ in bits, and bits must not depend on the batch: the choice is made for MANY
        // samples.
        let many = of_many.insert(ways::<T>(&engine, caches, MANY));
        let of_ways = many.iter().map(Way::cycles_per_sample).min_by(f64::total_cmp);
        let cycles = depthwise_cycles(phases, lanes::<T>(level.isa()));
        if of_ways.is_none_or(|of_ways| cycles <= LEFT_OUT * of_ways) {
            return depthwise;
        }
    }
    let ways = of_many.filter(|_| batch.is_none_or(|batch| batch == MANY));
    let ways = ways.unwrap_or_else(|| self::ways::<T>(&engine, caches, batch.unwrap_or(MANY)));
    implicit_gemm(&engine, ways).unwrap_or(Recipe::Lowered)
}

/// The recipe of an engine with its ways, of which there is at least one.
fn implicit_gemm(engine: &ImplicitGemm, ways: Vec<Way>) -> Option<Recipe> {
    let (isa, weights) = (engine.level.isa(), &engine.weights);
    let (channels_per_chunk, inputs_per_block) = (weights.chunk, weights.inputs_per_block);
    if ways.is_empty() {
        return None;
    }
    Some(Recipe::ImplicitGemm(ImplicitGemmRecipe { isa, channels_per_chunk, inputs_per_block, ways }))
}

/// A recipe that sums in the order of another one, for other sizes of the input; weights are packed alike.
fn of_family<T: Scalar>(
    phases: &Phases,
    level: Level,
    caches: Caches,
    batch: Option<usize>,
    family: &Recipe,
) -> Option<Recipe> {
    match family {
        Recipe::Lowered => Some(Recipe::Lowered),
        Recipe::Depthwise { .. } => Depthwise::new::<T>(phases, level).map(|_| family.clone()),
        Recipe::ImplicitGemm(_) if phases.phases() > MOST_PHASES => None,
        Recipe::ImplicitGemm(ImplicitGemmRecipe { channels_per_chunk, inputs_per_block, .. }) => {
            let engine = ImplicitGemm::new::<T>(phases.clone(), level, *channels_per_chunk, *inputs_per_block);
            let ways = ways::<T>(&engine, caches, batch.unwrap_or(MANY));
            implicit_gemm(&engine, ways)
        }
    }
}

/// The recipe itself, if it suits.
fn exactly<T: Scalar>(phases: &Phases, level: Level, recipe: &Recipe) -> Option<Recipe> {
    let Recipe::ImplicitGemm(ImplicitGemmRecipe { channels_per_chunk, inputs_per_block, ways, .. }) = recipe else {
        let suits = matches!(recipe, Recipe::Lowered) || Depthwise::new::<T>(phases, level).is_some();
        return suits.then(|| recipe.clone());
    };
    let is_within = |number: usize, most: usize| (1..=most).contains(&number);
    if phases.phases() > MOST_PHASES
        || !is_within(*channels_per_chunk, phases.outputs)
        || !is_within(*inputs_per_block, phases.inputs)
    {
        return None;
    }
    let engine = ImplicitGemm::new::<T>(phases.clone(), level, *channels_per_chunk, *inputs_per_block);
    let mut counter = engine.counter::<T>();
    let of_this_layer = |way: &Way| {
        let tally = counter.count::<T>(way.cut)?;
        Some(Way { scratch: engine.scratch::<T>(&tally, way.chunks_per_cell).len(), ..*way })
    };
    let ways = ways.iter().map(of_this_layer).collect::<Option<Vec<_>>>()?;
    implicit_gemm(&engine, ways)
}

/// The cheapest ways to cut a batch, by numbers of samples per panel.
fn ways<T: Scalar>(engine: &ImplicitGemm, caches: Caches, batch: usize) -> Vec<Way> {
    let lanes = lanes::<T>(engine.level.isa());
    let (mut ways, mut counter): (Vec<Way>, _) = (Vec::new(), engine.counter::<T>());
    let valid_taps = valid_taps_to_try(&engine.phases);
    for samples in samples_to_try(engine, lanes, batch) {
        let mut fastest: Option<Way> = None;
        for (number, block) in blocks(engine, lanes, samples).into_iter().enumerate() {
            // Which taps are left out hardly depends on the size of a block: the first one decides.
            let decided = fastest.filter(|_| number > 0).map(|way| way.cut.by_valid_taps);
            for &by_valid_taps in &valid_taps {
                if decided.is_some_and(|decided| decided != by_valid_taps) {
                    continue;
                }
                let tally = counter.count::<T>(Cut { samples, block, by_valid_taps });
                let way = tally.and_then(|tally| way::<T>(engine, &tally, caches, batch));
                if way.is_some_and(|way| fastest.is_none_or(|fastest| way.cycles < fastest.cycles)) {
                    fastest = way;
                }
            }
        }
        let Some(best) = fastest else { continue };
        // More samples per panel have to gain 3 %, because a batch that they do not divide leaves part of its last
        // panel empty.
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
    // Rows of one phase along the width, in all channels: each is summed by itself.
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
    /// Most rows of a chunk's buffer: a few vectors long, so many fill about the first-level cache.
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

/// Input channels of a block: as many as have that part of a panel which one tile reads in half the first-level cache,
/// where it stays while the tile meets chunk after chunk, but enough for a call of the microkernel to have some hundred
/// steps.
fn inputs_per_block<T: Scalar>(engine: &ImplicitGemm, caches: Caches) -> usize {
    /// Steps that make a call of the microkernel worth its overhead.
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
    // A panel of so many positions has some 64 tiles, beside which a last tile that is not full weighs little.
    let most = (64 * engine.tile.vectors * lanes).div_ceil(positions.max(1)).min(batch);
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48].into_iter().filter(move |&count| count == 1 || count <= most).flat_map(
        |count| {
            let stacked = Samples { stacked: count, interleaved: 1 };
            let interleaved = Samples { stacked: 1, interleaved: count };
            [stacked, interleaved].into_iter().take(if count == 1 { 1 } else { 2 })
        },
    )
}

/// Different blocks to try for a number of samples per panel: most positions along each axis.
fn blocks(engine: &ImplicitGemm, lanes: usize, samples: Samples) -> Vec<[usize; 3]> {
    let [d, h, w] = engine.phases.axes.each_ref().map(|axis| axis.positions.max(1));
    let tile = engine.tile.vectors * lanes;
    let blocks = [16, 8, 24].map(|tiles| {
        // Blocks grow along the width first, because a block of whole rows reads no inputs of the blocks beside it.
        let mut left = (tiles * tile).div_ceil(samples.count());
        let mut take = |length: usize| {
            let taken = left.clamp(1, length);
            left /= taken;
            taken
        };
        let (block_w, block_h) = (take(w), take(h));
        [take(d), block_h, block_w]
    });
    let is_new = |&number: &usize| !blocks[..number].contains(&blocks[number]);
    (0..blocks.len()).filter(is_new).map(|number| blocks[number]).collect()
}

/// Sets of axes to try for [`Cut::by_valid_taps`]: none, depth and height, the width, and all three; of these only axes
/// along which some taps are outside of the input. On large planes none.
fn valid_taps_to_try(phases: &Phases) -> Vec<[bool; 3]> {
    /// Positions of a plane whose borders weigh little.
    const LARGE: usize = 4096;
    let mut all = vec![[false; 3]];
    if phases.axes.iter().map(|axis| axis.positions).product::<usize>() > LARGE {
        return all;
    }
    let has_borders = phases.axes.each_ref().map(|axis| axis.regions.has_borders());
    for asked in [[true, true, false], [false, false, true], [true; 3]] {
        let axes = std::array::from_fn(|i| asked[i] && has_borders[i]);
        if !all.contains(&axes) {
            all.push(axes);
        }
    }
    all
}

/// A cut with its estimated cost, or `None` if the engine refuses it or it takes more than [`MOST_SCRATCH`].
fn way<T: Scalar>(engine: &ImplicitGemm, tally: &Tally, caches: Caches, batch: usize) -> Option<Way> {
    let cut = tally.cut;
    let chunks = engine.weights.chunks();
    let scratch = |chunks: usize| engine.scratch::<T>(tally, chunks).len() * size_of::<T>();
    // The weights of a cell stay in the second-level cache while its tiles pass by.
    let chunk_bytes = engine.weights.of_chunk(0, 0, 0).len() * size_of::<T>();
    let mut per_cell = (caches.second / 3 / chunk_bytes.max(1)).clamp(1, chunks);
    while per_cell > 1 && scratch(per_cell) > PLENTY_OF_SCRATCH {
        per_cell = per_cell.div_ceil(2);
    }
    let cells = |per_cell: usize| {
        let panels = batch.div_ceil(cut.samples.count());
        panels.saturating_mul(tally.blocks * engine.phases.channel_groups * chunks.div_ceil(per_cell))
    };
    while per_cell > FEWEST_CHUNKS && cells(per_cell) < CELLS {
        per_cell = per_cell.div_ceil(2);
    }
    // Cells of even sizes.
    let per_cell = chunks.div_ceil(chunks.div_ceil(per_cell));
    if scratch(per_cell) > MOST_SCRATCH {
        return None;
    }
    let Estimate { computing, packing, is_scattered } = estimate(engine, tally, lanes::<T>(engine.level.isa()));
    let of_group = computing + chunks.div_ceil(per_cell) as f64 * packing;
    Some(Way {
        cut,
        chunks_per_cell: per_cell,
        is_scattered,
        cycles: engine.phases.channel_groups as f64 * of_group,
        packing: packing * chunks as f64 / computing.max(1.0),
        scratch: scratch(per_cell) / size_of::<T>(),
    })
}

/// Estimated cycles of one thread for one channel group and all samples of a panel.
struct Estimate {
    /// For sums and what is done with them.
    computing: f64,
    /// For packing all panels once, with what a cell takes whatever its size.
    packing: f64,
    /// Whether outputs are stored by lists of places.
    is_scattered: bool,
}

fn estimate(engine: &ImplicitGemm, tally: &Tally, lanes: usize) -> Estimate {
    let (phases, weights) = (&engine.phases, &engine.weights);
    let (chunks, blocks) = (weights.chunks() as f64, weights.blocks() as f64);
    let Samples { stacked, interleaved } = tally.cut.samples;
    let is_interleaved = interleaved > 1;
    let is_listed = tally.only().is_some_and(|kind| Listed::pays(&engine.panels, kind.lens, interleaved));
    let per_element = match (is_listed, is_interleaved) {
        (true, true) => LISTED_TOGETHER,
        (true, false) => LISTED,
        (false, _) if is_interleaved || phases.axes[2].input_step > 1 => GATHERED,
        (false, _) => COPIED,
    };
    let rows_of_channel = (phases.axes[0].gathers.len() * phases.axes[1].gathers.len()) as f64;
    let rows_per_run = rows_of_channel * phases.outputs as f64;
    let width_phases = phases.axes[2].gathers.len();
    let sums = |kind: &BlockTally| {
        let mut cycles = 0.0;
        for tile in &kind.tiles {
            for (group, rows) in weights.rows.iter().enumerate() {
                let steps = (tile.taps(phases, group) * phases.inputs) as f64;
                for &vectors in engine.tile.parts(group, tile.vectors) {
                    let step = tile_cost(rows.per_tile, vectors) as f64 / 8.0;
                    let sums = PARTIAL_SUM * (rows.per_tile * vectors) as f64;
                    let tiles = chunks * (rows.tiles * tile.count) as f64;
                    cycles += tiles * (steps * step + blocks * (CALL + sums));
                }
            }
        }
        cycles
    };
    let in_rows = |kind: &BlockTally| {
        let of_runs = |of_run: &dyn Fn(usize) -> f64| {
            kind.runs.iter().map(|&(len, count)| count as f64 * of_run(len)).sum::<f64>()
        };
        if !is_interleaved {
            let of_chunks = rows_of_channel * chunks * RUN_OF_CHUNK;
            return of_runs(&|len| rows_per_run * (RUN + merged(width_phases, len, lanes)) + of_chunks);
        }
        let of_run = |len: usize| {
            let columns = len.div_ceil(interleaved).min(interleaved);
            SORTED_RUN + COLUMN * columns as f64 + SORTED * len as f64
        };
        let [depth, height, width] = kind.outputs;
        // Where planes lie alike on the stage and in the output, each is stored as one run.
        let is_whole = kind.outputs == engine.map.outputs(kind.lens) && width == phases.axes[2].output;
        let runs = if is_whole { 1 } else { depth * height };
        rows_per_run * width_phases as f64 * of_runs(&of_run) + (phases.outputs * interleaved * runs) as f64 * RUN
    };
    let scattered = |kind: &BlockTally| {
        let of_run = |&(len, count): &(usize, usize)| count as f64 * scattered_run(engine, interleaved, len, lanes);
        phases.outputs as f64 * kind.runs.iter().map(of_run).sum::<f64>()
    };
    let packing = |kind: &BlockTally| {
        let packed = (phases.inputs * kind.panel.channel) as f64;
        (phases.inputs * stacked) as f64 * PLANE + packed * per_element + CELL
    };
    let of_all = |of_kind: &dyn Fn(&BlockTally) -> f64| {
        tally.kinds.iter().map(|kind| kind.count as f64 * of_kind(kind)).sum::<f64>()
    };
    let outputs: usize = phases.axes.iter().map(|axis| axis.output).product();
    let stored = (outputs * tally.cut.samples.count() * phases.outputs) as f64;
    let (in_rows, scattered) = (stored * STORED + of_all(&in_rows), of_all(&scattered));
    Estimate {
        computing: of_all(&sums) + in_rows.min(scattered),
        packing: of_all(&packing),
        is_scattered: scattered < in_rows,
    }
}

/// Estimated cycles to merge many phases into the row of a run, which is done by squares.
fn merged(phases: usize, len: usize, lanes: usize) -> f64 {
    let squares = if phases > MOST_MERGED { phases.div_ceil(lanes) * len.div_ceil(lanes) } else { 0 };
    (squares * lanes) as f64 * SQUARE_VECTOR
}

/// Estimated cycles to store the outputs of a run by lists of places, per output channel.
fn scattered_run(engine: &ImplicitGemm, interleaved: usize, len: usize, lanes: usize) -> f64 {
    let [phases_d, phases_h, phases_w] = engine.phases.axes.each_ref().map(|axis| axis.gathers.len());
    let outputs = len * phases_d * phases_h * phases_w;
    let side = samples_per_place(interleaved, lanes);
    if side == 1 {
        let is_line = interleaved == 1 && phases_w == 1 && len >= SHORTEST_LINE;
        let lines = (outputs / len) as f64;
        return if is_line { lines * LINE + outputs as f64 * STORED } else { outputs as f64 * SCATTERED };
    }
    // Outputs that are neighbours in memory: those of a run or, where rows are whole, those of all rows of a tile.
    let row = len.div_ceil(interleaved) * phases_w;
    let is_whole = row >= engine.phases.axes[2].output;
    let of_tile = (engine.tile.vectors * lanes / interleaved).max(1) * phases_h * phases_w;
    let row = if is_whole { of_tile.max(row * phases_h) } else { row };
    let longest = row.min(MAX_LANES);
    let squares = (outputs / side) as f64 * row.div_ceil(longest) as f64 / row as f64;
    squares * (SQUARE + SQUARE_VECTOR * longest as f64 + SQUARE_SAMPLE * side as f64)
}

#[cfg(test)]
mod tests;
