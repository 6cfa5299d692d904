//! Chooses the recipe for a geometry: lists candidates, weighs them by [`estimate`](super::estimate) and
//! [`costs`](super::costs), and takes the cheapest. It touches no data, keeps nothing that it builds, and has no number of
//! its own.
//!
//! What is weighed is the time of one thread: the microkernel's for every register tile that a cut would run, padding and
//! columns that no output needs included; a constant per call of the microkernel; and what it takes to pack panels and to
//! store outputs.

mod candidates;
mod filtered;

pub(super) use candidates::{Weighed, candidates, weighed};

use super::costs::{
    CELLS, Costs, FEWEST_CHANNELS, FEWEST_CHUNKS, LARGE_PLANE, LISTS, MANY, MANY_TILES, MOST_PHASES, MOST_ROWS,
    MOST_SCRATCH, PLENTY_OF_SCRATCH, SAMPLES, SHARE_OF_FIRST_LEVEL, SHARE_OF_SECOND_LEVEL, SHARE_OF_VECTOR, STEPS,
    TILES, WORTH_MORE_CHANNELS, WORTH_MORE_SAMPLES,
};
use super::directed::Directed;
use super::estimate::{self, Estimate};
use super::options::PlanOptions;
use super::recipe::{FilteredRecipe, ImplicitGemmRecipe, Like, Recipe, Way};
use crate::engine::depthwise::{CELL, Depthwise};
use crate::engine::filtered::Filtered;
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::panel::{Listed, Samples};
use crate::engine::phases::{Group, Phases};
use crate::engine::schedule::{Cut, Tally, multiply_adds};
use crate::engine::weights::row_tiles;
use crate::kernel::Caches;
use crate::kernel::dispatch::Level;
use crate::kernel::micro::{lanes, max_rows, vector_counts};
use crate::scalar::Scalar;

/// What a recipe is for: an instruction set, caches, and what work costs there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(super) level: Level,
    pub(super) caches: Caches,
    pub(super) costs: &'static Costs,
}

impl Machine {
    pub(super) fn new<T: Scalar>(level: Level, caches: Caches) -> Self {
        Self { level, caches, costs: Costs::of::<T>(level.isa()) }
    }

    fn lanes<T: Scalar>(&self) -> usize {
        lanes::<T>(self.level.isa())
    }
}

/// The engine that a recipe was designed with.
pub(super) enum Designed {
    ImplicitGemm(Box<ImplicitGemm>),
    Filtered(Box<Filtered>),
    Depthwise(Box<Depthwise>),
    Lowered,
}

/// The recipe for one direction of a geometry, for batches of about `batch` samples if that is known; `None` for a recipe to be like
/// that does not suit the geometry.
pub(super) fn design<T: Scalar>(
    directed: &Directed,
    phases: Phases,
    machine: &Machine,
    options: &PlanOptions,
    like: Like,
) -> Option<(Recipe, Designed)> {
    let batch = options.expected_batch;
    let in_tiles = |(recipe, filtered): (FilteredRecipe, Filtered)| {
        (Recipe::Filtered(recipe), Designed::Filtered(Box::new(filtered)))
    };
    match like {
        Like::Anything => {
            let strict = fastest::<T>(phases, machine, batch);
            let Recipe::ImplicitGemm(recipe) = &strict.0 else { return Some(strict) };
            let in_fewer = filtered::fastest::<T>(directed, machine, options, &recipe.ways);
            Some(in_fewer.map(in_tiles).unwrap_or(strict))
        }
        Like::Family(Recipe::Filtered(family)) => {
            filtered::of_family::<T>(directed, machine, batch.unwrap_or(MANY), family).map(in_tiles)
        }
        Like::Exactly(Recipe::Filtered(recipe)) => {
            filtered::exactly::<T>(directed, machine, recipe, is_possible).map(in_tiles)
        }
        Like::Family(family) => of_family::<T>(phases, machine, batch, family),
        Like::Exactly(recipe) => exactly::<T>(phases, machine, recipe),
    }
}

