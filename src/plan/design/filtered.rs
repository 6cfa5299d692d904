//! Minimal filtering: lists tiles along each axis, drops those whose measured error is over the bound or whose weights take too much
//! memory, and weighs the others.

use super::candidates::panel_work;
use super::{Machine, blocks_of, samples_to_try};
use crate::engine::filtered::axis::AxisFilter;
use crate::engine::filtered::{Blocking, Filtered};
use crate::engine::schedule::{Cut, Tally};
use crate::kernel::micro::{lanes, max_rows, vector_counts};
use crate::operator::bytes_of;
use crate::plan::costs::{
    FILTERED_BLOCKS, FILTERED_BUFFER, FILTERED_TILES, MANY, MOST_FILTERED_PHASES, MOST_FILTERED_SCRATCH,
    MOST_FILTERED_TAPS, SHARE_OF_POINTS, WORTH_FILTERING, Work,
};
use crate::plan::directed::Directed;
use crate::plan::estimate::{self, Estimate};
use crate::plan::filtering_errors;
use crate::plan::options::PlanOptions;
use crate::plan::recipe::{FilteredRecipe, Recipe, Way, cheapest};
use crate::scalar::Scalar;

/// The recipe by minimal filtering that is estimated to take least within the accuracy and the memory of the options; `None` if there is
/// none that is worth it beside the `strict` ways. Where the batch is not known, it has to be for single samples, too.
pub(super) fn fastest<T: Scalar>(
    directed: &Directed,
    machine: &Machine,
    options: &PlanOptions,
    strict: &[Way],
) -> Option<(FilteredRecipe, Filtered)> {
    let batches = options.expected_batch.map_or([1, MANY], |batch| [batch; 2]);
    let cycles = |ways: &[Way], batch: usize| {
        let way = &ways[cheapest(ways.iter(), batch)];
        batch.div_ceil(way.cut.samples.count()) as f64 * way.cycles
    };
    let mut best: Option<(f64, FilteredRecipe, Filtered)> = None;
    for (filtered, tile) in tilings::<T>(directed, machine, options) {
        let Some(recipe) = recipe::<T>(&filtered, machine, batches[1], tile) else { continue };
        let shares = batches.map(|batch| cycles(&recipe.ways, batch) / cycles(strict, batch));
        let is_worth_it = shares.iter().all(|&share| share < WORTH_FILTERING);
        let share = shares[0] * shares[1];
        let way = &recipe.ways[cheapest(recipe.ways.iter(), batches[1])];
        if is_worth_it && fits::<T>(&filtered, way, options) && best.as_ref().is_none_or(|(least, ..)| share < *least) {
            best = Some((share, recipe, filtered));
        }
    }
    best.map(|(_, recipe, filtered)| (recipe, filtered))
}

/// All recipes within the accuracy and the memory of the options, a family each.
pub(super) fn all<T: Scalar>(
    directed: &Directed,
    machine: &Machine,
    options: &PlanOptions,
    batch: usize,
) -> Vec<Recipe> {
    let fitting = |(filtered, tile): (Filtered, [usize; 3])| {
        let recipe = recipe::<T>(&filtered, machine, batch, tile)?;
        let way = &recipe.ways[cheapest(recipe.ways.iter(), batch)];
        fits::<T>(&filtered, way, options).then_some(Recipe::Filtered(recipe))
    };
    tilings::<T>(directed, machine, options).filter_map(fitting).collect()
}

/// A recipe that sums in the order of another one, for other sizes or a window; weights are packed alike.
pub(super) fn of_family<T: Scalar>(
    directed: &Directed,
    machine: &Machine,
    batch: usize,
    family: &FilteredRecipe,
) -> Option<(FilteredRecipe, Filtered)> {
    let filtered = of_recipe::<T>(directed, machine, family)?;
    let recipe = recipe::<T>(&filtered, machine, batch, family.tile)?;
    Some((recipe, filtered))
}

/// The recipe itself, if it suits.
pub(super) fn exactly<T: Scalar>(
    directed: &Directed,
    machine: &Machine,
    recipe: &FilteredRecipe,
    is_possible: impl Fn(&Way, usize) -> bool,
) -> Option<(FilteredRecipe, Filtered)> {
    let channels = [directed.output, directed.output.other()].map(|side| directed.geometry.channels_per_group(side));
    let is_within = |number: usize, most: usize| (1..=most).contains(&number);
    if !is_within(recipe.channels_per_chunk, channels[0]) || !is_within(recipe.inputs_per_block, channels[1]) {
        return None;
    }
    let filtered = of_recipe::<T>(directed, machine, recipe)?;
    let mut counter = filtered.tiled.counter::<T>();
    let of_this_layer = |way: &Way| {
        if !is_possible(way, filtered.filter.layout.chunks()) || way.cut.by_valid_taps.contains(&true) {
            return None;
        }
        let tally = counter.count::<T>(way.cut)?;
        let scratch = filtered.all_scratch::<T>(tally, way.chunks_per_cell);
        (scratch <= MOST_FILTERED_SCRATCH / size_of::<T>()).then_some(Way { scratch, ..*way })
    };
    let ways = recipe.ways.iter().map(of_this_layer).collect::<Option<Vec<_>>>()?;
    Some((FilteredRecipe { ways, ..recipe.clone() }, filtered))
}

