//! Candidates for a direction's recipe, and the choice among them by measuring. It knows no cost and no engine.

use std::time::{Duration, Instant};

use ndarray::{ArrayView5, ArrayViewMut5};

use super::design::{self, Machine, Weighed};
use super::pass::{Pass, Unpacked, level, phases};
use super::{Like, PlanOptions, Recipe, expect_memory};
use crate::engine::epilogue::Finish;
use crate::engine::phases::Phases;
use crate::error::Result;
use crate::geometry::{Geometry, Side};
use crate::kernel::Caches;
use crate::operator::{Pad, Weights, Workspace, new_batch};
use crate::scalar::Scalar;

/// A recipe that a layer may run, and what it is estimated to take. [`Layer::candidates`](crate::Layer::candidates) lists them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// The recipe.
    pub recipe: Recipe,
    /// Estimated cycles of one thread for the batch; `None` for a recipe that is not estimated, as [`Recipe::Lowered`].
    pub cycles: Option<f64>,
    /// What the estimate counts. Kinds, amounts and costs may differ in any version of this crate.
    pub work: Vec<WorkOfKind>,
}

/// How much there is to do of one kind of work: the product of `amount` and `cycles` is its part of an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkOfKind {
    /// The name of the kind.
    pub kind: &'static str,
    /// How many units of it.
    pub amount: f64,
    /// Cycles of one thread per unit.
    pub cycles: f64,
}

/// Calls that one candidate gets at most: enough for the least of them to be no accident.
const MOST_ROUNDS: usize = 25;
/// Candidates of the family of the plan's own choice that are timed, that choice included.
const OF_OWN_FAMILY: usize = 6;
/// Candidates of every other family that are timed.
const OF_OTHER_FAMILY: usize = 2;
/// Seconds of a sample: shorter calls are repeated, so that reading the clock takes less than a per cent of it.
const SHORTEST_SAMPLE: f64 = 10e-6;
/// Most calls of a sample.
const MOST_CALLS: f64 = 1000.0;
/// Rounds after which a candidate that is much slower than the best one is given up.
const ROUNDS_FOR_ALL: usize = 3;
/// Times the best one's time that is much slower.
const MUCH_SLOWER: f64 = 1.3;
/// Part of the time of the plan's own choice that another one may take at most: a smaller gain may be noise.
const WORTH_ANOTHER: f64 = 0.98;

/// What is planned: the side of a geometry that is computed, with what weights, behind what padding.
type Asked<'a, T> = ((Geometry<3>, Side), &'a Weights<T>, Option<&'a Pad>);

/// See [`Layer::candidates`](crate::Layer::candidates).
///
/// # Errors
/// As the plan's own choice.
pub(crate) fn candidates<T: Scalar>(asked: Asked<T>, options: &PlanOptions) -> Result<Vec<Candidate>> {
    let own = own_choice(asked, options)?;
    let Some((phases, machine)) = machine(asked, options)? else {
        return Ok(vec![Candidate { recipe: own, cycles: None, work: Vec::new() }]);
    };
    let batch = batch(options);
    let alone = own.for_batch(batch);
    let candidate = |recipe: Recipe, weighed: Option<&Weighed>| Candidate {
        recipe,
        cycles: weighed.map(|weighed| weighed.cycles),
        work: weighed.iter().flat_map(|weighed| weighed.work.listed(machine.costs)).map(of_kind).collect(),
    };
    let mut others: Vec<Weighed> =
        design::candidates::<T>(&asked.0.into(), &phases, &machine, options, batch).into_iter().flatten().collect();
    others.retain(|other| other.recipe != alone && fits(asked, &other.recipe, options));
    others.sort_by(|a, b| a.cycles.total_cmp(&b.cycles));
    let first = candidate(own, design::weighed::<T>(&asked.0.into(), &phases, &machine, batch, alone).as_ref());
    let others = others.iter().map(|other| candidate(other.recipe.clone(), Some(other)));
    Ok([first].into_iter().chain(others).collect())
}