/// Whether a cut is one that could be made of `chunks` chunks of output channels.
fn is_possible(way: &Way, chunks: usize) -> bool {
    let most_samples = SAMPLES.into_iter().max().unwrap_or(1);
    let Samples { stacked, interleaved } = way.cut.samples;
    let are_samples_possible = stacked.min(interleaved) == 1 && (1..=most_samples).contains(&stacked.max(interleaved));
    are_samples_possible && (1..=chunks).contains(&way.chunks_per_cell) && !way.cut.block.contains(&0)
}

/// The recipe that is estimated to take least.
fn fastest<T: Scalar>(phases: Phases, machine: &Machine, batch: Option<usize>) -> (Recipe, Designed) {
    let depthwise = in_place_may_pay::<T>(&phases, machine).then(|| in_place::<T>(&phases, machine)).flatten();
    if phases.phases() > MOST_PHASES {
        return depthwise.unwrap_or(LOWERED);
    }
    let gemm = suitable::<T>(phases, machine);
    let mut of_many = None;
    if let Some(depthwise) = depthwise {
        // The two ways to sum differ in bits, and bits must not depend on the batch: the choice is made for MANY
        // samples.
        let many = of_many.insert(ways::<T>(&gemm, machine, MANY));
        let of_ways = many.iter().map(Way::cycles_per_sample).min_by(f64::total_cmp);
        let cycles = estimate::depthwise(&gemm.phases, machine.lanes::<T>()).cycles(machine.costs);
        if of_ways.is_none_or(|of_ways| cycles <= machine.costs.left_out * of_ways) {
            return depthwise;
        }
    }
    let ways = of_many.filter(|_| batch.is_none_or(|batch| batch == MANY));
    let ways = ways.unwrap_or_else(|| self::ways::<T>(&gemm, machine, batch.unwrap_or(MANY)));
    implicit_gemm(gemm, ways).unwrap_or(LOWERED)
}

const LOWERED: (Recipe, Designed) = (Recipe::Lowered, Designed::Lowered);

/// Whether rows that are summed in place may be faster than a product: not for rows much shorter than a vector, for few rows that are
/// very long, or where input rows would be split for every output channel anew.
fn in_place_may_pay<T: Scalar>(phases: &Phases, machine: &Machine) -> bool {
    let width = &phases.axes[2];
    let channels = phases.channel_groups * phases.outputs;
    SHARE_OF_VECTOR * width.positions >= machine.lanes::<T>()
        && (width.output.max(width.input) <= CELL || channels >= FEWEST_CHANNELS)
        && (width.input_step == 1 || phases.outputs == 1)
}

/// Rows summed in place, where they can be.
fn in_place<T: Scalar>(phases: &Phases, machine: &Machine) -> Option<(Recipe, Designed)> {
    let depthwise = Depthwise::new::<T>(phases, machine.level)?;
    Some((Recipe::Depthwise { isa: machine.level.isa() }, Designed::Depthwise(Box::new(depthwise))))
}

/// The engine with the channels per chunk and inputs per block that suit best.
fn suitable<T: Scalar>(phases: Phases, machine: &Machine) -> ImplicitGemm {
    let (chunk, inputs) = (channels_per_chunk(&phases, machine, None), phases.inputs);
    let mut gemm = ImplicitGemm::new::<T>(phases, machine.level, chunk, inputs);
    gemm.weights.inputs_per_block = inputs_per_block::<T>(&gemm, machine.caches);
    gemm
}

/// An engine with its ways, of which there is at least one.
fn implicit_gemm(gemm: ImplicitGemm, ways: Vec<Way>) -> Option<(Recipe, Designed)> {
    Some((recipe(&gemm, ways)?, Designed::ImplicitGemm(Box::new(gemm))))
}