/// The work of a recipe for a batch.
pub(super) fn weighed<T: Scalar>(
    directed: &Directed,
    machine: &Machine,
    batch: usize,
    recipe: &FilteredRecipe,
) -> Option<Work> {
    let filtered = of_recipe::<T>(directed, machine, recipe)?;
    let way = &recipe.ways[cheapest(recipe.ways.iter(), batch)];
    let mut counter = filtered.tiled.counter::<T>();
    let tally = counter.count::<T>(way.cut)?;
    let estimate = estimated::<T>(&filtered, tally, machine);
    let panels = batch.div_ceil(way.cut.samples.count()) as f64;
    Some(Work::default().and(panels, &panel_work(&filtered.tiled, &estimate, way)))
}

fn of_recipe<T: Scalar>(directed: &Directed, machine: &Machine, recipe: &FilteredRecipe) -> Option<Filtered> {
    let FilteredRecipe { tile, channels_per_chunk, inputs_per_block, .. } = *recipe;
    let blocking = Blocking { channels_per_chunk, inputs_per_block };
    let Directed { geometry, output, origin } = directed;
    if phases(directed, tile)? > MOST_FILTERED_PHASES {
        return None;
    }
    Filtered::new::<T>(geometry, *output, (tile, *origin), machine.level, blocking)
}

/// Outputs of a tile: `None` if there are no such tiles, or if the kernel has too many taps.
fn phases(directed: &Directed, tile: [usize; 3]) -> Option<usize> {
    let axes = directed.geometry.axes();
    let taps = axes.iter().try_fold(1usize, |taps, axis| taps.checked_mul(axis.kernel()))?;
    if taps > MOST_FILTERED_TAPS {
        return None;
    }
    let mut phases = 1usize;
    for (axis, tile) in axes.iter().zip(tile) {
        let [step, _] = axis.class_steps(directed.output);
        phases = phases.checked_mul(step)?.checked_mul(tile)?;
    }
    Some(phases)
}

/// All tilings whose error stays within the bound.
fn tilings<'a, T: Scalar>(
    directed: &'a Directed,
    machine: &'a Machine,
    options: &'a PlanOptions,
) -> impl Iterator<Item = (Filtered, [usize; 3])> + 'a {
    // Strides and kernels out of proportion are not even looked at.
    let is_listed = phases(directed, [1; 3]).is_some_and(|phases| phases <= MOST_FILTERED_PHASES);
    let bounds = options.accuracy.bounds().filter(|_| is_listed);
    let axes = directed.geometry.axes();
    let of_axis = |i: usize| -> Vec<usize> {
        let positions = axes[i].length(directed.output).div_ceil(axes[i].class_steps(directed.output)[0]);
        let suits = |&tile: &usize| {
            tile == 1
                || tile <= positions && AxisFilter::new(&axes[i], directed.output, tile, directed.origin[i]).is_some()
        };
        if bounds.is_none() || positions < 2 { vec![1] } else { FILTERED_TILES.into_iter().filter(suits).collect() }
    };
    let [depth, height, width] = std::array::from_fn(of_axis);
    let all = depth.into_iter().flat_map(move |d| {
        let width = width.clone();
        height.clone().into_iter().flat_map(move |h| width.clone().into_iter().map(move |w| [d, h, w]))
    });
    all.filter_map(move |tile| {
        if tile == [1; 3] || phases(directed, tile)? > MOST_FILTERED_PHASES {
            return None;
        }
        Some((suitable::<T>(directed, machine, tile, bounds?)?, tile))
    })
}

