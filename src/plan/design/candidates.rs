//! All recipes that are worth a try, whether they are cheap or not.

use super::{
    Machine, blocks, channels_per_chunk, estimated, in_place, samples_to_try, suitable, valid_taps_to_try, way,
};
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::phases::Phases;
use crate::engine::schedule::Cut;
use crate::plan::costs::{MOST_PHASES, Work};
use crate::plan::directed::Directed;
use crate::plan::estimate::{self, Estimate};
use crate::plan::options::PlanOptions;
use crate::plan::recipe::{ImplicitGemmRecipe, Recipe, Way, cheapest};
use crate::scalar::Scalar;

/// A recipe that a direction may run for a batch, and one thread's work for all of the batch.
pub(in crate::plan) struct Weighed {
    pub(in crate::plan) recipe: Recipe,
    pub(in crate::plan) cycles: f64,
    pub(in crate::plan) work: Work,
}

/// All recipes that are worth a try for a batch, in families of the same order of sums; in each, the cheapest first.
pub(in crate::plan) fn candidates<T: Scalar>(
    directed: &Directed,
    phases: &Phases,
    machine: &Machine,
    options: &PlanOptions,
    batch: usize,
) -> Vec<Vec<Weighed>> {
    let filtered = super::filtered::all::<T>(directed, machine, options, batch).into_iter();
    let of_recipe = |recipe| Some(vec![weighed::<T>(directed, phases, machine, batch, recipe)?]);
    let mut families: Vec<Vec<Weighed>> = filtered.filter_map(of_recipe).collect();
    if let Some((recipe, _)) = in_place::<T>(phases, machine) {
        families.extend(weighed::<T>(directed, phases, machine, batch, recipe).map(|weighed| vec![weighed]));
    }
    if phases.phases() <= MOST_PHASES {
        for [chunk, inputs] in blockings::<T>(phases, machine) {
            let engine = ImplicitGemm::new::<T>(phases.clone(), machine.level, chunk, inputs);
            let mut family = all_ways::<T>(&engine, machine, batch);
            family.sort_by(|a, b| a.cycles.total_cmp(&b.cycles));
            families.push(family);
        }
    }
    families
}

/// What a recipe for this direction takes for a batch; `None` if nothing estimates it.
pub(in crate::plan) fn weighed<T: Scalar>(
    directed: &Directed,
    phases: &Phases,
    machine: &Machine,
    batch: usize,
    recipe: Recipe,
) -> Option<Weighed> {
    let work = match &recipe {
        Recipe::Lowered => return None,
        Recipe::Filtered(recipe) => super::filtered::weighed::<T>(directed, machine, batch, recipe)?,
        Recipe::Depthwise { .. } => {
            Work::default().and(batch as f64, &estimate::depthwise(phases, machine.lanes::<T>()))
        }
        Recipe::ImplicitGemm(ImplicitGemmRecipe { channels_per_chunk, inputs_per_block, ways, .. }) => {
            let engine = ImplicitGemm::new::<T>(phases.clone(), machine.level, *channels_per_chunk, *inputs_per_block);
            let way = &ways[cheapest(ways.iter(), batch)];
            let estimate = estimated::<T>(&engine, engine.counter::<T>().count::<T>(way.cut)?, machine);
            let panels = batch.div_ceil(way.cut.samples.count()) as f64;
            Work::default().and(panels, &panel_work(&engine, &estimate, way))
        }
    };
    Some(Weighed { recipe, cycles: work.cycles(machine.costs), work })
}

/// Channels per chunk and inputs per block that may be worth a try: those that [`suitable`] takes, and others near them.
fn blockings<T: Scalar>(phases: &Phases, machine: &Machine) -> Vec<[usize; 2]> {
    let weights = suitable::<T>(phases.clone(), machine).weights;
    let (chunk, inputs) = (weights.chunk, weights.inputs_per_block);
    let half = inputs.div_ceil(2);
    let other = channels_per_chunk(phases, machine, Some(chunk));
    let all = [[chunk, inputs], [other, inputs], [chunk, half], [chunk, (2 * inputs).min(phases.inputs)]];
    let is_new = |&number: &usize| !all[..number].contains(&all[number]);
    (0..all.len()).filter(is_new).map(|number| all[number]).collect()
}

/// Every way that [`ways`](super::ways) might take for a batch, whether it is cheap or not, and with outputs stored in rows and by lists.
fn all_ways<T: Scalar>(engine: &ImplicitGemm, machine: &Machine, batch: usize) -> Vec<Weighed> {
    let (mut all, mut counter) = (Vec::new(), engine.counter::<T>());
    let valid_taps = valid_taps_to_try(&engine.phases);
    for samples in samples_to_try(engine, machine.lanes::<T>(), batch) {
        for block in blocks(engine, machine.lanes::<T>(), samples) {
            for &by_valid_taps in &valid_taps {
                let Some(tally) = counter.count::<T>(Cut { samples, block, by_valid_taps }) else { continue };
                let estimate = estimated::<T>(engine, tally, machine);
                for is_scattered in [false, true] {
                    let Some(way) = way::<T>(engine, tally, &estimate, machine, batch, Some(is_scattered)) else {
                        continue;
                    };
                    let panels = batch.div_ceil(samples.count()) as f64;
                    let work = Work::default().and(panels, &panel_work(engine, &estimate, &way));
                    let cycles = panels * way.cycles;
                    all.extend(super::recipe(engine, vec![way]).map(|recipe| Weighed { recipe, cycles, work }));
                }
            }
        }
    }
    all
}

/// The work of a way for all samples of a panel.
pub(super) fn panel_work(engine: &ImplicitGemm, estimate: &Estimate, way: &Way) -> Work {
    let stored = if way.is_scattered { &estimate.scattered } else { &estimate.in_rows };
    let packings = engine.weights.chunks().div_ceil(way.chunks_per_cell) as f64;
    let of_group = estimate.sums.and(1.0, stored).and(packings, &estimate.packing);
    Work::default().and(engine.phases.channel_groups as f64, &of_group)
}