/// The recipe of an engine with its ways. Estimates are rounded, so that it prints in short.
fn recipe(gemm: &ImplicitGemm, mut ways: Vec<Way>) -> Option<Recipe> {
    let (isa, weights) = (gemm.level.isa(), &gemm.weights);
    let (channels_per_chunk, inputs_per_block) = (weights.chunk, weights.inputs_per_block);
    if ways.is_empty() {
        return None;
    }
    ways.iter_mut().for_each(Way::round);
    Some(Recipe::ImplicitGemm(ImplicitGemmRecipe { isa, channels_per_chunk, inputs_per_block, ways }))
}

/// A recipe that sums in the order of another one, for other sizes of the input; weights are packed alike.
fn of_family<T: Scalar>(
    phases: Phases,
    machine: &Machine,
    batch: Option<usize>,
    family: &Recipe,
) -> Option<(Recipe, Designed)> {
    match family {
        Recipe::Filtered(_) => None,
        Recipe::Lowered => Some(LOWERED),
        Recipe::Depthwise { .. } => in_place::<T>(&phases, machine),
        Recipe::ImplicitGemm(_) if phases.phases() > MOST_PHASES => None,
        Recipe::ImplicitGemm(ImplicitGemmRecipe { channels_per_chunk, inputs_per_block, .. }) => {
            let gemm = ImplicitGemm::new::<T>(phases, machine.level, *channels_per_chunk, *inputs_per_block);
            let ways = ways::<T>(&gemm, machine, batch.unwrap_or(MANY));
            implicit_gemm(gemm, ways)
        }
    }
}

/// The recipe itself, if it suits: it may have been made for another layer, or have been written by hand.
fn exactly<T: Scalar>(phases: Phases, machine: &Machine, recipe: &Recipe) -> Option<(Recipe, Designed)> {
    let ImplicitGemmRecipe { channels_per_chunk, inputs_per_block, ways, .. } = match recipe {
        Recipe::Filtered(_) => return None,
        Recipe::Lowered => return Some(LOWERED),
        Recipe::Depthwise { .. } => return in_place::<T>(&phases, machine),
        Recipe::ImplicitGemm(recipe) => recipe,
    };
    let is_within = |number: usize, most: usize| (1..=most).contains(&number);
    if phases.phases() > MOST_PHASES
        || !is_within(*channels_per_chunk, phases.outputs)
        || !is_within(*inputs_per_block, phases.inputs)
    {
        return None;
    }
    let gemm = ImplicitGemm::new::<T>(phases, machine.level, *channels_per_chunk, *inputs_per_block);
    let mut counter = gemm.counter::<T>();
    let of_this_layer = |way: &Way| {
        if !is_possible(way, gemm.weights.chunks()) {
            return None;
        }
        let tally = counter.count::<T>(way.cut)?;
        let scratch = gemm.scratch::<T>(tally, way.chunks_per_cell).len();
        let fits = scratch <= MOST_SCRATCH / size_of::<T>() && (!way.is_listed || is_listed(&gemm, tally));
        fits.then_some(Way { scratch, ..*way })
    };
    let ways = ways.iter().map(of_this_layer).collect::<Option<Vec<_>>>()?;
    implicit_gemm(gemm, ways)
}

/// The cheapest ways to cut a batch, by numbers of samples per panel.
fn ways<T: Scalar>(engine: &ImplicitGemm, machine: &Machine, batch: usize) -> Vec<Way> {
    let lanes = machine.lanes::<T>();
    let (mut ways, mut counter): (Vec<Way>, _) = (Vec::new(), engine.counter::<T>());
    let valid_taps = valid_taps_to_try(&engine.phases);
    for samples in samples_to_try(engine, lanes, batch) {
        let mut fastest: Option<Way> = None;
        for block in blocks(engine, lanes, samples) {
            // Which taps are left out hardly depends on the size of a block: the first one decides.
            let decided = fastest.map(|way| way.cut.by_valid_taps);
            for &by_valid_taps in &valid_taps {
                if decided.is_some_and(|decided| decided != by_valid_taps) {
                    continue;
                }
                let tally = counter.count::<T>(Cut { samples, block, by_valid_taps });
                let way = tally.and_then(|tally| {
                    way::<T>(engine, tally, &estimated::<T>(engine, tally, machine), machine, batch, None)
                });
                if way.is_some_and(|way| fastest.is_none_or(|fastest| way.cycles < fastest.cycles)) {
                    fastest = way;
                }
            }
        }
        keep(&mut ways, fastest);
    }
    ways
}