/// The engine for a tile with the blocks that suit best; `None` if its error is over the bounds whatever the block.
fn suitable<T: Scalar>(directed: &Directed, machine: &Machine, tile: [usize; 3], bounds: [f64; 2]) -> Option<Filtered> {
    let Directed { geometry, output, origin } = directed;
    let [inputs, outputs] = [output.other(), *output].map(|side| geometry.channels_per_group(side));
    let isa = machine.level.isa();
    let pitch = lanes::<T>(isa) * vector_counts(isa, max_rows(isa).min(outputs)).last().copied()?;
    // Rows of the outputs of a chunk, which pass through the second-level cache.
    let most = FILTERED_BUFFER / (phases(directed, tile)? * pitch * size_of::<T>()).max(1);
    let most = (most / max_rows(isa) * max_rows(isa)).max(max_rows(isa)).min(outputs);
    let channels_per_chunk = outputs.div_ceil(outputs.div_ceil(most));
    let of_block = |inputs_per_block: usize| {
        let blocking = Blocking { channels_per_chunk, inputs_per_block };
        Filtered::new::<T>(geometry, *output, (tile, *origin), machine.level, blocking)
    };
    let first = of_block(inputs)?;
    let sets = first.filter.axes.each_ref().map(AxisFilter::set);
    let sets: Vec<(usize, usize)> = sets.into_iter().flatten().collect();
    let is_accurate = |block: usize| {
        let measured = filtering_errors::excess(&sets, inputs, block);
        measured.is_some_and(|excess| f64::from(excess.rms) <= bounds[0] && f64::from(excess.largest) <= bounds[1])
    };
    // As many channels as leave the points of a pass in the second-level cache.
    let of_channel = first.filter.products.most_points() * pitch * size_of::<T>();
    let fits = |block: usize| block * of_channel <= machine.caches.second * SHARE_OF_POINTS.0 / SHARE_OF_POINTS.1;
    let even = |block: usize| inputs.div_ceil(inputs.div_ceil(block));
    let accurate: Vec<usize> = FILTERED_BLOCKS.into_iter().filter(|&block| is_accurate(block.min(inputs))).collect();
    let block = *accurate.iter().find(|&&block| fits(even(block))).or(accurate.last())?;
    of_block(even(block))
}

/// Whether a plan stays within the limit on memory.
fn fits<T: Scalar>(filtered: &Filtered, way: &Way, options: &PlanOptions) -> bool {
    let packed = filtered.packed_len().iter().map(|&len| len as u128).sum::<u128>();
    bytes_of::<T>(packed.saturating_add(way.scratch as u128)) <= options.memory_limit
}

/// The recipe of an engine with the cheapest ways to cut a batch.
fn recipe<T: Scalar>(filtered: &Filtered, machine: &Machine, batch: usize, tile: [usize; 3]) -> Option<FilteredRecipe> {
    let lanes = machine.lanes::<T>();
    let mut counter = filtered.tiled.counter::<T>();
    let mut ways: Vec<Way> = Vec::new();
    for samples in samples_to_try(&filtered.tiled, lanes, batch) {
        let mut fastest: Option<Way> = None;
        for block in blocks_of(&filtered.tiled, lanes, samples, [1, 2, 4]) {
            let Some(tally) = counter.count::<T>(Cut { samples, block, by_valid_taps: [false; 3] }) else { continue };
            let way = way::<T>(filtered, tally, machine);
            if way.is_some_and(|way| fastest.is_none_or(|fastest| way.cycles < fastest.cycles)) {
                fastest = way;
            }
        }
        super::keep(&mut ways, fastest);
    }
    if ways.is_empty() {
        return None;
    }
    ways.iter_mut().for_each(Way::round);
    let layout = &filtered.filter.layout;
    let (channels_per_chunk, inputs_per_block) = (layout.chunk, layout.inputs_per_block);
    Some(FilteredRecipe { isa: machine.level.isa(), tile, channels_per_chunk, inputs_per_block, ways })
}

fn estimated<T: Scalar>(filtered: &Filtered, tally: &Tally, machine: &Machine) -> Estimate {
    estimate::filtered(filtered, tally, machine.lanes::<T>(), super::is_listed(&filtered.tiled, tally))
}

/// A cut with its estimated cycles, or `None` if it takes too much scratch memory.
fn way<T: Scalar>(filtered: &Filtered, tally: &Tally, machine: &Machine) -> Option<Way> {
    let chunks = filtered.filter.layout.chunks();
    let fits = |per_cell: usize| filtered.all_scratch::<T>(tally, per_cell) <= MOST_FILTERED_SCRATCH / size_of::<T>();
    let mut per_cell = chunks;
    while per_cell > 1 && !fits(per_cell) {
        per_cell = per_cell.div_ceil(2);
    }
    // Cells of even sizes.
    let per_cell = chunks.div_ceil(chunks.div_ceil(per_cell));
    if !fits(per_cell) {
        return None;
    }
    let (estimate, scratch) = (estimated::<T>(filtered, tally, machine), filtered.all_scratch::<T>(tally, per_cell));
    Some(super::costed(&filtered.tiled, tally, &estimate, machine, (per_cell, scratch), None))
}