/// See [`Layer::estimated_cycles`](crate::Layer::estimated_cycles).
///
/// # Errors
/// As the plan's own choice.
pub(crate) fn estimated_cycles<T: Scalar>(asked: Asked<T>, options: &PlanOptions) -> Result<Option<f64>> {
    let own = own_choice(asked, options)?;
    let Some((phases, machine)) = machine(asked, options)? else { return Ok(None) };
    let batch = batch(options);
    let weighed = design::weighed::<T>(&asked.0.into(), &phases, &machine, batch, own.for_batch(batch));
    Ok(weighed.map(|weighed| weighed.cycles))
}

fn of_kind((kind, amount, cycles): (&'static str, f64, f64)) -> WorkOfKind {
    WorkOfKind { kind, amount, cycles }
}

/// Samples that candidates are weighed and timed for.
fn batch(options: &PlanOptions) -> usize {
    options.expected_batch.unwrap_or(1).max(1)
}

/// What a plan takes.
fn own_choice<T: Scalar>((of, weights, pad): Asked<T>, options: &PlanOptions) -> Result<Recipe> {
    let own = Unpacked::new(of.into(), weights, options, Like::Anything)?;
    expect_memory(&own, pad, options)?;
    Ok(own.recipe().clone())
}

/// What else could be taken is weighed by; `None` if there is nothing to compute or only one way to do it.
fn machine<T: Scalar>((of, ..): Asked<T>, options: &PlanOptions) -> Result<Option<(Phases, Machine)>> {
    let machine = Machine::new::<T>(level(options.isa)?, options.caches.unwrap_or_else(Caches::detected));
    let is_empty = of.0.shape(of.1).contains(&0);
    Ok(phases(&of.0, of.1)?.filter(|_| !is_empty).map(|phases| (phases, machine)))
}

/// Whether a recipe stays within the limit on memory.
fn fits<T: Scalar>((of, weights, pad): Asked<T>, recipe: &Recipe, options: &PlanOptions) -> bool {
    let unpacked = Unpacked::new(of.into(), weights, options, Like::Exactly(recipe));
    unpacked.is_ok_and(|unpacked| expect_memory(&unpacked, pad, options).is_ok())
}

/// See [`Layer::tune`](crate::Layer::tune).
///
/// # Errors
/// As the plan's own choice; [`Error::Memory`](crate::Error::Memory) if there is none for a batch.
pub(crate) fn tune<T: Scalar>(asked: Asked<T>, options: &PlanOptions, time_limit: Duration) -> Result<Recipe> {
    let start = Instant::now();
    fastest(asked, options, &|| start.elapsed() >= time_limit)
}

/// The candidate that takes least time, as far as it is timed before time is over.
fn fastest<T: Scalar>(asked: Asked<T>, options: &PlanOptions, is_over: &impl Fn() -> bool) -> Result<Recipe> {
    let own = own_choice(asked, options)?;
    let ((geometry, output), ..) = asked;
    let batch = batch(options);
    let Some((phases, machine)) = machine(asked, options)?.filter(|_| !is_over()) else { return Ok(own) };
    let shortlist = shortlist(&own, design::candidates::<T>(&asked.0.into(), &phases, &machine, options, batch), batch);
    // Values that are neither zero nor all the same, and no subnormal numbers, with which some processors take longer.
    let mut x = new_batch::<T>(batch, geometry.shape(output.other()))?;
    x.iter_mut().enumerate().for_each(|(i, x)| *x = T::from_f64((i * 37 % 101) as f64 / 50.0 - 0.99));
    let mut y = new_batch::<T>(batch, geometry.shape(output))?;
    let packed = pack(asked, &shortlist, options, is_over)?;
    let mut race = Race::new(packed);
    while race.rounds <= MOST_ROUNDS && race.round(x.view(), y.view_mut(), is_over)? {}
    Ok(race.winner().unwrap_or(&own).clone())
}

/// The plan's own choice, and the best few of every family by estimate.
fn shortlist(own: &Recipe, families: Vec<Vec<Weighed>>, batch: usize) -> Vec<Recipe> {
    let alone = own.for_batch(batch);
    let mut shortlist = vec![own.clone()];
    for family in families {
        let is_own = family.first().is_some_and(|weighed| weighed.recipe.is_of_family(own));
        let most = if is_own { OF_OWN_FAMILY - 1 } else { OF_OTHER_FAMILY };
        let others = family.into_iter().map(|weighed| weighed.recipe).filter(|recipe| *recipe != alone);
        shortlist.extend(others.take(most));
    }
    shortlist
}

/// Packs weights for recipe after recipe, as far as all together stay within the limit on memory and time is left: one at least.
/// Recipes with the same order of weights share them.
fn pack<T: Scalar>(
    ((geometry, output), weights, pad): Asked<T>,
    recipes: &[Recipe],
    options: &PlanOptions,
    is_over: impl Fn() -> bool,
) -> Result<Vec<Pass<T>>> {
    let mut packed: Vec<Pass<T>> = Vec::new();
    let mut held = 0;
    for recipe in recipes {
        if !packed.is_empty() && is_over() {
            break;
        }
        let unpacked = Unpacked::new((geometry, output).into(), weights, options, Like::Exactly(recipe));
        let unpacked = match unpacked {
            Err(error) if packed.is_empty() => return Err(error),
            Err(_) => continue,
            Ok(unpacked) => unpacked,
        };
        let known = packed.iter().find(|known| unpacked.shares_weights_of(known));
        let shared = known.map_or(0, |known| known.packed_bytes() as u128);
        let left = options.clone().memory_limit(options.memory_limit.saturating_sub(held - shared));
        let more = unpacked.packed_bytes() - shared;
        if !packed.is_empty() && expect_memory(&unpacked, pad, &left).is_err() {
            continue;
        }
        let pass = match unpacked.pack(weights, known) {
            Err(error) if packed.is_empty() => return Err(error),
            Err(_) => continue,
            Ok(pass) => pass,
        };
        held += more;
        packed.push(pass);
    }
    Ok(packed)
}

/// Calls of a sample, if one takes so many seconds.
fn calls(seconds: f64) -> usize {
    (SHORTEST_SAMPLE / seconds).ceil().clamp(1.0, MOST_CALLS) as usize
}

/// Candidates that take turns.
struct Race<T> {
    runners: Vec<Runner<T>>,
    workspace: Workspace<T>,
    /// Rounds so far, the first of which warms up and does not count.
    rounds: usize,
}

struct Runner<T> {
    pass: Pass<T>,
    /// Calls of a sample.
    calls: usize,
    /// Seconds of a call: the least of all rounds.
    least: f64,
    is_given_up: bool,
}

impl<T: Scalar> Race<T> {
    fn new(passes: Vec<Pass<T>>) -> Self {
        let runner = |pass| Runner { pass, calls: 1, least: f64::INFINITY, is_given_up: false };
        Self { runners: passes.into_iter().map(runner).collect(), workspace: Workspace::new(), rounds: 0 }
    }

    /// Times every candidate once, unless time is over before all have had their turn: then what was timed in this round does not
    /// count, and the race ends.
    fn round(&mut self, x: ArrayView5<T>, mut y: ArrayViewMut5<T>, is_over: &impl Fn() -> bool) -> Result<bool> {
        let mut seconds = vec![f64::INFINITY; self.runners.len()];
        for (runner, seconds) in self.runners.iter().zip(&mut seconds) {
            if runner.is_given_up {
                continue;
            }
            if is_over() {
                return Ok(false);
            }
            let start = Instant::now();
            for _ in 0..runner.calls {
                runner.pass.run_behind(None, x.view(), y.view_mut(), &Finish::none(), &mut self.workspace)?;
            }
            *seconds = start.elapsed().as_secs_f64() / runner.calls as f64;
        }
        for (runner, seconds) in self.runners.iter_mut().zip(seconds) {
            match self.rounds {
                0 => runner.calls = calls(seconds),
                _ => runner.least = runner.least.min(seconds),
            }
        }
        self.rounds += 1;
        if self.rounds > ROUNDS_FOR_ALL {
            let best = self.runners.iter().map(|runner| runner.least).fold(f64::INFINITY, f64::min);
            self.runners.iter_mut().for_each(|runner| runner.is_given_up |= runner.least > MUCH_SLOWER * best);
        }
        Ok(true)
    }

    /// The recipe of the fastest candidate; `None` if none was timed.
    fn winner(&self) -> Option<&Recipe> {
        let own = self.runners.first()?;
        let best = self.runners.iter().min_by(|a, b| a.least.total_cmp(&b.least))?;
        let is_worth_it = best.least < WORTH_ANOTHER * own.least;
        Some(if is_worth_it { best.pass.recipe() } else { own.pass.recipe() })
    }
}

#[cfg(test)]
mod tests;