/// Keeps the fastest way of a kind if no known one with as many samples per panel is faster, and if more samples are worth it.
fn keep(ways: &mut Vec<Way>, fastest: Option<Way>) {
    let Some(best) = fastest else { return };
    let is_worth_it = |known: &Way| best.cycles_per_sample() < WORTH_MORE_SAMPLES * known.cycles_per_sample();
    match ways.iter().position(|way| way.cut.samples.count() == best.cut.samples.count()) {
        Some(known) if best.cycles_per_sample() < ways[known].cycles_per_sample() => ways[known] = best,
        Some(_) => {}
        None if ways.iter().all(is_worth_it) => ways.push(best),
        None => {}
    }
}

/// The channels whose rows fill register tiles best, or the next best.
fn channels_per_chunk(phases: &Phases, machine: &Machine, except: Option<usize>) -> usize {
    let most = (MOST_ROWS / phases.phases().max(1)).clamp(1, phases.outputs.min(2 * max_rows(machine.level.isa())));
    let mut best: Option<(usize, f64)> = None;
    for chunk in (1..=most).filter(|&chunk| Some(chunk) != except) {
        let cost = chunk_cost(phases, machine, chunk);
        if best.is_none_or(|(_, least)| cost < WORTH_MORE_CHANNELS * least) {
            best = Some((chunk, cost));
        }
    }
    best.map_or(1, |(chunk, _)| chunk)
}

/// What chunks of so many channels take, per vector of positions.
fn chunk_cost(phases: &Phases, machine: &Machine, chunk: usize) -> f64 {
    let (isa, costs) = (machine.level.isa(), machine.costs);
    let most_vectors = vector_counts(isa, 1).last().copied().unwrap_or(1) as f64;
    let of_group = |group: &Group| {
        let (tiles, per_tile) = row_tiles(chunk * group.phases, isa);
        let vectors = vector_counts(isa, per_tile).last().copied().unwrap_or(1);
        let steps = (group.taps * phases.inputs) as f64;
        let of_tile = steps * costs.of_step(multiply_adds(per_tile, vectors), vectors) + costs.call;
        tiles as f64 * of_tile / vectors as f64
    };
    let of_groups = phases.groups.iter().filter(|group| group.taps > 0).map(of_group).sum::<f64>();
    phases.outputs.div_ceil(chunk) as f64 * (of_groups + costs.chunk / most_vectors)
}

/// Input channels of a block: as many as have that part of a panel which one tile reads in half the first-level cache,
/// where it stays while the tile meets chunk after chunk, but enough for a call of the microkernel to have some hundred
/// steps.
fn inputs_per_block<T: Scalar>(engine: &ImplicitGemm, caches: Caches) -> usize {
    let lanes = lanes::<T>(engine.level.isa());
    let [d, h, w] = &engine.panels;
    let rows = d.residues() * (d.reach + 1) * h.residues() * (h.reach + 1) * w.residues();
    let bytes = rows * (engine.tile.vectors * lanes + w.reach + lanes) * size_of::<T>();
    let taps = engine.phases.groups.iter().map(|group| group.taps).max().unwrap_or(1).max(1);
    let most = (caches.first / SHARE_OF_FIRST_LEVEL / bytes).max(STEPS / taps).max(1);
    let inputs = engine.phases.inputs;
    inputs.div_ceil(inputs.div_ceil(most + most / 2))
}

/// Numbers of samples per panel that may serve a batch.
fn samples_to_try(engine: &ImplicitGemm, lanes: usize, batch: usize) -> impl Iterator<Item = Samples> {
    let positions: usize = engine.phases.axes.iter().map(|axis| axis.positions).product();
    let most = (MANY_TILES * engine.tile.vectors * lanes).div_ceil(positions.max(1)).min(batch);
    SAMPLES.into_iter().filter(move |&count| count == 1 || count <= most).flat_map(|count| {
        let stacked = Samples { stacked: count, interleaved: 1 };
        let interleaved = Samples { stacked: 1, interleaved: count };
        [stacked, interleaved].into_iter().take(if count == 1 { 1 } else { 2 })
    })
}

/// Different blocks to try for a number of samples per panel: most positions along each axis.
fn blocks(engine: &ImplicitGemm, lanes: usize, samples: Samples) -> Vec<[usize; 3]> {
    blocks_of(engine, lanes, samples, TILES)
}

/// Blocks of about so many register tiles.
fn blocks_of(engine: &ImplicitGemm, lanes: usize, samples: Samples, tiles: [usize; 3]) -> Vec<[usize; 3]> {
    let [d, h, w] = engine.phases.axes.each_ref().map(|axis| axis.positions.max(1));
    let tile = engine.tile.vectors * lanes;
    let blocks = tiles.map(|tiles| {
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
    let mut all = vec![[false; 3]];
    if phases.axes.iter().map(|axis| axis.positions).product::<usize>() > LARGE_PLANE {
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

/// Whether packing by a list pays for a cut, and can be: its panel holds all positions.
fn is_listed(engine: &ImplicitGemm, tally: &Tally) -> bool {
    let interleaved = tally.cut.samples.interleaved;
    tally.only().is_some_and(|kind| Listed::pays(&engine.panels, kind.lens, interleaved, &LISTS))
}

fn estimated<T: Scalar>(engine: &ImplicitGemm, tally: &Tally, machine: &Machine) -> Estimate {
    Estimate::new(engine, tally, machine.lanes::<T>(), is_listed(engine, tally))
}

/// A cut with its estimated cycles, or `None` if it takes more than [`MOST_SCRATCH`]. Outputs are stored in rows or by lists
/// of places, whichever is cheaper, unless it is said which.
fn way<T: Scalar>(
    engine: &ImplicitGemm,
    tally: &Tally,
    estimate: &Estimate,
    machine: &Machine,
    batch: usize,
    is_scattered: Option<bool>,
) -> Option<Way> {
    let cut = tally.cut;
    let chunks = engine.weights.chunks();
    let scratch = |chunks: usize| engine.scratch::<T>(tally, chunks).len() * size_of::<T>();
    // The weights of a cell stay in the second-level cache while its tiles pass by.
    let chunk_bytes = engine.weights.of_chunk(0, 0, 0).len() * size_of::<T>();
    let mut per_cell = (machine.caches.second / SHARE_OF_SECOND_LEVEL / chunk_bytes.max(1)).clamp(1, chunks);
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
    let scratch = scratch(per_cell) / size_of::<T>();
    Some(costed(engine, tally, estimate, machine, (per_cell, scratch), is_scattered))
}

/// A way with cells of `per_cell` chunks, which take so many elements of scratch memory, and its estimated cycles.
fn costed(
    engine: &ImplicitGemm,
    tally: &Tally,
    estimate: &Estimate,
    machine: &Machine,
    (per_cell, scratch): (usize, usize),
    is_scattered: Option<bool>,
) -> Way {
    let chunks = engine.weights.chunks();
    let [sums, in_rows, scattered, packing] =
        [&estimate.sums, &estimate.in_rows, &estimate.scattered, &estimate.packing]
            .map(|work| work.cycles(machine.costs));
    let is_scattered = is_scattered.unwrap_or(scattered < in_rows);
    let computing = sums + if is_scattered { scattered } else { in_rows };
    let of_group = computing + chunks.div_ceil(per_cell) as f64 * packing;
    Way {
        cut: tally.cut,
        chunks_per_cell: per_cell,
        is_scattered,
        is_listed: is_listed(engine, tally),
        cycles: engine.phases.channel_groups as f64 * of_group,
        packing: packing * chunks as f64 / computing.max(1.0),
        scratch,
    }
}

#[cfg(test)]
mod tests;
